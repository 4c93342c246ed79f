//! Containers of services that the file does not have.

use compose_model::names::ContainerId;
use compose_model::units::Duration;

use super::stopping;
use crate::draft::Draft;
use crate::op::OpId;
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

/// Removes orphans, or mentions them. Returns the removals.
pub(crate) fn plan(
    world: &World<'_>,
    draft: &mut Draft,
    remove: bool,
    ignore: bool,
    timeout: Option<Duration>,
) -> Vec<Removed> {
    let orphans = world.orphans();
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
    orphans
        .into_iter()
        .map(|container| {
            let mut label = label_of(container);
            if draft.has(&OpId::new("remove", &label)) {
                label = format!("{label}.{}", short_id(container));
            }
            let (stop, remove) =
                stopping::stop_and_remove(draft, container, None, &label, timeout, false, &Reason::Orphan);
            Removed { container: container.id.clone(), stop: stop.map(|stop| stop.last), remove }
        })
        .collect()
}
