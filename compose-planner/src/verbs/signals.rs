//! `kill`, `pause`, `unpause`: one call for each running container, in no order.

use compose_model::names::ServiceName;

use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::{Kill, Services};
use crate::observed::Container;
use crate::op::{Op, OpId};
use crate::reason::Reason;
use crate::select;
use crate::world::{World, existing, label_of, short_id};

pub(crate) fn kill(world: &World<'_>, draft: &mut Draft, kill: &Kill) -> Result<(), PlanError> {
    let mut containers = running(world, &kill.services)?;
    // A signal is for all that a service runs, where `stop` and the like mean its replicas.
    let scope = select::in_order(world.project, &kill.services, false)?;
    let of_scope = |container: &&Container| container.state.is_up() && scope.contains(&container.service);
    containers.extend(world.one_offs.iter().copied().filter(of_scope));
    if kill.remove_orphans {
        containers.extend(world.orphans().into_iter().filter(|container| container.state.is_up()));
    }
    if containers.is_empty() {
        draft.warn("No container to kill");
    }
    for container in containers {
        let op = Op::Kill { container: existing(container), signal: kill.signal.clone() };
        add(draft, container, op, "kill");
    }
    Ok(())
}

pub(crate) fn pause(world: &World<'_>, draft: &mut Draft, services: &Services) -> Result<(), PlanError> {
    able(world)?;
    for container in running(world, &services.services)? {
        add(draft, container, Op::Pause { container: existing(container) }, "pause");
    }
    Ok(())
}

pub(crate) fn unpause(world: &World<'_>, draft: &mut Draft, services: &Services) -> Result<(), PlanError> {
    able(world)?;
    for container in running(world, &services.services)? {
        add(draft, container, Op::Unpause { container: existing(container) }, "unpause");
    }
    Ok(())
}

fn able(world: &World<'_>) -> Result<(), PlanError> {
    if world.capabilities.pause {
        Ok(())
    } else {
        Err(PlanError::Unsupported { engine: world.capabilities.engine.clone(), what: "pause containers".to_owned() })
    }
}

/// Containers of the services whose process is there, paused ones included: what a pause or its
/// end makes of their state is the engine's to say.
fn running<'a>(world: &World<'a>, services: &[ServiceName]) -> Result<Vec<&'a Container>, PlanError> {
    let scope = select::in_order(world.project, services, false)?;
    let all = scope.iter().flat_map(|name| world.replicas(name));
    Ok(all.copied().filter(|container| container.state.is_up()).collect())
}

fn add(draft: &mut Draft, container: &Container, op: Op, verb: &str) {
    let mut id = OpId::new(verb, label_of(container));
    if draft.has(&id) {
        id = OpId::new(verb, format!("{}.{}", label_of(container), short_id(container)));
    }
    draft.add(id, op, Reason::Requested { by: verb.to_owned() }, Some(&container.service));
}
