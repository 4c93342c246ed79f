//! Rules of `iptables`: those that the network plug-ins make are read and mended, one is our own.

use std::process::Stdio;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;

use crate::client::local;
use crate::subnet::Subnet;

/// A host port that a rule already forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Empty for all addresses.
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) protocol: String,
}

/// The programs for the two families.
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];

/// Runs iptables; `None` where the program is missing.
async fn iptables(program: &str, arguments: &[&str]) -> Result<Option<String>> {
    match command(program, arguments).output().await {
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(local(program, error)),
    }
}

fn command(program: &str, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["-w", "10"]).args(arguments).stdin(Stdio::null());
    command
}

/// Whether iptables does it.
async fn succeeds(program: &str, arguments: &[&str]) -> Result<bool> {
    let output = command(program, arguments).output().await.map_err(|error| local(program, error))?;
    Ok(output.status.success())
}

/// Lets subnets behind a bridge reach the world outside under the machine's address.
pub(crate) async fn masquerade(bridge: &str, subnets: impl Iterator<Item = &str>) -> Result<()> {
    for subnet in subnets {
        let program = if subnet.contains(':') { "ip6tables" } else { "iptables" };
        let rule = ["POSTROUTING", "-s", subnet, "!", "-o", bridge, "-j", "MASQUERADE"];
        let call = |verb: &'static str| [&["-t", "nat", verb], rule.as_slice()].concat();
        // The same rule twice would stay once too often.
        while succeeds(program, &call("-D")).await? {}
        if !succeeds(program, &call("-A")).await? {
            return Err(RuntimeError::Failed {
                message: format!("{program} cannot masquerade {subnet} behind {bridge}"),
            });
        }
    }
    Ok(())
}

/// The chain in which the plug-in `firewall` lets containers through, one by one.
const FORWARD: &str = "CNI-FORWARD";

/// Lets all containers behind a bridge through, after the plug-in has done so for the first one: it
/// runs iptables seventeen times for each. `false`: it has not written the rules that are known here
/// (on a machine with firewalld it asks that), and has to be run for each container.
pub(crate) async fn accept_bridge(bridge: &str, addresses: impl Iterator<Item = &str>) -> Result<bool> {
    for address in addresses {
        let (program, bits) = if address.contains(':') { ("ip6tables", 128) } else { ("iptables", 32) };
        let rules = iptables(program, &["-S", FORWARD]).await?.unwrap_or_default();
        let has = |words: &str| rules.lines().any(|rule| rule == format!("-A {FORWARD} {words}"));
        if !has(&format!("-s {address}/{bits} -j ACCEPT")) {
            return Ok(false);
        }
        for words in [
            format!("-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
            format!("-i {bridge} -j ACCEPT"),
        ] {
            let rule: Vec<&str> = ["-A", FORWARD].into_iter().chain(words.split(' ')).collect();
            if !has(&words) && !succeeds(program, &rule).await? {
                return Err(RuntimeError::Failed { message: format!("{program} cannot let {bridge} through") });
            }
        }
    }
    Ok(true)
}

/// Removes the rules of a network that no plug-in takes back: those of its bridge, and those of
/// containers whose attaching was cut short. Nobody uses it any more.
pub(crate) async fn forget_bridge(bridge: &str, subnets: &[Subnet]) -> Result<()> {
    for (program, table) in PROGRAMS.into_iter().flat_map(|program| [(program, "filter"), (program, "nat")]) {
        let rules = iptables(program, &["-t", table, "-S"]).await?.unwrap_or_default();
        let gone: Vec<&str> = rules.lines().filter(|rule| belongs_to(rule, bridge, subnets)).collect();
        if gone.is_empty() || delete_at_once(program, table, &gone).await? {
            continue;
        }
        // One of them is gone already.
        for rule in gone {
            let words = split(rule);
            let mut delete = vec!["-t", table, "-D"];
            delete.extend(words.iter().skip(1).map(String::as_str));
            iptables(program, &delete).await?;
        }
    }
    Ok(())
}

/// Whether a rule is about a network that goes.
fn belongs_to(rule: &str, bridge: &str, subnets: &[Subnet]) -> bool {
    if !rule.starts_with("-A CNI-") && !rule.starts_with("-A POSTROUTING ") {
        return false;
    }
    let accepts = rule.starts_with("-A CNI-FORWARD ");
    let within = |text: &str| text.strip_suffix("/32").and_then(|address| address.parse().ok());
    split(rule).windows(2).any(|pair| match pair[0].as_str() {
        "-i" | "-o" => pair[1] == bridge,
        "-s" | "-d" if accepts => {
            within(&pair[1]).is_some_and(|address| subnets.iter().any(|subnet| subnet.contains(address)))
        }
        _ => false,
    })
}

/// Deletes rules of a table by one run of a program; `false` if it deletes none.
async fn delete_at_once(program: &str, table: &str, rules: &[&str]) -> Result<bool> {
    let lines = rules.iter().map(|rule| format!("-D{}\n", rule.trim_start_matches("-A"))).collect::<String>();
    let mut child = command(&format!("{program}-restore"), &["--noflush"]);
    child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = child.spawn() else { return Ok(false) };
    if let Some(mut input) = child.stdin.take() {
        use tokio::io::AsyncWriteExt;
        let _ = input.write_all(format!("*{table}\n{lines}COMMIT\n").as_bytes()).await;
    }
    let ended = child.wait().await.map_err(|error| local(program, error))?;
    Ok(ended.success())
}

/// Words of a printed rule; those with blanks are in quotation marks.
fn split(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in rule.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Host ports that rules of the plug-ins forward, of whatever tool made them.
pub(crate) async fn forwarded() -> Result<Vec<Forwarded>> {
    Ok(parse_forwarded(&iptables("iptables", &["-t", "nat", "-S"]).await?.unwrap_or_default()))
}

fn parse_forwarded(rules: &str) -> Vec<Forwarded> {
    let parse = |rule: &str| {
        let words: Vec<&str> = rule.split_whitespace().collect();
        let after = |key: &str| words.iter().position(|word| *word == key).and_then(|at| words.get(at + 1)).copied();
        if after("-j") != Some("DNAT") {
            return None;
        }
        let address = after("-d").unwrap_or_default();
        Some(Forwarded {
            address: address.split('/').next().unwrap_or_default().to_owned(),
            port: after("--dport")?.parse().ok()?,
            protocol: after("-p")?.to_owned(),
        })
    };
    rules.lines().filter(|rule| rule.starts_with("-A CNI-DN-")).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_one_word_of_a_rule() {
        assert_eq!(
            split("-A X -m comment --comment \"two words\" -j Y"),
            ["-A", "X", "-m", "comment", "--comment", "two words", "-j", "Y"]
        );
    }

    #[test]
    fn rules_of_a_network_are_those_of_its_bridge_and_of_its_addresses() {
        let subnets = [Subnet::parse("10.4.1.0/24").unwrap()];
        for (rule, wanted) in [
            ("-A POSTROUTING -s 10.4.1.0/24 ! -o br-1 -j MASQUERADE", true),
            ("-A CNI-ISOLATION-STAGE-1 -i br-1 ! -o br-1 -j CNI-ISOLATION-STAGE-2", true),
            ("-A CNI-FORWARD -i br-1 -j ACCEPT", true),
            ("-A CNI-FORWARD -s 10.4.1.7/32 -j ACCEPT", true),
            ("-A CNI-FORWARD -d 10.4.1.7/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", true),
            ("-A CNI-FORWARD -s 10.4.2.7/32 -j ACCEPT", false),
            ("-A CNI-FORWARD -s 10.4.1.0/24 -j ACCEPT", false),
            ("-A CNI-FORWARD -i br-12 -j ACCEPT", false),
            ("-A FORWARD -i br-1 -j ACCEPT", false),
            ("-N CNI-FORWARD", false),
        ] {
            assert_eq!(belongs_to(rule, "br-1", &subnets), wanted, "{rule}");
        }
    }

    #[test]
    fn forwarded_ports_are_read_from_the_rules() {
        let rules = "-N CNI-DN-1234\n\
            -A CNI-DN-1234 -s 10.4.1.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK\n\
            -A CNI-DN-1234 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.4.1.2:80\n\
            -A CNI-DN-1234 -d 127.0.0.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.4.1.2:53\n\
            -A DOCKER ! -i docker0 -p tcp -m tcp --dport 99 -j DNAT --to-destination 172.17.0.2:80\n";
        let forwarded = |address: &str, port, protocol: &str| Forwarded {
            address: address.to_owned(),
            port,
            protocol: protocol.to_owned(),
        };
        assert_eq!(parse_forwarded(rules), [forwarded("", 8080, "tcp"), forwarded("127.0.0.1", 53, "udp")]);
    }
}
