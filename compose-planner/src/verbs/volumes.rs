//! Volumes of `up` and `create`: missing, changed and external ones.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{VolumeKey, VolumeName};
use compose_model::project::Service;

use crate::draft::Draft;
use crate::error::PlanError;
use crate::lower;
use crate::op::{Op, OpId};
use crate::plan::{Consent, Note};
use crate::reason::{Change, Reason};
use crate::world::World;

/// What is done about volumes, for the steps of containers.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// The step that makes the volume, by key.
    pub(crate) made_by: BTreeMap<VolumeKey, OpId>,
    /// Volumes that are replaced with the user's consent, with the step that removes the old one.
    pub(crate) replaced: BTreeMap<VolumeName, OpId>,
}

/// Keys of the named volumes that a service mounts; one may come several times.
pub(crate) fn used_by(service: &Service) -> impl Iterator<Item = &str> {
    let hooks = service.pre_start.iter().flat_map(|hook| &hook.service.volumes);
    service
        .volumes
        .iter()
        .chain(hooks)
        .filter(|mount| matches!(mount.kind.as_str(), "volume" | "") && !mount.source.is_empty())
        .map(|mount| mount.source.as_str())
}

/// Volumes of the project whose recorded definition differs from the file's.
pub(crate) fn changed(world: &World<'_>, key: &VolumeKey) -> bool {
    let Some(wanted) = world.project.volumes.get(key) else { return false };
    let Some(found) = world.observed.volumes.get(world.volume_name(key).as_str()) else { return false };
    let recorded = found.config_hash.as_deref().unwrap_or_default();
    !wanted.external
        && found.project.as_ref() == Some(&world.project.name)
        && !recorded.is_empty()
        && recorded != crate::hashes::volume(wanted)
}

/// Plans the volumes of `keys`. `consent` names those whose data the user gives up.
pub(crate) fn plan(
    world: &World<'_>,
    draft: &mut Draft,
    keys: &BTreeSet<VolumeKey>,
    consent: &BTreeSet<String>,
) -> Result<Volumes, PlanError> {
    let mut volumes = Volumes::default();
    for key in keys {
        let Some(wanted) = world.project.volumes.get(key) else { continue };
        let name = world.volume_name(key);
        let place = world.project.origins.nearest(&format!("volumes.{key}")).cloned();
        let found = world.observed.volumes.get(name.as_str());
        if wanted.external {
            if found.is_none() {
                return Err(PlanError::ExternalVolumeNotFound { name, place });
            }
            continue;
        }
        let create = OpId::new("create-volume", key);
        let op = || Op::CreateVolume { spec: Box::new(lower::volume(world, key.as_str(), wanted, &name)) };
        let Some(found) = found else {
            if !world.capabilities.volumes {
                return Err(PlanError::Unsupported {
                    engine: world.capabilities.engine.clone(),
                    what: format!("create volumes ({name})"),
                });
            }
            volumes.made_by.insert(key.clone(), draft.add(create, op(), Reason::Missing, None));
            continue;
        };
        match &found.project {
            None => draft.notes.push(Note::Warning {
                text: format!(
                    "volume {name:?} already exists but was not created by Docker Compose. Use `external: true` to use an existing volume"
                ),
                place,
            }),
            Some(project) if project != &world.project.name => draft.notes.push(Note::Warning {
                text: format!(
                    "volume {name:?} already exists but was created for project {:?} (expected {:?}). Use `external: true` to use an existing volume",
                    project.as_str(),
                    world.project.name.as_str()
                ),
                place,
            }),
            Some(_) if !changed(world, key) => {}
            Some(_) if !consent.contains(&name) => {
                draft.consents.push(Consent::RecreateVolume { volume: name.clone() });
                draft.notes.push(Note::Warning {
                    text: format!("volume {name:?} exists but doesn't match configuration in compose file; it stays as it is"),
                    place,
                });
            }
            Some(_) => {
                draft.agreed.push(Consent::RecreateVolume { volume: name.clone() });
                let because = Reason::Changed {
                    changes: vec![Change { attribute: format!("volume {key}"), old: None, new: None, place }],
                };
                let remove = draft.add(
                    OpId::new("remove-volume", key),
                    Op::RemoveVolume { name: name.as_str().into() },
                    because.clone(),
                    None,
                );
                draft.add(create.clone(), op(), because, None);
                draft.after(&create, &remove);
                volumes.made_by.insert(key.clone(), create);
                volumes.replaced.insert(name.as_str().into(), remove);
            }
        }
    }
    Ok(volumes)
}
