//! A project as far as labels tell it: for commands that work with a name alone (`-p shop down`).

use std::collections::BTreeMap;

use compose_model::Project;
use compose_model::names::ProjectName;
use compose_model::project::{Condition, Dependency, Network, Service, Volume};
use compose_planner::Observed;

/// Rebuilds what stopping, starting and removing need: services with their dependencies,
/// networks, volumes.
pub(crate) fn project_of(name: &ProjectName, observed: &Observed) -> Project {
    let mut project = Project { name: name.clone(), ..Project::default() };
    let mut counts: BTreeMap<_, i64> = BTreeMap::new();
    for container in &observed.containers {
        if container.project.as_ref() != Some(name) || container.one_off || container.hook.is_some() {
            continue;
        }
        *counts.entry(container.service.clone()).or_default() += 1;
        let service = project.services.entry(container.service.clone()).or_insert_with(|| Service {
            name: container.service.clone(),
            image: container.image.as_str().to_owned(),
            ..Service::default()
        });
        for (dependency, condition, restart) in &container.depends_on {
            let condition = match condition.as_str() {
                "service_healthy" => Condition::ServiceHealthy,
                "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
            // Whether it was required is not recorded; a dependency that has gone since must not
            // keep anything from stopping or starting.
            let dependency_of = Dependency { condition, restart: *restart, required: false, ..Dependency::default() };
            service.depends_on.insert(dependency.clone(), dependency_of);
        }
        if project.working_directory.is_empty() {
            project.working_directory.clone_from(&container.working_directory);
            project.files = container.config_files.split(',').filter(|file| !file.is_empty()).map(str::to_owned).collect();
        }
    }
    for (service, count) in counts {
        if let Some(service) = project.services.get_mut(&service) {
            service.scale = Some(count);
        }
    }
    let known: Vec<_> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        service.depends_on.retain(|dependency, _| known.contains(dependency));
    }
    for (network, copies) in &observed.networks {
        for copy in copies {
            if let (Some(owner), Some(key)) = (&copy.project, &copy.key)
                && owner == name
            {
                let described = Network { name: network.as_str().to_owned(), driver: copy.driver.clone(), ..Network::default() };
                project.networks.insert(key.clone(), described);
            }
        }
    }
    for (volume, found) in &observed.volumes {
        if let (Some(owner), Some(key)) = (&found.project, &found.key)
            && owner == name
        {
            let described = Volume { name: volume.as_str().to_owned(), driver: found.driver.clone(), ..Volume::default() };
            project.volumes.insert(key.clone(), described);
        }
    }
    project
}

#[cfg(test)]
mod tests {
    use compose_planner::observed::Container;

    use super::*;

    #[test]
    fn services_and_dependencies_come_back_from_labels() {
        let container = |service: &str, depends_on: &[&str]| Container {
            project: Some("shop".into()),
            service: service.into(),
            depends_on: depends_on.iter().map(|name| ((*name).into(), "service_healthy".to_owned(), true)).collect(),
            ..Container::default()
        };
        let observed = Observed {
            containers: vec![
                container("web", &["db", "gone"]),
                container("web", &["db"]),
                container("db", &[]),
                Container { project: Some("other".into()), service: "x".into(), ..Container::default() },
            ],
            ..Observed::default()
        };
        let project = project_of(&"shop".into(), &observed);
        let names: Vec<&str> = project.services.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["db", "web"]);
        let web = &project.services["web"];
        assert_eq!(web.scale, Some(2));
        assert_eq!(web.depends_on.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["db"]);
        assert!(web.depends_on["db"].restart);
    }
}
