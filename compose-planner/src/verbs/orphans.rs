//! Containers of services that the file does not have.

use std::collections::BTreeMap;

use compose_model::names::{ContainerId, ContainerName};
use compose_model::units::Duration;

use super::stopping;
use crate::draft::Draft;
use crate::observed::State;
use crate::op::{Op, OpId};
use crate::plan::Note;
use crate::reason::Reason;
use crate::world::{World, label_of, short_id};

/// An orphan that is removed.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    pub(crate) container: ContainerId,
    pub(crate) stop: Option<OpId>,
    pub(crate) remove: OpId,
}

/// Removes one-offs of this program that were made and never started: a `run` was killed in
/// between. One that is under way holds the project's lock until its container has started.
pub(crate) fn unfinished_one_offs(world: &World<'_>, draft: &mut Draft) -> Vec<Removed> {
    let unfinished = world.one_offs.iter().filter(|container| container.state == State::Created);
    // Only ours have digests of their groups; what another program does is not known here.
    let unfinished = unfinished.filter(|container| !container.groups.is_empty());
    unfinished
        .map(|container| {
            let found = format!("{} was made for `run` and never started", container.name);
            draft.notes.push(Note::Unfinished { text: format!("{found}; it is removed") });
            let because = Reason::Unfinished { found };
            let label = label_of(container);
            let (stop, remove) = stopping::stop_and_remove(draft, container, None, &label, None, true, &because);
            Removed { container: container.id.clone(), stop: stop.map(|stop| stop.last), remove }
        })
        .collect()
}

/// Removes orphans, or mentions them. Returns the removals.
pub(crate) fn plan(
    world: &World<'_>,
    draft: &mut Draft,
    remove: bool,
    ignore: bool,
    timeout: Option<Duration>,
) -> Vec<Removed> {
    let mut orphans = world.orphans();
    // One-offs that were never started are gone already.
    orphans.retain(|container| !container.one_off || !draft.has(&OpId::new("remove", label_of(container))));
    if orphans.is_empty() {
        return Vec::new();
    }
    if !remove {
        if !ignore {
            let containers = orphans.iter().map(|container| container.name.to_string()).collect();
            draft.notes.push(Note::Orphans { containers });
        }
        return Vec::new();
    }
    let mut names: BTreeMap<&ContainerName, OpId> = BTreeMap::new();
    let removed = orphans
        .into_iter()
        .map(|container| {
            let mut label = label_of(container);
            if draft.has(&OpId::new("remove", &label)) {
                label = format!("{label}.{}", short_id(container));
            }
            let (stop, remove) =
                stopping::stop_and_remove(draft, container, None, &label, timeout, false, &Reason::Orphan);
            names.insert(&container.name, remove.clone());
            Removed { container: container.id.clone(), stop: stop.map(|stop| stop.last), remove }
        })
        .collect();
    free_names(draft, &names);
    removed
}

/// A service that was renamed and kept its `container_name` gets it when the orphan is gone.
fn free_names(draft: &mut Draft, names: &BTreeMap<&ContainerName, OpId>) {
    let taken = |op: &Op| match op {
        Op::CreateContainer { spec, .. } => names.get(&spec.name).cloned(),
        Op::Rename { to, .. } => names.get(to).cloned(),
        _ => None,
    };
    let takers: Vec<(OpId, OpId)> =
        draft.steps().filter_map(|step| taken(&step.op).map(|removal| (step.id.clone(), removal))).collect();
    for (taker, removal) in &takers {
        draft.after(taker, removal);
    }
}
