//! `up`: make the project as the file says, start it, and follow its output.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use compose_model::Project;
use compose_model::names::ServiceName;
use compose_planner::intent::{Kill, Recreate, Stop, Up};
use compose_planner::{Intent, Note, Op, OpId, Plan, Target};
use compose_runtime::Event;
use compose_runtime::event::{Completion, Progress};
use compose_runtime::port::LogOptions;

use crate::change::{Manner, Nobody, Watcher, carry_out};
use crate::context::{Context, Scene, Wanted, names};
use crate::follow::{Audience, Follower, Notice};
use crate::invocation::ExitStatus;
use crate::log_view::{LogStyle, short_name};
use crate::menu::{Choice, Menu};
use crate::output::ProgressMode;
use crate::progress::board::{Line, Status};
use crate::progress::{LogsTurn, wording};
use crate::signals::Interrupts;
use crate::watching::{WatchOptions, Watching};

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose up                      start everything and follow its output\n  compose up -d web               start web and what it depends on, in the background\n  compose up -d --scale web=3     with three replicas of web\n  compose up --wait               return when everything is healthy"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Start in the background and return
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Stop everything as soon as one container ends, and return its exit code
    #[arg(long)]
    pub(crate) abort_on_container_exit: bool,
    /// Stop everything as soon as one container fails, and return its exit code
    #[arg(long)]
    pub(crate) abort_on_container_failure: bool,
    /// Return the exit code of this service (implies --abort-on-container-exit)
    #[arg(long, value_name = "SERVICE")]
    pub(crate) exit_code_from: Option<String>,
    /// Replace containers of dependencies even if nothing changed
    #[arg(long)]
    pub(crate) always_recreate_deps: bool,
    /// Replace containers even if nothing changed
    #[arg(long)]
    pub(crate) force_recreate: bool,
    /// Keep containers even if something changed
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// Leave dependencies alone
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Show only the output of this service
    #[arg(long, value_name = "SERVICE")]
    pub(crate) attach: Vec<String>,
    /// Do not show the output of this service
    #[arg(long, value_name = "SERVICE")]
    pub(crate) no_attach: Vec<String>,
    /// Also show the output of dependencies
    #[arg(long)]
    pub(crate) attach_dependencies: bool,
    /// Build images first
    #[arg(long)]
    pub(crate) build: bool,
    /// Do not build images, even if they are missing
    #[arg(long)]
    pub(crate) no_build: bool,
    /// When to pull images, instead of each service's policy: always, missing, never, build [default: policy]
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Pull without progress
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Build without progress
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Create everything and start nothing
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Give replaced containers fresh anonymous volumes
    #[arg(short = 'V', long)]
    pub(crate) renew_anon_volumes: bool,
    /// Number of replicas of a service, instead of the file's
    #[arg(long, value_name = "SERVICE=N")]
    pub(crate) scale: Vec<String>,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
    /// Show the time of each line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Output without colour
    #[arg(long)]
    pub(crate) no_color: bool,
    /// Output without the container's name before each line
    #[arg(long)]
    pub(crate) no_log_prefix: bool,
    /// Start in the background and wait until everything runs or is healthy
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait of --wait
    #[arg(long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) wait_timeout: Option<i64>,
    /// Also watch the sources and act on changes
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
    /// Show a menu of keys while attached
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::args::boolean)]
    pub(crate) menu: Option<bool>,
    /// Leave services alone that others wait to complete, where they completed before and nothing changed
    #[arg(long)]
    pub(crate) keep_jobs: bool,
    /// Undo what was changed on containers by hand
    #[arg(long)]
    pub(crate) repair_drift: bool,
    /// Run services that others wait to complete again, even if they completed before
    #[arg(long)]
    pub(crate) rerun_jobs: bool,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}

/// Checks flags that contradict each other, in the reference's words.
fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let stops = arguments.abort_on_container_exit || arguments.exit_code_from.is_some();
    if stops && arguments.abort_on_container_failure {
        bail!("--abort-on-container-failure cannot be combined with --abort-on-container-exit");
    }
    let attaching = arguments.attach_dependencies || !arguments.attach.is_empty();
    if arguments.wait && (attaching || stops || arguments.abort_on_container_failure || arguments.watch) {
        bail!(
            "--wait cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, \
             --attach-dependencies or --watch"
        );
    }
    if arguments.detach && (attaching || stops || arguments.abort_on_container_failure || arguments.watch) {
        bail!(
            "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, \
             --attach-dependencies or --watch"
        );
    }
    if arguments.renew_anon_volumes && arguments.no_recreate {
        bail!("--no-recreate and --renew-anon-volumes are incompatible");
    }
    if arguments.always_recreate_deps && arguments.no_recreate {
        bail!("--always-recreate-deps and --no-recreate are incompatible");
    }
    if arguments.no_build && arguments.watch {
        bail!("--no-build and --watch are incompatible");
    }
    Ok(())
}

/// What the arguments ask of the planner.
pub(crate) fn intent(context: &Context<'_>, project: &Project, arguments: &Arguments) -> anyhow::Result<Up> {
    let recreate = crate::flags::recreate(arguments.force_recreate, arguments.no_recreate)?;
    let (remove_orphans, ignore_orphans) = crate::flags::orphans(context, project, arguments.remove_orphans)?;
    Ok(Up {
        services: names(&arguments.services),
        no_dependencies: arguments.no_deps,
        recreate,
        recreate_dependencies: match recreate {
            _ if arguments.always_recreate_deps => Recreate::Force,
            Recreate::Never => Recreate::Never,
            _ => Recreate::Diverged,
        },
        build: crate::flags::build_policy(arguments.build, arguments.no_build)?,
        pull: crate::flags::pull_policy(arguments.pull.as_deref())?,
        remove_orphans,
        ignore_orphans,
        renew_anonymous_volumes: arguments.renew_anon_volumes,
        scale: crate::flags::scale(project, &arguments.scale)?,
        timeout: crate::flags::seconds(arguments.timeout),
        wait: arguments.wait,
        wait_timeout: crate::flags::seconds(arguments.wait_timeout),
        rerun_jobs: arguments.rerun_jobs,
        keep_completed_jobs: arguments.keep_jobs || crate::flags::is_true(context, project, "COMPOSE_KEEP_JOBS"),
        repair_drift: arguments.repair_drift,
        all_resources: context.options.all_resources,
        now: Some(crate::time_format::now().as_second()),
        ..Up::default()
    })
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    check(arguments)?;
    crate::flags::recreate(arguments.force_recreate, arguments.no_recreate)?;
    crate::flags::build_policy(arguments.build, arguments.no_build)?;
    crate::flags::pull_policy(arguments.pull.as_deref())?;
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene_of_files(&arguments.services, Wanted::ALL.to("up")).await?;
    if let Some(service) = &arguments.exit_code_from
        && !scene.project.services.contains_key(service.as_str())
    {
        bail!("no such service: {service}: not found");
    }
    if !scene.project.jobs.is_empty() {
        let jobs: Vec<&str> = scene.project.jobs.keys().map(ServiceName::as_str).collect();
        context.output.warning(&format!(
            "jobs are not started by up; trigger them with `docker compose run`: {}",
            jobs.join(", ")
        ));
    }
    let up = intent(context, &scene.project, arguments)?;
    let manner = Manner {
        yes: arguments.yes,
        quiet_pull: arguments.quiet_pull,
        quiet_build: arguments.quiet_build,
        ..Manner::default()
    };
    let detached = arguments.detach || up.wait || arguments.no_start || context.options.dry_run;
    if detached {
        // What is attached to cannot be shown without being done: the reference ends here too.
        let in_front = context.options.dry_run && !(arguments.detach || up.wait || arguments.no_start);
        let intent = if arguments.no_start || in_front { Intent::Create(up) } else { Intent::Up(up) };
        let changed = carry_out(context, &mut scene, intent, &manner, &mut interrupts, &mut Nobody).await?;
        let restarts = scene.project.services.values().any(|service| !matches!(service.restart.as_str(), "" | "no"));
        if restarts && scene.runtime.describe().engine == "containerd" {
            crate::service_unit::hint(context, &crate::engine::containerd_settings(context)?);
        }
        if in_front {
            context.output.line("end of 'compose up' output, interactive run is not supported in dry-run mode")?;
        }
        return Ok(changed.interrupted.unwrap_or_default());
    }
    let shown = shown_services(&scene.project, arguments)?;
    // Before anything is built, so that a change meanwhile is acted on.
    let options = watch_options(context, &scene, arguments, &up);
    let mut watching = match arguments.watch {
        true => Some(Watching::begin(context, &scene.project, options.clone())?),
        false => None,
    };
    let mut attached = Attached::begin(context, &scene, arguments, shown).await?;
    let manner = Manner { yields_to_logs: true, ..manner };
    let result = carry_out(context, &mut scene, Intent::Up(up), &manner, &mut interrupts, &mut attached).await;
    attached.open();
    let changed = match result {
        Ok(changed) => changed,
        Err(error) => {
            attached.follower.finish_soon().await;
            return Err(error);
        }
    };
    attached.follower.seal(attached.started);
    if changed.interrupted == Some(ExitStatus::HUNG_UP) {
        // The terminal has gone, and nobody asked for an end: what was started goes on.
        return Ok(ExitStatus::HUNG_UP);
    }
    if changed.interrupted.is_some() {
        return attached.stop(context, &mut scene, &mut interrupts, arguments, None).await;
    }
    if let Some(watching) = &mut watching {
        scene.lock = None;
        watching.initial_sync(context, &mut scene, None).await?;
        watching.say(context, "Watch enabled")?;
    }
    let mut menu = match wants_menu(context, &scene.project, arguments) {
        true => Menu::open(context.output.colour_on_stdout(), watching.is_some())?,
        false => None,
    };
    loop {
        let choice = async {
            match &mut menu {
                Some(menu) => menu.choice().await,
                None => std::future::pending().await,
            }
        };
        let batch = async {
            match &mut watching {
                Some(watching) => watching.batch().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            notice = attached.follower.notices.recv() => match notice {
                Some(Notice::Exited { service, code, .. }) => {
                    attached.ended.push((service, code));
                    let failed = arguments.abort_on_container_failure && code != 0;
                    if failed || arguments.abort_on_container_exit || arguments.exit_code_from.is_some() {
                        return attached.stop(context, &mut scene, &mut interrupts, arguments, Some(code)).await;
                    }
                }
                // Told while containers were being replaced, it is out of date.
                Some(Notice::AllEnded) if watching.is_some() && attached.runs(&mut scene).await? => {}
                Some(Notice::AllEnded) | None => {
                    attached.follower.finish().await?;
                    return Ok(ExitStatus::SUCCESS);
                }
            },
            batch = batch => {
                let Some(watching) = &mut watching else { continue };
                if watching.act(context, &mut scene, batch?, &mut interrupts, &mut attached).await? {
                    return attached.stop(context, &mut scene, &mut interrupts, arguments, None).await;
                }
            }
            choice = choice => match choice? {
                Choice::Detach => {
                    drop(menu);
                    attached.follower.finish_soon().await;
                    return Ok(ExitStatus::SUCCESS);
                }
                Choice::Watch if watching.take().is_some() => {
                    context.output.line(format!("{}Watch disabled", options.prefix))?;
                    if let Some(menu) = &mut menu {
                        menu.set_watching(false);
                    }
                }
                Choice::Watch => match Watching::begin(context, &scene.project, options.clone()) {
                    Ok(mut begun) => {
                        scene.lock = None;
                        begun.initial_sync(context, &mut scene, None).await?;
                        begun.say(context, "Watch enabled")?;
                        watching = Some(begun);
                        if let Some(menu) = &mut menu {
                            menu.set_watching(true);
                        }
                    }
                    Err(error) => {
                        if let Some(menu) = &mut menu {
                            menu.remark(&format!("{error:#}"));
                        }
                    }
                },
            },
            signal = interrupts.next() => {
                drop(menu);
                if signal == "SIGHUP" {
                    // As above.
                    return Ok(ExitStatus::HUNG_UP);
                }
                return attached.stop(context, &mut scene, &mut interrupts, arguments, None).await;
            }
        }
    }
}

/// Whether keys are listened to: asked for, and somebody sits there.
fn wants_menu(context: &Context<'_>, project: &Project, arguments: &Arguments) -> bool {
    let wanted = arguments.menu.unwrap_or_else(|| crate::flags::is_true(context, project, "COMPOSE_MENU"));
    let output = context.output;
    wanted && output.stdout_is_terminal() && !output.no_control_characters()
}

/// How the sources are watched while `up` is attached.
fn watch_options(context: &Context<'_>, scene: &Scene, arguments: &Arguments, up: &Up) -> WatchOptions {
    let (on, off) =
        if context.output.colour_on_stdout() && !arguments.no_color { ("\u{1b}[92m", "\u{1b}[0m") } else { ("", "") };
    WatchOptions {
        prune: true,
        quiet: arguments.quiet_build,
        builder: scene.project.environment.get("BUILDX_BUILDER").cloned().unwrap_or_default(),
        scale: up.scale.clone(),
        prefix: format!("{on}        ⦿ {off}"),
    }
}

/// Services whose output is shown.
fn shown_services(project: &Project, arguments: &Arguments) -> anyhow::Result<Vec<ServiceName>> {
    let selected = with_dependencies(project, &arguments.services);
    for service in &arguments.attach {
        if !selected.contains(service.as_str()) {
            bail!("cannot attach to services not included in up: {service}");
        }
    }
    let mut shown: BTreeSet<ServiceName> = if !arguments.attach.is_empty() {
        names(&arguments.attach).into_iter().collect()
    } else {
        let named: BTreeSet<ServiceName> = names(&arguments.services).into_iter().collect();
        let named = if named.is_empty() { project.services.keys().cloned().collect() } else { named };
        let wants =
            |service: &ServiceName| project.services.get(service).is_none_or(|service| service.attach != Some(false));
        named.into_iter().filter(wants).collect()
    };
    if arguments.attach_dependencies {
        let roots: Vec<String> = shown.iter().map(ToString::to_string).collect();
        shown.extend(with_dependencies(project, &roots));
    }
    for service in &arguments.no_attach {
        shown.remove(service.as_str());
    }
    Ok(shown.into_iter().collect())
}

/// Services and what they depend on; all for none.
fn with_dependencies(project: &Project, services: &[String]) -> BTreeSet<ServiceName> {
    if services.is_empty() {
        return project.services.keys().cloned().collect();
    }
    let mut open = names(services);
    let mut found = BTreeSet::new();
    while let Some(service) = open.pop() {
        if let Some(definition) = project.services.get(&service) {
            open.extend(definition.depends_on.keys().filter(|name| !found.contains(*name)).cloned());
        }
        found.insert(service);
    }
    found
}

/// Attached `up`: what is followed, and how it ends.
struct Attached {
    follower: Follower,
    shown: Vec<ServiceName>,
    tracked: Vec<ServiceName>,
    /// Those whose end is the command's.
    awaited: Vec<ServiceName>,
    project: String,
    names: BTreeSet<String>,
    opened: bool,
    turn: LogsTurn,
    ended: Vec<(ServiceName, i64)>,
    /// Steps that start what is followed.
    starts: BTreeSet<OpId>,
    /// How many of them have started a container.
    started: usize,
    /// Hooks whose output is shown, with the short name of the container that they run in.
    hooks: BTreeMap<OpId, String>,
}

impl Attached {
    async fn begin(
        context: &Context<'_>,
        scene: &Scene,
        arguments: &Arguments,
        shown: Vec<ServiceName>,
    ) -> anyhow::Result<Self> {
        let tracked: Vec<ServiceName> = if arguments.services.is_empty() {
            scene.project.services.keys().cloned().collect()
        } else {
            names(&arguments.services)
        };
        let style = LogStyle {
            prefix: !arguments.no_log_prefix,
            colour: context.output.colour_on_stdout() && !arguments.no_color,
            timestamps: arguments.timestamps,
            control: !context.output.no_control_characters(),
            apart: true,
        };
        // With some chosen, the command ends when these have; what may end it early counts all the same.
        let chosen = !arguments.attach.is_empty() || !arguments.no_attach.is_empty();
        let stops = arguments.abort_on_container_exit
            || arguments.abort_on_container_failure
            || arguments.exit_code_from.is_some();
        let awaited = if chosen && !stops && !shown.is_empty() { shown.clone() } else { tracked.clone() };
        let audience = Audience {
            project: scene.project.name.clone(),
            tracked: Some(awaited.clone()),
            shown: Some(shown.clone()),
            number: None,
        };
        // Only what comes from now on: a container that runs already has told the rest before.
        let options = LogOptions { follow: true, tail: Some(0), ..LogOptions::default() };
        let running = scene
            .observed
            .containers
            .iter()
            .filter(|container| container.state.is_up() && !container.one_off && container.hook.is_none())
            .filter(|container| container.project.as_ref() == Some(&scene.project.name))
            .map(|container| (container.clone(), options.clone()))
            .collect();
        let follower = Follower::start(Arc::clone(&scene.runtime), audience, style, running).await?;
        Ok(Self {
            follower,
            shown,
            tracked,
            awaited,
            project: scene.project.name.to_string(),
            names: BTreeSet::new(),
            opened: false,
            turn: LogsTurn::default(),
            ended: Vec::new(),
            starts: BTreeSet::new(),
            started: 0,
            hooks: BTreeMap::new(),
        })
    }

    fn open(&mut self) {
        if !self.opened {
            self.opened = true;
            self.follower.attach(self.names.iter().cloned().collect());
        }
    }

    /// Whether anything that is attached runs.
    async fn runs(&self, scene: &mut Scene) -> anyhow::Result<bool> {
        scene.look_again(Wanted::CONTAINERS).await?;
        let mut containers = scene.observed.containers.iter();
        Ok(containers.any(|container| self.tracked.contains(&container.service) && container.state.is_up()))
    }

    /// Stops what was attached, after a signal (`code` is `None`) or since a container ended.
    async fn stop(
        mut self,
        context: &Context<'_>,
        scene: &mut Scene,
        interrupts: &mut Interrupts,
        arguments: &Arguments,
        code: Option<i64>,
    ) -> anyhow::Result<ExitStatus> {
        let words = if code.is_some() {
            "Aborting on container exit..."
        } else {
            "Gracefully Stopping... press Ctrl+C again to force"
        };
        let line = Line::new("Compose", Status::Warning, "Stopping", words);
        match context.output.progress() {
            ProgressMode::Json => context.output.message(line.json(false)),
            ProgressMode::Quiet => {}
            ProgressMode::Plain | ProgressMode::Terminal => context.output.message(line.plain()),
        }
        scene.observed = scene.runtime.observe(&crate::context::query(&scene.project, Wanted::CONTAINERS)).await?;
        let timeout = crate::flags::seconds(arguments.timeout);
        let stop = Intent::Stop(Stop { services: self.tracked.clone(), timeout });
        let manner = Manner { urgent: code.is_none(), among_logs: true, ..Manner::default() };
        let stopped = carry_out(context, scene, stop, &manner, interrupts, &mut self).await;
        if stopped.as_ref().is_ok_and(|changed| changed.interrupted.is_some()) {
            scene.observed = scene.runtime.observe(&crate::context::query(&scene.project, Wanted::CONTAINERS)).await?;
            let kill = Intent::Kill(Kill {
                services: self.tracked.clone(),
                signal: "SIGKILL".to_owned(),
                remove_orphans: false,
            });
            carry_out(context, scene, kill, &manner, interrupts, &mut Nobody).await?;
            return Ok(ExitStatus::INTERRUPTED);
        }
        self.follower.finish_into(&mut self.ended).await?;
        stopped?;
        let Some(first) = code else { return Ok(ExitStatus::INTERRUPTED) };
        let code = match &arguments.exit_code_from {
            // Its last end is the one that the stop has brought about, if it ran until then.
            Some(service) => {
                let mut own = self.ended.iter().rev().filter(|(ended, _)| ended.as_str() == service);
                own.next().map_or(first, |(_, code)| *code)
            }
            None => first,
        };
        Ok(ExitStatus(i32::try_from(code).unwrap_or(1)))
    }
}

impl Watcher for Attached {
    fn plan(&mut self, plan: &Plan) {
        let going = plan.steps.iter().filter_map(|step| match &step.op {
            Op::RemoveContainer { container: Target::Existing { id, .. }, .. } => Some(id.clone()),
            _ => None,
        });
        self.follower.forget(going.collect());
        let wordings = wording::of_plan(plan);
        let hooks: BTreeSet<&Target> = plan
            .steps
            .iter()
            .filter_map(|step| match &step.op {
                Op::FinishHook { container, .. } => Some(container),
                _ => None,
            })
            .collect();
        for step in &plan.steps {
            if let (Op::RunHook { container, .. }, Some(service)) = (&step.op, &step.service)
                && self.shown.contains(service)
            {
                let name = short_name(container.name().as_str(), &self.project, service.as_str(), None);
                self.hooks.insert(step.id.clone(), name);
            }
            let (Op::Start { container, .. }, Some(service)) = (&step.op, &step.service) else { continue };
            if hooks.contains(container) {
                continue;
            }
            if self.shown.contains(service) || self.awaited.contains(service) {
                self.starts.insert(step.id.clone());
            }
            if self.shown.contains(service)
                && let Some(name) =
                    wordings.get(&step.id).and_then(|wording| wording.resource.strip_prefix("Container "))
            {
                self.names.insert(short_name(name, &self.project, service.as_str(), None));
            }
        }
        for note in &plan.notes {
            if let Note::LeftAlone { what, container, running: true, .. } = note {
                let service = what.rsplit_once('.').map_or(what.as_str(), |(service, _)| service);
                if self.shown.iter().any(|shown| shown.as_str() == service) {
                    self.names.insert(short_name(container, &self.project, service, None));
                }
            }
        }
    }

    fn event(&mut self, event: &Event) {
        if self.turn.comes_with(event) {
            self.open();
        }
        if let Event::Progress { id, progress: Progress::Output(line) } = event
            && let Some(name) = self.hooks.get(id)
        {
            self.follower.say(name, line.trim_end());
        }
        if let Event::Done { id, how: Completion::Done } = event
            && self.starts.contains(id)
        {
            self.started += 1;
        }
    }
}
