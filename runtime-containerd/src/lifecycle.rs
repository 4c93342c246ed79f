//! The life of tasks: start, stop, kill, wait, pause. Whoever changes a task holds the
//! container's lock, so that several processes of this program never work against each other.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use compose_model::names::ContainerName;
use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{CommitOptions, Containers, Created, Inspection, Outcome};
use containerd_client::services::v1::{
    Container, CreateTaskRequest, DeleteTaskRequest, KillRequest, PauseTaskRequest, ResumeTaskRequest, StartRequest,
    WaitRequest,
};
use containerd_client::types::v1::Status;

use crate::client::{LONG, existed, local, optional};
use crate::core::{Core, FileLock, Missing, Taken, name_of, private_directory};
use crate::record::{
    BACKOFF, DESIRED, ERROR, EXIT_CODE, FINISHED, HEALTH, PORTS, RESTARTING, RESTARTS, RUNNING, Record, STARTED,
    STARTING, STOPPED, STOPPING, label,
};
use crate::{LOGGER_ARGUMENT, netns, signal, time};

/// dockerd's default grace period in seconds.
const GRACE: i64 = 10;
/// How long a killed process may take to go.
const KILLED: Duration = Duration::from_secs(10);
/// How long the end of a process may take to be told.
const SOON: Duration = Duration::from_secs(2);
/// What a shim says to the deletion of a task whose end it has not told yet.
const STILL_ENDING: &str = "cannot delete a running process";
/// What containerd says to the creation of a task that it is still making, or unmaking.
const STILL_THERE: [&str; 2] = ["file exists", "already exists"];
/// How long to wait before such a task is deleted, or made, again.
const BETWEEN_DELETIONS: Duration = Duration::from_millis(20);

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

/// The standard streams that a task is created with.
#[derive(Debug, Default)]
struct Streams {
    stdin: String,
    stdout: String,
    stderr: String,
    /// Named pipes that a log process is waiting on.
    pipes: Vec<PathBuf>,
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

    /// Starts a container whose lock is held.
    pub(crate) async fn start_locked(&self, container: &Container, mut record: Record, by: By) -> Result<Outcome> {
        let id = container.id.as_str();
        if let Some(task) = self.task(id).await? {
            match task.status() {
                Status::Running | Status::Pausing => return Ok(Outcome::AlreadySo),
                Status::Paused => {
                    return Err(RuntimeError::Conflict {
                        message: format!("container {} is paused, unpause it", name_of(container)),
                    });
                }
                _ => drop(self.reap_locked(container, &mut record, Then::Stay).await?),
            }
        }
        let started = self.start_task(container, &mut record, by).await;
        match &started {
            Ok(()) => self.note_start(id, &record).await?,
            Err(error) => {
                self.delete_task(id).await?;
                self.withdraw(id, &mut record).await;
                self.set_record(id, &record).await?;
                self.note_failed_start(container, error, by).await?;
            }
        }
        started.map(|()| Outcome::Done)
    }

    /// Notes that the process runs.
    pub(crate) async fn note_start(&self, id: &str, record: &Record) -> Result<()> {
        let health = record.healthcheck.as_ref().map(|_| crate::health::Status::Starting.word().to_owned());
        let changes = [
            (DESIRED, Some(RUNNING.to_owned())),
            (STARTED, Some(time::text(time::now()))),
            (EXIT_CODE, None),
            (FINISHED, None),
            (ERROR, None),
            (RESTARTING, None),
            (HEALTH, health),
            (PORTS, nerdctl_ports(record)),
        ];
        self.set_labels(id, &changes).await
    }

    /// Notes why a start has failed. The restart policy goes on trying, at longer and longer
    /// intervals; who asks by hand gets the error.
    async fn note_failed_start(&self, container: &Container, error: &RuntimeError, by: By) -> Result<()> {
        let text = error.to_string();
        let code = start_failure_code(&text);
        // A label holds 4096 bytes with its key.
        let short: String = text.chars().take(900).collect();
        let mut changes = vec![(EXIT_CODE, Some(code.to_string())), (ERROR, Some(short))];
        match by {
            By::Hand => {
                changes.extend(anew());
                changes.push((DESIRED, Some(STOPPED.to_owned())));
            }
            By::Policy => {
                let waited = crate::policy::next_wait(backoff_of(container), Duration::ZERO);
                changes.push((FINISHED, Some(time::text(time::now()))));
                changes.push((BACKOFF, Some(waited.as_millis().to_string())));
                changes.push((RESTARTING, Some("true".to_owned())));
            }
        }
        self.set_labels(&container.id, &changes).await
    }

    async fn start_task(&self, container: &Container, record: &mut Record, by: By) -> Result<()> {
        let id = container.id.as_str();
        private_directory(&self.state_directory(id))?;
        self.ensure_host_mounts(id, &record.host_mounts).await?;
        self.restore_files(id, record)?;
        self.join_namespaces(container, record).await?;
        let before = record.clone();
        let mut attached = Ok(());
        match record.network_mode.as_str() {
            "host" => {}
            mode => match mode.strip_prefix("container:") {
                Some(other) => {
                    if !netns::exists(&self.namespace_path(other)) && self.shares_own_network(other).await? {
                        return Err(RuntimeError::Conflict {
                            message: format!("cannot join the network of container {other}: it is not running"),
                        });
                    }
                    if netns::exists(&self.namespace_path(other)) {
                        self.note_joined(other)?;
                    }
                }
                None => attached = self.ensure_attached(id, record).await,
            },
        }
        // One write for both: a kill before it leaves a container that nobody has started, with a
        // namespace that the next start, or the removal, takes down.
        let mut changes = Vec::new();
        if by == By::Hand && attached.is_ok() {
            changes.extend(anew());
            changes.push((DESIRED, Some(STARTING.to_owned())));
        }
        let changed = attached.is_err() || *record != before;
        self.write(id, changed.then_some(&*record), &changes).await?;
        attached?;
        // After a crash of the process its ports are still published.
        let networked = !record.attached.is_empty();
        if networked && record.published.is_empty() && !record.ports.is_empty() {
            self.publish(id, record).await?;
            self.set_record(id, record).await?;
        }
        let addresses: Vec<String> = record
            .networks
            .iter()
            .filter_map(|one| record.attached.get(one.network.as_str()))
            .flat_map(|one| one.addresses().map(str::to_owned))
            .collect();
        self.write_name_files(id, record, &addresses)?;

        // Names are answered and the end is noted from the first moment on.
        self.prepare_supervisor(id).await?;
        let streams = self.prepare_streams(id, record)?;
        let created = self.create_and_start(container, record, &streams).await;
        if created.is_err() {
            // Whoever waits for the other end of a pipe gets its end of file.
            for pipe in &streams.pipes {
                let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
                drop(std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(pipe));
            }
        }
        created
    }

    async fn shares_own_network(&self, id: &str) -> Result<bool> {
        let (_, record) = self.find_own(id).await?;
        Ok(record.network_mode != "host")
    }

    async fn create_and_start(&self, container: &Container, record: &Record, streams: &Streams) -> Result<()> {
        let id = container.id.as_str();
        let wanted = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs: self.snapshot_mounts(container).await?,
            stdin: streams.stdin.clone(),
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            terminal: record.tty,
            ..CreateTaskRequest::default()
        };
        let begin = tokio::time::Instant::now();
        loop {
            let request = self.client.request(wanted.clone());
            match self.client.call_within(LONG, "Tasks.Create", self.client.tasks().create(request)).await {
                // containerd goes on with what a killed command asked for, and takes it back only when
                // it notices. We hold the container's lock: no living one is at it.
                Err(error)
                    if begin.elapsed() < KILLED && STILL_THERE.iter().any(|text| error.to_string().contains(text)) =>
                {
                    self.delete_task(id).await?;
                    tokio::time::sleep(BETWEEN_DELETIONS).await;
                }
                created => break drop(created?),
            }
        }
        if record.auto_remove {
            self.remember_end(id).await;
        }
        let request = self.client.request(StartRequest { container_id: id.to_owned(), exec_id: String::new() });
        self.client.call_within(LONG, "Tasks.Start", self.client.tasks().start(request)).await?;
        Ok(())
    }

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

    /// Pipes and log process of a task.
    fn prepare_streams(&self, id: &str, record: &Record) -> Result<Streams> {
        let data = self.data_directory(id);
        let mut streams = Streams::default();
        let pipes = self.pipes(id);
        if record.stdin_open {
            let directory = self.state_directory(id).join("io");
            let _ = std::fs::remove_dir_all(&directory);
            private_directory(&directory)?;
            let make = |path: &Path| crate::rootfs::make_fifo(path).map_err(|error| local(path.display(), error));
            make(&pipes.stdin)?;
            streams.stdin = pipes.stdin.display().to_string();
            if !record.tty {
                // With a log process of the shim's, input is only passed to terminals.
                make(&pipes.stdout)?;
                make(&pipes.stderr)?;
                streams.stdout = pipes.stdout.display().to_string();
                streams.stderr = pipes.stderr.display().to_string();
                let mut command = tokio::process::Command::new(&self.settings.program);
                command.arg(LOGGER_ARGUMENT).arg("--pipes").arg(&data).arg(&pipes.stdout).arg(&pipes.stderr);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
                drop(command.spawn().map_err(|error| local(self.settings.program.display(), error))?);
                streams.pipes = vec![pipes.stdout, pipes.stderr];
                return Ok(streams);
            }
        }
        let encode = |path: &Path| percent_encode(&path.display().to_string());
        streams.stdout = format!("binary://{}?{LOGGER_ARGUMENT}={}", encode(&self.settings.program), encode(&data));
        if !record.tty {
            streams.stderr = streams.stdout.clone();
        }
        Ok(streams)
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

    /// Sends a signal; `false` if there is nothing to receive it.
    pub(crate) async fn signal_task(&self, id: &str, number: u32) -> Result<bool> {
        let task = self.task(id).await?.filter(|task| task.status() == Status::Running);
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
        self.signal_task(id, number).await?;
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

/// The restart policy begins anew.
fn anew() -> [(&'static str, Option<String>); 3] {
    [(RESTARTING, None), (RESTARTS, None), (BACKOFF, None)]
}

/// The published ports as nerdctl shows them.
fn nerdctl_ports(record: &Record) -> Option<String> {
    let port = |port: &compose_planner::observed::PublishedPort| {
        serde_json::json!({
            "HostPort": port.published, "ContainerPort": port.target, "Protocol": port.protocol, "HostIP": port.host_ip,
        })
    };
    let all: Vec<_> = record.published.iter().filter(|port| port.published != 0).map(port).collect();
    // A label holds 4096 bytes with its key.
    (!all.is_empty()).then(|| serde_json::Value::Array(all).to_string()).filter(|text| text.len() < 4000)
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

/// What dockerd reports when a program cannot be started.
pub(crate) fn start_failure_code(message: &str) -> i64 {
    let lower = message.to_ascii_lowercase();
    if lower.contains("executable file not found") || lower.contains("no such file or directory") {
        127
    } else if lower.contains("permission denied") || lower.contains("is a directory") {
        126
    } else {
        128
    }
}

/// Keeps what a path may contain in an address as it is.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[async_trait]
impl Containers for Core {
    async fn create(&self, spec: &ContainerSpec) -> Result<Created> {
        self.create_container(spec).await
    }

    async fn start(&self, container: &str) -> Result<Outcome> {
        let (found, _) = self.find_own(container).await?;
        let (_lock, found, record) = self.lock_own(&found.id).await?;
        self.start_locked(&found, record, By::Hand).await
    }

    async fn stop(&self, container: &str, timeout: Option<i64>) -> Result<Outcome> {
        let (found, _) = self.find_own(container).await?;
        let Some((lock, found, mut record)) = optional(self.lock_own(&found.id).await)? else {
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
        let (found, _) = self.find_own(container).await?;
        let (_lock, found, mut record) = self.lock_own(&found.id).await?;
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
        let Some((found, _)) = optional(self.find_own(container).await)? else { return Ok(Outcome::AlreadySo) };
        let Some((lock, found, mut record)) = optional(self.lock_own(&found.id).await)? else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_odd_characters_survive_in_a_log_address() {
        assert_eq!(percent_encode("/a b/c?d=ü"), "/a%20b/c%3Fd%3D%C3%BC");
    }

    #[test]
    fn a_missing_program_and_a_forbidden_one_get_the_shells_codes() {
        assert_eq!(start_failure_code("exec: \"x\": executable file not found in $PATH"), 127);
        assert_eq!(start_failure_code("exec: \"/etc\": permission denied: unknown"), 126);
        assert_eq!(start_failure_code("cgroup trouble"), 128);
    }
}
