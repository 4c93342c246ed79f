//! Looking after one container: comparing what is wanted with what is, and acting.

use std::sync::Arc;
use std::time::Duration;

use compose_runtime::error::Result;
use containerd_client::services::v1::Container;
use containerd_client::types::v1::Status;
use tokio::task::AbortHandle;

use super::Supervisor;
use crate::client::optional;
use crate::ending::backoff_of;
use crate::lifecycle::{By, Then};
use crate::record::{
    DESIRED, EXIT_CODE, FINISHED, LOST, RESTARTING, RUNNING, Record, STARTED, STARTING, STOPPING, label,
};
use crate::time;

/// Time until the next look at a container that somebody else is working on.
const BUSY: Duration = Duration::from_millis(200);
/// Time between two attempts to remove a container whose output is still read.
const REMOVAL: Duration = Duration::from_secs(1);
/// How long pipes that a killed process has left are held open.
const MOMENT: Duration = Duration::from_secs(1);

/// A task of this process that ends with its handle.
pub(super) struct Running {
    /// What it belongs to: another value means another task.
    pub(super) of: String,
    handle: AbortHandle,
}

impl Running {
    pub(super) fn new(of: &str, task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { of: of.to_owned(), handle: tokio::spawn(task).abort_handle() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// What runs for a container in this process.
#[derive(Default)]
pub(super) struct Unit {
    /// Health checks of a run, by its start.
    pub(super) health: Option<Running>,
    /// The wait for the next start, by the end of the last run.
    pub(super) restart: Option<Running>,
    /// The name server in its namespace. Kept over restarts.
    pub(super) sockets: Option<super::resolver::Sockets>,
    /// Probes rest meanwhile.
    pub(super) paused: bool,
    /// Exit code and end of the last run, as its event told them.
    pub(super) ended: Option<(i64, String)>,
}

impl Supervisor {
    /// Compares and acts. Called for one container at a time.
    pub(super) async fn look(self: &Arc<Self>, id: &str) -> Result<()> {
        let Some(container) = self.core.get(id).await? else { return self.forget(id).await };
        let Some(record) = Record::of(&container) else { return Ok(()) };
        let task = self.core.task(id).await?;
        match task.as_ref().map(|task| task.status()) {
            Some(status @ (Status::Running | Status::Paused | Status::Pausing)) => {
                self.note_pause(id, status != Status::Running);
                let pipes = self.core.open_abandoned_pipes(id);
                if !pipes.is_empty() {
                    tokio::spawn(async move {
                        tokio::time::sleep(MOMENT).await;
                        drop(pipes);
                    });
                }
                self.serve_names(&container, &record, true).await?;
                match label(&container, DESIRED) {
                    STOPPING => self.finish_stop(id).await?,
                    STARTING => self.finish_start(id).await?,
                    _ if label(&container, RESTARTING) == "true" => self.finish_start(id).await?,
                    RUNNING => self.look_after_health(&container, &record),
                    _ => {}
                }
            }
            Some(Status::Stopped) => {
                self.rest(id);
                match self.core.try_lock_own(id).await? {
                    Some((lock, container, record)) => self.core.reap_under(lock, &container, record).await?,
                    None => self.wake_later(id, BUSY),
                }
            }
            Some(Status::Created | Status::Unknown) | None => {
                self.rest(id);
                self.look_at_ended(&container, &record).await?;
            }
        }
        Ok(())
    }

    /// One without a running process.
    async fn look_at_ended(self: &Arc<Self>, container: &Container, record: &Record) -> Result<()> {
        let id = container.id.as_str();
        if self.state().booting.contains(id) {
            return Ok(());
        }
        let desired = label(container, DESIRED);
        if desired == RUNNING && label(container, RESTARTING) == "true" {
            self.restart_when_due(container);
        } else {
            self.state().units.entry(id.to_owned()).or_default().restart = None;
            if desired == STARTING {
                self.finish_start(id).await?;
            } else if desired == RUNNING && label(container, EXIT_CODE).is_empty() {
                self.note_lost_end(id).await?;
            } else if record.auto_remove && !label(container, EXIT_CODE).is_empty() {
                match self.core.try_lock_own(id).await? {
                    Some((lock, container, record)) => {
                        self.core.reap_under(lock, &container, record).await?;
                        // Its output may still be read.
                        self.wake_later(id, REMOVAL);
                    }
                    None => self.wake_later(id, BUSY),
                }
            }
        }
        Ok(())
    }

    /// Health checks stop, and nobody finds it any more.
    fn rest(&self, id: &str) {
        self.names().rest(id);
        if let Some(unit) = self.state().units.get_mut(id) {
            unit.health = None;
        }
    }

    fn note_pause(&self, id: &str, paused: bool) {
        self.state().units.entry(id.to_owned()).or_default().paused = paused;
    }

    /// Finishes a start that a kill interrupted: whoever works on it holds the lock.
    async fn finish_start(self: &Arc<Self>, id: &str) -> Result<()> {
        let Some((_lock, container, record)) = self.core.try_lock_own(id).await? else {
            self.wake_later(id, BUSY);
            return Ok(());
        };
        let restarting = label(&container, RESTARTING) == "true";
        if label(&container, DESIRED) != STARTING && !restarting {
            return Ok(());
        }
        let task = self.core.task(id).await?;
        match task.map(|task| task.status()) {
            Some(Status::Running | Status::Paused | Status::Pausing) => self.core.note_start(id, &record).await,
            _ if restarting => Ok(()),
            _ => {
                tracing::info!(container = id, "finishing an interrupted start");
                self.core.start_locked(&container, record, By::Hand).await.map(drop)
            }
        }
    }

    /// Finishes a stop that a kill interrupted.
    async fn finish_stop(self: &Arc<Self>, id: &str) -> Result<()> {
        let Some((_lock, container, mut record)) = self.core.try_lock_own(id).await? else {
            self.wake_later(id, BUSY);
            return Ok(());
        };
        if label(&container, DESIRED) == STOPPING {
            tracing::info!(container = id, "finishing an interrupted stop");
            self.core.stop_locked(&container, &mut record, None).await?;
        }
        Ok(())
    }

    /// The process has ended and the task is gone: another program took it away, then the event has told how it
    /// ended; or nobody knows, since containerd 2 forgets at its restart.
    async fn note_lost_end(self: &Arc<Self>, id: &str) -> Result<()> {
        let Some((_lock, container, mut record)) = self.core.try_lock_own(id).await? else {
            self.wake_later(id, BUSY);
            return Ok(());
        };
        let lost = label(&container, DESIRED) == RUNNING
            && label(&container, EXIT_CODE).is_empty()
            && self.core.task(id).await?.is_none();
        if lost {
            let told = self.state().units.get_mut(id).and_then(|unit| unit.ended.take());
            // An event of an earlier run tells nothing of this one.
            let started = time::parse(label(&container, STARTED));
            let told = told.filter(|(_, ended)| time::parse(ended) >= started);
            let (code, ended) = told.unwrap_or_else(|| (LOST, time::text(time::now())));
            let again = self.core.note_end(&container, &record, Then::ByPolicy, code, ended).await?;
            if !again && !record.published.is_empty() {
                self.core.withdraw(id, &mut record).await;
                self.core.set_record(id, &record).await?;
            }
        }
        Ok(())
    }

    /// Starts a container again when its time has come.
    fn restart_when_due(self: &Arc<Self>, container: &Container) {
        let id = container.id.clone();
        let ended = label(container, FINISHED).to_owned();
        let mut state = self.state();
        let unit = state.units.entry(id.clone()).or_default();
        if unit.restart.as_ref().is_some_and(|restart| restart.of == ended) {
            return;
        }
        let passed = time::parse(&ended).map(|ended| time::now().duration_since(ended));
        let passed = passed.and_then(|passed| Duration::try_from(passed).ok()).unwrap_or_default();
        let wait = backoff_of(container).saturating_sub(passed);
        let supervisor = Arc::clone(self);
        unit.restart = Some(Running::new(&ended, async move {
            tokio::time::sleep(wait).await;
            // In a task of its own: a start must not be torn by a change of the wait.
            tokio::spawn(async move {
                if let Err(error) = supervisor.restart(&id).await {
                    tracing::warn!(container = id, %error, "starting a container by its restart policy");
                }
                if let Some(unit) = supervisor.state().units.get_mut(&id) {
                    unit.restart = None;
                }
                supervisor.wake(&id);
            });
        }));
    }

    async fn restart(&self, id: &str) -> Result<()> {
        let Some((_lock, container, record)) = optional(self.core.lock_own(id).await)? else { return Ok(()) };
        if label(&container, DESIRED) != RUNNING || label(&container, RESTARTING) != "true" {
            return Ok(());
        }
        tracing::info!(container = id, after = label(&container, STARTED), "starting by the restart policy");
        self.core.start_locked(&container, record, By::Policy).await.map(drop)
    }

    /// Closes what is open in a container's network namespace.
    pub(crate) fn release(&self, id: &str) {
        if let Some(unit) = self.state().units.get_mut(id) {
            unit.sockets = None;
        }
    }

    /// Gets everything ready that a container needs before its process runs.
    pub(crate) async fn prepare(self: &Arc<Self>, id: &str) -> Result<()> {
        match optional(self.core.find_own(id).await)? {
            Some((container, record)) => self.serve_names(&container, &record, false).await,
            None => Ok(()),
        }
    }
}
