//! Rules about how services and resources refer to each other.

use std::collections::{BTreeMap, BTreeSet};

use super::Collector;
use super::rules::{is_true, items, text};
use crate::tree::{Mapping, Node};

pub(super) fn run(tree: &Node, found: &mut Collector<'_>) {
    dependencies(tree, found);
    host_ports(tree, found);
    unused(tree, found);
}

fn services(tree: &Node) -> impl Iterator<Item = (&str, &Node)> {
    entries(tree.get("services"))
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    node.and_then(Node::as_mapping).into_iter().flatten().map(|(name, entry)| (&**name, &entry.value))
}

fn dependencies(tree: &Node, found: &mut Collector<'_>) {
    for (name, service) in services(tree) {
        for (other, dependency) in entries(service.get("depends_on")) {
            let Some(target) = tree.get("services").and_then(|services| services.get(other)) else { continue };
            let Some(condition) = dependency.get("condition") else { continue };
            match text(Some(condition)).as_str() {
                "service_healthy" => {
                    let check = target.get("healthcheck");
                    let test = check.and_then(|check| check.get("test"));
                    let first = test.and_then(Node::as_sequence).and_then(<[Node]>::first);
                    let switched_off = is_true(check.and_then(|check| check.get("disable"))) || text(first) == "NONE";
                    let is_there = check.is_some_and(|check| !check.is_null());
                    if switched_off || !is_there {
                        let message = if switched_off {
                            format!("services.{name} waits for {other} to be healthy, but its health check is disabled")
                        } else {
                            format!(
                                "services.{name} waits for {other} to be healthy, but {other} has no `healthcheck:`; \
                                 this works only if its image has one"
                            )
                        };
                        let help = format!("give {other} a `healthcheck:`, or wait for `service_started`");
                        found.add("no-healthcheck", ("services", name), condition, message, &help);
                    }
                }
                "service_completed_successfully" => {
                    let restart = text(target.get("restart"));
                    if matches!(restart.as_str(), "always" | "unless-stopped") {
                        let message = format!(
                            "services.{name} waits for {other} to end, but `restart: {restart}` starts it again"
                        );
                        let help = format!("remove `restart:` from {other}, or use `restart: on-failure`");
                        found.add("endless-dependency", ("services", name), condition, message, &help);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Who publishes a host port, and on which address.
struct Publisher<'a> {
    service: &'a str,
    address: String,
    target: String,
    profiles: BTreeSet<String>,
    node: &'a Node,
}

impl Publisher<'_> {
    fn conflicts_with(&self, other: &Self) -> bool {
        let everywhere = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
        let same_address = self.address == other.address || everywhere(&self.address) || everywhere(&other.address);
        // Profiles often tell alternatives apart.
        let together = (self.profiles.is_empty() && other.profiles.is_empty())
            || self.profiles.intersection(&other.profiles).next().is_some();
        let same_mapping = self.service == other.service && self.target == other.target;
        same_address && together && !same_mapping
    }
}

fn host_ports(tree: &Node, found: &mut Collector<'_>) {
    let mut publishers: BTreeMap<(u16, String), Vec<Publisher<'_>>> = BTreeMap::new();
    for (name, service) in services(tree) {
        if service.get("network_mode").is_some() {
            continue;
        }
        for port in items(service, "ports") {
            let Ok(published) = text(port.get("published")).parse::<u16>() else { continue };
            let profiles = items(service, "profiles").iter().map(|profile| text(Some(profile))).collect();
            let protocol = text(port.get("protocol"));
            let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol };
            let publisher = Publisher {
                service: name,
                address: text(port.get("host_ip")),
                target: text(port.get("target")),
                profiles,
                node: port,
            };
            let same = publishers.entry((published, protocol.clone())).or_default();
            if published != 0
                && let Some(first) = same.iter().find(|first| first.conflicts_with(&publisher))
            {
                let message = format!(
                    "services.{name} publishes host port {published}/{protocol}, as services.{} does",
                    first.service
                );
                let help = "give one of them another host port";
                let span = first.node.span();
                let finding = found.add("host-port-conflict", ("services", name), port, message, help);
                finding
                    .diagnostic
                    .labels
                    .push(crate::diagnostic::Label { span, text: "published here first".to_owned() });
            } else {
                same.push(publisher);
            }
        }
    }
}

fn unused(tree: &Node, found: &mut Collector<'_>) {
    let mut used: BTreeSet<(&'static str, String)> = BTreeSet::new();
    used.insert(("networks", "default".to_owned()));
    for section in ["services", "jobs"] {
        for (_, workload) in entries(tree.get(section)) {
            uses(workload, &mut used);
            for hook in items(workload, "pre_start") {
                uses(hook, &mut used);
            }
        }
    }
    for (section, word) in
        [("networks", "network"), ("volumes", "volume"), ("secrets", "secret"), ("configs", "config")]
    {
        let empty = Mapping::default();
        for (name, entry) in tree.get(section).and_then(Node::as_mapping).unwrap_or(&empty) {
            if !name.starts_with("x-") && !used.contains(&(section, name.to_string())) {
                let at = Node::null(entry.key.clone());
                let message = format!("nothing uses the {word} `{name}`; it is not created");
                found.add("unused-resource", (section, name), &at, message, "remove it, or name it where it is meant");
            }
        }
    }
}

fn uses(workload: &Node, used: &mut BTreeSet<(&'static str, String)>) {
    for (network, _) in entries(workload.get("networks")) {
        used.insert(("networks", network.to_owned()));
    }
    for mount in items(workload, "volumes") {
        used.insert(("volumes", text(mount.get("source"))));
    }
    for section in ["secrets", "configs"] {
        for reference in items(workload, section) {
            used.insert((section, text(reference.get("source"))));
        }
    }
    if let Some(build) = workload.get("build") {
        for reference in items(build, "secrets") {
            used.insert(("secrets", text(reference.get("source"))));
        }
    }
    used.insert(("configs", text(workload.get("credential_spec").and_then(|spec| spec.get("config")))));
}
