//! `stop`: containers in place, dependents first.

use std::collections::BTreeMap;

use compose_model::names::ServiceName;
use compose_model::units::Duration;

use super::stopping;
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::Stop;
use crate::op::{Op, OpId};
use crate::plan::Note;
use crate::reason::Reason;
use crate::select;
use crate::world::{World, label_of, state_text};

pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, stop: &Stop) -> Result<(), PlanError> {
    let scope = select::in_order(world.project, &stop.services, false)?;
    let because = Reason::Requested { by: "stop".to_owned() };
    stop_all(world, draft, &scope, stop.timeout, &because);
    for container in scope.iter().flat_map(|name| world.replicas(name)) {
        if !stopping::needs_stop(container) {
            draft.notes.push(Note::LeftAlone {
                what: label_of(container),
                container: container.name.to_string(),
                why: state_text(container),
                running: false,
            });
        }
    }
    Ok(())
}

/// Stops all that runs of the scope (services in dependency order), dependents first. Returns the
/// stops by service.
pub(crate) fn stop_all(
    world: &World<'_>,
    draft: &mut Draft,
    scope: &[ServiceName],
    timeout: Option<Duration>,
    because: &Reason,
) -> BTreeMap<ServiceName, Vec<OpId>> {
    let dependents = select::dependents(world.project);
    let mut stops: BTreeMap<ServiceName, Vec<OpId>> = BTreeMap::new();
    for name in scope.iter().rev() {
        let Some(service) = world.service(name) else { continue };
        let mut after: Vec<OpId> = Vec::new();
        for (dependent, _) in dependents.get(name).into_iter().flatten() {
            after.extend(stops.get(dependent).into_iter().flatten().cloned());
        }
        let mut own = Vec::new();
        if let Some(provider) = &service.provider {
            let op = Op::RunProvider {
                service: name.clone(),
                provider: Box::new(provider.clone()),
                verb: "stop".to_owned(),
            };
            let id = draft.add(OpId::new("provider", name), op, because.clone(), Some(name));
            draft.after_all(&id, &after);
            own.push(id);
        }
        for container in world.replicas(name) {
            if stopping::needs_stop(container) {
                let label = label_of(container);
                let stop = stopping::stop(draft, container, Some(service), &label, timeout, because);
                draft.after_all(&stop.first, &after);
                own.push(stop.last);
            }
        }
        // A service without anything to stop passes on what comes before it.
        stops.insert(name.clone(), if own.is_empty() { after } else { own });
    }
    stops
}
