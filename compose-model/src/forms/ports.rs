//! Short port forms: `[[HOST_IP:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]`, with ranges.

use std::net::IpAddr;

use crate::tree::{Node, Origin, Scalar};

use super::mapping_of;

/// One port of a short form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortMapping {
    host_ip: String,
    target: u16,
    published: String,
    protocol: String,
}

impl PortMapping {
    pub(super) fn into_node(self, origin: &Origin) -> Node {
        let mut entries = vec![("mode", Scalar::text("ingress"))];
        if !self.host_ip.is_empty() {
            entries.push(("host_ip", Scalar::text(self.host_ip)));
        }
        // Port 0 counts as none, which is refused for want of a target.
        if self.target != 0 {
            entries.push(("target", Scalar::int(i64::from(self.target))));
        }
        if !self.published.is_empty() {
            entries.push(("published", Scalar::text(self.published)));
        }
        entries.push(("protocol", Scalar::text(self.protocol)));
        mapping_of(origin, entries)
    }
}

/// How many mappings a short form gives, as far as it can be told without making them.
pub(super) fn count(text: &str) -> usize {
    let container = text.rsplit(':').next().unwrap_or_default().split('/').next().unwrap_or_default();
    let bounds = container.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    bounds.map_or(1, |(from, to): (u16, u16)| usize::from(to.saturating_sub(from)) + 1)
}

/// Splits a short form; a range of container ports gives several mappings, sorted as the text of
/// `PORT/PROTOCOL` sorts, which is how the reference orders them. The error is its message.
pub(super) fn parse(text: &str) -> Result<Vec<PortMapping>, String> {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host_port = parts.next().unwrap_or_default();
    let host_ip = parts.next().unwrap_or_default();

    let (container, protocol) = match container.split_once('/') {
        None => (container, "tcp"),
        Some(("", _)) => ("", ""),
        Some((port, "")) => (port, "tcp"),
        Some(parts) => parts,
    };
    let host_ip = match host_ip.strip_prefix('[') {
        Some(inner) => match inner.strip_suffix(']') {
            Some(address) => address,
            None => return Err(format!("invalid IP address {host_ip}: address {host_ip}:: missing ']' in address")),
        },
        None => host_ip,
    };
    if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {host_ip}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let (start, end) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    let host = match host_port {
        "" => None,
        host_port => Some(range(host_port).ok_or_else(|| format!("invalid hostPort: {host_port}"))?),
    };
    if let Some((host_start, host_end)) = host
        && end - start != host_end - host_start
        && end != start
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host_port}"));
    }
    let lower = protocol.to_lowercase();
    if !matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let mut mappings: Vec<PortMapping> = (start..=end)
        .map(|target| PortMapping {
            host_ip: host_ip.to_owned(),
            target,
            published: match host {
                None => String::new(),
                Some((from, to)) if start == end && from != to => format!("{from}-{to}"),
                Some((from, _)) => (u32::from(from) + u32::from(target - start)).to_string(),
            },
            protocol: lower.clone(),
        })
        .collect();
    if mappings.len() > 1 {
        mappings.sort_by_cached_key(|mapping| format!("{}/{}", mapping.target, mapping.protocol));
    }
    Ok(mappings)
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        // Rust reads a leading plus sign, Go's unsigned numbers have none.
        if text.starts_with('+') { None } else { text.parse::<u16>().ok() }
    };
    let (start, end) = match text.split_once('-') {
        None => {
            let port = number(text)?;
            (port, port)
        }
        Some((start, end)) => (number(start)?, number(end)?),
    };
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Err(message) => message,
            Ok(mappings) => {
                let one = |mapping: &PortMapping| {
                    let PortMapping { host_ip, target, published, protocol } = mapping;
                    format!("{host_ip}|{published}|{target}/{protocol}")
                };
                mappings.iter().map(one).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn every_short_form_is_split_or_refused_as_the_reference_does() {
        for (text, expected) in [
            ("80", "||80/tcp"),
            ("8080:80", "|8080|80/tcp"),
            ("80:80/UDP", "|80|80/udp"),
            ("127.0.0.1::80", "127.0.0.1||80/tcp"),
            ("[::1]:80:80", "::1|80|80/tcp"),
            ("::1:80:80", "::1|80|80/tcp"),
            (":80", "||80/tcp"),
            ("8000-8001:80-81", "|8000|80/tcp |8001|81/tcp"),
            ("9-10", "||10/tcp ||9/tcp"),
            ("8000-8005:80", "|8000-8005|80/tcp"),
            ("80:", "no port specified: 80:<empty>"),
            ("", "no port specified: <empty>"),
            ("a", "invalid containerPort: a"),
            ("65536", "invalid containerPort: 65536"),
            ("81-80", "invalid containerPort: 81-80"),
            ("x:80", "invalid hostPort: x"),
            ("host:80:80", "invalid IP address: host"),
            ("80:80/foo", "invalid proto: foo"),
            ("80:80/tcp/udp", "invalid proto: tcp/udp"),
            ("80-82:80-81", "invalid ranges specified for container and host Ports: 80-81 and 80-82"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
