//! Networks of `up` and `create`: missing, changed, external and doubled ones.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{NetworkKey, NetworkName};
use compose_model::project::Service;

use crate::draft::Draft;
use crate::error::PlanError;
use crate::lower;
use crate::observed::Network;
use crate::op::{Op, OpId};
use crate::plan::Note;
use crate::reason::{Change, Reason};
use crate::world::World;

/// What is done about networks, for the steps of containers.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    /// The step that makes the network, by key.
    pub(crate) made_by: BTreeMap<NetworkKey, OpId>,
    /// Networks that are replaced: name to the step that removes the old one, and the key.
    pub(crate) replaced: BTreeMap<NetworkName, (OpId, NetworkKey)>,
}

/// The network of this name that is used; where an engine has several, the one that containers of
/// the project are connected to, else the one with the lowest identity.
pub(crate) fn current<'a>(world: &World<'a>, name: &str) -> Option<&'a Network> {
    let all = world.observed.networks.get(name)?;
    if let [only] = all.as_slice() {
        return Some(only);
    }
    let used = |network: &Network| {
        world.observed.containers.iter().any(|container| container.networks.values().any(|id| *id == network.id))
    };
    all.iter().min_by_key(|network| (!used(network), network.project.is_none(), network.id.clone()))
}

/// The identity of the network, where its name alone is ambiguous.
pub(crate) fn ambiguous_id(world: &World<'_>, name: &str) -> Option<String> {
    let all = world.observed.networks.get(name)?;
    (all.len() > 1).then(|| current(world, name).map(|network| network.id.clone())).flatten()
}

/// Keys of the networks that a service is connected to; one may come several times.
pub(crate) fn used_by(service: &Service) -> impl Iterator<Item = &NetworkKey> {
    let hooks = service.pre_start.iter().flat_map(|hook| hook.service.networks.keys());
    service.networks.keys().chain(hooks)
}

/// Plans the networks of `keys`.
pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, keys: &BTreeSet<&NetworkKey>) -> Result<Networks, PlanError> {
    let mut networks = Networks::default();
    for &key in keys {
        let Some(wanted) = world.project.networks.get(key) else { continue };
        let name = world.network_name(key);
        let found = current(world, &name);
        let place = world.project.origins.nearest(&format!("networks.{key}")).cloned();
        if wanted.external {
            let by_id = || world.observed.networks.values().flatten().any(|network| network.id == name);
            if found.is_none() && !by_id() {
                return Err(PlanError::ExternalNetworkNotFound { name, place });
            }
            continue;
        }
        let create = OpId::new("create-network", key);
        let op = || Op::CreateNetwork { spec: Box::new(lower::network(world, key.as_str(), wanted, &name)) };
        let Some(found) = found else {
            if !world.capabilities.networks {
                return Err(PlanError::Unsupported {
                    engine: world.capabilities.engine.clone(),
                    what: format!("create networks ({name})"),
                });
            }
            networks.made_by.insert(key.clone(), draft.add(create, op(), Reason::Missing, None));
            continue;
        };
        let ours = found.project.as_ref() == Some(&world.project.name);
        if !ours {
            let text = match &found.project {
                None => format!(
                    "a network with name {name} exists but was not created by compose.\nSet `external: true` to use an existing network"
                ),
                Some(_) => format!(
                    "a network with name {name} exists but was not created for project {:?}.\nSet `external: true` to use an existing network",
                    world.project.name.as_str()
                ),
            };
            draft.notes.push(Note::Warning { text, place });
            continue;
        }
        let recorded = found.config_hash.as_deref().unwrap_or_default();
        if found.key.as_ref() == Some(key) && !recorded.is_empty() && recorded != crate::hashes::network(wanted) {
            let because = Reason::Changed {
                changes: vec![Change { attribute: format!("network {key}"), old: None, new: None, place }],
            };
            let remove = draft.add(
                OpId::new("remove-network", key),
                Op::RemoveNetwork { name: name.as_str().into(), id: found.id.clone() },
                because.clone(),
                None,
            );
            draft.add(create.clone(), op(), because, None);
            draft.after(&create, &remove);
            networks.made_by.insert(key.clone(), create);
            networks.replaced.insert(name.as_str().into(), (remove, key.clone()));
        }
        remove_doubles(world, draft, key, &name, &found.id);
    }
    Ok(networks)
}

/// Further networks of the same name that two first runs at once have left, if nothing uses them.
fn remove_doubles(world: &World<'_>, draft: &mut Draft, key: &NetworkKey, name: &str, keep: &str) {
    let Some(all) = world.observed.networks.get(name) else { return };
    for other in all.iter().filter(|other| other.id != keep && other.project.as_ref() == Some(&world.project.name)) {
        let used =
            world.observed.containers.iter().any(|container| container.networks.values().any(|id| *id == other.id));
        if used {
            continue;
        }
        let short = other.id.get(..12).unwrap_or(&other.id);
        draft.add(
            OpId::new("remove-network", format!("{key}.{short}")),
            Op::RemoveNetwork { name: name.into(), id: other.id.clone() },
            Reason::Unfinished { found: format!("a second network named {name}") },
            None,
        );
    }
}
