//! A throw-away project: a folder, a name of its own, and the program run in it.

use std::cell::Cell;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::engine::{ContainerState, Engine, setting};
use crate::terminal::Terminal;
use crate::wait::eventually;

/// Longest time that one run of the program may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one under test.
    Ours,
    /// Docker Compose itself.
    Reference,
}

impl Program {
    /// Its path, where the environment names it.
    #[must_use]
    pub fn path(self) -> Option<String> {
        match self {
            Self::Ours => setting("BINARY"),
            Self::Reference => setting("REFERENCE"),
        }
    }
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Run {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Itself, if it ended with 0.
    ///
    /// # Errors
    /// Everything that is known of it, otherwise.
    pub fn ok(self) -> Result<Self, String> {
        self.exits(0)
    }

    /// Itself, if it ended with the code.
    ///
    /// # Errors
    /// Everything that is known of it, otherwise.
    pub fn exits(self, code: i32) -> Result<Self, String> {
        if self.code == code { Ok(self) } else { Err(format!("exit {} instead of {code}: {self}", self.code)) }
    }

    /// Itself, if standard output or error hold the text.
    ///
    /// # Errors
    /// Everything that is known of it, otherwise.
    pub fn says(self, text: &str) -> Result<Self, String> {
        if self.stdout.contains(text) || self.stderr.contains(text) {
            Ok(self)
        } else {
            Err(format!("does not say {text:?}: {self}"))
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}`\n--- stdout\n{}\n--- stderr\n{}", self.command, self.stdout, self.stderr)
    }
}

/// A project on an engine. Dropping it removes everything that carries its label.
pub struct Project {
    /// The engine.
    pub engine: Engine,
    /// Its name.
    pub name: String,
    outer: tempfile::TempDir,
    folder: PathBuf,
    program: Program,
    environment: Vec<(String, String)>,
}

impl Project {
    /// An empty project with a name that no other case has.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new(engine: &Engine) -> Result<Self, String> {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}x{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let outer = tempfile::Builder::new().prefix("compose-test-").tempdir().map_err(|error| error.to_string())?;
        // The folder's name is the project's: with `-p`, commands on existing containers would not
        // read the file at all.
        let folder = outer.path().join(&name);
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let environment = engine.environment();
        Ok(Self { engine: engine.clone(), name, outer, folder, program: Program::Ours, environment })
    }

    /// A project with this `compose.yaml`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn with(engine: &Engine, compose: &str) -> Result<Self, String> {
        let project = Self::new(engine)?;
        project.write("compose.yaml", compose)?;
        Ok(project)
    }

    /// A project with a copy of a folder of the repository, for example `examples/3-replicas`.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copy_of(engine: &Engine, folder: &str) -> Result<Self, String> {
        let project = Self::new(engine)?;
        copy(&repository(folder), project.folder()).map_err(|error| format!("{folder}: {error}"))?;
        Ok(project)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file of the project, making folders as needed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<(), String> {
        let path = self.folder().join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        }
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Sets a variable for further runs.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable that was set before away for further runs.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(set, _)| set != name);
    }

    /// Runs the program: `compose ARGUMENTS` in the project's folder.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn compose(&self, arguments: &[&str]) -> Result<Run, String> {
        self.compose_with(self.program, arguments, "")
    }

    /// Runs the program in a folder below the project's.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn compose_in(&self, folder: &str, arguments: &[&str]) -> Result<Run, String> {
        let mut running = self.spawn_in(&self.folder().join(folder), self.program, arguments)?;
        drop(running.child.stdin.take());
        running.finish(LIMIT).map_err(|error| format!("`compose {}`: {error}", arguments.join(" ")))
    }

    /// The program that [`Project::compose`] runs.
    #[must_use]
    pub const fn program(&self) -> Program {
        self.program
    }

    /// Runs the reference in the same place.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn reference(&self, arguments: &[&str]) -> Result<Run, String> {
        self.compose_with(Program::Reference, arguments, "")
    }

    /// Runs the program with text on its standard input.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn compose_with(&self, program: Program, arguments: &[&str], input: &str) -> Result<Run, String> {
        let command_line = format!("compose {}", arguments.join(" "));
        let mut running = self.spawn_with(program, arguments)?;
        if let Some(mut stdin) = running.child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes());
        }
        running.finish(LIMIT).map_err(|error| format!("`{command_line}`: {error}"))
    }

    /// Runs a program of others in the project's folder, with the same environment.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn other(&self, path: &str, arguments: &[&str]) -> Result<Run, String> {
        let mut running = self.spawn_path(self.folder(), path, arguments)?;
        drop(running.child.stdin.take());
        running.finish(LIMIT).map_err(|error| format!("`{path} {}`: {error}", arguments.join(" ")))
    }

    /// Starts the program and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Running, String> {
        let mut running = self.spawn_with(self.program, arguments)?;
        drop(running.child.stdin.take());
        Ok(running)
    }

    fn spawn_with(&self, program: Program, arguments: &[&str]) -> Result<Running, String> {
        self.spawn_in(self.folder(), program, arguments)
    }

    fn spawn_in(&self, folder: &Path, program: Program, arguments: &[&str]) -> Result<Running, String> {
        let path = program.path().ok_or("the environment does not name the program")?;
        let running = self.spawn_path(folder, &path, arguments)?;
        Ok(Running { command: format!("compose {}", arguments.join(" ")), ..running })
    }

    /// Runs the program in a terminal of 100 columns and 30 rows.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn in_terminal(&self, arguments: &[&str]) -> Result<Terminal, String> {
        let path = self.program.path().ok_or("the environment does not name the program")?;
        let mut command = self.command(self.folder(), &path);
        command.args(arguments);
        Terminal::start(command, 100, 30)
    }

    /// Runs a program of others in a terminal of so many columns and rows, in the project's folder and with
    /// the same environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn other_in_terminal(
        &self,
        path: &str,
        arguments: &[&str],
        (columns, rows): (u16, u16),
    ) -> Result<Terminal, String> {
        let mut command = self.command(self.folder(), path);
        command.args(arguments);
        Terminal::start(command, columns, rows)
    }

    fn command(&self, folder: &Path, path: &str) -> Command {
        let mut command = Command::new(path);
        command
            .env_clear()
            .env("PATH", crate::engine::SEARCH_PATH)
            .env("HOME", self.outer.path())
            .envs(self.environment.iter().cloned())
            .current_dir(folder);
        command
    }

    fn spawn_path(&self, folder: &Path, path: &str, arguments: &[&str]) -> Result<Running, String> {
        let mut child = self
            .command(folder, path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{path}: {error}"))?;
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Ok(Running { command: format!("{path} {}", arguments.join(" ")), child, stdout, stderr })
    }

    /// Its containers, sorted by name, one-offs included.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn containers(&self) -> Result<Vec<ContainerState>, String> {
        self.engine.containers(&self.name)
    }

    /// The containers of a service, sorted by name.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn service(&self, service: &str) -> Result<Vec<ContainerState>, String> {
        Ok(self.containers()?.into_iter().filter(|container| container.service == service).collect())
    }

    /// The only container of a service.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub fn only(&self, service: &str) -> Result<ContainerState, String> {
        let mut found = self.service(service)?;
        match (found.pop(), found.len()) {
            (Some(container), 0) => Ok(container),
            (_, others) => Err(format!("{service}: {} containers instead of one", others + 1)),
        }
    }

    /// Names of its containers with their states, for comparisons.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn states(&self) -> Result<Vec<(String, String)>, String> {
        let prefix = format!("{}-", self.name);
        Ok(self
            .containers()?
            .into_iter()
            .map(|container| {
                (container.name.strip_prefix(&prefix).unwrap_or(&container.name).to_owned(), container.state)
            })
            .collect())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.engine.wipe(&self.name);
    }
}

/// A run of the program that has not ended.
pub struct Running {
    command: String,
    /// The process.
    pub child: Child,
    stdout: Option<Collected>,
    stderr: Option<Collected>,
}

impl Running {
    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn signal(&self, signal: &str) -> Result<(), String> {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.child.id().to_string()])
            .status()
            .map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("kill -{signal} failed")) }
    }

    /// Waits until standard output or error hold the text.
    ///
    /// # Errors
    /// When they do not in time, or the program ends before.
    pub fn says(&self, text: &str, limit: Duration) -> Result<(), String> {
        let streams: Vec<&Collected> = [&self.stdout, &self.stderr].into_iter().flatten().collect();
        let all = || streams.iter().map(|stream| stream.text()).collect::<Vec<_>>().join("\n--- stderr\n");
        eventually(limit, || {
            let ended = streams.iter().all(|stream| stream.ended());
            match all() {
                said if said.contains(text) => Ok(Ok(())),
                said if ended => Ok(Err(format!("{} ended without {text:?}:\n{said}", self.command))),
                said => Err(format!("{} does not say {text:?}:\n{said}", self.command)),
            }
        })?
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn finish(mut self, limit: Duration) -> Result<Run, String> {
        // The pipes end with the process, which makes their readers the clock.
        let stdout = self.stdout.take().map(|reader| reader.end(limit));
        let stderr = self.stderr.take().map(|reader| reader.end(limit));
        let (Some(Some(stdout)), Some(Some(stderr))) = (stdout, stderr) else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            return Err(format!("no end after {} s", limit.as_secs()));
        };
        let status = self.child.wait().map_err(|error| error.to_string())?;
        Ok(Run {
            command: self.command,
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }
}

/// What a pipe has given so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
    over: Cell<bool>,
}

impl Collected {
    fn text(&self) -> String {
        self.bytes.lock().map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn ended(&self) -> bool {
        if matches!(self.ended.try_recv(), Ok(()) | Err(mpsc::TryRecvError::Disconnected)) {
            self.over.set(true);
        }
        self.over.get()
    }

    /// Everything, once the pipe has ended; `None` if it does not in time.
    fn end(self, limit: Duration) -> Option<Vec<u8>> {
        if !self.ended() && self.ended.recv_timeout(limit).is_err() {
            return None;
        }
        self.bytes.lock().ok().map(|mut bytes| std::mem::take(&mut *bytes))
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let (sender, ended) = mpsc::channel();
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let target = Arc::clone(&bytes);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if let (Ok(mut target), Some(read)) = (target.lock(), buffer.get(..length)) {
                target.extend_from_slice(read);
            }
        }
        let _ = sender.send(());
    });
    Collected { bytes, ended, over: Cell::new(false) }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A path of the repository, from its root.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
