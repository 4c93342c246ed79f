//! Look-ups of our own: all addresses, in the order of the answer, nothing cached.
//! A C library would sort them, and a static one cannot look up names at all.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The IPv4 addresses of a name: from /etc/hosts, else from the servers of /etc/resolv.conf.
pub(crate) fn look_up(name: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let hosts = in_hosts(&fs::read_to_string("/etc/hosts").unwrap_or_default(), name);
    if !hosts.is_empty() {
        return Ok(hosts);
    }
    let text = fs::read_to_string("/etc/resolv.conf").map_err(|error| format!("/etc/resolv.conf: {error}"))?;
    let conf = Resolver::parse(&text);
    let mut last = format!("{name}: no such name");
    for candidate in conf.candidates(name) {
        for server in &conf.servers {
            match ask(*server, &candidate) {
                Ok(addresses) if addresses.is_empty() => {}
                Ok(addresses) => return Ok(addresses),
                Err(error) => last = format!("{name}: {server} does not answer: {error}"),
            }
        }
    }
    Err(last)
}

struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), search: Vec::new(), dots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.filter_map(|word| word.parse::<IpAddr>().ok())),
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    for word in words {
                        if let Some(number) = word.strip_prefix("ndots:") {
                            conf.dots = number.parse().unwrap_or(1);
                        }
                    }
                }
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        conf
    }

    fn candidates(&self, name: &str) -> Vec<String> {
        let plain = name.trim_end_matches('.').to_owned();
        let searched = self.search.iter().map(|domain| format!("{plain}.{domain}"));
        if name.ends_with('.') {
            vec![plain]
        } else if plain.matches('.').count() >= self.dots {
            std::iter::once(plain.clone()).chain(searched).collect()
        } else {
            searched.chain([plain.clone()]).collect()
        }
    }
}

fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address: IpAddr = words.next()?.parse().ok()?;
            (address.is_ipv4() && words.any(|word| word.eq_ignore_ascii_case(name))).then_some(address)
        })
        .collect()
}

fn ask(server: IpAddr, name: &str) -> Result<Vec<IpAddr>, String> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(|e| e.to_string())?;
    let id = (std::process::id() as u16).rotate_left(3) ^ 0x5a17;
    let query = question(id, name)?;
    let mut answer = [0_u8; 4096];
    let mut last = String::new();
    for _ in 0..2 {
        socket.send_to(&query, SocketAddr::new(server, 53)).map_err(|e| e.to_string())?;
        match socket.recv(&mut answer) {
            Ok(length) => return addresses(answer.get(..length).unwrap_or_default(), id),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn question(id: u16, name: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::from(id.to_be_bytes());
    // Recursion desired; one question.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        out.push(length.ok_or_else(|| format!("{name} is no host name"))?);
        out.extend(label.as_bytes());
    }
    // Type A, class IN.
    out.extend([0, 0, 1, 0, 1]);
    Ok(out)
}

fn addresses(answer: &[u8], id: u16) -> Result<Vec<IpAddr>, String> {
    let cut = || "a broken answer".to_owned();
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    if number(0) != Some(id) {
        return Err("an answer to another question".to_owned());
    }
    let (questions, answers) = (number(4).ok_or_else(cut)?, number(6).ok_or_else(cut)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(answer, at).ok_or_else(cut)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        at = after_name(answer, at).ok_or_else(cut)?;
        let (kind, length) = (number(at).ok_or_else(cut)?, number(at + 8).ok_or_else(cut)?);
        let data = answer.get(at + 10..at + 10 + usize::from(length)).ok_or_else(cut)?;
        if let (1, &[a, b, c, d]) = (kind, data) {
            found.push(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
        }
        at += 10 + usize::from(length);
    }
    Ok(found)
}

fn after_name(answer: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            // A pointer ends the name.
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_searched_first_and_a_long_one_last() {
        let conf = Resolver::parse("search a.test b.test\nnameserver 127.0.0.11\noptions ndots:1\n");
        assert_eq!(conf.candidates("app"), ["app.a.test", "app.b.test", "app"]);
        assert_eq!(conf.candidates("app.x"), ["app.x", "app.x.a.test", "app.x.b.test"]);
        assert_eq!(conf.servers, ["127.0.0.11".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn addresses_come_in_the_order_of_the_answer() {
        let mut answer = question(7, "app").unwrap();
        answer[7] = 2;
        for last in [9, 4] {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, last]);
        }
        let found = addresses(&answer, 7).unwrap();
        assert_eq!(found, ["10.0.0.9".parse::<IpAddr>().unwrap(), "10.0.0.4".parse().unwrap()]);
        assert!(addresses(&answer[..20], 7).is_err());
    }

    #[test]
    fn hosts_names_every_address_of_a_line() {
        let text = "127.0.0.1 localhost\n10.0.0.3 db database # extra\n";
        assert_eq!(in_hosts(text, "database"), ["10.0.0.3".parse::<IpAddr>().unwrap()]);
        assert!(in_hosts(text, "extra").is_empty());
    }
}
