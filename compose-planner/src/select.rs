//! Which services a verb is about, and in what order. Small pure questions about a project.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use compose_model::names::ServiceName;
use compose_model::project::{Condition, Dependency, Project, Service};

use crate::error::PlanError;

/// The services that `service` needs, with the terms: `depends_on`, and what links, shared
/// namespaces and `volumes_from` imply. Sorted by name.
pub(crate) fn dependencies<'s>(project: &Project, service: &'s Service) -> Cow<'s, BTreeMap<ServiceName, Dependency>> {
    let mut found = Cow::Borrowed(&service.depends_on);
    for name in implied(service) {
        if project.services.contains_key(&name) && !found.contains_key(&name) {
            found.to_mut().insert(name, Dependency::default());
        }
    }
    found
}

/// Services named by links, shared namespaces and `volumes_from`.
fn implied(service: &Service) -> Vec<ServiceName> {
    let mut names: Vec<ServiceName> =
        service.links.iter().map(|link| ServiceName::from(link.split(':').next().unwrap_or(link))).collect();
    names.extend(shared_namespaces(service).into_iter().map(|(_, name)| name));
    names.extend(
        service
            .volumes_from
            .iter()
            .filter(|text| !text.starts_with("container:"))
            .map(|text| ServiceName::from(text.split(':').next().unwrap_or(text))),
    );
    names
}

/// Services whose namespaces `service` shares, with the attribute that says so.
pub(crate) fn shared_namespaces(service: &Service) -> Vec<(&'static str, ServiceName)> {
    [("network_mode", &service.network_mode), ("ipc", &service.ipc), ("pid", &service.pid)]
        .into_iter()
        .filter_map(|(attribute, text)| Some((attribute, ServiceName::from(text.strip_prefix("service:")?))))
        .collect()
}

/// Services whose container must be replaced in `service`'s container when it is replaced itself:
/// shared namespaces and `volumes_from`.
#[must_use]
pub fn bound_to(service: &Service) -> BTreeSet<ServiceName> {
    let volumes = service.volumes_from.iter().filter(|text| !text.starts_with("container:"));
    shared_namespaces(service)
        .into_iter()
        .map(|(_, name)| name)
        .chain(volumes.map(|text| ServiceName::from(text.split(':').next().unwrap_or(text))))
        .collect()
}

/// Fails for the first name that the project does not have.
pub(crate) fn known(project: &Project, names: &[ServiceName]) -> Result<(), PlanError> {
    match names.iter().find(|name| !project.services.contains_key(*name)) {
        Some(name) => Err(PlanError::NoSuchService { service: name.clone() }),
        None => Ok(()),
    }
}

/// The named services (all if none is named), optionally with all that they need, so that each
/// comes after its dependencies; by name where order is free.
pub(crate) fn in_order(
    project: &Project,
    names: &[ServiceName],
    with_dependencies: bool,
) -> Result<Vec<ServiceName>, PlanError> {
    known(project, names)?;
    let roots: BTreeSet<&ServiceName> =
        if names.is_empty() { project.services.keys().collect() } else { names.iter().collect() };
    // The walk goes through everything needed even when only the roots are kept, so that their
    // order is right also where a service between them was not named.
    let mut order = Vec::new();
    let mut state: HashMap<&ServiceName, bool> = HashMap::new();
    for root in &roots {
        walk(project, root, &mut state, &mut order)?;
    }
    if !with_dependencies {
        order.retain(|name| roots.contains(name));
    }
    Ok(order)
}

/// Depth first without recursion, since chains may be thousands of services long.
/// `state`: `false` while a service is on the current path, `true` when it is in `order`.
fn walk<'p>(
    project: &'p Project,
    root: &'p ServiceName,
    state: &mut HashMap<&'p ServiceName, bool>,
    order: &mut Vec<ServiceName>,
) -> Result<(), PlanError> {
    if state.contains_key(root) {
        return Ok(());
    }
    let needs = |name: &ServiceName| -> Vec<&'p ServiceName> {
        let Some(service) = project.services.get(name) else { return Vec::new() };
        let needed = dependencies(project, service);
        needed.keys().filter_map(|name| project.services.get_key_value(name).map(|(name, _)| name)).collect()
    };
    let mut path: Vec<(&ServiceName, std::vec::IntoIter<&ServiceName>)> = vec![(root, needs(root).into_iter())];
    state.insert(root, false);
    while let Some((name, rest)) = path.last_mut() {
        match rest.next() {
            Some(next) => match state.get(next) {
                Some(true) => {}
                Some(false) => {
                    let start = path.iter().position(|(name, _)| *name == next).unwrap_or(0);
                    let mut cycle: Vec<String> = path.iter().skip(start).map(|(name, _)| name.to_string()).collect();
                    cycle.push(next.to_string());
                    return Err(PlanError::DependencyCycle { path: cycle });
                }
                None => {
                    state.insert(next, false);
                    path.push((next, needs(next).into_iter()));
                }
            },
            None => {
                state.insert(*name, true);
                order.push((*name).clone());
                path.pop();
            }
        }
    }
    Ok(())
}

/// For each service the services that need it, with the terms.
pub(crate) fn dependents(project: &Project) -> BTreeMap<ServiceName, Vec<(ServiceName, Dependency)>> {
    let mut found: BTreeMap<ServiceName, Vec<(ServiceName, Dependency)>> = BTreeMap::new();
    for (name, service) in &project.services {
        for (needed, terms) in dependencies(project, service).iter() {
            found.entry(needed.clone()).or_default().push((name.clone(), terms.clone()));
        }
    }
    found
}

/// Services that others wait to end with code 0.
pub(crate) fn jobs(project: &Project) -> BTreeSet<ServiceName> {
    project
        .services
        .values()
        .flat_map(|service| &service.depends_on)
        .filter(|(_, terms)| terms.condition == Condition::ServiceCompletedSuccessfully)
        .map(|(name, _)| name.clone())
        .collect()
}
