//! Starting a task: what it needs on the machine, its streams, and what is noted of it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::Outcome;
use containerd_client::services::v1::{Container, CreateTaskRequest, StartRequest};
use containerd_client::types::v1::Status;

use crate::client::{LONG, local};
use crate::core::{Core, name_of, private_directory};
use crate::ending::backoff_of;
use crate::lifecycle::{BETWEEN_DELETIONS, By, KILLED, Then};
use crate::record::{
    BACKOFF, DESIRED, ERROR, EXIT_CODE, FINISHED, HEALTH, PORTS, RESTARTING, RESTARTS, RUNNING, Record, STARTED,
    STARTING, STOPPED,
};
use crate::{LOGGER_ARGUMENT, netns, time};

/// What containerd says to the creation of a task that it is still making, or unmaking.
const STILL_THERE: [&str; 2] = ["file exists", "already exists"];

/// The standard streams that a task is created with.
#[derive(Debug, Default)]
struct Streams {
    stdin: String,
    stdout: String,
    stderr: String,
    /// Named pipes that a log process is waiting on.
    pipes: Vec<PathBuf>,
}

impl Core {
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
