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
    let mut published: Vec<&PublishedPort> = container.ports.iter().collect();
    // The list has the protocols of a port one after the other, other than the column.
    let place = |port: &PublishedPort| (port.target, port.protocol.clone(), port.published, port.host_ip.clone());
    published.sort_by_cached_key(|port| place(port));
    let publishers: Vec<Value> = published
        .into_iter()
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

/// A view as `--format raw` prints it, for scripts of old.
pub(crate) fn raw(view: &Value) -> String {
    let fields = [
        ("container_id", "ID"),
        ("image", "Image"),
        ("command", "Command"),
        ("created_at", "CreatedAt"),
        ("state", "State"),
        ("status", "Status"),
        ("names", "Names"),
        ("labels", "Labels"),
        ("ports", "Ports"),
    ];
    let lines = fields.into_iter().map(|(title, field)| {
        let value = view.get(field).and_then(Value::as_str).unwrap_or_default();
        format!("{title}:{}{value}\n", if value.is_empty() { "" } else { " " })
    });
    lines.chain(["\n".to_owned()]).collect()
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

/// Ports as the Docker CLI prints them: exposed ones, and those with the same number on the host, as
/// ranges where they are neighbours; then those with another number, one by one.
pub(crate) fn ports(ports: &[PublishedPort]) -> String {
    let mut ports: Vec<&PublishedPort> = ports.iter().collect();
    ports.sort_by(|a, b| order(a).cmp(&order(b)));
    let host = |port: &PublishedPort| match port.host_ip.as_str() {
        address if address.contains(':') => format!("[{address}]:"),
        address => format!("{address}:"),
    };
    let (mut parts, mut singles): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    // Address and protocol, first and last number.
    let mut ranges: Vec<(String, &str, u16, u16)> = Vec::new();
    let shown = |(address, protocol, first, last): &(String, &str, u16, u16)| {
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        if address.is_empty() { format!("{range}/{protocol}") } else { format!("{address}{range}->{range}/{protocol}") }
    };
    for port in ports {
        if !port.host_ip.is_empty() && port.published != port.target {
            singles.push(format!("{}{}->{}/{}", host(port), port.published, port.target, port.protocol));
            continue;
        }
        let address = if port.host_ip.is_empty() { String::new() } else { host(port) };
        let found = ranges.iter_mut().find(|range| range.0 == address && range.1 == port.protocol);
        match found {
            Some(range) if range.3.checked_add(1) == Some(port.target) => range.3 = port.target,
            Some(range) => {
                parts.push(shown(range));
                (range.2, range.3) = (port.target, port.target);
            }
            None => ranges.push((address, &port.protocol, port.target, port.target)),
        }
    }
    parts.extend(ranges.iter().map(shown));
    parts.extend(singles);
    parts.join(", ")
}

/// The order of the column of ports.
fn order(port: &PublishedPort) -> (u16, &str, u16, &str) {
    (port.target, &port.host_ip, port.published, &port.protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_views_have_a_line_for_each_field_and_no_blank_where_there_is_nothing() {
        let view = json!({
            "ID": "0123456789ab", "Image": "busybox", "Command": "\"sleep 1\"", "CreatedAt": "2026", "State": "running",
            "Status": "Up", "Names": "shop-web-1", "Labels": "a=b", "Ports": "",
        });
        let expected = "container_id: 0123456789ab\nimage: busybox\ncommand: \"sleep 1\"\ncreated_at: 2026\n\
                        state: running\nstatus: Up\nnames: shop-web-1\nlabels: a=b\nports:\n\n";
        assert_eq!(raw(&view), expected);
    }

    #[test]
    fn ports_of_the_same_number_are_joined_to_ranges() {
        let port = |host_ip: &str, published, target| PublishedPort {
            host_ip: host_ip.to_owned(),
            published,
            target,
            protocol: "tcp".to_owned(),
        };
        let shown = ports(&[
            port("0.0.0.0", 9000, 9000),
            port("0.0.0.0", 9001, 9001),
            port("::", 9000, 9000),
            port("0.0.0.0", 8080, 80),
            port("::", 8080, 80),
            port("0.0.0.0", 8081, 81),
            port("", 0, 443),
            port("", 0, 444),
        ]);
        let expected = "443-444/tcp, 0.0.0.0:9000-9001->9000-9001/tcp, [::]:9000->9000/tcp, \
                        0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8081->81/tcp";
        assert_eq!(shown, expected);
    }

    #[test]
    fn long_commands_are_cut_inside_the_quotes() {
        let container = Container { command: "sh -c 'echo hello; sleep 9'".to_owned(), ..Container::default() };
        assert_eq!(command(&container, true), "\"sh -c 'echo hello; …\"");
        assert_eq!(command(&container, false), "\"sh -c 'echo hello; sleep 9'\"");
    }
}
