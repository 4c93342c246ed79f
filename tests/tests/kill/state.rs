//! What an engine has of a project, without what differs from run to run.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use compose_tests::{ContainerState, Project};
use serde_json::Value;

/// Containers, networks and volumes, one line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    lines: Vec<String>,
    names: Vec<String>,
}

/// Labels that are the same in every run.
const LABELS: [&str; 5] = [
    "com.docker.compose.service",
    "com.docker.compose.container-number",
    "com.docker.compose.oneoff",
    "com.docker.compose.config-hash",
    "dev.compose.hook",
];

impl State {
    /// The state as the engine itself tells it.
    pub(crate) fn of(project: &Project) -> Result<Self, String> {
        let containers = project.containers()?;
        let mut lines: Vec<String> = containers.iter().map(|one| container(one, &containers)).collect();
        lines.extend(project.engine.networks(&project.name)?.iter().map(|name| format!("network {name}")));
        lines.extend(project.engine.volumes(&project.name)?.iter().map(|name| format!("volume {name}")));
        Ok(Self { lines, names: containers.into_iter().map(|container| container.name).collect() })
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Names that replacements have on their way.
    pub(crate) fn temporary(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).filter(|name| {
            name.split_once('_').is_some_and(|(id, _)| {
                id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            })
        })
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.lines.is_empty() {
            return formatter.write_str("nothing");
        }
        self.lines.iter().try_for_each(|line| write!(formatter, "\n    {line}"))
    }
}

fn container(container: &ContainerState, all: &[ContainerState]) -> String {
    let inspect = &container.inspect;
    let mut line = format!("container {} {} {}", container.name, container.state, text(&inspect["State"]["ExitCode"]));
    let _ = write!(line, " image {}", text(&inspect["Config"]["Image"]));
    // Whose namespace it shares: by name, and its hash, which contains the identity, is left out.
    let mode = text(&inspect["HostConfig"]["NetworkMode"]);
    let shared = mode.strip_prefix("container:");
    if let Some(id) = shared {
        let whose = all.iter().find(|other| other.id == id).map_or("of nobody", |other| other.name.as_str());
        let _ = write!(line, " shares {whose}");
    }
    for label in LABELS.into_iter().filter(|label| shared.is_none() || !label.ends_with("config-hash")) {
        let short = label.rsplit('.').next().unwrap_or(label);
        let _ = write!(line, " {short}={}", container.label(label));
    }
    let networks = inspect["NetworkSettings"]["Networks"].as_object();
    for (network, endpoint) in networks.into_iter().flatten() {
        let aliases: BTreeSet<String> = endpoint["Aliases"].as_array().into_iter().flatten().map(text).collect();
        // The engine adds the container's own short identity.
        let aliases: Vec<String> =
            aliases.into_iter().filter(|alias| alias.len() < 12 || !container.id.starts_with(alias.as_str())).collect();
        let _ = write!(line, " net {network}({})", aliases.join(" "));
    }
    let mut mounts: Vec<String> = inspect["Mounts"].as_array().into_iter().flatten().map(mount).collect();
    mounts.sort();
    let _ = write!(line, " mounts {}", mounts.join(" "));
    line
}

fn mount(mount: &Value) -> String {
    let name = text(&mount["Name"]);
    // An anonymous volume is named by 64 hex digits.
    let name = if name.len() == 64 { "anonymous".to_owned() } else { name };
    format!("{}:{name}:{}", text(&mount["Type"]), text(&mount["Destination"]))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
