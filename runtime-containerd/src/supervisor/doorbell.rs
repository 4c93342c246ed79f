//! The supervisor's socket: commands start the process, tell it what is about to happen, and ask
//! how it is. For root alone.
//!
//! One line asks, one line answers: `ok ...` or `error ...`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::Container;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Manner, Supervisor};
use crate::client::local;
use crate::core::{Core, Settings, private_directory};
use crate::locks::{FileLock, Missing, Taken};
use crate::record::{DESIRED, RUNNING, STARTING, STOPPING, label};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a command that only looks waits for a sign of life.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the process may take to be ready.
const START: Duration = Duration::from_secs(30);
/// The longest line.
const LINE: u64 = 4096;
/// The log begins anew at the next start beyond this size.
const LOG_LIMIT: u64 = 1 << 20;

/// The supervisor's place, held as long as it lives.
pub(super) struct Place {
    socket: PathBuf,
    _lock: FileLock,
}

fn directory(settings: &Settings) -> PathBuf {
    settings.state_root.join(settings.address_hash()).join("supervisor")
}

fn socket(settings: &Settings) -> PathBuf {
    directory(settings).join(format!("{}.sock", settings.namespace))
}

impl Place {
    /// Takes it; `None` if another process holds it. A service has the one that a command started
    /// end: it does the same, and better.
    pub(super) async fn take(settings: &Settings, service: bool) -> Result<Option<Self>> {
        let name = format!("{}.lock", settings.namespace);
        let directory = directory(settings);
        private_directory(&directory)?;
        // One that is about to end gives its place free.
        for _ in 0..20 {
            if let Taken::Held(lock) = FileLock::try_take(&directory.join(&name), Missing::Create)? {
                return Ok(Some(Self { socket: socket(settings), _lock: lock }));
            }
            if let Ok(mut other) = UnixStream::connect(socket(settings)).await {
                if !service {
                    break;
                }
                // It may end before it has read this.
                let _ = other.write_all(b"stop\n").await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(None)
    }

    /// Listens.
    pub(super) fn open(&self) -> Result<UnixListener> {
        let failed = |error: std::io::Error| local(self.socket.display(), error);
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&self.socket).map_err(failed)?;
        // The directory lets nobody else in either.
        std::fs::set_permissions(&self.socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(listener)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Tells whoever started us that we listen: a line on standard output, and systemd's datagram.
pub(super) fn say_ready(manner: &Manner) {
    use std::io::Write;
    if let Manner::Service { notify: Some(socket) } = manner
        && let Err(error) = notify(socket)
    {
        tracing::warn!(socket, %error, "telling the service manager");
    }
    let mut output = std::io::stdout();
    let _ = output.write_all(b"ready\n").and_then(|()| output.flush());
}

/// One datagram, as `sd_notify(3)` describes it; a name that begins with `@` is abstract.
fn notify(socket: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address).map(drop)
}

/// Answers until the process ends.
pub(super) async fn answer(supervisor: Arc<Supervisor>, listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let own = rustix::process::geteuid().as_raw();
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own) {
            tracing::warn!("a process of another user at the socket");
            continue;
        }
        let supervisor = Arc::clone(&supervisor);
        tokio::spawn(async move {
            let (reader, mut writer) = stream.into_split();
            let mut line = String::new();
            let mut reader = BufReader::new(reader.take(LINE));
            if !matches!(tokio::time::timeout(LIMIT, reader.read_line(&mut line)).await, Ok(Ok(_))) {
                return;
            }
            let answer = match supervisor.obey(line.trim()).await {
                Ok(text) => format!("ok {text}"),
                Err(error) => format!("error {error}"),
            };
            let _ = writer.write_all(format!("{}\n", answer.replace('\n', " ")).as_bytes()).await;
        });
    }
}

impl Supervisor {
    async fn obey(self: &Arc<Self>, line: &str) -> Result<String> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("prepare", id) if id.bytes().all(|byte| byte.is_ascii_hexdigit()) && !id.is_empty() => {
                self.prepare(id).await.map(|()| String::new())
            }
            ("release", id) => {
                self.release(id);
                Ok(String::new())
            }
            ("ping", _) => Ok(String::new()),
            ("status", _) => Ok(self.status()),
            ("stop", _) => {
                self.end.notify_one();
                Ok(String::new())
            }
            _ => Err(RuntimeError::Invalid { message: format!("the supervisor does not know `{line}`") }),
        }
    }

    /// For people: what it is busy with.
    fn status(&self) -> String {
        let state = self.state();
        let count = |what: fn(&super::Unit) -> bool| state.units.values().filter(|unit| what(unit)).count();
        format!(
            "pid {} containers {} health checks {} name servers {} restarts pending {}",
            std::process::id(),
            state.units.len(),
            count(|unit| unit.health.is_some()),
            count(|unit| unit.sockets.is_some()),
            count(|unit| unit.restart.is_some()),
        )
    }
}

/// One question; `None` if there is nobody to answer.
async fn ask(socket: &Path, line: &str) -> Option<Result<String>> {
    let asked = async {
        let stream = UnixStream::connect(socket).await.ok()?;
        let (reader, mut writer) = stream.into_split();
        writer.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        BufReader::new(reader.take(LINE)).read_line(&mut answer).await.ok()?;
        let answer = answer.trim_end();
        if let Some(text) = answer.strip_prefix("ok") {
            return Some(Ok(text.trim().to_owned()));
        }
        // Without an answer the process has ended under our hands.
        let text = answer.strip_prefix("error ")?;
        Some(Err(RuntimeError::Failed { message: format!("the supervisor: {text}") }))
    };
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(|_| {
        Some(Err(RuntimeError::Failed {
            message: format!("the supervisor has not answered for {} s", LIMIT.as_secs()),
        }))
    })
}

impl Core {
    /// Asks the supervisor, which is started if it is not there.
    pub(crate) async fn ask_supervisor(&self, line: &str) -> Result<String> {
        let socket = socket(&self.settings);
        for _ in 0..3 {
            if let Some(answer) = ask(&socket, line).await {
                return answer;
            }
            self.start_supervisor().await?;
        }
        Err(RuntimeError::Failed {
            message: format!("the supervisor ends again and again; see {}", self.supervisor_log().display()),
        })
    }

    /// Has the supervisor get ready for a container that is about to be started.
    pub(crate) async fn prepare_supervisor(&self, id: &str) -> Result<()> {
        match self.hosted.get() {
            Some(supervisor) => match supervisor.upgrade() {
                Some(supervisor) => supervisor.prepare(id).await,
                None => Ok(()),
            },
            None => self.ask_supervisor(&format!("prepare {id}")).await.map(drop),
        }
    }

    /// Starts the supervisor again if there is something to look after and it is not there: it was
    /// killed and no service of the system brings it back, or something is left of containers
    /// that others took away meanwhile.
    pub(crate) async fn revive_supervisor(&self, containers: &[Container]) {
        if self.hosted.get().is_some() {
            return;
        }
        let wanted = |container: &Container| matches!(label(container, DESIRED), RUNNING | STARTING | STOPPING);
        let wanted = containers.iter().any(wanted);
        let others = self.directories_without(containers);
        if !wanted && others.is_empty() {
            return;
        }
        // Asked, not only connected to: the socket of a process that is being killed still connects.
        // One that is slow to answer is there, and nobody who lists containers waits for it.
        let socket = socket(&self.settings);
        let gone = tokio::time::timeout(PATIENCE, ask(&socket, "ping")).await.is_ok_and(|answer| answer.is_none());
        // The directories may just be another project's.
        let left = || async {
            self.records(&[]).await.is_ok_and(|all| others.iter().any(|id| !all.iter().any(|one| one.id == *id)))
        };
        if gone
            && (wanted || left().await)
            && let Err(error) = self.start_supervisor().await
        {
            tracing::warn!(%error, "starting the supervisor");
        }
    }

    /// Has the supervisor close what it has open in a container's network namespace, which ends with
    /// that.
    pub(crate) async fn release_names(&self, id: &str) {
        match self.hosted.get() {
            Some(supervisor) => {
                if let Some(supervisor) = supervisor.upgrade() {
                    supervisor.release(id);
                }
            }
            None => {
                let line = format!("release {id}");
                let _ = tokio::time::timeout(PATIENCE, ask(&socket(&self.settings), &line)).await;
            }
        }
    }

    /// Asks a running supervisor; `None` if there is none.
    pub(crate) async fn ask_running_supervisor(&self, line: &str) -> Option<Result<String>> {
        ask(&socket(&self.settings), line).await
    }

    fn supervisor_log(&self) -> PathBuf {
        self.settings
            .data_root
            .join(&self.address_hash)
            .join("supervisor")
            .join(format!("{}.log", self.client.namespace()))
    }

    async fn start_supervisor(&self) -> Result<()> {
        let _turn = self.lock_at(&directory(&self.settings), &format!("{}.start", self.client.namespace())).await?;
        if matches!(ask(&socket(&self.settings), "ping").await, Some(Ok(_))) {
            return Ok(());
        }
        let path = self.supervisor_log();
        if let Some(parent) = path.parent() {
            private_directory(parent)?;
        }
        let full = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT);
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let log = options.create(true).append(!full).write(true).truncate(full).open(&path);
        let log = log.map_err(|error| local(path.display(), error))?;
        let settings = serde_json::to_string(&self.settings).map_err(|error| local("settings", error))?;
        let program = &self.settings.program;
        let mut child = tokio::process::Command::new(program)
            .args([crate::SUPERVISOR_ARGUMENT, &settings])
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| local(program.display(), error))?;
        let mut said = [0; 6];
        let ready = async {
            match child.stdout.as_mut() {
                Some(output) => output.read_exact(&mut said).await.is_ok(),
                None => false,
            }
        };
        match tokio::time::timeout(START, ready).await {
            Ok(true) => Ok(()),
            // Another one may have been first.
            _ if matches!(ask(&socket(&self.settings), "ping").await, Some(Ok(_))) => Ok(()),
            _ => {
                Err(RuntimeError::Failed { message: format!("the supervisor does not start; see {}", path.display()) })
            }
        }
    }
}
