//! Which services an `up` touches, and whether their container names can be had.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::ServiceName;

use super::wanted;
use crate::error::PlanError;
use crate::intent::Up;
use crate::observed::Container;
use crate::select;
use crate::verbs::volumes;
use crate::world::World;

/// A volume that is replaced takes all its users with it, named or not.
pub(super) fn widen_to_users_of_replaced_volumes(
    world: &World<'_>,
    up: &Up,
    scope: &mut Vec<ServiceName>,
) -> Result<(), PlanError> {
    if up.consent_volumes.is_empty() {
        return Ok(());
    }
    let replaced: BTreeSet<_> = world
        .project
        .volumes
        .keys()
        .filter(|key| up.consent_volumes.contains(&world.volume_name(key)) && volumes::changed(world, key))
        .cloned()
        .collect();
    let used = |name: &ServiceName| {
        world.service(name).is_some_and(|service| volumes::used_by(service).any(|key| replaced.contains(key)))
    };
    if !scope.iter().any(used) {
        return Ok(());
    }
    let further: Vec<ServiceName> = world
        .project
        .services
        .keys()
        .filter(|name| !scope.contains(name) && used(name) && !world.replicas(name).is_empty())
        .cloned()
        .collect();
    if !further.is_empty() {
        let all: Vec<ServiceName> = scope.iter().cloned().chain(further).collect();
        *scope = select::in_order(world.project, &all, false)?;
    }
    Ok(())
}

/// Services that were not asked for but share namespaces or volumes of those that were: a
/// replacement would leave them with a container that is gone. They are added to the scope.
pub(super) fn followers(
    world: &World<'_>,
    up: &Up,
    scope: &mut Vec<ServiceName>,
) -> Result<BTreeSet<ServiceName>, PlanError> {
    let mut found: BTreeSet<ServiceName> = BTreeSet::new();
    if up.no_dependencies || scope.len() == world.project.services.len() {
        return Ok(found);
    }
    let mut all: BTreeSet<ServiceName> = scope.iter().cloned().collect();
    loop {
        let further: Vec<ServiceName> = world
            .project
            .services
            .values()
            .filter(|service| !all.contains(&service.name) && !world.replicas(&service.name).is_empty())
            .filter(|service| select::bound_to(service).iter().any(|parent| all.contains(parent)))
            .map(|service| service.name.clone())
            .collect();
        if further.is_empty() {
            break;
        }
        all.extend(further.iter().cloned());
        found.extend(further);
    }
    if !found.is_empty() {
        let all: Vec<ServiceName> = all.into_iter().collect();
        *scope = select::in_order(world.project, &all, false)?;
    }
    Ok(found)
}

/// Names of their own are unique and belong to one replica.
pub(super) fn check_names(world: &World<'_>, up: &Up, scope: &[ServiceName]) -> Result<(), PlanError> {
    let mut taken: BTreeMap<&str, &ServiceName> = BTreeMap::new();
    for service in scope.iter().filter_map(|name| world.service(name)) {
        let name = service.container_name.as_str();
        if name.is_empty() {
            continue;
        }
        let place = || world.place(&service.name, "container_name");
        if wanted(up, service) > 1 {
            return Err(PlanError::CustomNameScaled {
                service: service.name.clone(),
                name: name.to_owned(),
                place: place(),
            });
        }
        if let Some(first) = taken.insert(name, &service.name) {
            return Err(PlanError::ContainerNameTaken {
                first: first.clone(),
                second: service.name.clone(),
                name: name.to_owned(),
                place: place(),
            });
        }
        // A container of a service that this run does not touch keeps its name.
        let keeps = |container: &&Container| container.name.as_str() == name && !scope.contains(&container.service);
        match world.observed.containers.iter().find(keeps) {
            Some(holder) if world.declares(&holder.service) && !holder.one_off => {
                return Err(PlanError::ContainerNameTaken {
                    first: holder.service.clone(),
                    second: service.name.clone(),
                    name: name.to_owned(),
                    place: place(),
                });
            }
            Some(holder) if !up.remove_orphans => {
                return Err(PlanError::NameTaken { name: name.to_owned(), holder: holder.id.to_string() });
            }
            _ => {}
        }
    }
    Ok(())
}
