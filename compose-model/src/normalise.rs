//! What is implied: default network, names of resources, dependencies that follow from other
//! attributes, build defaults, values of variables that are named without one.
//!
//! Works on the complete canonical tree, before decoding, since `config --no-interpolate` prints
//! the result. `--no-normalize` leaves this stage out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::defaults::{for_each_workload, is_true, set};
use crate::diagnostic::Diagnostics;
use crate::forms::{add_missing, clean_path, derived, mapping_of};
use crate::merge;
use crate::schema;
use crate::tree::{Entry, Mapping, Node, Origin, Scalar, Value};

/// Fills in what is implied. `environment` gives values to `environment: [NAME]`.
pub fn normalise(
    tree: &mut Node,
    project_name: &str,
    environment: &BTreeMap<String, String>,
    diagnostics: &mut Diagnostics,
) {
    let mut uses_default = false;
    for_each_workload(tree, |_, _, workload| uses_default |= default_network(workload));
    let origin = derived(&tree.origin);
    if uses_default && let Some(root) = tree.as_mapping_mut() {
        let empty = Entry { key: origin.clone(), value: Node::mapping(Mapping::default(), origin.clone()) };
        let networks = root.entry("networks".into()).or_insert(empty);
        if let Some(networks) = networks.value.as_mapping_mut()
            && !networks.contains_key("default")
        {
            networks.insert("default".into(), Entry { key: origin.clone(), value: Node::null(origin.clone()) });
        }
    }
    for_each_workload(tree, |_, _, workload| {
        workload_defaults(workload, environment);
        implied_dependencies(workload);
        complete_hooks(workload, diagnostics);
    });
    for section in ["networks", "volumes", "configs", "secrets"] {
        for (key, entry) in tree.get_mut(section).and_then(Node::as_mapping_mut).into_iter().flatten() {
            name_resource(key, &mut entry.value, project_name);
        }
    }
}

/// Puts a service without any network into `default`; tells whether it uses that one.
fn default_network(workload: &mut Node) -> bool {
    let origin = derived(&workload.origin);
    let Some(mapping) = workload.as_mapping_mut() else { return false };
    if mapping.contains_key("provider") || mapping.contains_key("network_mode") {
        return false;
    }
    match mapping.get("networks").and_then(|networks| networks.value.as_mapping()) {
        Some(networks) if !networks.is_empty() => networks.contains_key("default"),
        _ => {
            let mut networks = Mapping::default();
            networks.insert("default".into(), Entry { key: origin.clone(), value: Node::null(origin.clone()) });
            let value = Node::mapping(networks, origin.clone());
            mapping.insert("networks".into(), Entry { key: origin, value });
            true
        }
    }
}

fn workload_defaults(workload: &mut Node, environment: &BTreeMap<String, String>) {
    if let Some(policy) = workload.get_mut("pull_policy")
        && policy.as_str() == Some("if_not_present")
    {
        let origin = policy.origin.clone();
        *policy = Node::text("missing", derived(&origin));
    }
    if let Some(build) = workload.get_mut("build") {
        let origin = derived(&build.origin);
        if let Some(build) = build.as_mapping_mut() {
            add_missing(build, &origin, "context", Scalar::text("."));
            if !build.contains_key("dockerfile_inline") {
                add_missing(build, &origin, "dockerfile", Scalar::text("Dockerfile"));
            }
            if let Some(args) = build.get_mut("args") {
                fill_values(&mut args.value, environment, false);
            }
        }
    }
    if let Some(variables) = workload.get_mut("environment") {
        fill_values(variables, environment, true);
    }
    for mount in workload.get_mut("volumes").and_then(Node::as_sequence_mut).into_iter().flatten() {
        if let Some(target) = mount.get_mut("target")
            && let Value::Scalar(scalar) = &mut target.value
        {
            let clean = clean_path(&scalar.text);
            if *clean != *scalar.text {
                *scalar = Scalar::text(clean);
            }
        }
    }
}

/// Gives values to names without one; those that have none are kept or dropped.
fn fill_values(node: &mut Node, environment: &BTreeMap<String, String>, keep_unset: bool) {
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.retain_mut(|item| {
            let Some(name) = item.as_str() else { return true };
            if name.contains('=') {
                return true;
            }
            match environment.get(name) {
                Some(value) => {
                    let text = format!("{name}={value}");
                    item.value = Value::Scalar(Scalar::text(text));
                    true
                }
                None => keep_unset,
            }
        }),
        Value::Mapping(mapping) => mapping.retain(|name, entry| {
            if !entry.value.is_null() {
                return true;
            }
            match environment.get(&**name) {
                Some(value) => {
                    entry.value.value = Value::Scalar(Scalar::text(value.as_str()));
                    true
                }
                None => keep_unset,
            }
        }),
    }
}

fn implied_dependencies(workload: &mut Node) {
    let mut implied: Vec<(String, bool, Origin)> = Vec::new();
    let texts = |node: &Node| -> Vec<(String, Origin)> {
        let items = node.as_sequence().unwrap_or_default();
        items.iter().filter_map(|item| Some((item.as_str()?.to_owned(), item.origin.clone()))).collect()
    };
    for (link, origin) in workload.get("links").map(texts).unwrap_or_default() {
        let service = match link.split(':').collect::<Vec<_>>()[..] {
            [service, _] => service.to_owned(),
            _ => link,
        };
        implied.push((service, true, origin));
    }
    for namespace in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = workload.get(namespace)
            && let Some(service) = node.as_str().and_then(|text| text.strip_prefix("service:"))
        {
            implied.push((service.to_owned(), true, node.origin.clone()));
        }
    }
    for (source, origin) in workload.get("volumes_from").map(texts).unwrap_or_default() {
        if !source.starts_with("container:") {
            let service = source.split(':').next().unwrap_or_default().to_owned();
            implied.push((service, false, origin));
        }
    }
    if implied.is_empty() {
        return;
    }
    let origin = derived(&workload.origin);
    let Some(mapping) = workload.as_mapping_mut() else { return };
    let empty = Entry { key: origin.clone(), value: Node::mapping(Mapping::default(), origin) };
    let depends_on = mapping.entry("depends_on".into()).or_insert(empty);
    let Some(depends_on) = depends_on.value.as_mapping_mut() else { return };
    for (service, restart, origin) in implied {
        if depends_on.contains_key(&*service) {
            continue;
        }
        let origin = derived(&origin);
        let entries = [
            ("condition", Scalar::text("service_started")),
            ("required", Scalar::bool(true)),
            ("restart", Scalar::bool(restart)),
        ];
        let value = mapping_of(&origin, entries);
        depends_on.insert(service.into(), Entry { key: origin, value });
    }
}

/// A `pre_start` hook has what its service has, except mounts, under its own attributes.
fn complete_hooks(workload: &mut Node, diagnostics: &mut Diagnostics) {
    if workload.get("pre_start").is_none() {
        return;
    }
    let mut inherited = Mapping::default();
    for (key, entry) in workload.as_mapping().into_iter().flatten() {
        if &**key != "volumes" && schema::is_container_attribute(key) {
            inherited.insert(Arc::clone(key), entry.clone());
        }
    }
    for hook in workload.get_mut("pre_start").and_then(Node::as_sequence_mut).into_iter().flatten() {
        let origin = hook.origin.clone();
        let own = std::mem::replace(hook, Node::null(origin.clone()));
        let lower = Node::mapping(inherited.clone(), origin.clone());
        let merged = merge::merge_at(lower, own, &["services", "*"], diagnostics);
        *hook = unique_as_service(merged, &origin, diagnostics);
    }
}

/// Drops repetitions from the lists of a hook, by the rules of a service.
fn unique_as_service(hook: Node, origin: &Origin, diagnostics: &mut Diagnostics) -> Node {
    let wrap = |key: &str, node: Node| {
        let entry = Entry { key: origin.clone(), value: node };
        Node::mapping(Mapping::from_iter([(Arc::from(key), entry)]), origin.clone())
    };
    let mut tree = wrap("services", wrap("hook", hook));
    merge::unique(&mut tree, diagnostics);
    let unwrap = |node: Node, key: &str| match node.value {
        Value::Mapping(mut mapping) => mapping.shift_remove(key).map(|entry| entry.value),
        _ => None,
    };
    unwrap(tree, "services")
        .and_then(|services| unwrap(services, "hook"))
        .unwrap_or_else(|| Node::mapping(Mapping::default(), origin.clone()))
}

fn name_resource(key: &str, resource: &mut Node, project_name: &str) {
    let origin = derived(&resource.origin);
    if resource.is_null() {
        *resource = Node::mapping(Mapping::default(), origin.clone());
    }
    let Some(mapping) = resource.as_mapping_mut() else { return };
    if mapping.get("name").is_some_and(|name| !name.value.is_null()) {
        return;
    }
    let external = mapping.get("external").is_some_and(|external| is_true(&external.value));
    let name = if external { key.to_owned() } else { format!("{project_name}_{key}") };
    set(mapping, &origin, "name", Scalar::text(name));
}
