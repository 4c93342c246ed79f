//! The capability traits that a backend implements, and the plain data that crosses them.
//!
//! [`Runtime`] hands them out as `&dyn`, so the backend is chosen at run time. Containers are
//! named by identity or name (both engines take either); every call is safe to repeat where the
//! executor says so: starting a running container and removing a missing one report
//! [`Outcome::AlreadySo`] instead of failing.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use compose_model::names::{ContainerId, ContainerName, ImageRef, NetworkName, ProjectName, VolumeName};
use compose_planner::Capabilities;
use compose_planner::observed::{Container, Detail, Health, Observed, State};
use compose_planner::spec::{BuildSpec, ContainerSpec, EndpointSpec, NetworkSpec, VolumeSpec};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Result, RuntimeError};

/// A stream of items from an engine.
pub type Items<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;
/// Bytes from an engine.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;
/// Bytes to an engine.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;
/// Receives progress while a call runs; must not block.
pub type ProgressSink<'a, T> = &'a (dyn Fn(T) + Send + Sync);

/// Whether a call changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Done,
    /// It was so already.
    AlreadySo,
}

/// An engine.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// What the engine can do. Known after connecting; no call is made.
    fn capabilities(&self) -> &Capabilities;
    /// The engine's name, version and address, for `version` and error messages.
    fn describe(&self) -> Description;
    /// What the engine has of a project: one list call per kind of object.
    async fn observe(&self, query: &ObserveQuery) -> Result<Observed>;
    /// Containers of every project (`ls`), or with the given labels.
    async fn list_containers(&self, labels: &[(String, Option<String>)]) -> Result<Vec<Container>>;
    /// Containers.
    fn containers(&self) -> &dyn Containers;
    /// Networks.
    fn networks(&self) -> &dyn Networks;
    /// Volumes.
    fn volumes(&self) -> &dyn Volumes;
    /// Images.
    fn images(&self) -> &dyn Images;
    /// Logs, attach, exec, events, archives and figures.
    fn streams(&self) -> &dyn Streams;
    /// Image builds; `None` where the engine cannot build.
    fn builder(&self) -> Option<&dyn Builder>;
}

/// What an engine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `docker`, `containerd`.
    pub engine: String,
    /// The engine's version.
    pub version: String,
    /// The API version in use.
    pub api_version: String,
    /// Where it was reached.
    pub address: String,
    /// Why this one was chosen.
    pub why: String,
}

/// Which objects to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObserveQuery {
    /// The project.
    pub project: ProjectName,
    /// Names that the project wants for its containers (`container_name`), so that a foreign
    /// container with the name is seen.
    pub container_names: Vec<ContainerName>,
    /// Whether networks are of interest.
    pub networks: bool,
    /// Whether volumes are of interest.
    pub volumes: bool,
    /// Whether images are of interest.
    pub images: bool,
    /// Containers to inspect, so that their [`Container::detail`] is filled.
    pub detail: Vec<ContainerId>,
}

/// Containers of an engine.
#[async_trait]
pub trait Containers: Send + Sync {
    /// Creates a container. Its networks beyond what
    /// [`Capabilities::networks_at_create`] allows are connected by later ops.
    async fn create(&self, spec: &ContainerSpec) -> Result<Created>;
    /// Starts it.
    async fn start(&self, container: &str) -> Result<Outcome>;
    /// Stops it: its signal, the wait, then SIGKILL. `timeout` in seconds overrides what it was
    /// created with.
    async fn stop(&self, container: &str, timeout: Option<i64>) -> Result<Outcome>;
    /// Stops and starts it.
    async fn restart(&self, container: &str, timeout: Option<i64>) -> Result<()>;
    /// Sends a signal.
    async fn kill(&self, container: &str, signal: &str) -> Result<Outcome>;
    /// Freezes it.
    async fn pause(&self, container: &str) -> Result<()>;
    /// Thaws it.
    async fn unpause(&self, container: &str) -> Result<()>;
    /// Removes it.
    async fn remove(&self, container: &str, volumes: bool, force: bool) -> Result<Outcome>;
    /// Renames it.
    async fn rename(&self, container: &str, to: &ContainerName) -> Result<Outcome>;
    /// Waits until it is not running and returns its exit code.
    async fn wait(&self, container: &str) -> Result<i64>;
    /// Looks at one container.
    async fn inspect(&self, container: &str) -> Result<Inspection>;
    /// What has become of a name. Engines that carry a call through whose caller is gone know of a name
    /// before anybody can see its container.
    async fn naming(&self, name: &ContainerName) -> Result<Naming> {
        match self.inspect(name.as_str()).await {
            Ok(_) => Ok(Naming::Taken),
            Err(error) if error.is_not_found() => Ok(Naming::Free),
            Err(error) => Err(error),
        }
    }
    /// Commits it to an image and returns the image's identity.
    async fn commit(&self, container: &str, options: &CommitOptions) -> Result<String>;
}

/// What an engine does with a container's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// No container has it.
    Free,
    /// A container of that name is being created and cannot be seen yet.
    UnderWay,
    /// A container has it.
    Taken,
}

/// A created container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// Its identity.
    pub id: ContainerId,
    /// The engine's warnings.
    pub warnings: Vec<String>,
}

/// Options of `commit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// `repository[:tag]`.
    pub reference: String,
    /// The author.
    pub author: String,
    /// The message.
    pub message: String,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Pause it meanwhile.
    pub pause: bool,
}

/// What an inspection tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The engine's identity.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Its state.
    pub state: State,
    /// Its health.
    pub health: Health,
    /// Whether it has a health check.
    pub has_healthcheck: bool,
    /// Longest time from its start until its health check calls it unhealthy.
    pub patience: Option<Duration>,
    /// Exit code of its last run.
    pub exit_code: i64,
    /// The engine's error of the last start.
    pub error: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// The last probe's exit code and output.
    pub last_probe: Option<(i64, String)>,
    /// How often the engine has restarted it.
    pub restart_count: i64,
    /// What is only of interest for showing old values.
    pub detail: Detail,
    /// Network name to address, for messages and tests.
    pub addresses: BTreeMap<NetworkName, String>,
    /// Published ports.
    pub ports: Vec<compose_planner::observed::PublishedPort>,
}

/// Networks of an engine.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Creates a network and returns its identity. One of the same name and labels that is there
    /// already is taken.
    async fn create(&self, spec: &NetworkSpec) -> Result<String>;
    /// Removes it. In use: [`crate::RuntimeError::Conflict`].
    async fn remove(&self, network: &str) -> Result<Outcome>;
    /// Connects a container.
    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> Result<Outcome>;
    /// Disconnects a container.
    async fn disconnect(&self, container: &str, network: &NetworkName) -> Result<Outcome>;
}

/// Volumes of an engine.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// Creates a volume; one of the same name is taken.
    async fn create(&self, spec: &VolumeSpec) -> Result<Outcome>;
    /// Removes it with its data. In use: [`crate::RuntimeError::Conflict`].
    async fn remove(&self, volume: &VolumeName) -> Result<Outcome>;
    /// Volumes with their description (`compose volumes`), by label filter.
    async fn list(&self, labels: &[(String, Option<String>)]) -> Result<Vec<VolumeDescription>>;
}

/// A volume, described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The engine's own words.
pub struct VolumeDescription {
    pub name: String,
    pub driver: String,
    pub mountpoint: String,
    pub scope: String,
    pub labels: BTreeMap<String, String>,
}

/// Images of an engine.
#[async_trait]
pub trait Images: Send + Sync {
    /// Pulls an image, with the credentials that the user's configuration holds for its registry.
    async fn pull(&self, image: &ImageRef, platform: &str, progress: ProgressSink<'_, TransferProgress>) -> Result<()>;
    /// Pushes an image.
    async fn push(&self, image: &ImageRef, progress: ProgressSink<'_, TransferProgress>) -> Result<()>;
    /// Removes an image's name, and the image with its last name.
    async fn remove(&self, image: &ImageRef) -> Result<Outcome>;
    /// Looks at one image; `None` if it is not there.
    async fn inspect(&self, image: &str) -> Result<Option<ImageDescription>>;
    /// Loads an archive (`docker save` or OCI layout) and returns the names in it.
    async fn load(&self, archive: Reader) -> Result<Vec<String>>;
    /// Images whose configuration has the label with this value.
    async fn list(&self, label: &str, value: &str) -> Result<Vec<ImageSummary>>;
    /// The digest that a registry has for a reference, for `config --resolve-image-digests`.
    async fn resolve_digest(&self, image: &ImageRef) -> Result<String>;
}

/// How far the transfer of an image is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferProgress {
    /// The layer; empty for the whole image.
    pub layer: String,
    /// The engine's words: `Downloading`, `Extracting`, `Pull complete`, ...
    pub status: String,
    /// Bytes done; 0 if unknown.
    pub current: u64,
    /// Bytes in all; 0 if unknown.
    pub total: u64,
}

/// An image, described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The engine's own words.
pub struct ImageDescription {
    pub id: String,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    pub size: u64,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339; empty if unknown.
    pub last_tagged: String,
    /// `os/arch[/variant]`.
    pub platform: String,
    pub volumes: Vec<String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub user: String,
    pub working_dir: String,
    pub environment: Vec<String>,
    /// `80/tcp`.
    pub exposed: Vec<String>,
}

/// An image in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The engine's own words.
pub struct ImageSummary {
    pub id: String,
    /// The image that it was made of, where the engine knows.
    pub parent: String,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    /// Unix seconds.
    pub created: i64,
    pub size: u64,
    pub labels: BTreeMap<String, String>,
}

/// Logs, attach, exec, events, archives and figures.
#[async_trait]
pub trait Streams: Send + Sync {
    /// The log of a container, line by line as the engine keeps it.
    async fn logs(&self, container: &str, options: &LogOptions) -> Result<Items<LogChunk>>;
    /// Attaches to a container's streams (before or after its start).
    async fn attach(&self, container: &str, options: &AttachOptions) -> Result<Session>;
    /// Executes a command in a running container.
    async fn exec(&self, container: &str, options: &ExecOptions) -> Result<ExecSession>;
    /// Changes the terminal's size of a container (`exec: None`) or of an exec.
    async fn resize(&self, container: &str, exec: Option<&str>, columns: u16, rows: u16) -> Result<()>;
    /// The exit code of an exec that has ended.
    async fn exec_exit_code(&self, container: &str, exec: &str) -> Result<i64>;
    /// Events of containers with these labels, from now on or from `since`.
    async fn events(&self, query: &EventQuery) -> Result<Items<EngineEvent>>;
    /// Writes a tar archive into a container's directory.
    async fn put_archive(&self, container: &str, path: &str, archive: Reader, copy_owner: bool) -> Result<()>;
    /// Reads a path of a container as a tar archive.
    async fn get_archive(&self, container: &str, path: &str) -> Result<Reader>;
    /// What a path of a container is; `None` if it is not there.
    async fn stat_path(&self, container: &str, path: &str) -> Result<Option<PathStat>>;
    /// The whole file system of a container as a tar archive.
    async fn export(&self, container: &str) -> Result<Reader>;
    /// Processes: column titles and rows, as the engine's `ps` gives them.
    async fn top(&self, container: &str) -> Result<(Vec<String>, Vec<Vec<String>>)>;
    /// Figures, once or repeatedly.
    async fn stats(&self, container: &str, follow: bool) -> Result<Items<Stats>>;
}

/// What a path of a container is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathStat {
    /// Last component.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Target of a symbolic link; empty if it is none.
    pub link_target: String,
    /// Permission bits.
    pub mode: u32,
}

/// Which standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Standard output, and everything of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output. Not necessarily a line, unless a function says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// The stream.
    pub channel: Channel,
    /// The bytes as the process wrote them; with `timestamps`, each line is prefixed by the
    /// engine with RFC 3339 nanoseconds and a blank.
    pub bytes: Bytes,
}

/// Options of `logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with what comes.
    pub follow: bool,
    /// Only the last lines.
    pub tail: Option<u64>,
    /// Prefix each line with its time.
    pub timestamps: bool,
    /// RFC 3339 or Unix seconds with a fraction.
    pub since: String,
    /// RFC 3339 or Unix seconds with a fraction.
    pub until: String,
}

/// Options of `attach`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Connect standard input.
    pub stdin: bool,
    /// Connect the outputs.
    pub output: bool,
    /// Also what was written before.
    pub replay: bool,
    /// The container has a terminal (its output is then not framed).
    pub tty: bool,
    /// Key sequence that detaches; empty for the engine's default.
    pub detach_keys: String,
}

/// Connected streams of a process.
pub struct Session {
    /// Its output, ended when the process or the connection ends.
    pub output: Items<LogChunk>,
    /// Its standard input, where connected. Shutting it down closes the process's input.
    pub input: Option<Writer>,
}

/// Options of `exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// The command.
    pub command: Vec<String>,
    /// `KEY=value`.
    pub environment: Vec<String>,
    /// User; empty for the container's.
    pub user: String,
    /// Working directory; empty for the container's.
    pub working_dir: String,
    /// Extended privileges.
    pub privileged: bool,
    /// Allocate a terminal.
    pub tty: bool,
    /// Connect standard input.
    pub stdin: bool,
    /// Do not connect anything; return at once.
    pub detach: bool,
    /// Columns and rows of the terminal.
    pub size: Option<(u16, u16)>,
}

/// A command that is being executed.
pub struct ExecSession {
    /// Its identity.
    pub id: String,
    /// Its streams; `None` when detached.
    pub session: Option<Session>,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Labels that the container must have, with or without a value.
    pub labels: Vec<(String, Option<String>)>,
    /// RFC 3339 or Unix seconds; empty: from now on.
    pub since: String,
    /// RFC 3339 or Unix seconds; empty: without end.
    pub until: String,
}

/// An event of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineEvent {
    /// The engine's word: `create`, `start`, `die`, `health_status: healthy`, `oom`, `kill`, `destroy`, ...
    pub action: String,
    /// The container.
    pub container: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Its labels and the event's own attributes (`exitCode`, `signal`, `image`).
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub time: i64,
}

/// Figures of a container.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // Plain figures; bytes and per cent.
pub struct Stats {
    pub cpu_percent: f64,
    pub memory_used: u64,
    pub memory_limit: u64,
    pub network_received: u64,
    pub network_sent: u64,
    pub block_read: u64,
    pub block_written: u64,
    pub processes: u64,
}

/// How a builder tells what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildOutput {
    /// Lines for people.
    #[default]
    Plain,
    /// BuildKit's status objects, one a line (`--progress json`).
    Json,
}

/// Images to be built in one go.
pub struct Builds<'a> {
    /// What is built. Where an image is made from another one of them (`additional_contexts` with
    /// `service:`), the other one comes first.
    pub specs: &'a [&'a BuildSpec],
    /// Contents of secrets.
    pub secrets: &'a (dyn ContentSource + Sync),
    /// The form of the lines.
    pub form: BuildOutput,
    /// Gets lines of progress, each with the position of the build that it is about.
    pub output: ProgressSink<'a, (usize, String)>,
}

/// Why builds ended, none of them with an image that counts.
#[derive(Debug)]
pub struct BuildFailure {
    /// The position of the build that failed; the others were given up for it.
    pub position: usize,
    /// Why.
    pub error: RuntimeError,
}

impl From<RuntimeError> for BuildFailure {
    fn from(error: RuntimeError) -> Self {
        Self { position: 0, error }
    }
}

/// Image builds.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Whether several images are built in one go, at the same time.
    fn builds_together(&self) -> bool {
        false
    }
    /// Builds images and returns their identities, in the same order.
    async fn build(&self, builds: &Builds<'_>) -> std::result::Result<Vec<String>, BuildFailure>;
    /// What users should know of this builder before it builds, if anything.
    fn caution(&self) -> Option<String> {
        None
    }
    /// What would be built, as a bake file in JSON. No secret is read.
    ///
    /// # Errors
    /// A build cannot be described.
    fn definition(&self, specs: &[BuildSpec]) -> Result<String>;
}

/// Reads the content of configs and secrets when it is needed. The CLI implements it, since it
/// knows the environment; nothing else ever holds a secret's content.
pub trait ContentSource: Send {
    /// The content, or an error in the reference's words
    /// (`environment variable "V" required by secret "P_s" is not set`).
    ///
    /// # Errors
    /// When the variable is not set or the file cannot be read.
    fn read(&self, file: &compose_planner::spec::FileContent, name: &str, secret: bool) -> Result<Vec<u8>>;
}
