//! Reading and mending the rules that the network plug-ins make with `iptables`.

use std::process::Stdio;

use compose_runtime::error::Result;

use crate::client::local;

/// A host port that a rule already forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Empty for all addresses.
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) protocol: String,
}

/// Runs iptables; `None` where the program is missing.
async fn iptables(arguments: &[&str]) -> Result<Option<String>> {
    let spawned = tokio::process::Command::new("iptables")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-w", "10"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await;
    match spawned {
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(local("iptables", error)),
    }
}

/// Removes the isolation rules of a bridge, which no plug-in takes back.
pub(crate) async fn forget_bridge(bridge: &str) -> Result<()> {
    let rules = iptables(&["-t", "filter", "-S"]).await?.unwrap_or_default();
    for rule in rules.lines().filter(|rule| rule.starts_with("-A CNI-")) {
        let words = split(rule);
        let names_it = |pair: &[String]| matches!(pair[0].as_str(), "-i" | "-o") && pair[1] == bridge;
        if words.windows(2).any(names_it) {
            let mut delete = vec!["-t", "filter", "-D"];
            delete.extend(words.iter().skip(1).map(String::as_str));
            iptables(&delete).await?;
        }
    }
    Ok(())
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
    Ok(parse_forwarded(&iptables(&["-t", "nat", "-S"]).await?.unwrap_or_default()))
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
