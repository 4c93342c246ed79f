//! A project from the labels of what an engine has, for commands that have no file (`-p` alone).

use std::collections::BTreeSet;

use compose_model::names::{NetworkKey, ProjectName, ServiceName};
use compose_model::project::{Condition, Dependency, Network, Project, Service, Volume};

use crate::observed::{Container, Observed};

/// The project as its containers, networks and volumes tell it: services with their image,
/// networks and dependencies. Enough to stop, start, signal, list and remove; not to create.
/// `files` stays empty, which says that there was none.
#[must_use]
pub fn project_from_observed(observed: &Observed, name: &ProjectName) -> Project {
    let mut project = Project { name: name.clone(), ..Project::default() };
    let ours =
        |container: &&Container| container.project.as_ref() == Some(name) && !container.service.as_str().is_empty();
    for container in observed.containers.iter().filter(ours) {
        if container.one_off || container.hook.is_some() {
            continue;
        }
        let service = project.services.entry(container.service.clone()).or_insert_with(|| Service {
            name: container.service.clone(),
            image: container.image.to_string(),
            scale: Some(0),
            ..Service::default()
        });
        service.scale = service.scale.map(|count| count + 1);
        for (dependency, condition, restart) in &container.depends_on {
            let condition = match condition.as_str() {
                "service_healthy" => Condition::ServiceHealthy,
                "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
            service
                .depends_on
                .insert(dependency.clone(), Dependency { condition, restart: *restart, ..Dependency::default() });
        }
        if project.working_directory.is_empty() {
            project.working_directory.clone_from(&container.working_directory);
        }
    }
    let names: BTreeSet<ServiceName> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        service.depends_on.retain(|dependency, _| names.contains(dependency));
    }
    // Labels of different times may contradict each other; order is then given up, not the command.
    if crate::select::in_order(&project, &[], true).is_err() {
        for service in project.services.values_mut() {
            service.depends_on.clear();
        }
    }
    for (network_name, all) in &observed.networks {
        let Some(network) = all.iter().find(|network| network.project.as_ref() == Some(name)) else { continue };
        let key = network.key.clone().unwrap_or_else(|| NetworkKey::from(network_name.as_str()));
        let value = Network { name: network_name.to_string(), driver: network.driver.clone(), ..Network::default() };
        project.networks.insert(key, value);
    }
    for (volume_name, volume) in &observed.volumes {
        if volume.project.as_ref() == Some(name)
            && let Some(key) = &volume.key
        {
            let value = Volume { name: volume_name.to_string(), driver: volume.driver.clone(), ..Volume::default() };
            project.volumes.insert(key.clone(), value);
        }
    }
    project
}
