//! A second opinion on any plan, made without the planner: what must hold of every plan whoever
//! made it. Run in every planner test and before every execution.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::observed::Observed;
use crate::op::{Op, OpId, Target};
use crate::plan::{Consent, Plan, Step};

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two steps have one identity.
    DuplicateId(OpId),
    /// A step comes after one that is not in the plan.
    MissingEdge {
        /// The step.
        step: OpId,
        /// What it comes after.
        after: OpId,
    },
    /// Steps wait for each other.
    Cycle(Vec<OpId>),
    /// A wave is not the longest path to its step.
    WrongWave(OpId),
    /// A step uses what another one removes, without being ordered before it.
    UsedAfterRemoval {
        /// The step that uses it.
        step: OpId,
        /// The step that removes it.
        removal: OpId,
    },
    /// A step uses a container that no step before it makes.
    UsedBeforeMade {
        /// The step.
        step: OpId,
        /// The step that should make it.
        made_by: OpId,
    },
    /// Two containers may have one name at the same time.
    NameTaken {
        /// The step that takes the name.
        step: OpId,
        /// The name.
        name: String,
    },
    /// A volume would be removed that the user has not given up.
    VolumeWithoutConsent {
        /// The step.
        step: OpId,
        /// The volume.
        volume: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => write!(formatter, "two steps have the identity {id}"),
            Self::MissingEdge { step, after } => write!(formatter, "{step} comes after {after}, which does not exist"),
            Self::Cycle(ids) => {
                formatter.write_str("these steps wait for each other: ")?;
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                formatter.write_str(&ids.join(", "))
            }
            Self::WrongWave(id) => write!(formatter, "the wave of {id} is wrong"),
            Self::UsedAfterRemoval { step, removal } => {
                write!(formatter, "{step} uses what {removal} removes, and may come after it")
            }
            Self::UsedBeforeMade { step, made_by } => {
                write!(formatter, "{step} uses what {made_by} makes, and may come before it")
            }
            Self::NameTaken { step, name } => {
                write!(formatter, "{step} takes the name {name}, which may still be taken")
            }
            Self::VolumeWithoutConsent { step, volume } => {
                write!(formatter, "{step} removes the volume {volume} without consent")
            }
        }
    }
}

/// All rules that the plan breaks; empty for a sound plan. `observed` is what it was made from.
#[must_use]
pub fn check(plan: &Plan, observed: &Observed) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut steps: BTreeMap<&OpId, &Step> = BTreeMap::new();
    for step in &plan.steps {
        if steps.insert(&step.id, step).is_some() {
            found.push(Violation::DuplicateId(step.id.clone()));
        }
    }
    for step in &plan.steps {
        for after in &step.after {
            match steps.get(after) {
                None => found.push(Violation::MissingEdge { step: step.id.clone(), after: after.clone() }),
                Some(before) if before.wave >= step.wave => found.push(Violation::WrongWave(step.id.clone())),
                Some(_) => {}
            }
        }
        let least = step.after.iter().filter_map(|id| steps.get(id)).map(|step| step.wave).max().unwrap_or(0);
        if step.wave != least + 1 && step.wave != 0 {
            found.push(Violation::WrongWave(step.id.clone()));
        }
    }
    let cycle: Vec<OpId> = plan.steps.iter().filter(|step| step.wave == 0).map(|step| step.id.clone()).collect();
    if !cycle.is_empty() {
        found.push(Violation::Cycle(cycle));
        return found;
    }
    let order = Order { steps: &steps };
    containers(plan, &order, &mut found);
    names(plan, observed, &order, &mut found);
    networks_and_volumes(plan, &order, &mut found);
    let consented: BTreeSet<&str> = plan
        .agreed
        .iter()
        .filter_map(|consent| match consent {
            Consent::RecreateVolume { volume } | Consent::RemoveVolume { volume } => Some(volume.as_str()),
            Consent::RemoveContainers { .. } => None,
        })
        .collect();
    for step in &plan.steps {
        if let Op::RemoveVolume { name } = &step.op
            && !consented.contains(name.as_str())
        {
            found.push(Violation::VolumeWithoutConsent { step: step.id.clone(), volume: name.to_string() });
        }
    }
    found
}

/// The order that the edges demand.
struct Order<'p> {
    steps: &'p BTreeMap<&'p OpId, &'p Step>,
}

impl Order<'_> {
    /// Whether `first` is always done before `second`. Walks back from `second` through waves
    /// above that of `first` only.
    fn before(&self, first: &OpId, second: &OpId) -> bool {
        let Some(wave) = self.steps.get(first).map(|step| step.wave) else { return false };
        let mut seen: BTreeSet<&OpId> = BTreeSet::new();
        let mut open: Vec<&OpId> = self.steps.get(second).map(|step| step.after.iter().collect()).unwrap_or_default();
        while let Some(id) = open.pop() {
            if id == first {
                return true;
            }
            if let Some(step) = self.steps.get(id)
                && step.wave > wave
                && seen.insert(id)
            {
                open.extend(&step.after);
            }
        }
        false
    }
}

/// Every container that a step refers to.
fn targets(op: &Op) -> Vec<&Target> {
    match op {
        Op::CreateContainer { spec, .. } => {
            let mut targets: Vec<&Target> = spec.volumes_from.iter().map(|from| &from.container).collect();
            if let crate::spec::NetworkMode::Container(target) = &spec.network_mode {
                targets.push(target);
            }
            for namespace in [&spec.ipc, &spec.pid] {
                if let crate::spec::Namespace::Container(target) = namespace {
                    targets.push(target);
                }
            }
            targets
        }
        Op::Connect { container, .. }
        | Op::Disconnect { container, .. }
        | Op::CopyIn { container, .. }
        | Op::Start { container, .. }
        | Op::Await { container, .. }
        | Op::RunHook { container, .. }
        | Op::FinishHook { container, .. }
        | Op::Stop { container, .. }
        | Op::Restart { container, .. }
        | Op::Kill { container, .. }
        | Op::Pause { container }
        | Op::Unpause { container }
        | Op::RemoveContainer { container, .. }
        | Op::Rename { container, .. } => vec![container],
        Op::Pull { .. }
        | Op::Push { .. }
        | Op::Build { .. }
        | Op::RemoveImage { .. }
        | Op::CreateNetwork { .. }
        | Op::RemoveNetwork { .. }
        | Op::CreateVolume { .. }
        | Op::RemoveVolume { .. }
        | Op::RunProvider { .. }
        | Op::PullModel { .. }
        | Op::ConfigureModel { .. } => Vec::new(),
    }
}

/// Containers are used after they are made and before they are removed.
fn containers(plan: &Plan, order: &Order<'_>, found: &mut Vec<Violation>) {
    let mut removals: BTreeMap<&Target, &OpId> = BTreeMap::new();
    for step in &plan.steps {
        if let Op::RemoveContainer { container, .. } = &step.op {
            removals.insert(container, &step.id);
        }
    }
    let removed: BTreeMap<String, &OpId> = removals.into_iter().map(|(target, id)| (identity(target), id)).collect();
    for step in &plan.steps {
        for target in targets(&step.op) {
            if let Target::MadeBy { op, .. } = target
                && !order.before(op, &step.id)
            {
                found.push(Violation::UsedBeforeMade { step: step.id.clone(), made_by: op.clone() });
            }
            if let Some(removal) = removed.get(&identity(target))
                && **removal != step.id
                && !order.before(&step.id, removal)
            {
                found.push(Violation::UsedAfterRemoval { step: step.id.clone(), removal: (*removal).clone() });
            }
        }
    }
}

/// What tells one container from another, whatever its name.
fn identity(target: &Target) -> String {
    match target {
        Target::Existing { id, .. } => format!("id {id}"),
        Target::MadeBy { op, .. } => format!("op {op}"),
        Target::Named { name } => format!("name {name}"),
    }
}

/// A name is taken only when its holder is gone or renamed.
fn names(plan: &Plan, observed: &Observed, order: &Order<'_>, found: &mut Vec<Violation>) {
    // Name -> who has it at first, and who takes it: (container, step).
    let mut holders: BTreeMap<&str, Vec<(String, Option<&OpId>)>> = BTreeMap::new();
    for container in &observed.containers {
        if container.project.as_ref() == Some(&plan.project) {
            holders.entry(container.name.as_str()).or_default().push((format!("id {}", container.id), None));
        }
    }
    let mut leaves: BTreeMap<String, Vec<&OpId>> = BTreeMap::new();
    for step in &plan.steps {
        match &step.op {
            Op::CreateContainer { spec, .. } => {
                holders.entry(spec.name.as_str()).or_default().push((format!("op {}", step.id), Some(&step.id)));
            }
            Op::Rename { container, to } => {
                leaves.entry(identity(container)).or_default().push(&step.id);
                holders.entry(to.as_str()).or_default().push((identity(container), Some(&step.id)));
            }
            Op::RemoveContainer { container, .. } => {
                leaves.entry(identity(container)).or_default().push(&step.id);
            }
            // A hook's container goes when it has ended.
            Op::FinishHook { container, .. } => leaves.entry(identity(container)).or_default().push(&step.id),
            _ => {}
        }
    }
    for (name, list) in holders {
        for (taker, step) in &list {
            let Some(step) = step else { continue };
            for (holder, held_by) in &list {
                if holder == taker {
                    continue;
                }
                let left = leaves.get(holder).into_iter().flatten().any(|leave| order.before(leave, step));
                // Of two that take a name one after the other, the later one has to wait.
                let later = held_by.is_some_and(|held_by| order.before(step, held_by));
                if !left && !later {
                    found.push(Violation::NameTaken { step: (*step).clone(), name: name.to_owned() });
                }
            }
        }
    }
}

/// Networks and volumes are not used between their removal and their creation.
fn networks_and_volumes(plan: &Plan, order: &Order<'_>, found: &mut Vec<Violation>) {
    let mut networks: BTreeMap<&str, (Option<&OpId>, Option<&OpId>)> = BTreeMap::new();
    let mut volumes: BTreeMap<&str, (Option<&OpId>, Option<&OpId>)> = BTreeMap::new();
    for step in &plan.steps {
        match &step.op {
            // Doubles carry their identity in the target; the name stays in use.
            Op::RemoveNetwork { name, .. } if !matches!(step.because, crate::Reason::Unfinished { .. }) => {
                networks.entry(name.as_str()).or_default().0.get_or_insert(&step.id);
            }
            Op::CreateNetwork { spec } => networks.entry(spec.name.as_str()).or_default().1 = Some(&step.id),
            Op::RemoveVolume { name } => volumes.entry(name.as_str()).or_default().0 = Some(&step.id),
            Op::CreateVolume { spec } => volumes.entry(spec.name.as_str()).or_default().1 = Some(&step.id),
            _ => {}
        }
    }
    let mut used = |step: &Step, gone: Option<&OpId>, made: Option<&OpId>| {
        if let Some(made) = made {
            if !order.before(made, &step.id) {
                found.push(Violation::UsedBeforeMade { step: step.id.clone(), made_by: made.clone() });
            }
        } else if let Some(gone) = gone
            && !order.before(&step.id, gone)
        {
            found.push(Violation::UsedAfterRemoval { step: step.id.clone(), removal: gone.clone() });
        }
    };
    for step in &plan.steps {
        match &step.op {
            Op::Connect { endpoint, .. } => {
                if let Some((gone, made)) = networks.get(endpoint.network.as_str()) {
                    used(step, *gone, *made);
                }
            }
            Op::CreateContainer { spec, .. } => {
                for endpoint in &spec.networks {
                    if let Some((gone, made)) = networks.get(endpoint.network.as_str()) {
                        used(step, *gone, *made);
                    }
                }
                for mount in &spec.mounts {
                    if let crate::spec::MountSource::Volume { name, .. } = &mount.source
                        && let Some((gone, made)) = volumes.get(name.as_str())
                    {
                        used(step, *gone, *made);
                    }
                }
            }
            _ => {}
        }
    }
}
