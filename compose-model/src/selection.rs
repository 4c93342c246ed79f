//! Which services a run is about: profiles, services named by the user, and the resources that
//! the chosen services need.

use std::collections::BTreeSet;

use crate::names::ServiceName;
use crate::project::{Project, Service};

/// A service was named that the project does not have, or that a profile disables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such service: {name}")]
pub struct NoSuchService {
    /// The name.
    pub name: String,
    /// Whether it is there, in an inactive profile.
    pub is_disabled: bool,
}

/// Keeps the services of the active profiles; the others become disabled ones. A service without
/// profiles is always active, and `*` activates all. Services of `named` are enabled whatever
/// their profiles. Jobs of inactive profiles are dropped.
pub fn apply_profiles(project: &mut Project, profiles: &[String], named: &[String]) {
    let is_active =
        |own: &[String]| own.is_empty() || profiles.iter().any(|profile| profile == "*" || own.contains(profile));
    let all = std::mem::take(&mut project.services).into_iter().chain(std::mem::take(&mut project.disabled_services));
    for (name, service) in all {
        if is_active(&service.profiles) || named.iter().any(|wanted| wanted == name.as_str()) {
            project.services.insert(name, service);
        } else {
            project.disabled_services.insert(name, service);
        }
    }
    project.jobs.retain(|_, job| is_active(&job.service.profiles));
}

/// Keeps the named services and what they depend on; the others become disabled ones. Nothing
/// changes if no service is named.
///
/// # Errors
/// If a named service, or one that it needs, is not there or not enabled.
pub fn select(project: &mut Project, named: &[String]) -> Result<(), NoSuchService> {
    if named.is_empty() {
        return Ok(());
    }
    let mut chosen: BTreeSet<ServiceName> = BTreeSet::new();
    let mut waiting: Vec<(ServiceName, bool)> = named.iter().rev().map(|name| (name.as_str().into(), true)).collect();
    while let Some((name, required)) = waiting.pop() {
        if chosen.contains(&name) {
            continue;
        }
        let Some(service) = project.services.get(&name) else {
            if !required {
                continue;
            }
            let is_disabled = project.disabled_services.contains_key(&name);
            return Err(NoSuchService { name: name.to_string(), is_disabled });
        };
        let dependencies = service.depends_on.iter().rev();
        waiting.extend(dependencies.map(|(name, dependency)| (name.clone(), dependency.required)));
        chosen.insert(name);
    }
    for (name, mut service) in std::mem::take(&mut project.services) {
        if chosen.contains(&name) {
            service.depends_on.retain(|dependency, _| chosen.contains(dependency));
            project.services.insert(name, service);
        } else {
            project.disabled_services.insert(name, service);
        }
    }
    Ok(())
}

/// Drops networks, volumes, secrets, configs and models that no enabled service or job uses.
pub fn prune(project: &mut Project) {
    let workloads = || project.services.values().chain(project.jobs.values().map(|job| &job.service));
    let networks: BTreeSet<_> = workloads().flat_map(|service| service.networks.keys().cloned()).collect();
    let volumes: BTreeSet<String> = workloads()
        .flat_map(|service| &service.volumes)
        .filter(|mount| mount.kind == "volume")
        .map(|mount| mount.source.clone())
        .collect();
    let build_secrets =
        |service: &Service| service.build.iter().flat_map(|build| build.secrets.clone()).collect::<Vec<_>>();
    let secrets: BTreeSet<String> = workloads()
        .flat_map(|service| service.secrets.iter().cloned().chain(build_secrets(service)))
        .map(|secret| secret.source)
        .collect();
    let configs: BTreeSet<String> =
        workloads().flat_map(|service| &service.configs).map(|config| config.source.clone()).collect();
    let models: BTreeSet<String> = workloads().flat_map(|service| service.models.keys().cloned()).collect();
    project.networks.retain(|key, _| networks.contains(key));
    project.volumes.retain(|key, _| volumes.contains(key.as_str()));
    project.secrets.retain(|key, _| secrets.contains(key.as_str()));
    project.configs.retain(|key, _| configs.contains(key.as_str()));
    project.models.retain(|key, _| models.contains(key));
}
