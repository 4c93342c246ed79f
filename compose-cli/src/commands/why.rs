//! `why`: explain why containers equal or differ from the file.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use compose_planner::intent::Up;
use compose_planner::{Intent, Note, Op, Plan, Reason, Target};
use serde_json::json;

use crate::context::{Context, Scene, Wanted, names};
use crate::invocation::ExitStatus;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose why web")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: String,
}

/// What is to be told of one container.
struct Answer {
    container: String,
    service: String,
    equal: bool,
    because: Vec<String>,
}

/// Explains.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    if !matches!(arguments.format.as_str(), "" | "text" | "json") {
        bail!("unsupported format {:?}: use text or json", arguments.format);
    }
    let mut scene = context.scene_of_files(&arguments.services, Wanted::ALL).await?;
    let intent = Intent::Up(Up {
        services: names(&arguments.services),
        ignore_orphans: true,
        now: Some(crate::time_format::now().as_second()),
        ..Up::default()
    });
    let plan = crate::change::plan(&mut scene, &intent).await?;
    let answers = answers(&scene, &plan, &arguments.services);
    if arguments.format == "json" {
        let all: Vec<_> = answers
            .iter()
            .map(|answer| {
                json!({
                    "container": answer.container, "service": answer.service, "equal": answer.equal, "because": answer.because
                })
            })
            .collect();
        context.output.line(serde_json::to_string_pretty(&all)?)?;
        return Ok(ExitStatus::SUCCESS);
    }
    let mut out = String::new();
    for answer in &answers {
        let verdict = if answer.equal { "equals the file" } else { "differs from the file" };
        let _ = writeln!(out, "{}  {verdict}", answer.container);
        for because in &answer.because {
            let _ = writeln!(out, "  {because}");
        }
    }
    if answers.is_empty() {
        out.push_str("no container of these services is there; `compose up` would create them\n");
    }
    context.output.data(out)?;
    Ok(ExitStatus::SUCCESS)
}

fn answers(scene: &Scene, plan: &Plan, services: &[String]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for container in &scene.observed.containers {
        let own =
            container.project.as_ref() == Some(&scene.project.name) && !container.one_off && container.hook.is_none();
        if !own || !(services.is_empty() || services.iter().any(|name| name == container.service.as_str())) {
            continue;
        }
        let mut because = Vec::new();
        let mut equal = true;
        for step in &plan.steps {
            let about = match &step.op {
                Op::CreateContainer { replaces: Some(Target::Existing { id, .. }), .. } => *id == container.id,
                Op::Start { container: Target::Existing { id, .. }, .. }
                | Op::Connect { container: Target::Existing { id, .. }, .. }
                | Op::Restart { container: Target::Existing { id, .. }, .. } => *id == container.id,
                Op::RemoveContainer { container: Target::Existing { id, .. }, .. } => {
                    *id == container.id && step.because != Reason::Replaced
                }
                _ => false,
            };
            if !about {
                continue;
            }
            equal &= matches!(step.because, Reason::NotRunning { .. });
            match &step.because {
                Reason::Changed { changes } if !changes.is_empty() => {
                    because.extend(changes.iter().map(ToString::to_string));
                }
                other => because.push(other.to_string()),
            }
        }
        for note in &plan.notes {
            if let Note::LeftAlone { container: name, why, .. } = note
                && name == container.name.as_str()
            {
                because.push(why.clone());
            }
        }
        if !container.config_hash.is_empty() {
            let short = container.config_hash.get(..12).unwrap_or(&container.config_hash);
            because.push(format!("recorded definition {short}, image {}", container.image_id));
        }
        because.dedup();
        answers.push(Answer {
            container: container.name.to_string(),
            service: container.service.to_string(),
            equal,
            because,
        });
    }
    answers.sort_by(|a, b| a.container.cmp(&b.container));
    answers
}
