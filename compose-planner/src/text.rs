//! The text of a plan, as people read it: `wave | op id | what | after | because`.
//!
//! Obvious edges are left out: those that another edge of the same step implies, and the one that
//! the reason names already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::op::{Op, OpId, Target, Until};
use crate::plan::{Consent, Note, Plan, Step};
use crate::reason::Reason;
use crate::spec::{ContainerSpec, MountSource};

/// The whole plan as text; ends with a line break.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut out = header(plan);
    out.push('\n');
    if !plan.steps.is_empty() {
        out.push('\n');
    }
    let steps: BTreeMap<&OpId, &Step> = plan.steps.iter().map(|step| (&step.id, step)).collect();
    let rows: Vec<[String; 5]> = plan
        .steps
        .iter()
        .map(|step| {
            [step.wave.to_string(), step.id.to_string(), what(&step.op), after(step, &steps), step.because.to_string()]
        })
        .collect();
    // A column is as wide as its widest cell, within reason: one long cell moves only its own line.
    const WIDEST: usize = 48;
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            let length = cell.chars().count();
            if length <= WIDEST {
                *width = (*width).max(length);
            }
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            if width > 0 || !cell.is_empty() {
                let _ = write!(line, "{cell:width$}  ");
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let (untouched, others): (Vec<&Note>, Vec<&Note>) =
        plan.notes.iter().partition(|note| matches!(note, Note::LeftAlone { .. } | Note::Skipped { .. }));
    let notes: Vec<String> =
        untouched.into_iter().chain(others).map(note).chain(plan.consents.iter().map(consent)).collect();
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        out.push_str(&note.replace('\n', "\n  "));
        out.push('\n');
    }
    if plan.replan_after_images {
        out.push_str("note: what follows the images is planned again when they are there\n");
    }
    out
}

/// `up shop · docker · 2 replaced · 1 removed · 1 left alone`.
#[must_use]
pub fn header(plan: &Plan) -> String {
    let counts = Counts::of(plan);
    let mut parts = vec![format!("{} {}", plan.verb, plan.project), plan.engine.clone()];
    let mut count = |number: usize, word: &str| {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    };
    count(counts.pulled, "pulled");
    count(counts.pushed, "pushed");
    count(counts.built, "built");
    count(counts.images_removed, if counts.images_removed == 1 { "image" } else { "images" });
    count(counts.networks, if counts.networks == 1 { "network" } else { "networks" });
    count(counts.volumes, if counts.volumes == 1 { "volume" } else { "volumes" });
    count(counts.created, "created");
    count(counts.replaced, "replaced");
    count(counts.repaired, "repaired");
    count(counts.started, "started");
    count(counts.restarted, "restarted");
    count(counts.stopped, "stopped");
    count(counts.signalled, "signalled");
    count(counts.paused, "paused");
    count(counts.resumed, "resumed");
    count(counts.removed, "removed");
    count(counts.left_alone, "left alone");
    if plan.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    parts.join(" · ")
}

/// What a plan does, in numbers of containers and other resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Images pulled.
    pub pulled: usize,
    /// Images pushed.
    pub pushed: usize,
    /// Images built.
    pub built: usize,
    /// Images removed.
    pub images_removed: usize,
    /// Networks made or removed.
    pub networks: usize,
    /// Volumes made or removed.
    pub volumes: usize,
    /// Containers made that take no other's place.
    pub created: usize,
    /// Containers made that take another's place, now or by finishing an earlier run.
    pub replaced: usize,
    /// Containers that stay, and whose changes by hand are undone.
    pub repaired: usize,
    /// Containers started that were there before.
    pub started: usize,
    /// Containers stopped and started again in place.
    pub restarted: usize,
    /// Containers stopped that stay.
    pub stopped: usize,
    /// Containers that get a signal (`kill`).
    pub signalled: usize,
    /// Containers frozen.
    pub paused: usize,
    /// Frozen containers that go on.
    pub resumed: usize,
    /// Containers removed without successor.
    pub removed: usize,
    /// Containers that nothing happens to.
    pub left_alone: usize,
}

impl Counts {
    /// Counts the steps of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut counts = Self::default();
        let mut stopped: BTreeSet<&Target> = BTreeSet::new();
        let mut started: BTreeSet<&Target> = BTreeSet::new();
        let mut removed: BTreeSet<&Target> = BTreeSet::new();
        let mut repaired: BTreeSet<&Target> = BTreeSet::new();
        let (mut networks, mut volumes) = (BTreeSet::new(), BTreeSet::new());
        let mut finished = 0;
        for step in &plan.steps {
            match &step.op {
                Op::Pull { .. } => counts.pulled += 1,
                Op::Push { .. } => counts.pushed += 1,
                Op::Build { .. } => counts.built += 1,
                Op::RemoveImage { .. } => counts.images_removed += 1,
                // One that is made anew counts once.
                Op::CreateNetwork { spec } => {
                    networks.insert(&spec.name);
                }
                Op::RemoveNetwork { name, .. } => {
                    networks.insert(name);
                }
                Op::CreateVolume { spec } => {
                    volumes.insert(&spec.name);
                }
                Op::RemoveVolume { name } => {
                    volumes.insert(name);
                }
                Op::CreateContainer { spec, .. } if spec.labels.contains_key(crate::labels::HOOK) => {}
                Op::CreateContainer { replaces: None, .. } => counts.created += 1,
                Op::CreateContainer { replaces: Some(_), .. } => counts.replaced += 1,
                Op::Rename { container: Target::Existing { .. }, .. }
                    if matches!(step.because, Reason::Unfinished { .. }) =>
                {
                    finished += 1;
                }
                Op::Connect { container, .. } | Op::Disconnect { container, .. } | Op::Rename { container, .. }
                    if matches!(step.because, Reason::Drift { .. }) =>
                {
                    repaired.insert(container);
                }
                Op::Kill { .. } => counts.signalled += 1,
                Op::Pause { .. } => counts.paused += 1,
                Op::Unpause { .. } => counts.resumed += 1,
                Op::Start { container, .. } => {
                    if matches!(container, Target::Existing { .. }) {
                        started.insert(container);
                    }
                }
                Op::Restart { .. } => counts.restarted += 1,
                Op::Stop { container, .. } => {
                    stopped.insert(container);
                }
                Op::RemoveContainer { container, .. } => {
                    removed.insert(container);
                }
                _ => {}
            }
        }
        counts.networks = networks.len();
        counts.repaired = repaired.difference(&removed).count();
        counts.volumes = volumes.len();
        counts.restarted += stopped.intersection(&started).count();
        counts.stopped = stopped.difference(&started).filter(|target| !removed.contains(*target)).count();
        counts.started = started.difference(&stopped).count().saturating_sub(finished);
        counts.removed = removed.len().saturating_sub(counts.replaced);
        if finished > 0 {
            counts.removed = counts.removed.saturating_sub(finished);
            counts.replaced += finished;
        }
        counts.left_alone = plan.notes.iter().filter(|note| matches!(note, Note::LeftAlone { .. })).count();
        counts
    }
}

/// What a step does, in the words of its own data.
#[must_use]
pub fn what(op: &Op) -> String {
    match op {
        Op::Pull { platform, optional, .. } => {
            let mut parts = Vec::new();
            if !platform.is_empty() {
                parts.push(platform.clone());
            }
            if *optional {
                parts.push("may fail".to_owned());
            }
            parts.join("  ")
        }
        Op::Push { optional, .. } => {
            if *optional {
                "may fail".to_owned()
            } else {
                String::new()
            }
        }
        Op::Build { spec } => {
            let only = if spec.only_if_missing { "  if still missing" } else { "" };
            let push = if spec.push { "  push" } else { "" };
            format!("{}{only}{push}", spec.image)
        }
        Op::RemoveImage { .. } => String::new(),
        Op::CreateNetwork { spec } => join(&[spec.name.as_str(), &spec.driver]),
        Op::RemoveNetwork { name, .. } => name.to_string(),
        Op::CreateVolume { spec } => {
            let driver = if spec.driver == "local" { "" } else { &spec.driver };
            join(&[spec.name.as_str(), driver])
        }
        Op::RemoveVolume { name } => format!("{name}  with its data"),
        Op::CreateContainer { spec, .. } => create(spec),
        Op::Connect { endpoint, .. } => endpoint.network.to_string(),
        Op::Disconnect { network, .. } => network.to_string(),
        Op::CopyIn { files, .. } => files.iter().map(|file| file.target.as_str()).collect::<Vec<_>>().join(" "),
        Op::Start { container, .. } | Op::Pause { container } | Op::Unpause { container } => named(container),
        Op::Await { until, within, required, .. } => {
            let mut text = match until {
                Until::Started => "running".to_owned(),
                Until::Healthy => "healthy".to_owned(),
                Until::Completed => "ended with 0".to_owned(),
                Until::Ready { allow_exit: false } => "running or healthy".to_owned(),
                Until::Ready { allow_exit: true } => "running, healthy or ended with 0".to_owned(),
            };
            if let Some(within) = within {
                let _ = write!(text, "  within {within}");
            }
            if !required {
                text.push_str("  may fail");
            }
            text
        }
        Op::RunHook { hook, .. } => hook.command.join(" "),
        Op::FinishHook { .. } => "ended with 0, then removed".to_owned(),
        Op::Stop { container, timeout } | Op::Restart { container, timeout } => match timeout {
            Some(timeout) => join(&[&named(container), &format!("timeout {timeout}")]),
            None => named(container),
        },
        Op::Kill { container, signal } => join(&[&named(container), signal]),
        Op::RemoveContainer { container, volumes, force } => {
            let volumes = if *volumes { "with anonymous volumes" } else { "" };
            join(&[&named(container), volumes, if *force { "force" } else { "" }])
        }
        Op::Rename { to, .. } => to.to_string(),
        Op::RunProvider { provider, verb, .. } => join(&[&provider.kind, verb]),
        Op::PullModel { model, .. } => model.clone(),
        Op::ConfigureModel { model, context_size, runtime_flags, .. } => {
            let context = if *context_size > 0 { format!("context {context_size}") } else { String::new() };
            join(&[model, &context, &runtime_flags.join(" ")])
        }
    }
}

fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("  ")
}

/// The name of a container that is there; one made by the plan is known by its step.
fn named(target: &Target) -> String {
    match target {
        Target::Existing { name, .. } | Target::Named { name } => name.to_string(),
        Target::MadeBy { .. } => String::new(),
    }
}

fn create(spec: &ContainerSpec) -> String {
    let carried: Vec<&str> = spec
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Anonymous { carried: Some(_), .. } => Some(mount.target.as_str()),
            _ => None,
        })
        .collect();
    let carries = if carried.is_empty() { String::new() } else { format!("keeps volume {}", carried.join(" ")) };
    join(&[spec.name.as_str(), spec.image.as_str(), &carries])
}

/// The edges worth telling.
fn after(step: &Step, steps: &BTreeMap<&OpId, &Step>) -> String {
    // What the reason names already is not told twice.
    let told = match &step.because {
        Reason::Follows { op } => Some(op),
        _ => None,
    };
    // Implied by another edge, directly or by one more step between.
    let before = |id: &OpId| steps.get(id).into_iter().flat_map(|step| &step.after);
    let implied: BTreeSet<&OpId> =
        step.after.iter().flat_map(before).flat_map(|id| std::iter::once(id).chain(before(id))).collect();
    let list: Vec<&str> =
        step.after.iter().filter(|id| Some(*id) != told && !implied.contains(id)).map(|id| id.0.as_str()).collect();
    match list.as_slice() {
        [] => String::new(),
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("after {first}, {second}, {third} and {} more", rest.len())
        }
        list => format!("after {}", list.join(", ")),
    }
}

/// One note as a line.
#[must_use]
pub fn note(note: &Note) -> String {
    match note {
        Note::LeftAlone { what, why, .. } => format!("left alone: {what} ({why})"),
        Note::Orphans { containers } => format!(
            "note: {} {} not in the file; add --remove-orphans to remove {}",
            containers.join(", "),
            if containers.len() == 1 { "is an orphan:" } else { "are orphans:" },
            if containers.len() == 1 { "it" } else { "them" },
        ),
        Note::Unfinished { text } => format!("note: unfinished: {text}"),
        Note::Warning { text, place: Some(place) } => format!("note: {text} ({place})"),
        Note::Warning { text, place: None } => format!("note: {text}"),
        Note::Skipped { what, why } => format!("skipped: {what} ({why})"),
    }
}

fn consent(consent: &Consent) -> String {
    match consent {
        Consent::RecreateVolume { volume } => {
            format!("to confirm: volume {volume} has changed; making it anew loses its data")
        }
        Consent::RemoveVolume { volume } => format!("to confirm: volume {volume} is removed with its data"),
        Consent::RemoveContainers { containers } => format!("to confirm: {} removed", containers.join(", ")),
    }
}
