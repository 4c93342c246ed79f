//! Which containers of a service are kept, replaced, removed or made: pure decisions, no steps.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{NetworkName, ServiceName, VolumeName};
use compose_model::project::Service;

use crate::differ;
use crate::drift;
use crate::intent::Recreate;
use crate::lower::{self, Peers};
use crate::observed::{Container, State};
use crate::reason::Reason;
use crate::world::{World, short_id, state_text};

/// What happens to one replica.
#[derive(Clone, Debug)]
pub(crate) enum Fate<'a> {
    /// It stays as it is.
    Keep(&'a Container),
    /// It is up to date but still has the temporary name of an unfinished replacement.
    Rename(&'a Container),
    /// An earlier run made the replacement and was interrupted: put it in place.
    Finish { old: &'a Container, new: &'a Container },
    /// Replace it by a new one made beside it.
    Replace(&'a Container, Reason),
    /// Remove it first, then make a new one.
    Remake(&'a Container, Reason),
    /// Make it.
    Create(Reason),
}

/// One replica that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Slot<'a> {
    pub(crate) number: usize,
    pub(crate) fate: Fate<'a>,
}

/// What is decided about a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decision<'a> {
    /// Wanted replicas, by number.
    pub(crate) slots: Vec<Slot<'a>>,
    /// Containers to remove.
    pub(crate) surplus: Vec<(&'a Container, Reason)>,
}

/// What the decision depends on besides the service and its containers.
pub(crate) struct Terms<'t> {
    pub(crate) peers: &'t Peers,
    pub(crate) recreate: Recreate,
    /// What was changed by hand is undone.
    pub(crate) repair_drift: bool,
    /// The service was not named; it is here because others depend on it.
    pub(crate) dependency: bool,
    pub(crate) wanted: usize,
    /// Networks that this plan replaces.
    pub(crate) networks: &'t BTreeSet<NetworkName>,
    /// Anonymous volumes are to be fresh.
    pub(crate) renew_anonymous_volumes: bool,
    /// Volumes that this plan replaces.
    pub(crate) volumes: &'t BTreeSet<VolumeName>,
    /// Services whose container is replaced by this plan.
    pub(crate) renewed: &'t BTreeSet<ServiceName>,
}

/// One replica as observed: the container in place and perhaps its unfinished replacement.
struct Group<'a> {
    number: usize,
    current: &'a Container,
    pending: Option<&'a Container>,
    /// Whether the unfinished replacement is what the file asks for now.
    pending_is_good: bool,
    stale: Option<Reason>,
    /// Changed by hand in a way that only a replacement undoes.
    drift: Option<Reason>,
}

/// Decides about all replicas of a service.
pub(crate) fn decide<'a>(world: &World<'a>, service: &Service, terms: &Terms<'_>) -> Decision<'a> {
    let mut decision = Decision::default();
    let mut groups = groups(world, service, terms, &mut decision.surplus);
    let there = groups.len();
    if there > terms.wanted {
        // Outdated ones go first, then those with the highest numbers.
        groups.sort_by_key(|group| (group.stale.is_some(), group.number));
        let because = Reason::ScaleDown { from: there, to: terms.wanted };
        for group in groups.drain(terms.wanted..) {
            decision.surplus.extend(group.pending.map(|pending| (pending, because.clone())));
            decision.surplus.push((group.current, because.clone()));
        }
        groups.sort_by_key(|group| group.number);
    }
    let bound = crate::select::bound_to(service);
    let parent = bound.iter().find(|name| terms.renewed.contains(*name));
    let mut numbers: BTreeSet<usize> = BTreeSet::new();
    for group in groups {
        numbers.insert(group.number);
        let slot = fate(terms, parent, &group, &mut decision.surplus);
        decision.slots.push(Slot { number: group.number, fate: slot });
    }
    let because = |there: usize| {
        if there == 0 { Reason::Missing } else { Reason::ScaleUp { from: there, to: terms.wanted } }
    };
    // The reference counts on from the highest number and leaves holes. An interrupted creation
    // leaves them too, and what was under way may still come: so holes are filled.
    let mut next = 1;
    while decision.slots.len() < terms.wanted {
        while numbers.contains(&next) {
            next += 1;
        }
        numbers.insert(next);
        decision.slots.push(Slot { number: next, fate: Fate::Create(because(there)) });
    }
    decision.slots.sort_by_key(|slot| slot.number);
    decision
}

/// Sorts a service's containers into replicas; what fits nowhere is left over from an
/// interruption and goes to `surplus`.
fn groups<'a>(
    world: &World<'a>,
    service: &Service,
    terms: &Terms<'_>,
    surplus: &mut Vec<(&'a Container, Reason)>,
) -> Vec<Group<'a>> {
    let mut by_number: BTreeMap<usize, Vec<&'a Container>> = BTreeMap::new();
    for container in world.replicas(&service.name) {
        by_number.entry(container.number.unwrap_or(1)).or_default().push(container);
    }
    let mut groups = Vec::new();
    for (number, containers) in by_number {
        let Some((current, pending)) = pair(world, service, number, &containers) else { continue };
        for container in &containers {
            if container.id != current.id && pending.is_none_or(|pending| pending.id != container.id) {
                let found = format!("{} doubles {}", container.name, current.name);
                surplus.push((container, Reason::Unfinished { found }));
            }
        }
        let stale = differ::divergence(world, terms.peers, service, current, terms.networks);
        let pending_is_good = pending.is_some_and(|pending| {
            pending.state != State::Dead
                && ![current, pending].iter().any(|container| on_replaced_network(container, terms.networks))
                && differ::divergence(world, terms.peers, service, pending, terms.networks).is_none()
        });
        let drift = terms
            .repair_drift
            .then(|| drift::replacing(world, terms.peers, service, current))
            .flatten()
            .map(|changes| Reason::Drift { changes });
        groups.push(Group { number, current, pending, pending_is_good, stale, drift });
    }
    groups
}

/// Of several containers with one number: the one in place, and its unfinished replacement.
fn pair<'a>(
    world: &World<'_>,
    service: &Service,
    number: usize,
    containers: &[&'a Container],
) -> Option<(&'a Container, Option<&'a Container>)> {
    let wanted = world.container_name(service, number);
    let in_place = |container: &&&'a Container| container.name == wanted;
    let first = containers.first()?;
    if containers.len() == 1 {
        return Some((first, None));
    }
    let current = containers
        .iter()
        .find(in_place)
        .or_else(|| containers.iter().find(|container| containers.iter().any(|other| replaces(other, container))))
        .or_else(|| containers.iter().max_by_key(|container| (container.state.is_up(), container.created)))
        .unwrap_or(first);
    let pending = containers.iter().find(|other| other.id != current.id && replaces(other, current));
    Some((current, pending.copied()))
}

/// Whether `new` was made to take the place of `old`, and has not done so yet.
fn replaces(new: &Container, old: &Container) -> bool {
    new.replaces.is_some() && new.id != old.id && new.name.as_str().starts_with(&format!("{}_", short_id(old)))
}

/// Whether the container still has the temporary name of a replacement.
pub(crate) fn has_temporary_name(container: &Container) -> bool {
    container.replaces.is_some()
        && container
            .name
            .as_str()
            .split_once('_')
            .is_some_and(|(prefix, _)| prefix.len() == 12 && prefix.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether the container is connected to a network that this plan replaces.
pub(crate) fn on_replaced_network(container: &Container, networks: &BTreeSet<NetworkName>) -> bool {
    container.networks.keys().any(|name| networks.contains(name))
}

/// Whether a volume without a name of the user's is mounted.
fn has_anonymous_volume(container: &Container) -> bool {
    let mut volumes = container.mounts.iter().filter_map(|mount| mount.volume.as_ref());
    volumes.any(|volume| lower::is_anonymous(volume.as_str()))
}

fn fate<'a>(
    terms: &Terms<'_>,
    parent: Option<&ServiceName>,
    group: &Group<'a>,
    surplus: &mut Vec<(&'a Container, Reason)>,
) -> Fate<'a> {
    let current = group.current;
    let mounts_replaced_volume =
        current.mounts.iter().find_map(|mount| mount.volume.as_ref().filter(|volume| terms.volumes.contains(*volume)));
    let renew = match terms.recreate {
        Recreate::Force => {
            let flag = if terms.dependency { "--always-recreate-deps" } else { "--force-recreate" };
            Some(Reason::Requested { by: flag.to_owned() })
        }
        Recreate::Never => None,
        Recreate::Diverged => group
            .stale
            .clone()
            .or_else(|| group.drift.clone())
            .or_else(|| parent.map(|parent| Reason::DependencyReplaced { service: parent.to_string() }))
            .or_else(|| {
                let renewed = terms.renew_anonymous_volumes && !terms.dependency && has_anonymous_volume(current);
                renewed.then(|| Reason::Requested { by: "--renew-anon-volumes".to_owned() })
            }),
    };
    if let Some(pending) = group.pending {
        // Finish what is still wanted, take away what is not.
        let good = group.pending_is_good
            && parent.is_none()
            && terms.recreate == Recreate::Diverged
            && mounts_replaced_volume.is_none();
        if good {
            return Fate::Finish { old: current, new: pending };
        }
        let found = format!("{} was to replace {}", pending.name, current.name);
        surplus.push((pending, Reason::Unfinished { found }));
    }
    if let Some(volume) = mounts_replaced_volume {
        return Fate::Remake(current, Reason::Disconnected { what: format!("the new volume {volume}") });
    }
    if matches!(current.state, State::Dead | State::Removing) {
        return Fate::Remake(current, Reason::NotRunning { state: state_text(current) });
    }
    match renew {
        Some(because) => Fate::Replace(current, because),
        None if has_temporary_name(current) => Fate::Rename(current),
        None => Fate::Keep(current),
    }
}
