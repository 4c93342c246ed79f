//! Containers as `ps` shows them: the fields of its JSON form, which are also those of templates.

use compose_planner::observed::{Container, Health, PublishedPort};
use serde_json::{Value, json};

use crate::time_format::{go_time, human_duration};

/// Titles of `--format 'table ...'`.
pub(crate) const TITLES: &[(&str, &str)] = &[
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("Engine", "ENGINE"),
    ("ExitCode", "EXIT CODE"),
    ("Health", "HEALTH"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Name", "NAME"),
    ("Names", "NAME"),
    ("Networks", "NETWORKS"),
    ("Ports", "PORTS"),
    ("Project", "PROJECT"),
    ("Publishers", "PUBLISHERS"),
    ("RunningFor", "CREATED"),
    ("Service", "SERVICE"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];

/// One container.
pub(crate) fn view(container: &Container, now: i64, truncate: bool) -> Value {
    let labels: Vec<String> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| {
            let name = mount.volume.as_ref().map_or(mount.source.as_str(), |volume| volume.as_str());
            if truncate { ellipsis(name, 15) } else { name.to_owned() }
        })
        .collect();
    let local = container.mounts.iter().filter(|mount| mount.volume.is_some()).count();
    let networks: Vec<&str> = container.networks.keys().map(|name| name.as_str()).collect();
    let publishers: Vec<Value> = container
        .ports
        .iter()
        .map(|port| {
            json!({
                "URL": port.host_ip, "TargetPort": port.target, "PublishedPort": port.published, "Protocol": port.protocol
            })
        })
        .collect();
    let id = container.id.as_str();
    json!({
        "Command": command(container, truncate),
        "CreatedAt": go_time(container.created),
        "Engine": container.labels.get("com.docker.compose.engine").cloned().unwrap_or_default(),
        "ExitCode": container.exit_code.unwrap_or(0),
        "Health": match container.health {
            Health::None => "",
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        },
        "ID": if truncate { id.get(..12).unwrap_or(id) } else { id },
        "Image": container.image.as_str(),
        "Labels": labels.join(","),
        "LocalVolumes": local.to_string(),
        "Mounts": mounts.join(","),
        "Name": container.name.as_str(),
        "Names": container.name.as_str(),
        "Networks": networks.join(","),
        "Ports": ports(&container.ports),
        "Project": container.project.as_ref().map_or("", |project| project.as_str()),
        "Publishers": publishers,
        "RunningFor": format!("{} ago", human_duration(now - container.created)),
        "Service": container.service.as_str(),
        "Size": "0B",
        "State": container.state.as_str(),
        "Status": container.status,
    })
}

/// The command in quotes, at most 20 characters of it.
pub(crate) fn command(container: &Container, truncate: bool) -> String {
    let command = if truncate { ellipsis(&container.command, 20) } else { container.command.clone() };
    format!("\"{command}\"")
}

fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Ports as the Docker CLI prints them: neighbours joined to ranges, exposed ones at the front of
/// their kind.
pub(crate) fn ports(ports: &[PublishedPort]) -> String {
    let mut ports = ports.to_vec();
    ports.sort_by(|a, b| {
        (a.target, &a.host_ip, a.published, &a.protocol).cmp(&(b.target, &b.host_ip, b.published, &b.protocol))
    });
    let mut parts: Vec<String> = Vec::new();
    let mut index = 0;
    while let Some(first) = ports.get(index) {
        // A run: next target, next host port, same address and protocol.
        let mut last = first;
        let mut used = vec![index];
        for (other, port) in ports.iter().enumerate().skip(index + 1) {
            let follows = port.target == last.target.saturating_add(1)
                && port.host_ip == first.host_ip
                && port.protocol == first.protocol
                && if first.published == 0 {
                    port.published == 0
                } else {
                    port.published == last.published.saturating_add(1)
                };
            if follows {
                last = port;
                used.push(other);
            }
        }
        let range = |from: u16, to: u16| if from == to { from.to_string() } else { format!("{from}-{to}") };
        let target = format!("{}/{}", range(first.target, last.target), first.protocol);
        parts.push(if first.published == 0 {
            target
        } else {
            let host = if first.host_ip.contains(':') { format!("[{}]", first.host_ip) } else { first.host_ip.clone() };
            format!("{host}:{}->{target}", range(first.published, last.published))
        });
        for position in used.into_iter().rev() {
            if position != index {
                ports.remove(position);
            }
        }
        index += 1;
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_joined_to_ranges() {
        let port = |host_ip: &str, published, target| PublishedPort {
            host_ip: host_ip.to_owned(),
            published,
            target,
            protocol: "tcp".to_owned(),
        };
        let shown = ports(&[
            port("0.0.0.0", 8080, 80),
            port("0.0.0.0", 8081, 81),
            port("::", 8080, 80),
            port("::", 8081, 81),
            port("", 0, 443),
        ]);
        assert_eq!(shown, "0.0.0.0:8080-8081->80-81/tcp, [::]:8080-8081->80-81/tcp, 443/tcp");
    }

    #[test]
    fn long_commands_are_cut_inside_the_quotes() {
        let container = Container { command: "sh -c 'echo hello; sleep 9'".to_owned(), ..Container::default() };
        assert_eq!(command(&container, true), "\"sh -c 'echo hello; …\"");
        assert_eq!(command(&container, false), "\"sh -c 'echo hello; sleep 9'\"");
    }
}
