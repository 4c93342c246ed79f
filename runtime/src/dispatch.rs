//! From a step to calls on the port: the only `match` over [`Op`] in the tree.
//!
//! [`worker`] is called by the executor's loop and returns a future that does one step. What the
//! loop knows of earlier steps is resolved before the future is made, so a worker reads no shared
//! state. Steps tolerate that their work is done already: engines say so by
//! [`Outcome::AlreadySo`] or by `NotFound` where something was to go.

use std::collections::BTreeMap;

use compose_model::names::{ContainerId, ImageRef, NetworkName, ProjectName, ServiceName};
use compose_model::project::Place;
use compose_model::units::Duration;
use compose_planner::op::Target;
use compose_planner::spec::{ContainerSpec, HookSpec, Namespace, NetworkMode};
use compose_planner::{Op, OpId, Step, labels};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::UnboundedSender;

use crate::error::{Result, RuntimeError};
use crate::event::{Completion, Event, Evidence, Progress};
use crate::executor::Providers;
use crate::port::{BuildOutput, ContentSource, Created, ExecOptions, Naming, Outcome, Runtime, TransferProgress};
use crate::wait::{Bulletin, Wait};
use crate::{build, copy_in, model, provider};

/// What every worker may use.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) runtime: &'a dyn Runtime,
    pub(crate) contents: &'a (dyn ContentSource + Sync),
    pub(crate) project: &'a ProjectName,
    pub(crate) providers: &'a Providers,
    pub(crate) build_output: BuildOutput,
    pub(crate) events: &'a UnboundedSender<Event>,
}

impl Context<'_> {
    pub(crate) fn progress(&self, id: &OpId, progress: Progress) {
        let _ = self.events.send(Event::Progress { id: id.clone(), progress });
    }
}

/// What the loop has learnt from steps that ended.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Containers, by the step that made them.
    pub(crate) made: BTreeMap<OpId, ContainerId>,
    /// Variables that providers set for their dependents, by the provider's step.
    pub(crate) variables: BTreeMap<OpId, Vec<(String, String)>>,
}

impl Known {
    /// The identity or name by which the engine finds the container.
    fn resolve(&self, target: &Target) -> Result<String> {
        match target {
            Target::Existing { id, .. } => Ok(id.to_string()),
            Target::Named { name } => Ok(name.to_string()),
            Target::MadeBy { op, name } => match self.made.get(op) {
                Some(id) => Ok(id.to_string()),
                None => Err(RuntimeError::Invalid {
                    message: format!("container {name} was to be made by `{op}`, which made none"),
                }),
            },
        }
    }

    /// The target with its identity, for specifications that name other containers.
    fn settled(&self, target: &Target) -> Result<Target> {
        Ok(match target {
            Target::MadeBy { name, .. } => {
                Target::Existing { id: ContainerId::new(self.resolve(target)?), name: name.clone() }
            }
            other => other.clone(),
        })
    }

    /// The specification with every container that it names made known, and with the variables
    /// of the providers that it depends on.
    fn complete(&self, spec: &ContainerSpec, step: &Step) -> Result<ContainerSpec> {
        let mut spec = spec.clone();
        if let NetworkMode::Container(target) = &spec.network_mode {
            spec.network_mode = NetworkMode::Container(self.settled(target)?);
        }
        for namespace in [&mut spec.ipc, &mut spec.pid] {
            if let Namespace::Container(target) = namespace {
                *namespace = Namespace::Container(self.settled(target)?);
            }
        }
        for from in &mut spec.volumes_from {
            from.container = self.settled(&from.container)?;
        }
        compose_planner::complete_labels(&mut spec, |op| self.made.get(op).cloned());
        for (name, value) in step.after.iter().filter_map(|id| self.variables.get(id)).flatten() {
            spec.environment.insert(name.clone(), Some(value.clone()));
        }
        Ok(spec)
    }
}

/// How a step ended, and what it leaves to others.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) result: Result<Completion, Trouble>,
    pub(crate) made: Option<ContainerId>,
    pub(crate) variables: Vec<(String, String)>,
}

/// A failure with what is known about it.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) error: RuntimeError,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) place: Option<Place>,
}

impl From<RuntimeError> for Trouble {
    fn from(error: RuntimeError) -> Self {
        Self { error, evidence: None, place: None }
    }
}

impl From<Result<Completion>> for Ending {
    fn from(result: Result<Completion>) -> Self {
        Self { result: result.map_err(Trouble::from), made: None, variables: Vec::new() }
    }
}

impl From<Result<Outcome>> for Ending {
    fn from(result: Result<Outcome>) -> Self {
        Self::from(result.map(Completion::from))
    }
}

impl From<Outcome> for Completion {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::AlreadySo => Self::AlreadySo,
        }
    }
}

/// The future that does one step.
pub(crate) fn worker<'a>(
    context: Context<'a>,
    step: &'a Step,
    known: &Known,
    bulletin: &mut Bulletin,
) -> BoxFuture<'a, Ending> {
    prepare(context, step, known, bulletin)
        .unwrap_or_else(|error| Box::pin(std::future::ready(Ending::from(Err::<Completion, _>(error)))))
}

/// Resolves what the step refers to, and makes its future.
#[allow(clippy::too_many_lines)] // One arm a variant; splitting it would make a second `match`.
fn prepare<'a>(
    context: Context<'a>,
    step: &'a Step,
    known: &Known,
    bulletin: &mut Bulletin,
) -> Result<BoxFuture<'a, Ending>> {
    let runtime = context.runtime;
    let id = &step.id;
    Ok(match &step.op {
        Op::Pull { image, platform, place, .. } => Box::pin(async move {
            let progress = |progress: TransferProgress| context.progress(id, Progress::Transfer(progress));
            let mut ending =
                Ending::from(runtime.images().pull(image, platform, &progress).await.map(|()| Completion::Done));
            if let Err(trouble) = &mut ending.result {
                trouble.place.clone_from(place);
            }
            ending
        }),
        Op::Push { image, .. } => Box::pin(async move {
            let progress = |progress: TransferProgress| context.progress(id, Progress::Transfer(progress));
            Ending::from(runtime.images().push(image, &progress).await.map(|()| Completion::Done))
        }),
        Op::Build { .. } => Box::pin(async move {
            match build::build(context, &[step]).await {
                Ok(mut done) => Ending::from(Ok::<_, RuntimeError>(done.pop().unwrap_or(Completion::Done))),
                Err(failure) => Ending::from(Err::<Completion, _>(failure.error)),
            }
        }),
        Op::RemoveImage { image } => Box::pin(async move { gone_or_in_use(runtime.images().remove(image).await) }),
        Op::CreateNetwork { spec } => {
            Box::pin(async move { Ending::from(runtime.networks().create(spec).await.map(|_| Completion::Done)) })
        }
        Op::RemoveNetwork { name, id } => {
            // The identity, since engines may hold several networks of one name.
            let network = if id.is_empty() { name.as_str() } else { id.as_str() };
            Box::pin(async move { gone_or_in_use(runtime.networks().remove(network).await) })
        }
        Op::CreateVolume { spec } => Box::pin(async move { Ending::from(runtime.volumes().create(spec).await) }),
        Op::RemoveVolume { name } => Box::pin(async move { gone_or_in_use(runtime.volumes().remove(name).await) }),
        Op::CreateContainer { spec, .. } => {
            let spec = known.complete(spec, step)?;
            Box::pin(async move { create(context, step, &spec).await })
        }
        Op::Connect { container, endpoint } => {
            let container = known.resolve(container)?;
            Box::pin(async move { Ending::from(runtime.networks().connect(&container, endpoint).await) })
        }
        Op::Disconnect { container, network } => {
            let container = known.resolve(container)?;
            Box::pin(async move { gone(disconnect(runtime, &container, network).await) })
        }
        Op::CopyIn { container, files } => {
            let container = known.resolve(container)?;
            Box::pin(async move { Ending::from(copy_in::copy_in(context, &container, files).await) })
        }
        Op::Start { container, ports } => {
            let name = container.name();
            let container = known.resolve(container)?;
            Box::pin(async move {
                let mut ending = Ending::from(runtime.containers().start(&container).await);
                if let Err(trouble) = &mut ending.result {
                    trouble.place = taken_port(&trouble.error.to_string(), ports).cloned();
                    trouble.evidence = Some(Evidence { container: name.to_string(), ..Evidence::default() });
                }
                ending
            })
        }
        Op::Await { container, service, until, within, required } => {
            let wait = Wait {
                context,
                id,
                name: container.name(),
                service,
                container: known.resolve(container)?,
                until: *until,
                required: *required,
                within: within.map(Duration::to_std),
            };
            let news = bulletin.watch(&wait.container);
            Box::pin(async move { wait.run(news).await.into() })
        }
        Op::RunHook { container, service, hook, .. } => {
            let container = known.resolve(container)?;
            Box::pin(async move { Ending::from(run_hook(context, id, &container, service, hook).await) })
        }
        Op::FinishHook { container, service, index } => {
            let container = known.resolve(container)?;
            Box::pin(async move { finish_hook(context, &container, service, *index).await })
        }
        Op::Stop { container, timeout } => {
            let container = known.resolve(container)?;
            let timeout = timeout.map(whole_seconds);
            Box::pin(async move { gone(runtime.containers().stop(&container, timeout).await) })
        }
        Op::Restart { container, timeout } => {
            let container = known.resolve(container)?;
            let timeout = timeout.map(whole_seconds);
            Box::pin(async move {
                Ending::from(runtime.containers().restart(&container, timeout).await.map(|()| Completion::Done))
            })
        }
        Op::Kill { container, signal } => {
            let container = known.resolve(container)?;
            Box::pin(async move { gone(runtime.containers().kill(&container, signal).await) })
        }
        Op::Pause { container } => {
            let container = known.resolve(container)?;
            Box::pin(
                async move { Ending::from(runtime.containers().pause(&container).await.map(|()| Completion::Done)) },
            )
        }
        Op::Unpause { container } => {
            let container = known.resolve(container)?;
            Box::pin(
                async move { Ending::from(runtime.containers().unpause(&container).await.map(|()| Completion::Done)) },
            )
        }
        Op::RemoveContainer { container, volumes, force } => {
            let container = known.resolve(container)?;
            Box::pin(async move { gone(runtime.containers().remove(&container, *volumes, *force).await) })
        }
        Op::Rename { container, to } => {
            let container = known.resolve(container)?;
            Box::pin(async move { Ending::from(runtime.containers().rename(&container, to).await) })
        }
        Op::PullModel { name, model } => Box::pin(async move { model::pull(context, id, name, model).await }),
        Op::ConfigureModel { name, model, context_size, runtime_flags } => {
            Box::pin(async move { model::configure(context, name, model, *context_size, runtime_flags).await })
        }
        Op::RunProvider { service, provider, verb } => {
            Box::pin(async move { provider::run(context, id, service, provider, verb).await })
        }
    })
}

/// A step whose object was to go, or to be still: what is not there is so already.
fn gone(result: Result<Outcome>) -> Ending {
    match result {
        Err(error) if error.is_not_found() => Ending::from(Ok::<_, RuntimeError>(Completion::AlreadySo)),
        other => Ending::from(other),
    }
}

/// As [`gone`]; what others still use stays, with the reference's warning.
fn gone_or_in_use(result: Result<Outcome>) -> Ending {
    match result {
        Err(error) if error.is_conflict() => {
            Ending::from(Ok::<_, RuntimeError>(Completion::Warning("Resource is still in use".to_owned())))
        }
        other => gone(other),
    }
}

/// Engines count a container's grace period in whole seconds; part of a second is not cut off.
fn whole_seconds(time: Duration) -> i64 {
    time.0.max(0).div_euclid(1_000_000_000) + i64::from(time.0.max(0).rem_euclid(1_000_000_000) > 0)
}

async fn create(context: Context<'_>, step: &Step, spec: &ContainerSpec) -> Ending {
    let mut created = context.runtime.containers().create(spec).await;
    if let Err(error) = &created
        && error.is_conflict()
        && let Some(id) = there_already(context, spec).await
    {
        created = Ok(Created { id, warnings: Vec::new() });
    }
    match created {
        Ok(created) => {
            for warning in created.warnings {
                context.progress(&step.id, Progress::Output(warning));
            }
            Ending { result: Ok(Completion::Done), made: Some(created.id), variables: Vec::new() }
        }
        Err(error) => {
            let ports: Vec<(String, Place)> = spec
                .ports
                .iter()
                .filter_map(|port| Some((format!("{}/{}", port.published, port.protocol), port.place.clone()?)))
                .collect();
            let message = error.to_string();
            let place = taken_port(&message, &ports).or_else(|| match &error {
                RuntimeError::NotFound { .. } if names(&message, &spec.image) => spec.places.get("image"),
                _ => None,
            });
            let place = place.cloned();
            Ending { result: Err(Trouble { error, evidence: None, place }), made: None, variables: Vec::new() }
        }
    }
}

/// How long a container is looked for whose name is taken while the engine is making it, how long where it does not
/// say so, and how far apart the looks are.
const MAKING: std::time::Duration = std::time::Duration::from_secs(60);
const UNSEEN: std::time::Duration = std::time::Duration::from_secs(3);
const BETWEEN_LOOKS: std::time::Duration = std::time::Duration::from_millis(300);

/// The container that holds the wanted name, if it is the very one that was to be made: an engine
/// carries a call through whose caller was killed, and another run may be making the project too.
async fn there_already(context: Context<'_>, spec: &ContainerSpec) -> Option<ContainerId> {
    let identifying = [
        labels::PROJECT,
        labels::SERVICE,
        labels::CONFIG_HASH,
        labels::CONTAINER_NUMBER,
        labels::ONEOFF,
        labels::SLUG,
        labels::REPLACE,
        labels::CONTENTS,
    ];
    spec.labels.get(labels::CONFIG_HASH)?;
    let query = [(labels::PROJECT.to_owned(), Some(context.project.to_string()))];
    let began = tokio::time::Instant::now();
    let mut taken = false;
    loop {
        let all = context.runtime.list_containers(&query).await.ok()?;
        if let Some(found) = all.into_iter().find(|container| container.name == spec.name) {
            let same = identifying.iter().all(|key| found.labels.get(*key) == spec.labels.get(*key));
            let same_image = spec.image_id.as_ref().is_none_or(|image| *image == found.image_id);
            return (same && same_image).then_some(found.id);
        }
        // The name is taken before the container can be seen.
        let limit = match context.runtime.containers().naming(&spec.name).await.ok()? {
            // It may have come between the two looks; else it is somebody else's.
            Naming::Taken if std::mem::replace(&mut taken, true) => return None,
            Naming::Taken => continue,
            Naming::UnderWay => MAKING,
            Naming::Free => UNSEEN,
        };
        if began.elapsed() >= limit {
            return None;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

fn names(message: &str, image: &ImageRef) -> bool {
    message.contains(image.as_str())
}

async fn disconnect(runtime: &dyn Runtime, container: &str, network: &NetworkName) -> Result<Outcome> {
    runtime.networks().disconnect(container, network).await
}

/// The place of the port that an engine's message says is taken. Messages differ by engine and
/// version (`Bind for 0.0.0.0:80 failed: port is already allocated`, `listen tcp4 0.0.0.0:80:
/// bind: address already in use`); all name the port after a colon.
fn taken_port<'a>(message: &str, ports: &'a [(String, Place)]) -> Option<&'a Place> {
    let lower = message.to_ascii_lowercase();
    if !["already allocated", "already in use", "no available port", "failed to bind"]
        .iter()
        .any(|words| lower.contains(words))
    {
        return None;
    }
    let mentioned = |wanted: &str| {
        let published = wanted.split('/').next().unwrap_or(wanted);
        let (first, last) = published.split_once('-').unwrap_or((published, published));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
        lower.split(':').skip(1).any(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u16>().is_ok_and(|port| (first..=last).contains(&port))
        })
    };
    let named = ports.iter().find(|(port, _)| mentioned(port));
    let only = if ports.len() == 1 && lower.contains("port") { ports.first() } else { None };
    named.or(only).map(|(_, place)| place)
}

/// How many of a failed hook's last lines its error shows.
const HOOK_LINES: usize = 20;

/// Executes a `post_start` or `pre_stop` command.
async fn run_hook(
    context: Context<'_>,
    id: &OpId,
    container: &str,
    service: &ServiceName,
    hook: &HookSpec,
) -> Result<Completion> {
    let streams = context.runtime.streams();
    let options = ExecOptions {
        command: hook.command.clone(),
        environment: hook
            .environment
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
            .collect(),
        user: hook.user.clone(),
        working_dir: hook.working_dir.clone(),
        privileged: hook.privileged,
        ..ExecOptions::default()
    };
    let session = match streams.exec(container, &options).await {
        Ok(session) => session,
        // It has ended by itself in the meantime: there is nothing left to prepare for a stop.
        Err(error) if hook.moment == "pre_stop" && (error.is_conflict() || error.is_not_found()) => {
            return Ok(Completion::AlreadySo);
        }
        Err(error) => return Err(error),
    };
    let mut said = Vec::new();
    if let Some(connected) = session.session {
        let mut lines = Lines::default();
        let mut output = connected.output;
        let mut tell = |line: String| {
            if said.len() == HOOK_LINES {
                said.remove(0);
            }
            said.push(line.clone());
            context.progress(id, Progress::Output(line));
        };
        while let Some(chunk) = output.next().await {
            lines.push(&chunk?.bytes).into_iter().for_each(&mut tell);
        }
        lines.rest().into_iter().for_each(&mut tell);
    }
    match streams.exec_exit_code(container, &session.id).await? {
        0 => Ok(Completion::Done),
        code => {
            let said = if said.is_empty() { String::new() } else { format!(": {}", said.join("\n")) };
            Err(RuntimeError::Failed { message: format!("{service} hook exited with status {code}{said}") })
        }
    }
}

/// Waits for a `pre_start` container and removes it if it ended well; else it stays, so that it
/// can be looked at.
async fn finish_hook(context: Context<'_>, container: &str, service: &ServiceName, index: usize) -> Ending {
    let containers = context.runtime.containers();
    let ended = async {
        let code = containers.wait(container).await?;
        if code == 0 {
            containers.remove(container, true, true).await?;
        }
        Ok::<_, RuntimeError>(code)
    };
    match ended.await {
        Ok(0) => Ending::from(Ok::<_, RuntimeError>(Completion::Done)),
        Ok(code) => {
            let short = container.get(..12).unwrap_or(container);
            let message = format!(
                "service {:?} pre_start[{index}] exited with code {code} (hook container {short} retained for inspection)",
                service.as_str()
            );
            let evidence = crate::wait::evidence(context.runtime, container).await;
            let error = RuntimeError::Failed { message };
            Ending {
                result: Err(Trouble { error, evidence: Some(evidence), place: None }),
                made: None,
                variables: Vec::new(),
            }
        }
        Err(error) => Ending::from(Err::<Completion, _>(error)),
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// The lines that are complete now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.pending.split_off(end + 1);
        let complete = std::mem::replace(&mut self.pending, rest);
        String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect()
    }

    /// What is left without a line end.
    pub(crate) fn rest(self) -> Option<String> {
        (!self.pending.is_empty()).then(|| String::from_utf8_lossy(&self.pending).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize) -> Place {
        Place { file: "compose.yaml".to_owned(), line, column: 1 }
    }

    #[test]
    fn a_taken_port_is_found_in_the_words_of_every_engine() {
        let ports = [
            ("80/tcp".to_owned(), place(1)),
            ("8080/tcp".to_owned(), place(2)),
            ("9000-9005/udp".to_owned(), place(3)),
        ];
        let line = |message: &str| taken_port(message, &ports).map(|place| place.line);
        assert_eq!(
            line(
                "driver failed programming external connectivity on endpoint a-1 (f0): Bind for 0.0.0.0:8080 failed: port is already allocated"
            ),
            Some(2)
        );
        assert_eq!(
            line("Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use"),
            Some(1)
        );
        assert_eq!(line("failed to bind host port for 127.0.0.1:9003/udp: address already in use"), Some(3));
        assert_eq!(line("failed to bind host port [::]:80/tcp: address already in use"), Some(1));
        assert_eq!(line("The container name \"/a\" is already in use by container \"8080\""), None);
        assert_eq!(line("exec: \"x:80\": not found"), None);
    }

    #[test]
    fn seconds_of_a_timeout_are_rounded_up() {
        assert_eq!([0, 1, 1_000_000_000, 1_000_000_001].map(|time| whole_seconds(Duration(time))), [0, 1, 1, 2]);
    }

    #[test]
    fn lines_are_cut_at_line_ends_wherever_the_chunks_end() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"a\nb"), ["a"]);
        assert_eq!(lines.push(b""), Vec::<String>::new());
        assert_eq!(lines.push(b"c\r\n\nd"), ["bc", ""]);
        assert_eq!(lines.rest().as_deref(), Some("d"));
    }
}
