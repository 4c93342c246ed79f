//! Commands executed in a running container, over named pipes.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{Channel, ExecOptions, ExecSession, Items, LogChunk, Session, Writer};
use containerd_client::services::v1::{
    CloseIoRequest, Container, DeleteProcessRequest, ExecProcessRequest, ResizePtyRequest, StartRequest, WaitRequest,
};
use containerd_client::types::v1::Status;
use futures_util::StreamExt;
use rustix::fs::{FlockOperation, OFlags, flock};
use serde_json::{Value, json};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::client::{LONG, local, random_hex};
use crate::core::{Core, name_of, private_directory};
use crate::detach::Lookout;
use crate::record::LOST;
use crate::rootfs::{make_fifo, read_text};
use crate::starting::start_failure_code;
use crate::users;

/// How long containerd may be away before an exec's end is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two attempts to reach containerd.
const RECONNECT: Duration = Duration::from_millis(300);
/// Exit code of what SIGKILL ended.
const KILLED: i64 = 137;

/// Prefix of the directories of execs.
const DIRECTORY: &str = "exec-";

/// An exec that this process started.
pub(crate) struct Running {
    code: watch::Receiver<Option<i64>>,
}

/// Pipes of one exec; the directory goes with them. It is locked as long as their process lives,
/// so that others know those that nobody will ever open.
struct Pipes {
    directory: PathBuf,
    _lock: Option<File>,
}

impl Pipes {
    /// Makes the directory; the lock is there before the first pipe.
    fn make(directory: PathBuf) -> Result<Self> {
        private_directory(&directory)?;
        let failed = |error: std::io::Error| local(directory.display(), error);
        let lock = File::open(&directory).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self { directory, _lock: Some(lock) })
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Core {
    /// The OCI description of the process, from the container's own.
    async fn exec_process(&self, container: &Container, pid: u32, options: &ExecOptions) -> Result<Value> {
        let document: Value =
            container.spec.as_ref().and_then(|spec| serde_json::from_slice(&spec.value).ok()).unwrap_or(Value::Null);
        let mut process = document["process"].clone();
        process["terminal"] = options.tty.into();
        process["args"] = json!(options.command);
        if !options.working_dir.is_empty() {
            process["cwd"] = options.working_dir.clone().into();
        }
        let mut environment: Vec<String> = serde_json::from_value(process["env"].clone()).unwrap_or_default();
        let mut set = |entry: &str| {
            let key = entry.split('=').next().unwrap_or_default();
            environment.retain(|other| other.split('=').next() != Some(key));
            environment.push(entry.to_owned());
        };
        if options.tty {
            set("TERM=xterm");
        }
        let mut bounding = process["capabilities"]["bounding"].clone();
        if !options.user.is_empty() {
            let root = PathBuf::from(format!("/proc/{pid}/root"));
            let (passwd, group) = (read_text(&root, "/etc/passwd")?, read_text(&root, "/etc/group")?);
            let user = users::resolve(&options.user, &[], &passwd, &group)?;
            set(&format!("HOME={}", user.home));
            let further: Vec<u32> = user.groups.iter().copied().filter(|gid| *gid != user.gid).collect();
            process["user"] = json!({ "uid": user.uid, "gid": user.gid, "additionalGids": further });
            let effective = if user.uid == 0 { bounding.clone() } else { json!([]) };
            process["capabilities"] = json!({ "bounding": bounding, "effective": effective, "permitted": effective });
        }
        if options.privileged {
            let spec = compose_planner::spec::ContainerSpec { privileged: true, ..Default::default() };
            bounding = json!(crate::oci::capabilities(&spec, &crate::oci::Host::detect())?);
            process["capabilities"] = json!({ "bounding": bounding, "effective": bounding, "permitted": bounding });
        }
        for entry in &options.environment {
            if entry.contains('=') {
                set(entry);
            }
        }
        process["env"] = json!(environment);
        Ok(process)
    }

    /// Executes a command. One that cannot be started is a session that says so and ends with the
    /// shell's code, as with dockerd.
    pub(crate) async fn start_exec(&self, container: &str, options: &ExecOptions) -> Result<ExecSession> {
        let (found, _) = self.find_own(container).await?;
        let task = self.task(&found.id).await?.filter(|task| task.status() == Status::Running);
        let Some(task) = task else {
            return Err(RuntimeError::Conflict { message: format!("container {} is not running", name_of(&found)) });
        };
        let id = random_hex(32)?;
        let process = self.exec_process(&found, task.pid, options).await?;
        let directory = self.state_directory(&found.id).join(format!("{DIRECTORY}{}", &id[..12]));
        let pipes = if options.detach { None } else { Some(Pipes::make(directory.clone())?) };
        let mut receivers = Vec::new();
        let mut paths = [String::new(), String::new(), String::new()];
        if !options.detach {
            let names = ["stdin", "stdout", "stderr"];
            let wanted = [options.stdin, true, !options.tty];
            for (index, name) in names.into_iter().enumerate().filter(|(index, _)| wanted[*index]) {
                let path = directory.join(name);
                make_fifo(&path).map_err(|error| local(path.display(), error))?;
                paths[index] = path.display().to_string();
                if index > 0 {
                    let receiver = pipe::OpenOptions::new().open_receiver(&path);
                    let channel = if index == 1 { Channel::Stdout } else { Channel::Stderr };
                    receivers.push((receiver.map_err(|error| local(path.display(), error))?, channel));
                }
            }
        }
        let [stdin, stdout, stderr] = paths;
        let request = self.client.request(ExecProcessRequest {
            container_id: found.id.clone(),
            stdin: stdin.clone(),
            stdout,
            stderr,
            terminal: options.tty,
            spec: Some(prost_types::Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
                value: process.to_string().into_bytes(),
            }),
            exec_id: id.clone(),
        });
        self.client.call_within(LONG, "Tasks.Exec", self.client.tasks().exec(request)).await?;
        let request = self.client.request(StartRequest { container_id: found.id.clone(), exec_id: id.clone() });
        let (sender, code) = watch::channel(None);
        self.execs.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Running { code });
        let started = self.client.call_within(LONG, "Tasks.Start", self.client.tasks().start(request)).await;
        if let Err(error) = started {
            self.delete_exec(&found.id, &id).await;
            let text = error.to_string();
            if text.contains("OCI runtime exec failed") {
                let code = start_failure_code(&text);
                let _ = sender.send(Some(code));
                let line = LogChunk { channel: Channel::Stderr, bytes: Bytes::from(format!("{text}\r\n")) };
                let output: Items<LogChunk> = Box::pin(futures_util::stream::iter([Ok(line)]));
                let session = (!options.detach).then_some(Session { output, input: None });
                return Ok(ExecSession { id, session });
            }
            return Err(error);
        }
        if let Some((columns, rows)) = options.size {
            let _ = self.resize_terminal(&found.id, Some(&id), columns, rows).await;
        }
        // The exit code is fetched whether somebody asks for it or not, so that nothing stays
        // behind in the shim.
        let (core, container_id, exec_id) = (self.clone(), found.id.clone(), id.clone());
        tokio::spawn(async move {
            let code = core.end_of_exec(&container_id, &exec_id).await;
            core.delete_exec(&container_id, &exec_id).await;
            let _ = sender.send(Some(code));
        });
        if options.detach {
            return Ok(ExecSession { id, session: None });
        }
        let input = if options.stdin {
            let sender = open_input(std::path::Path::new(&stdin))?;
            Some(self.input(sender, &found.id, &id, None))
        } else {
            None
        };
        let output = output_of(receivers, pipes);
        Ok(ExecSession { id, session: Some(Session { output, input }) })
    }

    /// Opens the pipes of execs whose process was killed. A shim that waits for somebody to open
    /// them goes on: until then it holds back the end of the container, which seems to run. Their
    /// directories go, so that one that comes later finds none.
    ///
    /// What is returned is to be kept for a moment: one may just be about to open them.
    pub(crate) fn open_abandoned_pipes(&self, id: &str) -> Vec<File> {
        let mut opened = Vec::new();
        for entry in std::fs::read_dir(self.state_directory(id)).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with(DIRECTORY) {
                continue;
            }
            let Ok(directory) = File::open(entry.path()) else { continue };
            if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let before = opened.len();
            for pipe in std::fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                if pipe.file_type().is_ok_and(|kind| kind.is_fifo()) {
                    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
                    opened.extend(File::options().read(true).write(true).custom_flags(flags).open(pipe.path()));
                }
            }
            // One without pipes is about to get some.
            if opened.len() > before {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        if !opened.is_empty() {
            tracing::info!(container = id, pipes = opened.len(), "opening pipes that a killed process has left");
        }
        opened
    }

    /// A writer into a process's standard input; shutting it down closes the input, which the shim
    /// keeps open otherwise. Keys that are looked for leave it open for whoever comes next.
    pub(crate) fn input(
        &self,
        mut sender: pipe::Sender,
        container: &str,
        exec: &str,
        lookout: Option<Lookout>,
    ) -> Writer {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let (core, container_id, exec_id) = (self.clone(), container.to_owned(), exec.to_owned());
        tokio::spawn(async move {
            let copied = crate::detach::copy(&mut far, &mut sender, lookout).await;
            drop(sender);
            if matches!(copied, Ok(false)) {
                let request = core.client.request(CloseIoRequest { container_id, exec_id, stdin: true });
                let _ = core.client.call("Tasks.CloseIO", core.client.tasks().close_io(request)).await;
            }
        });
        Box::pin(near)
    }

    /// The exit code of an exec. It goes on without containerd, which knows it again when it is back.
    async fn end_of_exec(&self, container: &str, exec: &str) -> i64 {
        let mut patience = None;
        loop {
            let wanted = WaitRequest { container_id: container.to_owned(), exec_id: exec.to_owned() };
            match self.client.tasks().wait(self.client.request(wanted)).await {
                Ok(response) => return i64::from(response.into_inner().exit_status),
                Err(status) if matches!(self.client.error(&status), RuntimeError::Unreachable { .. }) => {
                    let end = *patience.get_or_insert_with(|| tokio::time::Instant::now() + PATIENCE);
                    if tokio::time::Instant::now() > end {
                        return LOST;
                    }
                    tokio::time::sleep(RECONNECT).await;
                }
                // The container went away with its processes.
                Err(_) => return KILLED,
            }
        }
    }

    async fn delete_exec(&self, container: &str, exec: &str) {
        let request =
            self.client.request(DeleteProcessRequest { container_id: container.to_owned(), exec_id: exec.to_owned() });
        let deleted = self.client.call("Tasks.DeleteProcess", self.client.tasks().delete_process(request)).await;
        if let Err(error) = deleted
            && !error.is_not_found()
        {
            tracing::debug!(exec, %error, "deleting an ended exec");
        }
    }

    /// Forgets an exec whose exit code nobody will ask for again.
    pub(crate) fn forget_exec(&self, exec: &str) {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner).remove(exec);
    }

    /// Waits for the end of an exec that this process started.
    pub(crate) async fn wait_exec(&self, exec: &str) -> Result<i64> {
        let known = self.execs.lock().unwrap_or_else(PoisonError::into_inner).get(exec).map(|one| one.code.clone());
        let Some(mut code) = known else {
            return Err(RuntimeError::NotFound { message: format!("no such exec: {exec}") });
        };
        let value = code.wait_for(Option::is_some).await.map(|value| *value);
        match value {
            Ok(Some(code)) => Ok(code),
            _ => Err(RuntimeError::Failed { message: format!("the exit code of exec {exec} is not known") }),
        }
    }

    pub(crate) async fn resize_terminal(
        &self,
        container: &str,
        exec: Option<&str>,
        columns: u16,
        rows: u16,
    ) -> Result<()> {
        let request = self.client.request(ResizePtyRequest {
            container_id: container.to_owned(),
            exec_id: exec.unwrap_or_default().to_owned(),
            width: columns.into(),
            height: rows.into(),
        });
        self.client.call("Tasks.ResizePty", self.client.tasks().resize_pty(request)).await
    }
}

/// What comes out of pipes, until all of them end.
fn output_of(receivers: Vec<(pipe::Receiver, Channel)>, pipes: Option<Pipes>) -> Items<LogChunk> {
    let streams = receivers.into_iter().map(|(receiver, channel)| {
        tokio_util::io::ReaderStream::with_capacity(receiver, 32 * 1024).map(move |read| match read {
            Ok(bytes) => Ok(LogChunk { channel, bytes }),
            Err(error) => Err(local("reading a process's output", error)),
        })
    });
    let merged = futures_util::stream::select_all(streams);
    Box::pin(merged.map(move |item| {
        let _kept_until_the_end = &pipes;
        item
    }))
}
/// The writing end of a process's input. A process that has ended already reads nothing: what is
/// written then goes nowhere, as with any command that ignores its input.
pub(crate) fn open_input(path: &std::path::Path) -> Result<pipe::Sender> {
    let failed = |error: std::io::Error| local(path.display(), error);
    match pipe::OpenOptions::new().open_sender(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            pipe::OpenOptions::new().read_write(true).open_sender(path).map_err(failed)
        }
        other => other.map_err(failed),
    }
}
