//! Models: services that use some get their variables, and the models are fetched and configured
//! before. The engine knows nothing of them: the Docker Model plugin serves them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use compose_model::names::ServiceName;
use compose_model::project::{Project, Service};

use crate::draft::Draft;
use crate::error::PlanError;
use crate::observed::ModelRunner;
use crate::op::{Op, OpId};
use crate::reason::Reason;
use crate::world::World;

/// The project with the variables of models in the environments of the services that use them.
/// They count for the hash of a service, as in the reference.
pub(crate) fn with_variables<'a>(project: Cow<'a, Project>, runner: Option<&ModelRunner>) -> Cow<'a, Project> {
    let Some(runner) = runner else { return project };
    if project.services.values().all(|service| service.models.is_empty()) {
        return project;
    }
    let mut project = project.into_owned();
    let models = project.models.clone();
    for service in project.services.values_mut() {
        for (key, usage) in &service.models {
            let Some(model) = models.get(key) else { continue };
            let prefix = key.to_uppercase().replace('-', "_");
            let named = |given: Option<&String>, suffix: &str| {
                given.filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| format!("{prefix}_{suffix}"))
            };
            let name = named(usage.as_ref().map(|usage| &usage.model_var), "MODEL");
            service.environment.insert(name, Some(model.model.clone()));
            let name = named(usage.as_ref().map(|usage| &usage.endpoint_var), "URL");
            service.environment.insert(name, Some(runner.endpoint.clone()));
        }
    }
    Cow::Owned(project)
}

/// Adds the steps for the models that the services use. What has to be done before a container of
/// such a service is made, by model.
pub(crate) fn plan<'a>(
    world: &World<'_>,
    draft: &mut Draft,
    services: impl Iterator<Item = &'a Service>,
    verb: &str,
) -> Result<BTreeMap<String, OpId>, PlanError> {
    let mut ready = BTreeMap::new();
    for service in services {
        for key in service.models.keys() {
            let Some(model) = world.project.models.get(key) else { continue };
            let Some(runner) = &world.observed.models else {
                return Err(PlanError::NoModelRunner { place: place(world, &service.name) });
            };
            if ready.contains_key(key) {
                continue;
            }
            let name = if model.name.is_empty() { key.clone() } else { model.name.clone() };
            let because = Reason::Requested { by: verb.to_owned() };
            let configure = OpId::new("configure-model", key);
            let flags = if runner.takes_runtime_flags { model.runtime_flags.clone() } else { Vec::new() };
            let op = Op::ConfigureModel {
                name: name.clone(),
                model: model.model.clone(),
                context_size: model.context_size,
                runtime_flags: flags,
            };
            draft.add(configure.clone(), op, because, None);
            if !runner.available.contains(&model.model) {
                let pull = OpId::new("pull-model", key);
                let because = Reason::Missing;
                draft.add(pull.clone(), Op::PullModel { name, model: model.model.clone() }, because, None);
                draft.after(&configure, &pull);
            }
            ready.insert(key.clone(), configure);
        }
    }
    Ok(ready)
}

fn place(world: &World<'_>, service: &ServiceName) -> Option<compose_model::project::Place> {
    world.place(service, "models")
}
