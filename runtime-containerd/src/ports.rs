//! Published ports: choosing host ports, noticing conflicts, and the `portmap` plug-in, which is
//! called on its own at start and stop, so that address and namespace outlive a restart.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use compose_planner::observed::PublishedPort;
use compose_planner::spec::PortSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde_json::{Value, json};

use crate::client::unsupported;
use crate::core::Core;
use crate::firewall::{Forwarded, forwarded};
use crate::record::Record;

/// File of the lock on the machine's ports.
const PORT_LOCK: &str = "ports.lock";

/// The candidates for a host port; an empty list: the system chooses.
fn candidates(spec: &PortSpec) -> Result<Vec<u16>> {
    let wrong = || RuntimeError::Invalid { message: format!("invalid published port: `{}`", spec.published) };
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    match spec.published.split_once('-') {
        _ if spec.published.is_empty() || spec.published == "0" => Ok(Vec::new()),
        None => Ok(vec![number(&spec.published)?]),
        Some((first, last)) => Ok((number(first)?..=number(last)?).collect()),
    }
}

/// Whether a host port is free: nobody listens and no rule forwards it. Returns the port, which
/// the system chose if 0 was asked for.
fn probe(address: IpAddr, port: u16, protocol: &str, rules: &[Forwarded]) -> Option<u16> {
    let wildcard = address.is_unspecified();
    let text = address.to_string();
    let taken = |port: u16| {
        rules.iter().any(|rule| {
            rule.port == port
                && rule.protocol == protocol
                && (wildcard || rule.address.is_empty() || rule.address == text)
        })
    };
    for _ in 0..64 {
        let wanted = SocketAddr::new(address, port);
        let got = match protocol {
            "udp" => UdpSocket::bind(wanted).and_then(|socket| socket.local_addr()),
            _ => TcpListener::bind(wanted).and_then(|socket| socket.local_addr()),
        };
        let got = got.ok()?.port();
        if !taken(got) {
            return Some(got);
        }
        if port != 0 {
            return None;
        }
    }
    None
}

impl Core {
    /// Publishes the container's ports; needs its attachments. After an error nothing is left.
    pub(crate) async fn publish(&self, id: &str, record: &mut Record) -> Result<()> {
        record.published.clear();
        if record.ports.is_empty() {
            return Ok(());
        }
        let first = record.networks.first().and_then(|one| record.attached.get(one.network.as_str())).cloned();
        let Some(attached) = first else { return Ok(()) };
        // Two that look for a free port at once would find the same.
        let _lock = self.lock_at(&self.settings.state_root, PORT_LOCK).await?;
        let mut rules = forwarded().await?;
        let mut published = Vec::new();
        for port in &record.ports {
            let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
            if !matches!(protocol, "tcp" | "udp") {
                return Err(unsupported(&format!("publish a {protocol} port")));
            }
            let address: IpAddr = match port.host_ip.as_str() {
                "" => Ipv4Addr::UNSPECIFIED.into(),
                text => text.parse().map_err(|_| RuntimeError::Invalid {
                    message: format!("invalid host address of a published port: `{text}`"),
                })?,
            };
            if address.is_ipv6() && !attached.addresses().any(|own| own.contains(':')) {
                return Err(unsupported(&format!(
                    "publish a port on the IPv6 address {address} without IPv6 in the container's first network \
                     (`enable_ipv6`)"
                )));
            }
            let wanted = candidates(port)?;
            let free = if wanted.is_empty() {
                probe(address, 0, protocol, &rules)
            } else {
                wanted.iter().find_map(|wanted| probe(address, *wanted, protocol, &rules))
            };
            let Some(number) = free else {
                return Err(RuntimeError::Failed {
                    message: format!("Bind for {address}:{} failed: port is already allocated", port.published),
                });
            };
            rules.push(Forwarded {
                address: if address.is_unspecified() { String::new() } else { address.to_string() },
                port: number,
                protocol: protocol.to_owned(),
            });
            published.push(PublishedPort {
                host_ip: address.to_string(),
                published: number,
                target: port.target,
                protocol: protocol.to_owned(),
            });
        }
        record.published = published;
        let namespace = self.namespace_path(id).display().to_string();
        let call = self.call(id, &namespace, &attached.interface, String::new());
        let added = call.run("ADD", &attached.network, &portmap(record), &attached.result).await;
        if let Err(error) = added {
            let _ = call.run("DEL", &attached.network, &portmap(record), &attached.result).await;
            record.published.clear();
            return Err(error);
        }
        Ok(())
    }

    /// Withdraws the published ports. Errors are logged: a stop must not fail for them.
    pub(crate) async fn withdraw(&self, id: &str, record: &mut Record) {
        if record.published.is_empty() {
            return;
        }
        let first = record.networks.first().and_then(|one| record.attached.get(one.network.as_str())).cloned();
        if let Some(attached) = first {
            let _lock = self.lock_at(&self.settings.state_root, PORT_LOCK).await.ok();
            let path = self.namespace_path(id);
            let namespace = if crate::netns::exists(&path) { path.display().to_string() } else { String::new() };
            let call = self.call(id, &namespace, &attached.interface, String::new());
            if let Err(error) = call.run("DEL", &attached.network, &portmap(record), &attached.result).await {
                tracing::warn!(container = id, %error, "withdrawing published ports");
            }
        }
        record.published.clear();
    }
}

fn portmap(record: &Record) -> Value {
    let mappings: Vec<Value> = record
        .published
        .iter()
        .map(|port| {
            let address = if port.host_ip == "0.0.0.0" { "" } else { &port.host_ip };
            json!({
                "hostPort": port.published, "containerPort": port.target, "protocol": port.protocol, "hostIP": address
            })
        })
        .collect();
    json!({
        "type": "portmap", "capabilities": { "portMappings": true }, "runtimeConfig": { "portMappings": mappings }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_host_ports_are_candidates_in_order() {
        let port = |published: &str| PortSpec { published: published.to_owned(), ..PortSpec::default() };
        assert_eq!(candidates(&port("")).unwrap(), Vec::<u16>::new());
        assert_eq!(candidates(&port("8080")).unwrap(), [8080]);
        assert_eq!(candidates(&port("8000-8002")).unwrap(), [8000, 8001, 8002]);
        assert!(candidates(&port("http")).is_err());
    }

    #[test]
    fn a_port_that_is_listened_on_or_forwarded_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        assert_eq!(probe(any, port, "tcp", &[]), None);
        drop(listener);
        let rule = Forwarded { address: String::new(), port, protocol: "tcp".to_owned() };
        assert_eq!(probe(any, port, "tcp", std::slice::from_ref(&rule)), None);
        assert_eq!(probe(any, port, "udp", &[rule]), Some(port));
    }
}
