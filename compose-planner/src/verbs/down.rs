//! `down`: containers in reverse dependency order, then networks, volumes and images.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{ImageRef, ServiceName};

use super::{networks, orphans, stopping};
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::{Down, RemoveImages};
use crate::observed::Container;
use crate::op::{Op, OpId};
use crate::plan::Consent;
use crate::reason::Reason;
use crate::select;
use crate::world::{World, existing, label_of, short_id};

pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, down: &Down) -> Result<(), PlanError> {
    select::known(world.project, &down.services)?;
    // So the reference does where it has only labels to go by.
    let dependents = world.project.files.is_empty();
    let services = if dependents { with_dependents(world, &down.services) } else { down.services.clone() };
    let scope = select::in_order(world.project, &services, false)?;
    let because = Reason::Requested { by: "down".to_owned() };
    let mut removals: BTreeMap<ServiceName, Vec<OpId>> = BTreeMap::new();
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let dependents = select::dependents(world.project);
    // Dependents first: the order of the scope backwards.
    for name in scope.iter().rev() {
        let Some(service) = world.service(name) else { continue };
        let after: Vec<OpId> = dependents
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|(dependent, _)| removals.get(dependent))
            .flatten()
            .cloned()
            .collect();
        let mut steps = Vec::new();
        if let Some(provider) = &service.provider {
            let op = Op::RunProvider {
                service: name.clone(),
                provider: Box::new(provider.clone()),
                verb: "down".to_owned(),
            };
            let id = draft.add(OpId::new("provider", name), op, because.clone(), Some(name));
            draft.after_all(&id, &after);
            steps.push(id);
        }
        for container in world.replicas(name) {
            let label = free_label(draft, container);
            let (stop, remove) = stopping::stop_and_remove(
                draft,
                container,
                Some(service),
                &label,
                down.timeout,
                down.volumes,
                &because,
            );
            draft.after_all(stop.as_ref().map_or(&remove, |stop| &stop.first), &after);
            gone.insert(container.id.to_string());
            steps.push(remove);
        }
        removals.insert(name.clone(), steps);
    }
    hooks(world, draft, down, &scope, &because, &mut removals, &mut gone);
    let mut last: Vec<OpId> = removals.values().flatten().cloned().collect();
    if down.remove_orphans && down.services.is_empty() {
        last.extend(one_offs(world, draft, down, &mut gone));
    }
    for removed in orphans::plan(world, draft, down.remove_orphans && down.services.is_empty(), true, down.timeout) {
        gone.insert(removed.container.to_string());
        last.push(removed.remove);
    }
    resources(world, draft, down, &scope, &because, &last, &gone);
    let own = |container: &Container| container.project.as_ref() == Some(&world.project.name);
    let nothing = draft.is_empty() && !world.observed.containers.iter().any(own);
    if nothing && world.project.services.is_empty() {
        draft.warn(format!("Warning: No resource found to remove for project {:?}.", world.project.name.as_str()));
    }
    Ok(())
}

/// The services and all that depend on them: they would be left without what they need.
fn with_dependents(world: &World<'_>, services: &[ServiceName]) -> Vec<ServiceName> {
    let dependents = select::dependents(world.project);
    let mut all: Vec<ServiceName> = services.to_vec();
    let mut seen: BTreeSet<ServiceName> = services.iter().cloned().collect();
    let mut next = 0;
    while let Some(name) = all.get(next).cloned() {
        next += 1;
        for (dependent, _) in dependents.get(&name).into_iter().flatten() {
            if seen.insert(dependent.clone()) {
                all.push(dependent.clone());
            }
        }
    }
    all
}

/// A label that no step has yet.
fn free_label(draft: &Draft, container: &Container) -> String {
    let label = label_of(container);
    if draft.has(&OpId::new("remove", &label)) { format!("{label}.{}", short_id(container)) } else { label }
}

/// Containers of `pre_start` hooks that failed or were interrupted.
fn hooks(
    world: &World<'_>,
    draft: &mut Draft,
    down: &Down,
    scope: &[ServiceName],
    because: &Reason,
    removals: &mut BTreeMap<ServiceName, Vec<OpId>>,
    gone: &mut BTreeSet<String>,
) {
    for container in &world.hooks {
        let orphan = down.services.is_empty() && !world.declares(&container.service);
        if !orphan && !scope.contains(&container.service) {
            continue;
        }
        let label = free_label(draft, container);
        let op = Op::RemoveContainer { container: existing(container), volumes: down.volumes, force: true };
        let id = draft.add(OpId::new("remove", label), op, because.clone(), Some(&container.service));
        gone.insert(container.id.to_string());
        // The hook shares the volumes of its service's container, which goes first.
        if let Some(before) = removals.get(&container.service) {
            let before = before.clone();
            draft.after_all(&id, &before);
        }
        removals.entry(container.service.clone()).or_default().push(id);
    }
}

/// All one-off containers go with the orphans.
fn one_offs(world: &World<'_>, draft: &mut Draft, down: &Down, gone: &mut BTreeSet<String>) -> Vec<OpId> {
    let running: Vec<&Container> = world.one_offs.iter().copied().filter(|container| container.state.is_up()).collect();
    running
        .into_iter()
        .map(|container| {
            gone.insert(container.id.to_string());
            let label = free_label(draft, container);
            stopping::stop_and_remove(draft, container, None, &label, down.timeout, down.volumes, &Reason::Orphan).1
        })
        .collect()
}

/// Networks, volumes and images, when the containers are gone.
fn resources(
    world: &World<'_>,
    draft: &mut Draft,
    down: &Down,
    scope: &[ServiceName],
    because: &Reason,
    last: &[OpId],
    gone: &BTreeSet<String>,
) {
    let stays = |container: &&Container| !gone.contains(container.id.as_str());
    let mut networks_in_use: BTreeSet<&str> = BTreeSet::new();
    let mut volumes_in_use: BTreeSet<&str> = BTreeSet::new();
    for container in world.observed.containers.iter().filter(stays) {
        if container.state.is_up() {
            networks_in_use.extend(container.networks.keys().map(|name| name.as_str()));
        }
        volumes_in_use
            .extend(container.mounts.iter().filter_map(|mount| mount.volume.as_ref()).map(|name| name.as_str()));
    }
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for (key, network) in &world.project.networks {
        if !network.external {
            wanted.insert(world.network_name(key), key.to_string());
        }
    }
    for (name, all) in &world.observed.networks {
        for network in all.iter().filter(|network| network.project.as_ref() == Some(&world.project.name)) {
            let key = network.key.as_ref().map_or(name.as_str(), |key| key.as_str());
            // A network that the file does not have any more goes too, as its label says whose it is.
            if down.services.is_empty() || wanted.contains_key(name.as_str()) {
                wanted.entry(name.to_string()).or_insert_with(|| key.to_owned());
            }
        }
    }
    for (name, key) in wanted {
        if networks_in_use.contains(name.as_str()) {
            if down.services.is_empty() {
                draft.warn(format!("Network {name} Resource is still in use"));
            }
            continue;
        }
        let all = world.observed.networks.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let ours: Vec<_> = all.iter().filter(|network| network.project.as_ref() == Some(&world.project.name)).collect();
        let current = networks::current(world, &name).map(|network| network.id.clone());
        for network in ours {
            let short = network.id.get(..12).unwrap_or(&network.id);
            let target = if current.as_ref() == Some(&network.id) { key.clone() } else { format!("{key}.{short}") };
            let op = Op::RemoveNetwork { name: name.as_str().into(), id: network.id.clone() };
            let id = draft.add(OpId::new("remove-network", target), op, because.clone(), None);
            draft.after_all(&id, last);
        }
    }
    if down.volumes {
        volumes(world, draft, because, last, &volumes_in_use);
    }
    if let Some(images) = down.images {
        remove_images(world, draft, scope, images, last);
    }
}

/// Declared volumes, and those that the project's label claims.
fn volumes(world: &World<'_>, draft: &mut Draft, because: &Reason, last: &[OpId], in_use: &BTreeSet<&str>) {
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for (key, volume) in &world.project.volumes {
        if !volume.external {
            wanted.insert(world.volume_name(key), key.to_string());
        }
    }
    // With no file there are only labels to go by.
    if world.project.files.is_empty() {
        for (name, volume) in &world.observed.volumes {
            if volume.project.as_ref() == Some(&world.project.name)
                && let Some(key) = &volume.key
            {
                wanted.entry(name.to_string()).or_insert_with(|| key.to_string());
            }
        }
    }
    for (name, key) in wanted {
        if !world.observed.volumes.contains_key(name.as_str()) {
            continue;
        }
        if in_use.contains(name.as_str()) {
            draft.warn(format!("Volume {name} Resource is still in use"));
            continue;
        }
        draft.agreed.push(Consent::RemoveVolume { volume: name.clone() });
        let op = Op::RemoveVolume { name: name.as_str().into() };
        let id = draft.add(OpId::new("remove-volume", key), op, because.clone(), None);
        draft.after_all(&id, last);
    }
}

/// Images of the services: all, or those without a name of their own.
fn remove_images(world: &World<'_>, draft: &mut Draft, scope: &[ServiceName], which: RemoveImages, last: &[OpId]) {
    let flag = match which {
        RemoveImages::All => "--rmi all",
        RemoveImages::Local => "--rmi local",
    };
    let mut images: BTreeSet<ImageRef> = BTreeSet::new();
    for service in scope.iter().filter_map(|name| world.service(name)) {
        let local = service.image.is_empty() && service.build.is_some();
        if service.provider.is_none() && (which == RemoveImages::All || local) {
            images.insert(world.image_reference(service));
        }
    }
    for image in images {
        if world.image(&image).is_none() {
            continue;
        }
        let id = OpId::new("remove-image", &image);
        draft.add(id.clone(), Op::RemoveImage { image }, Reason::Requested { by: flag.to_owned() }, None);
        draft.after_all(&id, last);
    }
}
