//! `why`: explain why containers equal or differ from the file.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use compose_planner::intent::Up;
use compose_planner::{Explanation, Intent, Note, Op, Plan, Reason, Target};
use serde::Serialize;

use crate::context::{Context, Scene, Wanted, names};
use crate::invocation::ExitStatus;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose why web                 recorded, wanted and actual values of what differs\n  compose why --format json"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: String,
}

/// Explains.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    if !matches!(arguments.format.as_str(), "" | "text" | "json") {
        bail!("unsupported format {:?}: use text or json", arguments.format);
    }
    let mut scene = context.scene_of_files(&arguments.services, Wanted::ALL).await?;
    crate::change::inspect_all(&mut scene).await;
    let intent = Intent::Up(Up {
        services: names(&arguments.services),
        ignore_orphans: true,
        now: Some(crate::time_format::now().as_second()),
        ..Up::default()
    });
    let plan = crate::change::plan(context, &mut scene, &intent).await?;
    let explanations =
        compose_planner::explain(&scene.project, &scene.observed, scene.runtime.capabilities()).into_iter();
    let asked = |name: &str| arguments.services.is_empty() || arguments.services.iter().any(|asked| asked == name);
    let answers: Vec<Answer> = explanations
        .filter(|explanation| asked(explanation.service.as_str()))
        .map(|explanation| answer(&scene, &plan, explanation))
        .collect();
    if arguments.format == "json" {
        context.output.line(serde_json::to_string_pretty(&answers)?)?;
        return Ok(ExitStatus::SUCCESS);
    }
    let mut out = String::new();
    for answer in &answers {
        write(&mut out, answer);
    }
    if answers.is_empty() {
        out.push_str("no container of these services is there; `compose up` would create them\n");
    }
    context.output.data(out)?;
    Ok(ExitStatus::SUCCESS)
}

/// What is told of one container.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    explanation: Explanation,
    /// Whether there is nothing to tell.
    equal: bool,
    /// What `up` would do, and why.
    up: Vec<String>,
    /// Digest of the recorded definition.
    recorded_definition: String,
    /// The image in use.
    image: String,
    /// Its state, in the engine's words.
    state: String,
}

fn answer(scene: &Scene, plan: &Plan, explanation: Explanation) -> Answer {
    let container = scene.observed.containers.iter().find(|container| container.name == explanation.container);
    let mut up = Vec::new();
    for step in &plan.steps {
        let (what, target) = match &step.op {
            Op::CreateContainer { replaces: Some(target), .. } => ("replace it", target),
            Op::Start { container, .. } => ("start it", container),
            Op::Connect { container, .. } => ("connect it", container),
            Op::Kill { container, .. } => ("signal it", container),
            Op::Stop { container, .. } => ("stop it", container),
            Op::RemoveContainer { container, .. } => ("remove it", container),
            _ => continue,
        };
        let about = matches!((target, container), (Target::Existing { id, .. }, Some(own)) if *id == own.id);
        if about && step.because != Reason::Replaced {
            up.push(format!("`up` would {what}: {}", step.because));
        }
    }
    if up.is_empty() {
        for note in &plan.notes {
            if let Note::LeftAlone { container, why, .. } = note
                && container == explanation.container.as_str()
            {
                up.push(format!("`up` would leave it alone: {why}"));
            }
        }
    }
    Answer {
        equal: explanation.same_definition && explanation.rows.is_empty(),
        up,
        recorded_definition: container.map(|container| container.config_hash.clone()).unwrap_or_default(),
        image: container.map(|container| container.image_id.to_string()).unwrap_or_default(),
        state: container.map(|container| container.status.clone()).unwrap_or_default(),
        explanation,
    }
}

fn write(out: &mut String, answer: &Answer) {
    let Explanation { container, same_definition, rows, .. } = &answer.explanation;
    let verdict = match (answer.equal, same_definition) {
        (true, _) => "equals the file",
        (false, true) => "was made from this definition, but differs from it",
        (false, false) => "was made from another definition",
    };
    let _ = writeln!(out, "{container}  {verdict}");
    if !rows.is_empty() {
        let mut table = vec![["ATTRIBUTE", "RECORDED", "WANTED", "ACTUAL", ""].map(str::to_owned)];
        table.extend(rows.iter().map(|row| {
            let value = |value: &Option<String>| value.as_ref().map_or_else(|| "-".to_owned(), |text| shorten(text));
            let wanted = match &row.place {
                Some(place) => format!("{} ({place})", value(&row.wanted)),
                None => value(&row.wanted),
            };
            let cause = if row.by_hand { "changed by hand" } else { "changed in the file" };
            [row.attribute.clone(), value(&row.recorded), wanted, value(&row.actual), cause.to_owned()]
        }));
        let widths: Vec<usize> =
            (0..4).map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
        for row in &table {
            let mut line = String::from("  ");
            for (text, width) in row.iter().zip(widths.iter().chain([&0])) {
                let _ = write!(line, "{text:width$}  ");
            }
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    for line in &answer.up {
        let _ = writeln!(out, "  {line}");
    }
    let short = answer.recorded_definition.get(..12).unwrap_or(&answer.recorded_definition);
    let _ = writeln!(out, "  recorded definition {short}, image {}, {}", answer.image, answer.state);
}

/// Long values would break the table.
fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let one_line = text.replace('\n', "\\n");
    match one_line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", one_line.get(..end).unwrap_or_default()),
        None => one_line,
    }
}
