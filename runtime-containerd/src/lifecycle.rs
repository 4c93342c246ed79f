//! The life of tasks: start, stop, kill, wait, pause. Whoever changes a task holds the
//! container's lock, so that several processes of this program never work against each other.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
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

use crate::client::{LONG, existed, local, optional, unsupported};
use crate::core::{Core, name_of, private_directory};
use crate::record::{DESIRED, ERROR, EXIT_CODE, FINISHED, HEALTH, RESTARTING, Record, STARTED, label};
use crate::{LOGGER_ARGUMENT, netns, signal, time};

/// dockerd's default grace period in seconds.
const GRACE: i64 = 10;
/// How long a killed process may take to go.
const KILLED: Duration = Duration::from_secs(10);

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
    pub(crate) async fn start_locked(&self, container: &Container, mut record: Record) -> Result<Outcome> {
        let id = container.id.as_str();
        if let Some(task) = self.task(id).await? {
            match task.status() {
                Status::Running | Status::Pausing => return Ok(Outcome::AlreadySo),
                Status::Paused => {
                    return Err(RuntimeError::Conflict {
                        message: format!("container {} is paused, unpause it", name_of(container)),
                    });
                }
                _ => self.reap_locked(id, &mut record).await?,
            }
        }
        self.set_labels(id, &[(DESIRED, Some("running".to_owned()))]).await?;
        let started = self.start_task(container, &mut record).await;
        match &started {
            Ok(()) => {
                let changes = [
                    (STARTED, Some(time::text(time::now()))),
                    (EXIT_CODE, None),
                    (FINISHED, None),
                    (ERROR, None),
                    (RESTARTING, None),
                    (HEALTH, None),
                ];
                self.set_labels(id, &changes).await?;
            }
            Err(error) => {
                self.delete_task(id).await?;
                self.withdraw(id, &mut record).await;
                self.set_record(id, &record).await?;
                let text = error.to_string();
                let code = start_failure_code(&text);
                // A label holds 4096 bytes with its key.
                let short: String = text.chars().take(900).collect();
                let changes = [
                    (DESIRED, Some("stopped".to_owned())),
                    (EXIT_CODE, Some(code.to_string())),
                    (FINISHED, Some(time::text(time::now()))),
                    (ERROR, Some(short)),
                ];
                self.set_labels(id, &changes).await?;
            }
        }
        started.map(|()| Outcome::Done)
    }

    async fn start_task(&self, container: &Container, record: &mut Record) -> Result<()> {
        let id = container.id.as_str();
        private_directory(&self.state_directory(id))?;
        match record.network_mode.as_str() {
            "host" => {}
            mode => match mode.strip_prefix("container:") {
                Some(other) => {
                    if !netns::exists(&self.namespace_path(other)) && self.shares_own_network(other).await? {
                        return Err(RuntimeError::Conflict {
                            message: format!("cannot join the network of container {other}: it is not running"),
                        });
                    }
                }
                None => {
                    let before = record.clone();
                    let attached = self.ensure_attached(id, record).await;
                    if attached.is_err() || *record != before {
                        self.set_record(id, record).await?;
                    }
                    attached?;
                    self.publish(id, record).await?;
                    self.set_record(id, record).await?;
                }
            },
        }
        let addresses: Vec<String> = record
            .networks
            .iter()
            .filter_map(|one| record.attached.get(one.network.as_str()))
            .map(|one| one.address.clone())
            .filter(|address| !address.is_empty())
            .collect();
        self.write_name_files(id, record, &addresses)?;

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
        let request = self.client.request(CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs: self.snapshot_mounts(container).await?,
            stdin: streams.stdin.clone(),
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            terminal: record.tty,
            ..CreateTaskRequest::default()
        });
        self.client.call_within(LONG, "Tasks.Create", self.client.tasks().create(request)).await?;
        let request = self.client.request(StartRequest { container_id: id.to_owned(), exec_id: String::new() });
        self.client.call_within(LONG, "Tasks.Start", self.client.tasks().start(request)).await?;
        Ok(())
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
        let request = self.client.request(DeleteTaskRequest { container_id: id.to_owned() });
        let deleted = self.client.call_within(LONG, "Tasks.Delete", self.client.tasks().delete(request)).await;
        Ok(optional(deleted)?.map(|response| {
            let ended = response.exited_at.as_ref().map(time::rfc3339).unwrap_or_default();
            (i64::from(response.exit_status), ended)
        }))
    }

    /// Takes down what a stopped task leaves: the task (its deletion ends the log process, so the
    /// log is complete afterwards), the published ports; keeps the exit code.
    pub(crate) async fn reap_locked(&self, id: &str, record: &mut Record) -> Result<()> {
        if let Some((code, ended)) = self.delete_task(id).await? {
            let changes = [(EXIT_CODE, Some(code.to_string())), (FINISHED, Some(ended))];
            self.set_labels(id, &changes).await?;
        }
        if !record.published.is_empty() {
            self.withdraw(id, record).await;
            self.set_record(id, record).await?;
        }
        Ok(())
    }

    /// Reaps a container whose process has ended; nothing happens to others.
    pub(crate) async fn reap(&self, id: &str) -> Result<()> {
        let lock = self.lock(id).await?;
        let Some((container, mut record)) = optional(self.find_own(id).await)? else {
            lock.remove();
            return Ok(());
        };
        if self.task(id).await?.is_some_and(|task| task.status() == Status::Stopped) {
            self.reap_locked(id, &mut record).await?;
            if record.auto_remove {
                self.delete_container(&container, record, true).await?;
                lock.remove();
            }
        }
        Ok(())
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
        let request =
            self.client.request(KillRequest { container_id: id.to_owned(), signal: number, ..KillRequest::default() });
        existed(self.client.call("Tasks.Kill", self.client.tasks().kill(request)).await)
    }

    async fn resume_task(&self, id: &str) -> Result<()> {
        let request = self.client.request(ResumeTaskRequest { container_id: id.to_owned() });
        self.client.call("Tasks.Resume", self.client.tasks().resume(request)).await
    }

    /// Stops a container whose lock is held.
    pub(crate) async fn stop_locked(&self, id: &str, record: &mut Record, timeout: Option<i64>) -> Result<Outcome> {
        self.set_labels(id, &[(DESIRED, Some("stopped".to_owned())), (RESTARTING, None)]).await?;
        let Some(task) = self.task(id).await? else { return Ok(Outcome::AlreadySo) };
        if !matches!(task.status(), Status::Running | Status::Paused | Status::Pausing) {
            self.reap_locked(id, record).await?;
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
        self.reap_locked(id, record).await?;
        Ok(Outcome::Done)
    }

    async fn kill_and_wait(&self, id: &str) -> Result<()> {
        if !self.signal_task(id, signal::KILL).await? {
            return Ok(());
        }
        match tokio::time::timeout(KILLED, self.wait_task(id)).await {
            Ok(waited) => waited.map(drop),
            Err(_) => Err(RuntimeError::Failed {
                message: format!("container {id} has not ended {} s after SIGKILL", KILLED.as_secs()),
            }),
        }
    }
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
        let _lock = self.lock(&found.id).await?;
        let (found, record) = self.find_own(&found.id).await?;
        self.start_locked(&found, record).await
    }

    async fn stop(&self, container: &str, timeout: Option<i64>) -> Result<Outcome> {
        let (found, _) = self.find_own(container).await?;
        let lock = self.lock(&found.id).await?;
        let Some((found, mut record)) = optional(self.find_own(&found.id).await)? else {
            return Ok(Outcome::AlreadySo);
        };
        let outcome = self.stop_locked(&found.id, &mut record, timeout).await?;
        if record.auto_remove {
            self.delete_container(&found, record, true).await?;
            lock.remove();
        }
        Ok(outcome)
    }

    async fn restart(&self, container: &str, timeout: Option<i64>) -> Result<()> {
        let (found, _) = self.find_own(container).await?;
        let _lock = self.lock(&found.id).await?;
        let (found, mut record) = self.find_own(&found.id).await?;
        self.stop_locked(&found.id, &mut record, timeout).await?;
        let (found, record) = self.find_own(&found.id).await?;
        self.start_locked(&found, record).await.map(drop)
    }

    async fn kill(&self, container: &str, signal: &str) -> Result<Outcome> {
        let (found, record) = self.find_own(container).await?;
        let wanted = if signal.is_empty() { "SIGKILL" } else { signal };
        let Some(number) = signal::number(wanted) else {
            return Err(RuntimeError::Invalid { message: format!("invalid signal: {signal}") });
        };
        let ends = number == signal::KILL || signal::number(&record.stop_signal).unwrap_or(signal::TERM) == number;
        if ends {
            self.set_labels(&found.id, &[(DESIRED, Some("stopped".to_owned())), (RESTARTING, None)]).await?;
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
        let request = self.client.request(PauseTaskRequest { container_id: found.id });
        self.client.call("Tasks.Pause", self.client.tasks().pause(request)).await
    }

    async fn unpause(&self, container: &str) -> Result<()> {
        let (found, _) = self.find_own(container).await?;
        self.resume_task(&found.id).await
    }

    async fn remove(&self, container: &str, volumes: bool, force: bool) -> Result<Outcome> {
        let Some((found, _)) = optional(self.find_own(container).await)? else { return Ok(Outcome::AlreadySo) };
        let lock = self.lock(&found.id).await?;
        let Some((found, mut record)) = optional(self.find_own(&found.id).await)? else {
            lock.remove();
            return Ok(Outcome::AlreadySo);
        };
        if let Some(task) = self.task(&found.id).await? {
            if matches!(task.status(), Status::Running | Status::Paused | Status::Pausing) {
                if !force {
                    return Err(RuntimeError::Conflict {
                        message: format!("cannot remove container {}: it is running", name_of(&found)),
                    });
                }
                self.set_labels(&found.id, &[(DESIRED, Some("stopped".to_owned()))]).await?;
                self.kill_and_wait(&found.id).await?;
            }
            self.reap_locked(&found.id, &mut record).await?;
        }
        let outcome = self.delete_container(&found, record, volumes).await?;
        lock.remove();
        Ok(outcome)
    }

    async fn rename(&self, container: &str, to: &ContainerName) -> Result<Outcome> {
        self.rename_container(container, to.as_str()).await
    }

    async fn wait(&self, container: &str) -> Result<i64> {
        let found = self.find(container).await?;
        if let Some(task) = self.task(&found.id).await?
            && !matches!(task.status(), Status::Created)
            && let Some(code) = self.wait_task(&found.id).await?
        {
            self.reap(&found.id).await?;
            return Ok(code);
        }
        // Its end was recorded by whoever reaped it; a container that is gone ended somehow.
        let now = optional(self.find(&found.id).await)?;
        Ok(now.as_ref().and_then(|now| label(now, EXIT_CODE).parse().ok()).unwrap_or(0))
    }

    async fn inspect(&self, container: &str) -> Result<Inspection> {
        self.inspect_container(container).await
    }

    async fn commit(&self, _container: &str, _options: &CommitOptions) -> Result<String> {
        Err(unsupported("commit a container to an image"))
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
