//! One module for each verb, and what they share.

pub(crate) mod down;
pub(crate) mod images;
pub(crate) mod networks;
pub(crate) mod orphans;
pub(crate) mod remove;
pub(crate) mod replicas;
pub(crate) mod restart;
pub(crate) mod run;
pub(crate) mod signals;
pub(crate) mod start;
pub(crate) mod starts;
pub(crate) mod stop;
pub(crate) mod stopping;
pub(crate) mod transfer;
pub(crate) mod up;
pub(crate) mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{NetworkKey, ServiceName};

use crate::draft::Draft;
use crate::error::PlanError;
use crate::op::{Op, OpId};
use crate::world::World;

/// Fails where the engine cannot honour an attribute of the service.
pub(crate) fn refuse(world: &World<'_>, name: &ServiceName) -> Result<(), PlanError> {
    let Some(service) = world.service(name) else { return Ok(()) };
    let capabilities = world.capabilities;
    let refused = |attribute: &str, reason: &str| PlanError::Refused {
        service: name.clone(),
        engine: capabilities.engine.as_str().into(),
        attribute: attribute.into(),
        reason: reason.into(),
        place: world.place(name, attribute),
    };
    let subpath =
        service.volumes.iter().position(|mount| mount.volume.as_ref().is_some_and(|volume| !volume.subpath.is_empty()));
    if let (false, Some(index)) = (capabilities.volume_subpath, subpath) {
        return Err(refused(
            &format!("volumes.{index}"),
            "mounting a sub-path of a volume needs Docker Engine 26 (API 1.45)",
        ));
    }
    let image = service.volumes.iter().position(|mount| mount.kind == "image");
    if let (false, Some(index)) = (capabilities.image_mounts, image) {
        return Err(refused(&format!("volumes.{index}"), "mounting an image needs Docker Engine 28 (API 1.48)"));
    }
    let check = service.healthcheck.as_ref().filter(|check| !check.disable);
    if check.is_some_and(|check| check.start_interval.is_some() && check.start_period.is_none()) {
        let place = world.place(name, "healthcheck.start_interval");
        return Err(PlanError::StartIntervalAlone { service: name.clone(), place });
    }
    let interface = service.networks.values().flatten().any(|network| !network.interface_name.is_empty());
    if !capabilities.interface_name && interface {
        return Err(refused("networks", "interface_name needs Docker Engine 28.1 (API 1.49)"));
    }
    let wants_ipv6 = |key: &&NetworkKey| {
        world.project.networks.get(*key).is_some_and(|network| !network.external && network.enable_ipv6 == Some(true))
    };
    if !capabilities.ipv6_refusal.is_empty()
        && let Some(key) = service.networks.keys().find(wants_ipv6)
    {
        return Err(refused("networks", &format!("`enable_ipv6` of network {key}: {}", capabilities.ipv6_refusal)));
    }
    let joins = ["", "none", "host"].contains(&service.network_mode.as_str())
        || ["service:", "container:"].iter().any(|prefix| service.network_mode.starts_with(prefix));
    if !capabilities.engine_networks && !joins {
        let reason = "it has no networks of its own; name one below `networks`, or take `none` or `host`";
        return Err(refused("network_mode", reason));
    }
    let missing = |known: &BTreeSet<String>| {
        service.devices.iter().position(|device| device.is_named() && !known.contains(&device.source))
    };
    if let Some(index) = capabilities.named_devices.as_ref().and_then(missing) {
        let reason = format!(
            "no file in /etc/cdi or /var/run/cdi describes the device {}; install its vendor's CDI files",
            service.devices[index].source
        );
        return Err(refused(&format!("devices.{index}"), &reason));
    }
    let other = |known: &Option<BTreeSet<String>>, value: &str| {
        !value.is_empty() && known.as_ref().is_some_and(|known| !known.contains(value))
    };
    let all = |known: &Option<BTreeSet<String>>| {
        let names: Vec<&str> = known.iter().flatten().map(String::as_str).collect();
        names.join(", ")
    };
    if let Some(logging) = service.logging.as_ref().filter(|one| other(&capabilities.log_drivers, &one.driver)) {
        let reason =
            format!("there is no log driver `{}`; there are {}", logging.driver, all(&capabilities.log_drivers));
        return Err(refused("logging.driver", &reason));
    }
    let port = service.ports.iter().position(|port| other(&capabilities.port_protocols, &port.protocol));
    if let Some(index) = port {
        let reason = format!(
            "{} ports cannot be published; those of these protocols can: {}",
            service.ports[index].protocol,
            all(&capabilities.port_protocols)
        );
        return Err(refused(&format!("ports.{index}"), &reason));
    }
    let simple: [(bool, bool, &str, &str); 4] = [
        (capabilities.health, check.is_none(), "healthcheck", "this engine runs no health checks"),
        (capabilities.published_ports, service.ports.is_empty(), "ports", "this engine publishes no ports"),
        (
            capabilities.volumes,
            !service.volumes.iter().any(|mount| mount.kind == "volume"),
            "volumes",
            "this engine has no volumes; use a bind mount",
        ),
        (
            capabilities.restart_policies,
            service.restart.is_empty() || service.restart == "no",
            "restart",
            "this engine restarts no containers",
        ),
    ];
    for (able, unused, attribute, reason) in simple {
        if !able && !unused {
            return Err(refused(attribute, reason));
        }
    }
    if capabilities.refused.is_empty() {
        return Ok(());
    }
    let tree = serde_json::to_value(service).unwrap_or_default();
    for entry in &capabilities.refused {
        let path: Vec<&str> = entry.attribute.split('.').collect();
        if has(&tree, &path) {
            // Which of several it is says nothing more.
            return Err(refused(&entry.attribute.replace(".*", ""), &entry.reason));
        }
    }
    Ok(())
}

/// Whether the tree has something at the dotted path; `*` stands for any key or index.
fn has(tree: &serde_json::Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return !tree.is_null();
    };
    match tree {
        serde_json::Value::Object(map) if *first == "*" => map.values().any(|value| has(value, rest)),
        serde_json::Value::Object(map) => map.get(*first).is_some_and(|value| has(value, rest)),
        serde_json::Value::Array(list) if *first == "*" => list.iter().any(|value| has(value, rest)),
        serde_json::Value::Array(list) => list.iter().any(|value| has(value, path)),
        _ => false,
    }
}

/// A container can only take a name when its holder is gone: orders creations and renames after
/// the removal, or the renaming, of who has the name now.
pub(crate) fn order_names(world: &World<'_>, draft: &mut Draft) {
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    for container in &world.observed.containers {
        holders.insert(container.name.as_str(), container.id.as_str());
    }
    if holders.is_empty() {
        return;
    }
    let mut freed: BTreeMap<String, OpId> = BTreeMap::new();
    for step in draft.steps() {
        if let Op::RemoveContainer { container: crate::op::Target::Existing { id, .. }, .. }
        | Op::Rename { container: crate::op::Target::Existing { id, .. }, .. } = &step.op
        {
            freed.entry(id.to_string()).or_insert_with(|| step.id.clone());
        }
    }
    let edges: Vec<(OpId, OpId)> = draft
        .steps()
        .filter_map(|step| {
            let name = match &step.op {
                Op::CreateContainer { spec, .. } => &spec.name,
                Op::Rename { to, .. } => to,
                _ => return None,
            };
            let holder = holders.get(name.as_str())?;
            Some((step.id.clone(), freed.get(*holder)?.clone()))
        })
        .collect();
    for (step, before) in edges {
        draft.after(&step, &before);
    }
}
