//! Which resource a step is about, and the words of the reference for it.

use std::collections::{BTreeMap, BTreeSet};

use compose_planner::op::Until;
use compose_planner::plan::Step;
use compose_planner::{Op, OpId, Plan, Reason, Target};

/// What a step looks like to the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wording {
    /// `Container shop-web-1`.
    pub(crate) resource: String,
    /// `Creating`; empty for a step that is not shown by itself.
    pub(crate) working: &'static str,
    /// `Created`; empty where nothing is said at the end.
    pub(crate) done: &'static str,
    /// Why, for the live display; empty where it says nothing new.
    pub(crate) reason: String,
    /// What the live display shows beside the resource while a silent step works on it.
    pub(crate) detail: String,
    /// What it says is told line by line.
    pub(crate) speaks: bool,
    /// A removal without a stop before it: the reference tells of both, whatever state it found.
    pub(crate) tells_stop: bool,
}

/// The wording of every step of a plan.
pub(crate) fn of_plan(plan: &Plan) -> BTreeMap<OpId, Wording> {
    // A replacement is made under a temporary name and told under its final one.
    let renamed: BTreeMap<&OpId, &str> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.op {
            Op::Rename { container: Target::MadeBy { op, .. }, to } => Some((op, to.as_str())),
            _ => None,
        })
        .collect();
    let stopped: BTreeSet<&Target> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.op {
            Op::Stop { container, .. } => Some(container),
            _ => None,
        })
        .collect();
    let wording = |step: &Step| {
        let tells_stop = match &step.op {
            Op::RemoveContainer { container, .. } => {
                let down =
                    step.because == Reason::Orphan || step.because == Reason::Requested { by: "down".to_owned() };
                down && !stopped.contains(container)
            }
            _ => false,
        };
        let speaks = matches!(step.op, Op::RunProvider { .. });
        Wording { tells_stop, speaks, ..of_step(&step.id, &step.op, &step.because, &renamed) }
    };
    plan.steps.iter().map(|step| (step.id.clone(), wording(step))).collect()
}

fn of_step(id: &OpId, op: &Op, because: &Reason, renamed: &BTreeMap<&OpId, &str>) -> Wording {
    let named = |target: &Target| {
        let name = match target {
            Target::MadeBy { op, name } => renamed.get(op).copied().unwrap_or(name.as_str()),
            other => other.name().as_str(),
        };
        format!("Container {name}")
    };
    let loud = |resource: String, working, done| Wording {
        resource,
        working,
        done,
        reason: told(because),
        ..Wording::default()
    };
    let silent = |resource: String, detail: &str| Wording { resource, detail: detail.to_owned(), ..Wording::default() };
    match op {
        Op::Pull { image, .. } => loud(format!("Image {image}"), "Pulling", "Pulled"),
        Op::Push { image, .. } => loud(format!("Image {image}"), "Pushing", "Pushed"),
        Op::Build { spec } => loud(format!("Image {}", spec.image), "Building", "Built"),
        Op::RemoveImage { image } => loud(format!("Image {}", with_tag(image.as_str())), "Removing", "Removed"),
        Op::CreateNetwork { spec } => loud(format!("Network {}", spec.name), "Creating", "Created"),
        Op::RemoveNetwork { name, .. } => loud(format!("Network {name}"), "Removing", "Removed"),
        Op::CreateVolume { spec } => loud(format!("Volume {}", spec.name), "Creating", "Created"),
        Op::RemoveVolume { name } => loud(format!("Volume {name}"), "Removing", "Removed"),
        Op::CreateContainer { spec, replaces: None } => loud(format!("Container {}", spec.name), "Creating", "Created"),
        Op::CreateContainer { spec, replaces: Some(old) } => match renamed.get(id) {
            Some(name) => loud(format!("Container {name}"), "Recreate", ""),
            None => loud(
                if spec.name.as_str().is_empty() { named(old) } else { format!("Container {}", spec.name) },
                "Recreate",
                "Recreated",
            ),
        },
        Op::Rename { container, to } => {
            let _ = container;
            Wording {
                resource: format!("Container {to}"),
                done: "Recreated",
                detail: "taking its name".to_owned(),
                ..Wording::default()
            }
        }
        Op::Connect { container, endpoint } => silent(named(container), &format!("connecting to {}", endpoint.network)),
        Op::Disconnect { container, network } => silent(named(container), &format!("leaving {network}")),
        Op::CopyIn { container, files } => silent(named(container), &format!("copying {} files in", files.len())),
        Op::Start { container, .. } => loud(named(container), "Starting", "Started"),
        Op::Await { container, until, .. } => loud(
            named(container),
            "Waiting",
            match until {
                Until::Started => "Started",
                Until::Healthy | Until::Ready { .. } => "Healthy",
                Until::Completed => "Exited",
            },
        ),
        Op::RunHook { container, hook, .. } => silent(named(container), &format!("{} hook", hook.moment)),
        Op::FinishHook { container, .. } => silent(named(container), "pre_start hook"),
        Op::Stop { container, .. } if *because == Reason::Replaced => silent(named(container), "stopping the old one"),
        Op::RemoveContainer { container, .. } if *because == Reason::Replaced => {
            silent(named(container), "removing the old one")
        }
        Op::Stop { container, .. } => loud(named(container), "Stopping", "Stopped"),
        Op::Restart { container, .. } => loud(named(container), "Restarting", "Started"),
        Op::Kill { container, .. } => loud(named(container), "Killing", "Killed"),
        Op::Pause { container } => loud(named(container), "", "Paused"),
        Op::Unpause { container } => loud(named(container), "", "Unpaused"),
        Op::RemoveContainer { container, .. } => loud(named(container), "Removing", "Removed"),
        Op::PullModel { name, .. } => loud(name.clone(), "Pulling", "Pulled"),
        Op::ConfigureModel { name, .. } => loud(name.clone(), "Configuring", "Configured"),
        Op::RunProvider { service, verb, .. } => {
            let (working, done) = match verb.as_str() {
                "up" => ("Creating", "Created"),
                "down" => ("Removing", "Removed"),
                _ => ("Stopping", "Stopped"),
            };
            loud(service.to_string(), working, done)
        }
    }
}

/// The name with the tag that it means.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Reasons that tell the user something beyond the verb.
fn told(because: &Reason) -> String {
    match because {
        Reason::Missing
        | Reason::Follows { .. }
        | Reason::Replaced
        | Reason::FinishReplace
        | Reason::Wait
        | Reason::Requested { .. } => String::new(),
        other => other.to_string(),
    }
}
