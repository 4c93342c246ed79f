//! Changing state: observe, plan, look closer, ask, carry out, show. Every state-changing command
//! goes through here, so that `--dry-run` does nothing by construction.

use std::collections::BTreeSet;
use std::io::Read as _;

use anyhow::Context as _;
use compose_model::Project;
use compose_model::names::ContainerId;
use compose_planner::intent::Up;
use compose_planner::observed::Container;
use compose_planner::plan::Consent;
use compose_planner::{Intent, Note, Op, Plan};
use compose_runtime::executor::{Cancellation, ExecuteOptions, Providers, Report, execute};
use compose_runtime::port::BuildOutput;
use compose_runtime::{Event, plugins};
use futures_util::StreamExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc::unbounded_channel;

use crate::content::Contents;
use crate::context::{Context, Scene};
use crate::failures;
use crate::invocation::{CommandError, ExitStatus};
use crate::output::ProgressMode;
use crate::progress::Display;
use crate::signals::Interrupts;
use crate::unfinished::Notes;

/// How a change is shown and asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// Every question is answered with "yes".
    pub(crate) yes: bool,
    /// No lines about pulling.
    pub(crate) quiet_pull: bool,
    /// No lines of builds.
    pub(crate) quiet_build: bool,
    /// Lines of builds are data (`compose build`).
    pub(crate) build_is_data: bool,
    /// The live display makes room for log lines when the first container starts.
    pub(crate) yields_to_logs: bool,
    /// The first signal already ends it at once (it was itself asked for by a signal).
    pub(crate) urgent: bool,
    /// Log lines are being printed meanwhile: single lines from the beginning.
    pub(crate) among_logs: bool,
    /// The project stays locked when it is done: the caller goes on changing it.
    pub(crate) keeps_lock: bool,
    /// What the display calls it; empty for the verb.
    pub(crate) title: String,
}

/// What a change came to.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// The last report.
    pub(crate) report: Report,
    /// The last plan.
    pub(crate) plan: Plan,
    /// A signal cut it short: what the command ends with then.
    pub(crate) interrupted: Option<ExitStatus>,
}

/// Watches a change from outside, for attached `up`.
pub(crate) trait Watcher {
    /// A plan is about to be carried out.
    fn plan(&mut self, plan: &Plan);
    /// Something happened.
    fn event(&mut self, event: &Event);
}

/// Nobody watches.
pub(crate) struct Nobody;

impl Watcher for Nobody {
    fn plan(&mut self, _plan: &Plan) {}
    fn event(&mut self, _event: &Event) {}
}

/// Plans, with old values looked up where something differs.
pub(crate) async fn plan(context: &Context<'_>, scene: &mut Scene, intent: &Intent) -> anyhow::Result<Plan> {
    let again =
        |scene: &Scene| compose_planner::plan(&scene.project, &scene.observed, intent, scene.runtime.capabilities());
    if matches!(intent, Intent::Up(up) | Intent::Create(up) if up.repair_drift) {
        inspect_all(scene).await;
    }
    let mut plan = again(scene)?;
    if read_back(context, scene, &plan).await {
        plan = again(scene)?;
    }
    if look_closer(scene, &plan).await {
        plan = again(scene)?;
    }
    Ok(plan)
}

/// Inspects every container of the project, for what was changed by hand.
pub(crate) async fn inspect_all(scene: &mut Scene) {
    let own = |container: &&Container| container.project.as_ref() == Some(&scene.project.name) && !container.one_off;
    let ids = scene.observed.containers.iter().filter(own).map(|container| container.id.clone()).collect();
    inspect(scene, ids).await;
}

/// Reads contents back that the plan would deliver once more. Whether anything was learned.
async fn read_back(context: &Context<'_>, scene: &mut Scene, plan: &Plan) -> bool {
    let mut learned = false;
    for (id, file) in compose_planner::needs_contents(plan, &scene.observed) {
        let Ok(mut archive) = scene.runtime.streams().get_archive(id.as_str(), &file.target).await else { continue };
        let mut bytes = Vec::new();
        if archive.read_to_end(&mut bytes).await.is_err() {
            continue;
        }
        let mut content = Vec::new();
        let mut entries = tar::Archive::new(bytes.as_slice());
        let Some(Ok(mut entry)) = entries.entries().ok().and_then(|mut entries| entries.next()) else { continue };
        if entry.read_to_end(&mut content).is_err() {
            continue;
        }
        let digest = crate::content::digest_of_delivered(context, &scene.project, &file.object, &content);
        let container = scene.observed.containers.iter_mut().find(|container| container.id == id);
        if let (Some(digest), Some(container)) = (digest, container) {
            container.delivered.insert(file.object.clone(), digest);
            learned = true;
        }
    }
    learned
}

/// Inspects containers that are to be replaced because something differs. Whether anything new
/// came to light; an inspection that fails only costs the old values.
async fn look_closer(scene: &mut Scene, plan: &Plan) -> bool {
    let ids = compose_planner::needs_detail(plan, &scene.observed);
    inspect(scene, ids).await
}

/// Inspects containers. Whether anything came to light.
async fn inspect(scene: &mut Scene, ids: Vec<ContainerId>) -> bool {
    let runtime = &scene.runtime;
    let details: Vec<_> = futures_util::stream::iter(ids)
        .map(|id| async move { runtime.containers().inspect(id.as_str()).await.map(|found| (id, found.detail)) })
        .buffer_unordered(8)
        .filter_map(|result| async { result.ok() })
        .collect()
        .await;
    let any = !details.is_empty();
    for (id, detail) in details {
        if let Some(container) = scene.observed.containers.iter_mut().find(|container| container.id == id) {
            container.detail = Some(Box::new(detail));
        }
    }
    any
}

/// The flags that rounds and consents are recorded in.
fn up_of(intent: &mut Intent) -> Option<&mut Up> {
    match intent {
        Intent::Up(up) | Intent::Create(up) => Some(up),
        Intent::RunOnce(run) => Some(&mut run.up),
        _ => None,
    }
}

/// Prints what a plan has to say that is no step.
pub(crate) fn print_notes(context: &Context<'_>, plan: &Plan) {
    for note in &plan.notes {
        match note {
            Note::Orphans { containers } => context.output.warning(&format!(
                "Found orphan containers ({}) for this project. If you removed or renamed this service in your compose file, \
                 you can run this command with the --remove-orphans flag to clean it up.",
                containers.join(", ")
            )),
            Note::Warning { text, place } => match place {
                Some(place) => context.output.warning(&format!("{text} ({place})")),
                None => context.output.warning(text),
            },
            Note::Unfinished { text } => context.output.warning(text),
            Note::LeftAlone { .. } | Note::Skipped { .. } => {}
        }
    }
}

/// Asks a yes-or-no question; without a person at a terminal the answer is no.
pub(crate) fn ask(context: &Context<'_>, question: &str) -> anyhow::Result<bool> {
    context.output.data(format!("{question} [yN] "))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    if !context.output.can_ask() {
        context.output.line("")?;
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Carries out what is asked for, in as many rounds as it needs.
///
/// # Errors
/// The request cannot be planned, or steps of it failed; the message names every cause.
pub(crate) async fn carry_out(
    context: &Context<'_>,
    scene: &mut Scene,
    mut intent: Intent,
    manner: &Manner,
    interrupts: &mut Interrupts,
    watcher: &mut dyn Watcher,
) -> anyhow::Result<Changed> {
    let title = if manner.title.is_empty() { intent.verb().to_owned() } else { manner.title.clone() };
    let mut display = Display::new(context.output, &title, context.options.dry_run);
    display.quiet_pull = manner.quiet_pull;
    display.quiet_build = manner.quiet_build;
    display.build_is_data = manner.build_is_data;
    display.urgent = manner.urgent;
    if manner.among_logs {
        display.stay_among_logs();
    }
    display.yields_to_logs = manner.yields_to_logs;
    let mut plan = plan(context, scene, &intent).await?;
    crate::ownership::check(context, scene, &plan)?;
    if !context.options.dry_run && agree_to_volumes(context, &plan, &mut intent, manner.yes)? {
        plan = self::plan(context, scene, &intent).await?;
    }
    print_notes(context, &plan);
    // `watch` has said so before it built the first time.
    let builds = !manner.among_logs && plan.steps.iter().any(|step| matches!(step.op, Op::Build { .. }));
    if let Some(caution) = scene.runtime.builder().filter(|_| builds).and_then(|builder| builder.caution()) {
        context.output.warning(&caution);
    }
    if context.options.dry_run {
        display.pretend(&plan);
        if plan.replan_after_images
            && let Some(up) = up_of(&mut intent)
        {
            up.images_ready = true;
            plan = self::plan(context, scene, &intent).await?;
            display.pretend(&plan);
        }
        display.finish();
        return Ok(Changed { plan, ..Changed::default() });
    }
    let mut changed = round(context, scene, plan, &mut display, interrupts, watcher).await?;
    if changed.plan.replan_after_images && changed.interrupted.is_none() && changed.report.failed.is_empty() {
        if let Some(up) = up_of(&mut intent) {
            up.images_ready = true;
        }
        context.look_again(scene).await?;
        let plan = self::plan(context, scene, &intent).await?;
        print_notes(context, &plan);
        changed = round(context, scene, plan, &mut display, interrupts, watcher).await?;
    }
    display.finish();
    if !manner.keeps_lock {
        scene.lock = None;
    }
    if !changed.report.failed.is_empty() {
        let message = failures::of_report(&changed.report);
        return Err(CommandError { status: ExitStatus::FAILURE, message }.into());
    }
    Ok(changed)
}

/// Carries out a plan that was made before.
pub(crate) async fn carry_out_plan(
    context: &Context<'_>,
    scene: &mut Scene,
    plan: Plan,
    manner: &Manner,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Changed> {
    for consent in &plan.consents {
        if let Consent::RecreateVolume { volume } = consent {
            context.output.warning(&format!("volume {volume} differs from the file and is left as it is"));
        }
    }
    let mut display = Display::new(context.output, &plan.verb, context.options.dry_run);
    display.quiet_pull = manner.quiet_pull;
    print_notes(context, &plan);
    if context.options.dry_run {
        display.pretend(&plan);
        display.finish();
        return Ok(Changed { plan, ..Changed::default() });
    }
    let changed = round(context, scene, plan, &mut display, interrupts, &mut Nobody).await?;
    display.finish();
    scene.lock = None;
    if !changed.report.failed.is_empty() {
        let message = failures::of_report(&changed.report);
        return Err(CommandError { status: ExitStatus::FAILURE, message }.into());
    }
    Ok(changed)
}

/// Carries out one plan.
async fn round(
    context: &Context<'_>,
    scene: &Scene,
    plan: Plan,
    display: &mut Display<'_>,
    interrupts: &mut Interrupts,
    watcher: &mut dyn Watcher,
) -> anyhow::Result<Changed> {
    let violations = compose_planner::check(&plan, &scene.observed);
    if !violations.is_empty() {
        let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
        anyhow::bail!(
            "the plan breaks its own rules, which is a fault of this program; nothing was done:\n  {}",
            list.join("\n  ")
        );
    }
    watcher.plan(&plan);
    display.begin(&plan);
    if plan.is_empty() {
        return Ok(Changed { plan, ..Changed::default() });
    }
    let contents = Contents::new(scene.project.environment.clone());
    let cancellation = Cancellation::default();
    let options = ExecuteOptions {
        parallel: parallel(context)?,
        providers: providers(context, &scene.project),
        build_output: match context.output.progress() {
            ProgressMode::Json => BuildOutput::Json,
            _ => BuildOutput::Plain,
        },
        ..ExecuteOptions::default()
    };
    let notes = Notes::of(&plan, &scene.project);
    let note = |event: &Event| scene.lock.iter().for_each(|lock| notes.event(event, lock));
    let (sender, mut events) = unbounded_channel();
    let (mut signals, mut interrupted) = (0, None);
    let urgent = display.urgent;
    let report = {
        let work = execute(&plan, scene.runtime.as_ref(), &contents, &options, &cancellation, &sender);
        tokio::pin!(work);
        let mut pace = tokio::time::interval(Display::pace());
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => {
                    note(&event);
                    display.event(&event);
                    watcher.event(&event);
                }
                report = &mut work => break report,
                signal = interrupts.next() => {
                    signals += 1;
                    interrupted = Some(match signal {
                        "SIGHUP" => ExitStatus::HUNG_UP,
                        _ => ExitStatus::INTERRUPTED,
                    });
                    if signals == 1 && !urgent {
                        cancellation.gentle.cancel();
                        display.note("Stopping after the steps that are under way ... (again to stop at once)");
                    } else {
                        cancellation.at_once.cancel();
                    }
                }
                _ = pace.tick(), if display.is_live() => display.draw(),
            }
        }
    };
    while let Ok(event) = events.try_recv() {
        note(&event);
        display.event(&event);
        watcher.event(&event);
    }
    Ok(Changed { report, plan, interrupted })
}

/// Asks about volumes whose definition changed. Whether the plan has to be made anew.
fn agree_to_volumes(context: &Context<'_>, plan: &Plan, intent: &mut Intent, yes: bool) -> anyhow::Result<bool> {
    let mut agreed = BTreeSet::new();
    for consent in &plan.consents {
        if let Consent::RecreateVolume { volume } = consent {
            let question = format!(
                "Volume {volume:?} exists but doesn't match configuration in compose file. Recreate (data will be lost)?"
            );
            if yes || ask(context, &question)? {
                agreed.insert(volume.clone());
            }
        }
    }
    if agreed.is_empty() {
        return Ok(false);
    }
    if let Some(up) = up_of(intent) {
        up.consent_volumes.extend(agreed);
    }
    Ok(true)
}

/// `--parallel`, else `COMPOSE_PARALLEL_LIMIT`; `None` for the engine's own limits.
pub(crate) fn parallel(context: &Context<'_>) -> anyhow::Result<Option<usize>> {
    let wanted = match (context.options.parallel, context.environment.get("COMPOSE_PARALLEL_LIMIT")) {
        (Some(wanted), _) => wanted,
        (None, Some(text)) => {
            text.parse().map_err(|_| anyhow::anyhow!("COMPOSE_PARALLEL_LIMIT must be an integer (found: {text:?})"))?
        }
        (None, None) => return Ok(None),
    };
    Ok(usize::try_from(wanted).ok().filter(|wanted| *wanted > 0))
}

/// What the programs of providers and the Docker Model plugin need.
pub(crate) fn providers(context: &Context<'_>, project: &Project) -> Providers {
    Providers {
        plugin_directories: plugins::directories(&context.environment.docker_configuration()),
        environment: project.environment.clone(),
        working_directory: project.working_directory.clone().into(),
    }
}
