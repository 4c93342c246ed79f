//! `plan`: show what `up` would do, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use compose_planner::intent::Down;
use compose_planner::{Intent, OpId, Plan};

use crate::commands::up;
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::saved_plan::{SavedPlan, State};

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose plan                    what `compose up` would do\n  compose plan --exit-code -o FILE\n  compose apply FILE              do exactly that"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// text, json, dot or mermaid
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: String,
    /// Return 0 when there is nothing to do, 2 when there is
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Write the plan to a file, for `compose apply`
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// The plan of `down` instead
    #[arg(long)]
    pub(crate) down: bool,
    /// As `up --build`
    #[arg(long)]
    pub(crate) build: bool,
    /// As `up --no-build`
    #[arg(long)]
    pub(crate) no_build: bool,
    /// As `up --force-recreate`
    #[arg(long)]
    pub(crate) force_recreate: bool,
    /// As `up --no-recreate`
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// As `up --always-recreate-deps`
    #[arg(long)]
    pub(crate) always_recreate_deps: bool,
    /// As `up --no-deps`
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// When to pull images, instead of each service's pull_policy: always, missing, never, build
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// As `up --renew-anon-volumes`
    #[arg(short = 'V', long)]
    pub(crate) renew_anon_volumes: bool,
    /// Number of replicas of a service, instead of the file's
    #[arg(long, value_name = "SERVICE=N")]
    pub(crate) scale: Vec<String>,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
    /// As `down --volumes`
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    /// As `up --keep-jobs`
    #[arg(long)]
    pub(crate) keep_jobs: bool,
    /// As `up --rerun-jobs`
    #[arg(long)]
    pub(crate) rerun_jobs: bool,
    /// Also what was changed by hand, and what `up --repair-drift` would do about it
    #[arg(long, alias = "repair-drift")]
    pub(crate) drift: bool,
    /// As `up --wait`
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Shows the plan.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let render = match arguments.format.as_str() {
        "text" | "" => |plan: &Plan| Ok(compose_planner::text::text(plan)),
        "json" => |plan: &Plan| Ok(serde_json::to_string_pretty(plan)? + "\n"),
        "dot" => |plan: &Plan| Ok(dot(plan)),
        "mermaid" => |plan: &Plan| Ok(mermaid(plan)),
        other => bail!("unsupported format {other:?}: use text, json, dot or mermaid"),
    };
    let render: fn(&Plan) -> anyhow::Result<String> = render;
    let (mut scene, intent) = if arguments.down {
        let wanted = Wanted { networks: true, volumes: arguments.volumes, ..Wanted::CONTAINERS };
        let scene = context.scene(&arguments.services, wanted).await?;
        let (remove_orphans, ignore_orphans) =
            crate::flags::orphans(context, &scene.project, arguments.remove_orphans)?;
        let intent = Intent::Down(Down {
            services: names(&arguments.services),
            volumes: arguments.volumes,
            remove_orphans,
            ignore_orphans,
            images: None,
            timeout: crate::flags::seconds(arguments.timeout),
        });
        (scene, intent)
    } else {
        let scene = context.scene_of_files(&arguments.services, Wanted::ALL).await?;
        let intent = Intent::Up(up::intent(context, &scene.project, &as_up(arguments))?);
        (scene, intent)
    };
    let plan = crate::change::plan(context, &mut scene, &intent).await?;
    let changes = !plan.is_empty();
    let text = render(&plan)?;
    if let Some(path) = &arguments.output {
        let state = State::of(&scene.observed, scene.project.name.as_str());
        SavedPlan { plan, intent, state }.write(path)?;
    }
    context.output.data(text)?;
    Ok(if arguments.exit_code && changes { ExitStatus(2) } else { ExitStatus::SUCCESS })
}

/// The same flags, as `up` takes them.
fn as_up(arguments: &Arguments) -> up::Arguments {
    up::Arguments {
        services: arguments.services.clone(),
        build: arguments.build,
        no_build: arguments.no_build,
        force_recreate: arguments.force_recreate,
        no_recreate: arguments.no_recreate,
        always_recreate_deps: arguments.always_recreate_deps,
        no_deps: arguments.no_deps,
        pull: arguments.pull.clone(),
        remove_orphans: arguments.remove_orphans,
        renew_anon_volumes: arguments.renew_anon_volumes,
        scale: arguments.scale.clone(),
        timeout: arguments.timeout,
        keep_jobs: arguments.keep_jobs,
        rerun_jobs: arguments.rerun_jobs,
        repair_drift: arguments.drift,
        wait: arguments.wait,
        ..up::Arguments::default()
    }
}

/// The graph for graphviz.
fn dot(plan: &Plan) -> String {
    let mut out = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=monospace];\n");
    for step in &plan.steps {
        let label =
            format!("{}\n{}", step.id, step.because).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(out, "  \"{}\" [label=\"{label}\"];", step.id);
    }
    for step in &plan.steps {
        for before in &step.after {
            let _ = writeln!(out, "  \"{before}\" -> \"{}\";", step.id);
        }
    }
    out.push_str("}\n");
    out
}

/// The graph for Markdown pages.
fn mermaid(plan: &Plan) -> String {
    let numbers: BTreeMap<&OpId, usize> =
        plan.steps.iter().enumerate().map(|(index, step)| (&step.id, index)).collect();
    let mut out = String::from("graph LR\n");
    for (index, step) in plan.steps.iter().enumerate() {
        let because = step.because.to_string().replace('"', "#quot;");
        let _ = writeln!(out, "  s{index}[\"{}<br/>{because}\"]", step.id);
    }
    for (index, step) in plan.steps.iter().enumerate() {
        for before in step.after.iter().filter_map(|before| numbers.get(before)) {
            let _ = writeln!(out, "  s{before} --> s{index}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use compose_planner::plan::Step;
    use compose_planner::{Op, Reason};

    use super::*;

    fn plan() -> Plan {
        let step = |verb: &str, wave, after: &[&OpId]| Step {
            id: OpId::new(verb, "web.1"),
            wave,
            op: Op::RemoveImage { image: "x".into() },
            after: after.iter().map(|id| (*id).clone()).collect(),
            because: Reason::Requested { by: "a \"b\"".to_owned() },
            service: None,
        };
        let first = step("stop", 1, &[]);
        let second = step("remove", 2, &[&first.id]);
        Plan { steps: vec![first, second], ..Plan::default() }
    }

    #[test]
    fn graphs_have_a_node_for_each_step_and_an_edge_for_each_order() {
        insta::assert_snapshot!(format!("{}\n{}", dot(&plan()), mermaid(&plan())));
    }
}
