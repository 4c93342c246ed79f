//! `start`: existing containers, dependencies first.

use std::collections::BTreeSet;

use compose_model::names::ServiceName;

use super::starts;
use super::up::{Replica, Run};
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::{Start, Up};
use crate::observed::State;
use crate::select;
use crate::world::World;

pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, start: &Start) -> Result<(), PlanError> {
    let scope = select::in_order(world.project, &start.services, true)?;
    let up = Up { wait: start.wait, wait_timeout: start.wait_timeout, ..Up::default() };
    let waited: BTreeSet<&ServiceName> = start.services.iter().collect();
    for name in &scope {
        let Some(service) = world.service(name) else { continue };
        let optional = service.replicas() == 0 || service.provider.is_some();
        if world.replicas(name).is_empty() && !optional {
            return Err(PlanError::NoContainerToStart { service: name.clone() });
        }
        let (mut up, mut ran) = (false, false);
        for container in world.replicas(name) {
            up |= container.state.is_up();
            ran |= container.state != State::Created;
        }
        // The hooks belong to the first start after a container was made; whether another one wants
        // them is nothing that `start` could know, and the reference refuses.
        if !service.pre_start.is_empty() && ran && !up {
            return Err(PlanError::HooksHaveRun { service: name.clone() });
        }
    }
    let mut run = Run::empty(world, &up, draft, scope.clone());
    for name in &scope {
        let list: Vec<Replica<'_>> = world.replicas(name).iter().map(|container| Replica::there(container)).collect();
        run.add_peers(name, &list);
        if !list.is_empty() {
            run.replicas.insert(name.clone(), list);
        }
    }
    run.waited_for = (!waited.is_empty()).then(|| waited.into_iter().cloned().collect());
    starts::plan(&mut run, true)
}
