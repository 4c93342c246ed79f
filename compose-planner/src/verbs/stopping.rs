//! Steps that stop and remove containers, with their `pre_stop` hooks.

use compose_model::project::Service;
use compose_model::units::Duration;

use crate::draft::Draft;
use crate::lower;
use crate::observed::{Container, State};
use crate::op::{Op, OpId};
use crate::reason::Reason;
use crate::world::existing;

/// The end of the label of a container that another one takes the place of.
pub(crate) const OLD: &str = ".old";

/// How long a container gets before it is killed: the flag, else the service's grace period.
pub(crate) fn timeout(flag: Option<Duration>, service: Option<&Service>) -> Option<Duration> {
    flag.or_else(|| service.and_then(|service| service.stop_grace_period))
}

/// Whether stopping the container is a step at all.
pub(crate) fn needs_stop(container: &Container) -> bool {
    container.state.is_up()
}

/// Stops a container, after its `pre_stop` hooks where it runs. Returns the steps, the last one
/// being the stop; `label` names the container in identities (`web.1`, `web.1.old`).
pub(crate) fn stop(
    draft: &mut Draft,
    container: &Container,
    service: Option<&Service>,
    label: &str,
    flag: Option<Duration>,
    because: &Reason,
) -> Stop {
    let mut hooks: Vec<OpId> = Vec::new();
    if container.state == State::Running {
        for (index, hook) in service.iter().flat_map(|service| &service.pre_stop).enumerate() {
            let op = Op::RunHook {
                container: existing(container),
                service: container.service.clone(),
                hook: Box::new(lower::exec_hook("pre_stop", index, hook)),
                // The reference leaves them out there: none of them may keep a replacement from being made.
                optional: label.ends_with(OLD),
            };
            let id = draft.add(
                OpId::new("hook", format!("{label}.pre_stop.{index}")),
                op,
                because.clone(),
                Some(&container.service),
            );
            if let Some(last) = hooks.last() {
                draft.after(&id, last);
            }
            hooks.push(id);
        }
    }
    let op = Op::Stop { container: existing(container), timeout: timeout(flag, service) };
    let last = draft.add(OpId::new("stop", label), op, because.clone(), Some(&container.service));
    if let Some(hook) = hooks.last() {
        draft.after(&last, hook);
    }
    Stop { first: hooks.into_iter().next().unwrap_or_else(|| last.clone()), last }
}

/// The first and the last step of stopping a container.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) first: OpId,
    pub(crate) last: OpId,
}

/// Removes a container.
pub(crate) fn remove(draft: &mut Draft, container: &Container, label: &str, volumes: bool, because: &Reason) -> OpId {
    let force = matches!(container.state, State::Dead | State::Removing);
    let op = Op::RemoveContainer { container: existing(container), volumes, force };
    draft.add(OpId::new("remove", label), op, because.clone(), Some(&container.service))
}

/// Stops a container where it runs, then removes it. Returns the stop and the removal.
pub(crate) fn stop_and_remove(
    draft: &mut Draft,
    container: &Container,
    service: Option<&Service>,
    label: &str,
    flag: Option<Duration>,
    volumes: bool,
    because: &Reason,
) -> (Option<Stop>, OpId) {
    let stopped = needs_stop(container).then(|| stop(draft, container, service, label, flag, because));
    let removed = remove(draft, container, label, volumes, because);
    if let Some(stopped) = &stopped {
        draft.after(&removed, &stopped.last);
    }
    (stopped, removed)
}
