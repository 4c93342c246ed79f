//! `rm`: containers that do not run.

use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::Remove;
use crate::op::OpId;
use crate::plan::Consent;
use crate::reason::Reason;
use crate::select;
use crate::world::{World, label_of, short_id};

pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, remove: &Remove) -> Result<(), PlanError> {
    let scope = select::in_order(world.project, &remove.services, false)?;
    let because = Reason::Requested { by: "rm".to_owned() };
    if remove.stop {
        super::stop::stop_all(world, draft, &scope, None, &because);
    }
    let mut names: Vec<String> = Vec::new();
    for container in scope.iter().flat_map(|name| world.replicas(name)) {
        if container.state.is_up() && !remove.stop {
            continue;
        }
        let mut label = label_of(container);
        if draft.has(&OpId::new("remove", &label)) {
            label = format!("{label}.{}", short_id(container));
        }
        let stop = OpId::new("stop", &label);
        let id = super::stopping::remove(draft, container, &label, remove.volumes, &because);
        if draft.has(&stop) {
            draft.after(&id, &stop);
        }
        names.push(container.name.to_string());
    }
    if names.is_empty() {
        draft.warn("No stopped containers");
    } else {
        names.sort();
        draft.consents.push(Consent::RemoveContainers { containers: names });
    }
    Ok(())
}
