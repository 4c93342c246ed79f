//! The supervisor: one process for each containerd and namespace that does what dockerd does
//! between commands. It runs health checks, starts containers again by their restart policies,
//! notes exit codes, answers name queries ([`resolver`]), brings everything back after a boot
//! ([`boot`]) and takes away what others have left ([`cleanup`]).
//!
//! It has no data base: what is wanted and what was is in the containers' labels and records, what
//! runs is known to containerd. Killed at any moment and started again, it subscribes to events,
//! lists, compares and goes on. Commands start it when they start a container ([`doorbell`]);
//! they do their work themselves, under the same lock of each container.

mod boot;
mod cleanup;
mod dns;
mod doorbell;
mod names;
mod probes;
mod resolver;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::events;
use containerd_client::types::Envelope;
use prost::Message;
use tokio::sync::{Notify, Semaphore};

use crate::core::{Core, Settings};
use crate::record::Record;
use crate::time;
pub(crate) use resolver::resolver_text;
use unit::Unit;

/// Time between two comparisons of what is wanted with what is, beside those that events cause.
const COMPARE: Duration = Duration::from_secs(60);
/// Time between two attempts to reach containerd.
const RECONNECT: Duration = Duration::from_millis(300);
/// How long containerd may be away before a supervisor that was started on demand gives up.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a supervisor that was started on demand stays without containers.
const IDLE: Duration = Duration::from_secs(3);
/// Probes that run at the same time.
const PROBES: usize = 16;

/// Who runs the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A command started it; it ends when there is nothing to look after.
    OnDemand,
    /// It is a service of the system and stays.
    Service {
        /// The socket of the service manager that is told when it is ready (`NOTIFY_SOCKET`).
        notify: Option<String>,
    },
}

/// The supervisor's `main`. Returns the exit code.
#[must_use]
pub fn supervisor_main(settings: &Settings, manner: &Manner) -> i32 {
    let stay = *manner != Manner::OnDemand;
    if !stay {
        // Started by a command: what ends its terminal must not end us.
        let _ = rustix::process::setsid();
    }
    // One thread: it mostly waits, and memory is what a supervisor costs.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(2))
        .thread_stack_size(512 * 1024)
        .build();
    let Ok(runtime) = runtime else { return 1 };
    match runtime.block_on(run(settings, manner)) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "the supervisor ends");
            1
        }
    }
}

/// What the command line gives to `supervisor_main` when it starts the process.
#[must_use]
pub fn settings_of(argument: &str) -> Option<Settings> {
    serde_json::from_str(argument).ok()
}

pub(crate) struct Supervisor {
    core: Core,
    state: Mutex<State>,
    probes: Semaphore,
    names: Mutex<names::Names>,
    /// Queries to servers outside, and connections.
    forwards: Arc<Semaphore>,
    /// Held while sockets are opened.
    opening: tokio::sync::Mutex<()>,
    /// Told when it is asked to end.
    end: Notify,
    /// Told when the last container has gone.
    idle: Notify,
}

#[derive(Default)]
struct State {
    units: BTreeMap<String, Unit>,
    /// Containers that are being looked at; `true`: something has happened meanwhile.
    busy: BTreeMap<String, bool>,
    /// Containers that the boot procedure is going to start.
    booting: BTreeSet<String>,
}

async fn run(settings: &Settings, manner: &Manner) -> Result<()> {
    let stay = *manner != Manner::OnDemand;
    let Some(place) = doorbell::Place::take(settings, stay).await? else {
        tracing::info!("another supervisor is there already");
        return Ok(());
    };
    let core = reach(settings, stay).await?;
    let supervisor = Arc::new(Supervisor {
        core,
        state: Mutex::default(),
        probes: Semaphore::new(PROBES),
        names: Mutex::default(),
        forwards: Arc::new(Semaphore::new(resolver::FORWARDED)),
        opening: tokio::sync::Mutex::new(()),
        end: Notify::new(),
        idle: Notify::new(),
    });
    let _ = supervisor.core.hosted.set(Arc::downgrade(&supervisor));
    let listener = place.open()?;
    let bell = tokio::spawn(doorbell::answer(Arc::clone(&supervisor), listener));
    doorbell::say_ready(manner);
    tracing::info!(namespace = supervisor.core.client.namespace(), "the supervisor is there");
    let ended = tokio::select! {
        ended = supervisor.watch(stay) => ended,
        () = supervisor.end.notified() => Ok(()),
        () = terminated() => Ok(()),
    };
    bell.abort();
    drop(place);
    ended
}

/// Connects as soon as containerd is there.
async fn reach(settings: &Settings, stay: bool) -> Result<Core> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Core::connect(settings.clone()).await {
            Ok((core, _)) => return Ok(core),
            Err(error)
                if !matches!(error, RuntimeError::Unreachable { .. })
                    || (!stay && tokio::time::Instant::now() > patience) =>
            {
                return Err(error);
            }
            Err(error) => tracing::debug!(%error, "waiting for containerd"),
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

impl Supervisor {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows events for ever, over every restart of containerd. Subscribes first and lists
    /// afterwards, so that nothing falls between.
    async fn watch(self: &Arc<Self>, stay: bool) -> Result<()> {
        let mut last_seen = tokio::time::Instant::now();
        let mut booted = false;
        loop {
            let filters = ["topic~=\"^/containers/\"", "topic~=\"^/tasks/\""].map(str::to_owned);
            match self.core.subscribe(&filters).await {
                Ok(mut stream) => {
                    if !booted {
                        booted = self.boot_if_needed().await.map_or_else(
                            |error| {
                                tracing::warn!(%error, "recovering after the start of the machine");
                                false
                            },
                            |()| true,
                        );
                    }
                    let mut compare = tokio::time::interval(COMPARE);
                    loop {
                        let message = tokio::select! {
                            message = stream.message() => message,
                            _ = compare.tick() => {
                                if let Err(error) = self.compare(stay).await {
                                    tracing::warn!(%error, "comparing what is wanted with what is");
                                    break;
                                }
                                continue;
                            }
                            () = self.idle.notified(), if !stay => {
                                if !self.is_idle().await { continue }
                                // What a killed command began to make has no record and no event.
                                match self.clean_left_behind().await {
                                    Ok(()) => return Ok(()),
                                    Err(error) => {
                                        tracing::warn!(%error, "cleaning up before the end");
                                        break;
                                    }
                                }
                            }
                        };
                        let Ok(Some(envelope)) = message else { break };
                        self.notice(&envelope);
                    }
                    last_seen = tokio::time::Instant::now();
                    tracing::info!("containerd's events ended, trying again");
                }
                Err(error) => {
                    tracing::debug!(%error, "subscribing to containerd's events");
                    if !stay && last_seen.elapsed() > PATIENCE {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    /// Looks at the container that an event is about.
    fn notice(self: &Arc<Self>, envelope: &Envelope) {
        let bytes = envelope.event.as_ref().map(|event| event.value.as_slice()).unwrap_or_default();
        let id = match envelope.topic.as_str() {
            "/containers/create" => events::ContainerCreate::decode(bytes).map(|event| event.id),
            "/containers/update" => events::ContainerUpdate::decode(bytes).map(|event| event.id),
            "/containers/delete" => events::ContainerDelete::decode(bytes).map(|event| event.id),
            "/tasks/create" => events::TaskCreate::decode(bytes).map(|event| event.container_id),
            "/tasks/start" => events::TaskStart::decode(bytes).map(|event| event.container_id),
            "/tasks/delete" => events::TaskDelete::decode(bytes).map(|event| event.container_id),
            "/tasks/paused" => events::TaskPaused::decode(bytes).map(|event| event.container_id),
            "/tasks/resumed" => events::TaskResumed::decode(bytes).map(|event| event.container_id),
            "/tasks/exit" => match events::TaskExit::decode(bytes) {
                Ok(event) if event.id == event.container_id => {
                    let ended = event.exited_at.as_ref().map_or_else(|| time::text(time::now()), time::rfc3339);
                    let end = (i64::from(event.exit_status), ended);
                    self.state().units.entry(event.container_id.clone()).or_default().ended = Some(end);
                    Ok(event.container_id)
                }
                // A probe or another exec.
                _ => return,
            },
            _ => return,
        };
        if let Ok(id) = id {
            self.wake(&id);
        }
    }

    /// Has a container looked at, once after all that has happened to it.
    pub(crate) fn wake(self: &Arc<Self>, id: &str) {
        let mut state = self.state();
        if let Some(again) = state.busy.get_mut(id) {
            *again = true;
            return;
        }
        state.busy.insert(id.to_owned(), false);
        drop(state);
        let (supervisor, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            loop {
                if let Err(error) = supervisor.look(&id).await {
                    tracing::warn!(container = id, %error, "looking after a container");
                    supervisor.wake_later(&id, Duration::from_secs(1));
                }
                let mut state = supervisor.state();
                match state.busy.get_mut(&id) {
                    Some(again) if *again => *again = false,
                    _ => {
                        state.busy.remove(&id);
                        return;
                    }
                }
            }
        });
    }

    /// The same after a while.
    fn wake_later(self: &Arc<Self>, id: &str, after: Duration) {
        let (supervisor, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            supervisor.wake(&id);
        });
    }

    /// Looks at everything.
    async fn compare(self: &Arc<Self>, stay: bool) -> Result<()> {
        let records = self.core.records(&[]).await?;
        let own: BTreeSet<&str> = records
            .iter()
            .filter(|container| Record::of(container).is_some())
            .map(|container| container.id.as_str())
            .collect();
        let known: Vec<String> = self.state().units.keys().cloned().collect();
        for id in own.iter().copied().chain(known.iter().map(String::as_str).filter(|id| !own.contains(id))) {
            self.wake(id);
        }
        if own.is_empty() && !stay {
            self.idle_later();
        }
        self.clean_left_behind().await
    }

    fn idle_later(self: &Arc<Self>) {
        let supervisor = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            supervisor.idle.notify_one();
        });
    }

    /// Whether there is nothing to look after.
    async fn is_idle(&self) -> bool {
        match self.core.records(&[]).await {
            Ok(records) => !records.iter().any(|container| Record::of(container).is_some()),
            Err(_) => false,
        }
    }
}
