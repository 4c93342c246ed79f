//! The life of tasks: start, stop, kill, wait, pause. Whoever changes a task holds the
//! container's lock, so that several processes of this program never work against each other. What
//! a start needs is in [`crate::starting`], what an end brings in [`crate::ending`].

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use compose_model::names::ContainerName;
use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{CommitOptions, Containers, Created, Inspection, Outcome};
use containerd_client::services::v1::{KillRequest, PauseTaskRequest, ResumeTaskRequest};
use containerd_client::types::v1::{Process, Status};

use crate::client::{existed, optional};
use crate::core::{Core, name_of};
use crate::record::{DESIRED, EXIT_CODE, RESTARTING, STOPPED, label};
use crate::signal;

/// How long a killed process may take to go.
pub(crate) const KILLED: Duration = Duration::from_secs(10);
/// How long to wait before a task that is still there, or still ending, is made, or deleted, again.
pub(crate) const BETWEEN_DELETIONS: Duration = Duration::from_millis(20);

/// Who starts a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Somebody who asked for it: the restart policy begins anew.
    Hand,
    /// The restart policy.
    Policy,
}

/// What comes after the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The restart policy decides.
    ByPolicy,
    /// It stays as it is: somebody asked for the end.
    Stay,
}

/// Named pipes of a container that takes input.
pub(crate) struct Pipes {
    pub(crate) stdin: PathBuf,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
}

impl Core {
    pub(crate) fn pipes(&self, id: &str) -> Pipes {
        let directory = self.state_directory(id).join("io");
        let [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map(|name| directory.join(name));
        Pipes { stdin, stdout, stderr }
    }

    /// Sends a signal; `false` if there is nothing to receive it.
    pub(crate) async fn signal_task(&self, id: &str, number: u32) -> Result<bool> {
        let task = self.task(id).await?;
        self.signal(id, task.as_ref(), number).await
    }

    /// The same to a task that was looked at just now.
    pub(crate) async fn signal(&self, id: &str, task: Option<&Process>, number: u32) -> Result<bool> {
        let task = task.filter(|task| task.status() == Status::Running);
        if task.is_some_and(|task| signal::send(id, task.pid, number)) {
            return Ok(true);
        }
        let request =
            self.client.request(KillRequest { container_id: id.to_owned(), signal: number, ..KillRequest::default() });
        existed(self.client.call("Tasks.Kill", self.client.tasks().kill(request)).await)
    }

    pub(crate) async fn resume_task(&self, id: &str) -> Result<()> {
        let request = self.client.request(ResumeTaskRequest { container_id: id.to_owned() });
        self.client.call("Tasks.Resume", self.client.tasks().resume(request)).await
    }
}

#[async_trait]
impl Containers for Core {
    async fn create(&self, spec: &ContainerSpec) -> Result<Created> {
        self.create_container(spec).await
    }

    async fn start(&self, container: &str) -> Result<Outcome> {
        let (_lock, found, record) = self.lock_named(container).await?;
        self.start_locked(&found, record, By::Hand).await
    }

    async fn stop(&self, container: &str, timeout: Option<i64>) -> Result<Outcome> {
        let id = self.identity(container).await?;
        let Some((lock, found, mut record)) = optional(self.lock_own(&id).await)? else {
            return Ok(Outcome::AlreadySo);
        };
        let outcome = self.stop_locked(&found, &mut record, timeout).await?;
        if record.auto_remove {
            self.delete_container(&found, record, true).await?;
            lock.remove();
        }
        Ok(outcome)
    }

    async fn restart(&self, container: &str, timeout: Option<i64>) -> Result<()> {
        let (_lock, found, mut record) = self.lock_named(container).await?;
        self.stop_locked(&found, &mut record, timeout).await?;
        let (found, record) = self.find_own(&found.id).await?;
        self.start_locked(&found, record, By::Hand).await.map(drop)
    }

    async fn kill(&self, container: &str, signal: &str) -> Result<Outcome> {
        let (found, record) = self.find_own(container).await?;
        let wanted = if signal.is_empty() { "SIGKILL" } else { signal };
        let Some(number) = signal::number(wanted) else {
            return Err(RuntimeError::Invalid { message: format!("invalid signal: {signal}") });
        };
        let ends = number == signal::KILL || signal::number(&record.stop_signal).unwrap_or(signal::TERM) == number;
        if ends {
            self.set_labels(&found.id, &[(DESIRED, Some(STOPPED.to_owned())), (RESTARTING, None)]).await?;
        }
        if !self.signal_task(&found.id, number).await? {
            return Err(RuntimeError::Conflict {
                message: format!("cannot kill container {container}: it is not running"),
            });
        }
        if number == signal::KILL && tokio::time::timeout(KILLED, self.wait_task(&found.id)).await.is_ok() {
            self.reap(&found.id).await?;
        }
        Ok(Outcome::Done)
    }

    async fn pause(&self, container: &str) -> Result<()> {
        let (found, _) = self.find_own(container).await?;
        let conflict =
            |what: &str| Err(RuntimeError::Conflict { message: format!("container {} is {what}", name_of(&found)) });
        match self.task(&found.id).await?.map(|task| task.status()) {
            Some(Status::Paused | Status::Pausing) => return conflict("already paused"),
            Some(Status::Running) => {}
            _ => return conflict("not running"),
        }
        let request = self.client.request(PauseTaskRequest { container_id: found.id });
        self.client.call("Tasks.Pause", self.client.tasks().pause(request)).await
    }

    async fn unpause(&self, container: &str) -> Result<()> {
        let (found, _) = self.find_own(container).await?;
        if self.task(&found.id).await?.is_none_or(|task| task.status() != Status::Paused) {
            return Err(RuntimeError::Conflict { message: format!("container {} is not paused", name_of(&found)) });
        }
        self.resume_task(&found.id).await
    }

    async fn remove(&self, container: &str, volumes: bool, force: bool) -> Result<Outcome> {
        let Some((lock, found, mut record)) = optional(self.lock_named(container).await)? else {
            return Ok(Outcome::AlreadySo);
        };
        if let Some(task) = self.task(&found.id).await? {
            if matches!(task.status(), Status::Running | Status::Paused | Status::Pausing) {
                if !force {
                    return Err(RuntimeError::Conflict {
                        message: format!("cannot remove container {}: it is running", name_of(&found)),
                    });
                }
                self.set_labels(&found.id, &[(DESIRED, Some(STOPPED.to_owned()))]).await?;
                self.kill_and_wait(&found.id).await?;
            }
            self.reap_locked(&found, &mut record, Then::Stay).await?;
        }
        let outcome = self.delete_container(&found, record, volumes).await?;
        lock.remove();
        Ok(outcome)
    }

    async fn rename(&self, container: &str, to: &ContainerName) -> Result<Outcome> {
        self.rename_container(container, to.as_str()).await
    }

    async fn wait(&self, container: &str) -> Result<i64> {
        let remembered = self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
        if let Some(mut end) = remembered
            && let Ok(code) = end.wait_for(Option::is_some).await.map(|code| *code)
            && let Some(code) = code
        {
            self.reap(container).await?;
            return Ok(code);
        }
        let found = self.find(container).await?;
        if let Some(task) = self.task(&found.id).await?
            && !matches!(task.status(), Status::Created)
            && let Ok(Some(code)) = self.wait_task(&found.id).await
        {
            self.reap(&found.id).await?;
            return Ok(code);
        }
        // Somebody else has taken the task away, perhaps under our hands: once its lock is free,
        // the end is written down.
        self.reap(&found.id).await?;
        // Its end was recorded by whoever reaped it; a container that is gone ended somehow.
        let now = optional(self.find(&found.id).await)?;
        Ok(now.as_ref().and_then(|now| label(now, EXIT_CODE).parse().ok()).unwrap_or(0))
    }

    async fn inspect(&self, container: &str) -> Result<Inspection> {
        self.inspect_container(container).await
    }

    async fn commit(&self, container: &str, options: &CommitOptions) -> Result<String> {
        self.commit_container(container, options).await
    }
}
