//! `run`: run a command in a new container of a service.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::Args;
use compose_model::Project;
use compose_model::names::{ContainerId, ServiceName};
use compose_model::project::Service;
use compose_planner::intent::{BuildPolicy, RunOnce, Up};
use compose_planner::{Intent, Op, OpId, Plan, labels};
use compose_runtime::Event;
use compose_runtime::port::{AttachOptions, EngineEvent, EventQuery, Items};
use futures_util::StreamExt as _;

use crate::change::{Changed, Manner, Watcher, carry_out};
use crate::context::{Context, Scene, Wanted, no_such_service};
use crate::invocation::{CommandError, ExitStatus};
use crate::session::{self, Ended, Wiring};
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose run --rm web sh         a shell in a new container of web\n  compose run --rm web npm test",
    override_usage = "compose run [OPTIONS] SERVICE [COMMAND] [ARGS...]"
)]
pub(crate) struct Arguments {
    /// Service, command and its arguments
    #[arg(trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    pub(crate) words: Vec<String>,
    /// Build the image first
    #[arg(long)]
    pub(crate) build: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Run in the background and print the container's ID
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Use another entrypoint
    #[arg(long, value_name = "COMMAND")]
    pub(crate) entrypoint: Option<String>,
    /// Set a variable; a name alone takes the value from here
    #[arg(short = 'e', long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Set variables from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) env_from_file: Vec<String>,
    /// Keep standard input open [default: true]
    #[arg(short = 'i', long, default_value = "true")]
    pub(crate) interactive: bool,
    /// Add or change a label
    #[arg(short = 'l', long, alias = "labels", value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// Name of the container
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Leave dependencies alone
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Without a terminal [default: true where standard output is none]
    #[arg(short = 'T', long, alias = "no-TTY")]
    pub(crate) no_tty: bool,
    /// With a terminal
    #[arg(short = 't', long, hide = true)]
    pub(crate) tty: bool,
    /// Publish a port
    #[arg(short = 'p', long, value_name = "PORT")]
    pub(crate) publish: Vec<String>,
    /// When to pull images, instead of each service's policy: always, missing, never, build [default: policy]
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// No output but the command's
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Build without progress
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Pull without progress
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Publish the ports of the service
    #[arg(short = 'P', long)]
    pub(crate) service_ports: bool,
    /// Answer to the network aliases of the service
    #[arg(long)]
    pub(crate) use_aliases: bool,
    /// As this user
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Mount a volume or directory
    #[arg(short = 'v', long, alias = "volumes", value_name = "VOLUME")]
    pub(crate) volume: Vec<String>,
    /// In this directory
    #[arg(short = 'w', long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
}

/// How long a container may take to end after a signal was passed on to it.
const GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::at_least(&arguments.words, 1)?;
    let Some((name, command)) = arguments.words.split_first() else { return Ok(ExitStatus::FAILURE) };
    if arguments.service_ports && !arguments.publish.is_empty() {
        bail!("--service-ports and --publish are incompatible");
    }
    if arguments.quiet {
        context.output.silence_progress();
    }
    let mut interrupts = Interrupts::listen()?;
    let mut scene =
        context.scene_of_files(std::slice::from_ref(name), Wanted { jobs: true, ..Wanted::ALL.to("run") }).await?;
    let tty = !arguments.detach && !arguments.no_tty && (arguments.tty || context.output.stdout_is_terminal());
    if tty && arguments.tty && arguments.interactive && !context.output.can_ask() {
        bail!("cannot attach stdin to a TTY-enabled container because stdin is not a terminal (use -T)");
    }
    let tty = tty && (context.output.can_ask() || !arguments.interactive);
    let service = service(context, &scene.project, arguments, name, command)?;
    let slug = slug()?;
    let (remove_orphans, ignore_orphans) = crate::flags::orphans(context, &scene.project, arguments.remove_orphans)?;
    let interactive = arguments.interactive;
    let intent = Intent::RunOnce(Box::new(RunOnce {
        service,
        name: arguments.name.clone().unwrap_or_default(),
        slug: slug.clone(),
        no_dependencies: arguments.no_deps,
        auto_remove: arguments.rm,
        use_aliases: arguments.use_aliases,
        interactive,
        tty,
        start: arguments.detach,
        up: Up {
            build: if arguments.build { BuildPolicy::Always } else { BuildPolicy::Missing },
            pull: crate::flags::pull_policy(arguments.pull.as_deref())?,
            remove_orphans,
            ignore_orphans,
            now: Some(crate::time_format::now().as_second()),
            ..Up::default()
        },
    }));
    let manner = Manner {
        quiet_pull: arguments.quiet_pull || arguments.quiet,
        quiet_build: arguments.quiet_build || arguments.quiet,
        // A container that is not started yet would count as left over.
        keeps_lock: true,
        ..Manner::default()
    };
    let mut own = OneOff::default();
    let changed = carry_out(context, &mut scene, intent, &manner, &mut interrupts, &mut own).await?;
    if context.options.dry_run {
        return Ok(ExitStatus::SUCCESS);
    }
    if let Some(status) = changed.interrupted {
        return Ok(status);
    }
    let id = own.id(&changed).context("the engine has not told which container it made")?;
    if arguments.detach {
        context.output.line(id.as_str())?;
        return Ok(ExitStatus::SUCCESS);
    }
    let streams = Streams { tty, stdin: interactive, removes_itself: arguments.rm };
    attached(&mut scene, &id, &slug, streams, &mut interrupts).await
}

/// How the caller and the container are connected.
#[derive(Clone, Copy)]
struct Streams {
    tty: bool,
    stdin: bool,
    /// The engine removes the container when it ends.
    removes_itself: bool,
}

/// Starts the container with its streams connected, and returns its exit code.
async fn attached(
    scene: &mut Scene,
    id: &ContainerId,
    slug: &str,
    streams: Streams,
    interrupts: &mut Interrupts,
) -> anyhow::Result<ExitStatus> {
    let Streams { tty, stdin, removes_itself } = streams;
    let runtime = scene.runtime.as_ref();
    // Subscribed to before the start: a container that removes itself tells its exit code nowhere else.
    let query = EventQuery { labels: vec![(labels::SLUG.to_owned(), Some(slug.to_owned()))], ..EventQuery::default() };
    let mut events = runtime.streams().events(&query).await?;
    let options = AttachOptions { stdin, output: true, replay: false, tty, detach_keys: String::new() };
    let mut session = runtime.streams().attach(id.as_str(), &options).await?;
    runtime.containers().start(id.as_str()).await?;
    scene.lock = None;
    let wiring = Wiring { tty, stdin, container: id.as_str(), exec: None };
    let mut signalled: Option<ExitStatus> = None;
    loop {
        let connected = session::connect(runtime, &mut session, wiring, interrupts);
        let ended = if signalled.is_some() {
            match tokio::time::timeout(GRACE, connected).await {
                Ok(ended) => ended?,
                Err(_) => {
                    runtime.containers().kill(id.as_str(), "SIGKILL").await?;
                    Ended::Output
                }
            }
        } else {
            connected.await.map_err(reader_has_gone)?
        };
        match ended {
            Ended::Output => break,
            Ended::Signal(name) if signalled.is_none() => {
                signalled = Some(ExitStatus(if name == "SIGTERM" { 143 } else { 130 }));
                runtime.containers().kill(id.as_str(), name).await?;
            }
            Ended::Signal(_) => {
                runtime.containers().kill(id.as_str(), "SIGKILL").await?;
            }
        }
    }
    let code = exit_code(scene, id, &mut events).await;
    if removes_itself {
        // A limit, since a removal that the engine cannot do is no reason to hang.
        let _ = tokio::time::timeout(GRACE, gone(scene, id, &mut events)).await;
    }
    Ok(signalled.unwrap_or(ExitStatus(i32::try_from(code).unwrap_or(1))))
}

/// Whoever read the output has gone: the reference says so and ends with 1, where other commands end as a
/// signal would end them.
fn reader_has_gone(error: anyhow::Error) -> anyhow::Error {
    let gone = error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    });
    if !gone {
        return error;
    }
    let message = "write /dev/stdout: broken pipe".to_owned();
    CommandError { status: ExitStatus::FAILURE, message }.into()
}

/// Waits until the engine has removed the container: what comes next may want its name or volumes.
async fn gone(scene: &Scene, id: &ContainerId, events: &mut Items<EngineEvent>) {
    if scene.runtime.containers().inspect(id.as_str()).await.is_err() {
        return;
    }
    while let Some(Ok(event)) = events.next().await {
        if event.action == "destroy" && event.container == *id {
            return;
        }
    }
}

async fn exit_code(scene: &Scene, id: &ContainerId, events: &mut Items<EngineEvent>) -> i64 {
    let told = async {
        while let Some(Ok(event)) = events.next().await {
            if event.action == "die" && event.container == *id {
                return event.attributes.get("exitCode").and_then(|code| code.parse().ok());
            }
        }
        None
    };
    // Its output has ended; the end itself follows at once, unless the keys for detaching were pressed.
    let looked = async {
        match scene.runtime.containers().inspect(id.as_str()).await {
            Ok(found) if found.state.is_up() => std::future::pending().await,
            Ok(found) => Some(found.exit_code),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        code = told => code.unwrap_or(0),
        code = looked => code.unwrap_or(0),
    }
}

/// Sees which step makes the one-off container.
#[derive(Default)]
struct OneOff {
    step: Option<OpId>,
}

impl OneOff {
    fn id(&self, changed: &Changed) -> Option<ContainerId> {
        changed.report.made.get(self.step.as_ref()?).cloned()
    }
}

impl Watcher for OneOff {
    fn plan(&mut self, plan: &Plan) {
        for step in &plan.steps {
            if let Op::CreateContainer { spec, .. } = &step.op
                && spec.labels.get(labels::ONEOFF).is_some_and(|value| value == "True")
            {
                self.step = Some(step.id.clone());
            }
        }
    }

    fn event(&mut self, _event: &Event) {}
}

/// `NET_ADMIN` as the engine writes it, `CAP_NET_ADMIN`; so the reference does with these flags before it hashes,
/// not with the file's attributes.
fn capability(name: &str) -> String {
    let name = name.trim().to_ascii_uppercase();
    if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
}

/// 64 hex digits that nobody else has.
pub(super) fn slug() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The service with the overrides of the command line.
fn service(
    context: &Context<'_>,
    project: &Project,
    arguments: &Arguments,
    name: &str,
    command: &[String],
) -> anyhow::Result<Service> {
    let key = ServiceName::from(name);
    let found = project
        .services
        .get(&key)
        .or_else(|| project.disabled_services.get(&key))
        .or_else(|| project.jobs.get(&key).map(|job| &job.service));
    let Some(mut service) = found.cloned() else { return Err(no_such_service(name)) };
    service.name = key;
    if let Some(entrypoint) = &arguments.entrypoint {
        let words = crate::words::split(entrypoint)
            .with_context(|| format!("invalid --entrypoint {entrypoint:?}: a quote is not closed"))?;
        service.entrypoint = Some(words);
        // A new entrypoint takes the command with it, that of the image too.
        service.command = Some(command.to_vec());
    } else if !command.is_empty() {
        service.command = Some(command.to_vec());
    }
    for file in &arguments.env_from_file {
        let path = crate::words::absolute(file, &context.environment.current_directory);
        service.environment.extend(crate::loading::variables_of_file(context, &path)?);
    }
    service.environment.extend(crate::flags::assignments(&arguments.env, &project.environment));
    if let Some(user) = &arguments.user {
        service.user.clone_from(user);
    }
    if let Some(directory) = &arguments.workdir {
        service.working_dir.clone_from(directory);
    }
    for label in &arguments.label {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        service.labels.insert(key.to_owned(), value.to_owned());
    }
    service.cap_add.extend(arguments.cap_add.iter().map(|name| capability(name)));
    service.cap_drop.extend(arguments.cap_drop.iter().map(|name| capability(name)));
    if !arguments.service_ports {
        service.ports.clear();
    }
    let written = crate::loading::fragment(context, project, &arguments.publish, &arguments.volume)?;
    service.ports.extend(written.ports);
    for mount in written.volumes {
        service.volumes.retain(|known| known.target != mount.target);
        service.volumes.push(mount);
    }
    service.scale = Some(1);
    service.stdin_open = arguments.interactive && !arguments.detach;
    Ok(service)
}
