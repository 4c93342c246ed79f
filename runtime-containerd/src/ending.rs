//! The end of a task: waiting for it, bringing it about, and what follows it.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::Outcome;
use containerd_client::services::v1::{Container, DeleteTaskRequest, WaitRequest};
use containerd_client::types::v1::Status;

use crate::client::{LONG, optional};
use crate::core::Core;
use crate::lifecycle::{BETWEEN_DELETIONS, KILLED, Then};
use crate::locks::{FileLock, Missing, Taken};
use crate::record::{
    BACKOFF, DESIRED, EXIT_CODE, FINISHED, RESTARTING, RESTARTS, RUNNING, Record, STARTED, STARTING, STOPPED, STOPPING,
    label,
};
use crate::{signal, time};

/// dockerd's default grace period in seconds.
const GRACE: i64 = 10;
/// How long the end of a process may take to be told.
const SOON: Duration = Duration::from_secs(2);
/// What a shim says to the deletion of a task whose end it has not told yet.
const STILL_ENDING: &str = "cannot delete a running process";

impl Core {
    /// The exit code that was remembered, if it comes soon: the process has ended.
    pub(crate) async fn remembered_end(&self, id: &str) -> Option<i64> {
        let remembered = self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let mut end = remembered?;
        let code = tokio::time::timeout(SOON, end.wait_for(Option::is_some)).await.ok()?.ok()?;
        *code
    }

    /// Remembers the exit code of a container that removes itself, or is removed by others while its output is
    /// followed, for whoever asks this process afterwards. Asked before the start, so that it is not gone first.
    pub(crate) async fn remember_end(&self, id: &str) {
        let (sender, receiver) = tokio::sync::watch::channel(None);
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), receiver);
        let (core, id) = (self.clone(), id.to_owned());
        let mut waiting = Box::pin(async move { core.wait_task(&id).await });
        let sent = futures_util::poll!(waiting.as_mut());
        tokio::spawn(async move {
            let ended = match sent {
                std::task::Poll::Ready(ended) => ended,
                std::task::Poll::Pending => waiting.await,
            };
            sender.send_replace(ended.ok().flatten());
        });
    }

    /// Deletes a task that is not running; returns its exit code and its end.
    pub(crate) async fn delete_task(&self, id: &str) -> Result<Option<(i64, String)>> {
        let begin = tokio::time::Instant::now();
        let mut pipes = Vec::new();
        loop {
            match optional(self.delete_task_once(id).await) {
                // A shim holds the end of the process back while another one that it starts in the
                // container (a probe, say) is not yet known to it. No event tells when that is over.
                Err(error) if begin.elapsed() < KILLED && error.to_string().contains(STILL_ENDING) => {
                    if pipes.is_empty() {
                        pipes = self.open_abandoned_pipes(id);
                    }
                    tokio::time::sleep(BETWEEN_DELETIONS).await;
                }
                deleted => return deleted,
            }
        }
    }

    async fn delete_task_once(&self, id: &str) -> Result<(i64, String)> {
        let request = self.client.request(DeleteTaskRequest { container_id: id.to_owned() });
        let deleted = self.client.call_within(LONG, "Tasks.Delete", self.client.tasks().delete(request)).await?;
        let ended = deleted.exited_at.as_ref().map(time::rfc3339).unwrap_or_default();
        Ok((i64::from(deleted.exit_status), ended))
    }

    /// Takes down what a stopped task leaves: the task (its deletion ends the log process, so the
    /// log is complete afterwards), the published ports; keeps the exit code. Returns whether the
    /// restart policy will start it again.
    pub(crate) async fn reap_locked(&self, container: &Container, record: &mut Record, then: Then) -> Result<bool> {
        let id = container.id.as_str();
        let mut again = false;
        if let Some((code, ended)) = self.delete_task(id).await? {
            again = self.note_end(container, record, then, code, ended).await?;
        }
        if !record.published.is_empty() && !again {
            self.withdraw(id, record).await;
            self.set_record(id, record).await?;
        }
        Ok(again)
    }

    /// Notes exit code and time, and whether the restart policy will start it again.
    pub(crate) async fn note_end(
        &self,
        container: &Container,
        record: &Record,
        then: Then,
        code: i64,
        ended: String,
    ) -> Result<bool> {
        let mut changes = Vec::new();
        let next = (then == Then::ByPolicy).then(|| restart_after(container, record, code, &ended)).flatten();
        if let Some((restarts, wait)) = next {
            changes.push((RESTARTING, Some("true".to_owned())));
            changes.push((RESTARTS, Some((restarts + 1).to_string())));
            changes.push((BACKOFF, Some(wait.as_millis().to_string())));
        }
        if then == Then::Stay {
            changes.push((DESIRED, Some(STOPPED.to_owned())));
        }
        changes.push((EXIT_CODE, Some(code.to_string())));
        changes.push((FINISHED, Some(ended)));
        self.set_labels(&container.id, &changes).await?;
        Ok(next.is_some())
    }

    /// Reaps a container whose process has ended; nothing happens to others.
    pub(crate) async fn reap(&self, id: &str) -> Result<()> {
        match optional(self.lock_own(id).await)? {
            Some((lock, container, record)) => self.reap_under(lock, &container, record).await,
            None => Ok(()),
        }
    }

    /// Reaps a container whose lock is held; removes it if that is wanted and nobody reads its
    /// output any more.
    pub(crate) async fn reap_under(&self, lock: FileLock, container: &Container, mut record: Record) -> Result<()> {
        let id = container.id.as_str();
        let again = match self.task(id).await?.map(|task| task.status()) {
            Some(Status::Stopped) => self.reap_locked(container, &mut record, Then::ByPolicy).await?,
            None => label(container, EXIT_CODE).is_empty() || label(container, RESTARTING) == "true",
            Some(_) => true,
        };
        if record.auto_remove && !again && self.unread(id)? {
            self.delete_container(container, record, true).await?;
            lock.remove();
        }
        Ok(())
    }

    /// The file that a reader of a container's output holds, so that it is not removed meanwhile.
    pub(crate) fn hold_path(&self, id: &str) -> PathBuf {
        self.data_directory(id).join("readers")
    }

    /// Whether nobody reads a container's output.
    fn unread(&self, id: &str) -> Result<bool> {
        Ok(!matches!(FileLock::try_take(&self.hold_path(id), Missing::Refuse)?, Taken::Busy))
    }

    /// Waits for the end of a task; `None` if there is none.
    pub(crate) async fn wait_task(&self, id: &str) -> Result<Option<i64>> {
        let request = self.client.request(WaitRequest { container_id: id.to_owned(), exec_id: String::new() });
        match self.client.tasks().wait(request).await {
            Ok(response) => Ok(Some(i64::from(response.into_inner().exit_status))),
            Err(status) => optional(Err(self.client.error(&status))),
        }
    }

    /// Stops a container whose lock is held.
    pub(crate) async fn stop_locked(
        &self,
        container: &Container,
        record: &mut Record,
        timeout: Option<i64>,
    ) -> Result<Outcome> {
        let id = container.id.as_str();
        let Some(task) = self.task(id).await? else {
            self.set_labels(id, &[(DESIRED, Some(STOPPED.to_owned())), (RESTARTING, None)]).await?;
            // It was waiting for its restart with its ports published.
            if !record.published.is_empty() {
                self.withdraw(id, record).await;
                self.set_record(id, record).await?;
            }
            return Ok(if label(container, RESTARTING).is_empty() { Outcome::AlreadySo } else { Outcome::Done });
        };
        self.set_labels(id, &[(DESIRED, Some(STOPPING.to_owned())), (RESTARTING, None)]).await?;
        if !matches!(task.status(), Status::Running | Status::Paused | Status::Pausing) {
            self.reap_locked(container, record, Then::Stay).await?;
            return Ok(Outcome::AlreadySo);
        }
        let number = signal::number(&record.stop_signal).unwrap_or(signal::TERM);
        self.signal(id, Some(&task), number).await?;
        if task.status() == Status::Paused {
            self.resume_task(id).await?;
        }
        let seconds = timeout.or(record.stop_timeout).unwrap_or(GRACE);
        let ended = match u64::try_from(seconds) {
            // Negative: wait for ever.
            Err(_) => self.wait_task(id).await.map(drop).map(|()| true)?,
            Ok(seconds) => {
                let waited = tokio::time::timeout(Duration::from_secs(seconds), self.wait_task(id)).await;
                match waited {
                    Ok(waited) => waited.map(|_| true)?,
                    Err(_) => false,
                }
            }
        };
        if !ended {
            self.kill_and_wait(id).await?;
        }
        self.reap_locked(container, record, Then::Stay).await?;
        Ok(Outcome::Done)
    }

    pub(crate) async fn kill_and_wait(&self, id: &str) -> Result<()> {
        if !self.signal_task(id, signal::KILL).await? {
            return Ok(());
        }
        let _pipes = self.open_abandoned_pipes(id);
        match tokio::time::timeout(KILLED, self.wait_task(id)).await {
            Ok(waited) => waited.map(drop),
            Err(_) => Err(RuntimeError::Failed {
                message: format!("container {id} has not ended {} s after SIGKILL", KILLED.as_secs()),
            }),
        }
    }
}

/// What the restart policy does after a run with this exit code and end: how often it has started
/// the container already, and the wait until the next start; `None`: it stays as it is.
pub(crate) fn restart_after(container: &Container, record: &Record, code: i64, ended: &str) -> Option<(u64, Duration)> {
    if !matches!(label(container, DESIRED), RUNNING | STARTING) {
        return None;
    }
    let begin = time::parse(label(container, STARTED));
    let ran = begin.zip(time::parse(ended)).map(|(begin, end)| end.duration_since(begin));
    let run = crate::policy::Ended {
        code,
        ran: ran.and_then(|ran| Duration::try_from(ran).ok()).unwrap_or_default(),
        restarts: label(container, RESTARTS).parse().unwrap_or(0),
        waited: backoff_of(container),
    };
    crate::policy::wait_before_restart(&record.restart, run).map(|wait| (run.restarts, wait))
}

/// The wait before the last restart.
pub(crate) fn backoff_of(container: &Container) -> Duration {
    Duration::from_millis(label(container, BACKOFF).parse().unwrap_or(0))
}
