//! Whether a container still is what the file asks for, and if not, which attributes say so.

use std::collections::BTreeSet;

use compose_model::names::NetworkName;
use compose_model::project::Service;

use crate::hashes;
use crate::lower::{self, Peers};
use crate::observed::{Container, Detail, State};
use crate::on_change::OnChange;
use crate::reason::{Change, Reason};
use crate::verbs::networks;
use crate::world::World;

/// The reason to replace the container; `None` if it is up to date. `replaced` names networks that
/// the same plan replaces anyway, whose containers are reconnected instead.
pub(crate) fn divergence(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    container: &Container,
    replaced: &BTreeSet<NetworkName>,
) -> Option<Reason> {
    let (hashed, late) = lower::hashed_service(world, peers, service);
    // A hash that covers the identity of a container still to be made differs in any case.
    if late || hashes::service(&hashed) != container.config_hash {
        let changes = changes(world, service, container);
        // The hash covers whose namespaces are shared: nothing else differs.
        if let (true, Some(parent)) = (changes.is_empty(), crate::select::bound_to(service).pop_first()) {
            return Some(Reason::DependencyReplaced { service: parent.to_string() });
        }
        return Some(Reason::Changed { changes });
    }
    image(world, service, container)
        .or_else(|| contents(world, service, container))
        .or_else(|| mounts(world, service, container))
        .or_else(|| connections(world, service, container, replaced))
}

/// The tag points to another image than the container runs.
fn image(world: &World<'_>, service: &Service, container: &Container) -> Option<Reason> {
    if let Some(now) = world.image(&world.image_reference(service)) {
        let recorded = container.recorded_image.as_str();
        let old = if recorded.is_empty() { container.image_id.as_str() } else { recorded };
        let now = now.identity(&service.platform);
        if !old.is_empty() && old != now.as_str() {
            return Some(Reason::ImageChanged { old: old.to_owned(), new: now.to_string() });
        }
    }
    let wanted = lower::image_volume_digest(world, service);
    let recorded = container.labels.get(crate::labels::IMAGE_VOLUME_DIGEST).map_or("", String::as_str);
    if !wanted.is_empty() && !recorded.is_empty() && wanted != recorded {
        return Some(Reason::ImageChanged { old: recorded.to_owned(), new: wanted });
    }
    None
}

/// The reason to replace the container for a changed config or secret.
fn contents(world: &World<'_>, service: &Service, container: &Container) -> Option<Reason> {
    match changed_contents(world, service, container)? {
        (OnChange::Recreate, reason) => Some(reason),
        _ => None,
    }
}

/// Configs and secrets whose content is not the one that the container has, as far as both are
/// known, and what that asks for: the strongest of what they ask for.
pub(crate) fn changed_contents(
    world: &World<'_>,
    service: &Service,
    container: &Container,
) -> Option<(OnChange, Reason)> {
    if lower::lacks_content(world, service) {
        return None;
    }
    let mut recorded = hashes::parse_groups(container.contents.as_ref()?);
    recorded.extend(container.delivered.clone());
    let watched = lower::on_change(world, service).ok()?;
    let mut strongest = OnChange::Ignore;
    let mut objects = Vec::new();
    for (name, now) in hashes::contents(&world.observed.contents, service) {
        let differs = recorded.get(&name).is_some_and(|recorded| hashes::content_differs(recorded, &now));
        let Some(lower::Watched { on_change, shown }) = watched.get(&name).filter(|_| differs) else { continue };
        if *on_change != OnChange::Ignore {
            objects.push(shown.clone());
            strongest = strongest.max(on_change.clone());
        }
    }
    (!objects.is_empty()).then_some((strongest, Reason::ContentChanged { objects }))
}

/// A named volume of the file that the container does not mount.
fn mounts(world: &World<'_>, service: &Service, container: &Container) -> Option<Reason> {
    service.volumes.iter().filter(|mount| mount.kind == "volume" && !mount.source.is_empty()).find_map(|mount| {
        let name = world.volume_name(&mount.source.as_str().into());
        let there = container
            .mounts
            .iter()
            .any(|there| there.kind == "volume" && there.volume.as_ref().is_some_and(|volume| volume.as_str() == name));
        (!there).then(|| Reason::Disconnected { what: format!("volume {name}") })
    })
}

/// A network of the file that the running container is not connected to.
fn connections(
    world: &World<'_>,
    service: &Service,
    container: &Container,
    replaced: &BTreeSet<NetworkName>,
) -> Option<Reason> {
    if container.state != State::Running || !service.network_mode.is_empty() {
        return None;
    }
    missing_networks(world, service, container, replaced)
        .into_iter()
        .next()
        .map(|name| Reason::Disconnected { what: format!("network {name}") })
}

/// Existing networks of the file that the container is not connected to, or only to an earlier one
/// of the same name.
pub(crate) fn missing_networks(
    world: &World<'_>,
    service: &Service,
    container: &Container,
    replaced: &BTreeSet<NetworkName>,
) -> Vec<String> {
    let mut missing = Vec::new();
    for key in service.networks.keys() {
        let name = world.network_name(key);
        // One that is replaced takes those along that are connected to it.
        if replaced.contains(name.as_str()) && container.networks.contains_key(name.as_str()) {
            continue;
        }
        let current = networks::current(world, &name);
        let connected = match (container.networks.get(name.as_str()), current) {
            (Some(id), Some(current)) => id.is_empty() || *id == current.id,
            (Some(_), None) => container.state == State::Running,
            // An external network may be named by its identity.
            (None, _) => container.networks.values().any(|id| *id == name),
        };
        if !connected {
            missing.push(name);
        }
    }
    missing
}

/// The attributes that differ, with old and new values where both are known and no secrets.
/// Empty when only the hash is known to differ.
pub(crate) fn changes(world: &World<'_>, service: &Service, container: &Container) -> Vec<Change> {
    let now = hashes::groups(service);
    let then = &container.groups;
    let detail = container.detail.as_deref();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    if then.is_empty() {
        // Made by another program: only what an inspection tells can be compared.
        names.extend(detail.map(|detail| inspected(service, detail)).unwrap_or_default());
        if container.image.as_str() != service.image
            && !service.image.is_empty()
            && !container.image.as_str().is_empty()
        {
            names.insert("image");
        }
    } else {
        let keys = now.keys().chain(then.keys());
        names.extend(keys.filter(|key| now.get(*key) != then.get(*key)).map(String::as_str));
    }
    let mut changes = Vec::new();
    let named: BTreeSet<&str> = names.iter().filter_map(|name| name.strip_prefix("environment.")).collect();
    for name in &names {
        match *name {
            "environment" => {
                let covered =
                    |variable: &str| then.is_empty() || hashes::has_no_digest(variable) && !named.contains(variable);
                let further = environment(world, service, detail, &covered);
                // A secret variable that came or went is named already.
                if named.iter().any(|variable| hashes::has_no_digest(variable)) {
                    changes.extend(further.into_iter().filter(|change| change.attribute != "environment"));
                } else {
                    changes.extend(further);
                }
            }
            "labels" => changes.extend(labels(world, service, container)),
            other => match other.strip_prefix("environment.") {
                Some(variable) => changes.push(variable_change(world, service, detail, variable)),
                None => {
                    let mut change = attribute(world, service, container, other);
                    if change.old.is_none() && change.new.is_none() && !then.is_empty() {
                        if !now.contains_key(other) {
                            change.attribute.push_str(" removed");
                            change.place = None;
                        } else if !then.contains_key(other) {
                            change.attribute.push_str(" added");
                        }
                    }
                    changes.push(change);
                }
            },
        }
    }
    changes
}

/// Attributes whose inspected value differs from the file's.
fn inspected(service: &Service, detail: &Detail) -> Vec<&'static str> {
    let mut found = Vec::new();
    if service.command.as_ref().is_some_and(|command| *command != detail.command) {
        found.push("command");
    }
    if service.entrypoint.as_ref().is_some_and(|entrypoint| *entrypoint != detail.entrypoint) {
        found.push("entrypoint");
    }
    if !service.user.is_empty() && service.user != detail.user {
        found.push("user");
    }
    if !service.working_dir.is_empty() && service.working_dir != detail.working_dir {
        found.push("working_dir");
    }
    if service.tty != detail.tty {
        found.push("tty");
    }
    let variables = service.environment.iter();
    if variables.clone().any(|(name, value)| old_variable(detail, name).as_deref() != value.as_deref()) {
        found.push("environment");
    }
    found
}

fn old_variable(detail: &Detail, name: &str) -> Option<String> {
    detail.environment.iter().find_map(|entry| {
        let (key, value) = entry.split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}

/// What changed in one variable.
fn variable_change(world: &World<'_>, service: &Service, detail: Option<&Detail>, name: &str) -> Change {
    let shown = !hashes::looks_secret(name);
    let new = service.environment.get(name).cloned().flatten();
    let old = detail.and_then(|detail| old_variable(detail, name));
    let gone = !service.environment.contains_key(name);
    let old = old.filter(|_| shown);
    let word = if gone && old.is_none() { " removed" } else { "" };
    Change {
        attribute: format!("environment {name}{word}"),
        old,
        new: new.filter(|_| shown),
        place: if gone { None } else { world.place(&service.name, &format!("environment.{name}")) },
    }
}

/// What changed in the variables that `covered` names: those that differ from the inspected ones.
fn environment(
    world: &World<'_>,
    service: &Service,
    detail: Option<&Detail>,
    covered: &dyn Fn(&str) -> bool,
) -> Vec<Change> {
    let change = |name: &str| variable_change(world, service, detail, name);
    let variables = || service.environment.iter().filter(|(name, _)| covered(name));
    if let Some(detail) = detail {
        let differing: Vec<Change> = variables()
            .filter(|(name, value)| old_variable(detail, name).as_deref() != value.as_deref())
            .map(|(name, _)| change(name))
            .collect();
        if !differing.is_empty() {
            return differing;
        }
    }
    // Only the digest of all of them differs: values that are not to be shown.
    let secrets: Vec<&String> = variables().map(|(name, _)| name).filter(|name| hashes::looks_secret(name)).collect();
    if let [only] = secrets.as_slice() {
        return vec![change(only)];
    }
    vec![Change {
        attribute: "environment".to_owned(),
        old: None,
        new: None,
        place: world.place(&service.name, "environment"),
    }]
}

/// Labels are known from observation.
fn labels(world: &World<'_>, service: &Service, container: &Container) -> Vec<Change> {
    let mut found: Vec<Change> = service
        .labels
        .iter()
        .filter(|(name, value)| container.labels.get(*name) != Some(value))
        .map(|(name, value)| {
            let shown = !hashes::looks_secret(name);
            Change {
                attribute: format!("labels {name}"),
                old: container.labels.get(name).filter(|_| shown).cloned(),
                new: Some(value).filter(|_| shown).cloned(),
                place: world.place(&service.name, &format!("labels.{name}")),
            }
        })
        .collect();
    if found.is_empty() {
        let place = world.place(&service.name, "labels");
        found.push(Change { attribute: "labels".to_owned(), old: None, new: None, place });
    }
    found
}

/// Any other attribute.
fn attribute(world: &World<'_>, service: &Service, container: &Container, name: &str) -> Change {
    let detail = container.detail.as_deref();
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let words = |list: &[String]| (!list.is_empty()).then(|| list.join(" "));
    let (old, new) = match name {
        "image" => (text(container.image.as_str()), text(&service.image)),
        "command" => (
            detail.and_then(|detail| words(&detail.command)),
            service.command.as_ref().map(|command| command.join(" ")),
        ),
        "entrypoint" => (
            detail.and_then(|detail| words(&detail.entrypoint)),
            service.entrypoint.as_ref().map(|entrypoint| entrypoint.join(" ")),
        ),
        "user" => (detail.and_then(|detail| text(&detail.user)), text(&service.user)),
        "working_dir" => (detail.and_then(|detail| text(&detail.working_dir)), text(&service.working_dir)),
        "restart" => (detail.and_then(|detail| text(&detail.restart)), text(&service.restart)),
        _ => (None, None),
    };
    Change { attribute: name.to_owned(), old, new, place: world.place(&service.name, name) }
}

/// Whether an inspection could tell the old value of the attribute.
pub(crate) fn is_inspectable(attribute: &str) -> bool {
    attribute.starts_with("environment")
        || matches!(attribute, "command" | "entrypoint" | "user" | "working_dir" | "restart" | "tty")
}
