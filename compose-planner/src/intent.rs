//! What the user asked for: a verb and its flags, as data.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{ImageRef, ServiceName};
use compose_model::project::Service;
use compose_model::units::Duration;
use serde::{Deserialize, Serialize};

/// A verb with its flags. An empty service list means: all enabled services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Intent {
    /// Make the project as the file says and start it.
    Up(Up),
    /// As `Up`, without starting anything.
    Create(Up),
    /// Stop and remove containers and networks, and what else is asked.
    Down(Down),
    /// Start existing containers.
    Start(Start),
    /// Stop containers in place.
    Stop(Stop),
    /// Stop and start containers in place.
    Restart(Restart),
    /// Send a signal.
    Kill(Kill),
    /// Remove stopped containers.
    Remove(Remove),
    /// Freeze containers.
    Pause(Services),
    /// Thaw containers.
    Unpause(Services),
    /// Change replica counts; up-to-date replicas are never recreated.
    Scale(Scale),
    /// Run a command in a new container of a service.
    RunOnce(Box<RunOnce>),
    /// Pull images.
    Pull(Pull),
    /// Push images.
    Push(Push),
    /// Build images.
    Build(Build),
}

impl Intent {
    /// The verb, as on the command line.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Create(_) => "create",
            Self::Down(_) => "down",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Restart(_) => "restart",
            Self::Kill(_) => "kill",
            Self::Remove(_) => "rm",
            Self::Pause(_) => "pause",
            Self::Unpause(_) => "unpause",
            Self::Scale(_) => "scale",
            Self::RunOnce(_) => "run",
            Self::Pull(_) => "pull",
            Self::Push(_) => "push",
            Self::Build(_) => "build",
        }
    }
}

/// Services named on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
}

/// When containers are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recreate {
    /// Where something differs.
    #[default]
    Diverged,
    /// Always (`--force-recreate`).
    Force,
    /// Never (`--no-recreate`).
    Never,
}

/// Whether images are built on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildPolicy {
    /// Where the image is missing.
    #[default]
    Missing,
    /// Always (`--build`).
    Always,
    /// Never (`--no-build`).
    Never,
}

/// `--pull`, which overrides `pull_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Only what is absent.
    Missing,
    /// Never.
    Never,
    /// Build instead.
    Build,
}

/// Flags of `up` and `create`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Up {
    /// Services to bring up, with their dependencies; empty for all.
    pub services: Vec<ServiceName>,
    /// Leave dependencies alone.
    pub no_dependencies: bool,
    /// When selected containers are replaced.
    pub recreate: Recreate,
    /// When containers of dependencies that were not named are replaced.
    pub recreate_dependencies: Recreate,
    /// Image building.
    pub build: BuildPolicy,
    /// Overrides `pull_policy`.
    pub pull: Option<PullPolicy>,
    /// Remove containers of services that the file does not have.
    pub remove_orphans: bool,
    /// Do not mention orphans.
    pub ignore_orphans: bool,
    /// Fresh anonymous volumes.
    pub renew_anonymous_volumes: bool,
    /// Replica counts that override the file.
    pub scale: BTreeMap<ServiceName, usize>,
    /// Overrides every service's stop timeout.
    pub timeout: Option<Duration>,
    /// After starting, wait until everything runs or is healthy.
    pub wait: bool,
    /// Longest wait of `wait`.
    pub wait_timeout: Option<Duration>,
    /// Volumes whose removal the user has agreed to (their definition changed).
    pub consent_volumes: BTreeSet<String>,
    /// Images were pulled and built in the round before: plan containers only.
    pub images_ready: bool,
    /// Run completed jobs again, also where `keep_completed_jobs` is set.
    pub rerun_jobs: bool,
    /// Leave a service alone that others await with `service_completed_successfully`, that ended
    /// with code 0 and is unchanged. The reference runs it again on every `up`.
    #[serde(default)]
    pub keep_completed_jobs: bool,
    /// Undo what was changed by hand; containers have to be inspected for it.
    #[serde(default)]
    pub repair_drift: bool,
    /// Create networks and volumes that no selected service uses, too (`--all-resources`).
    #[serde(default)]
    pub all_resources: bool,
    /// Unix seconds, for `pull_policy: daily` and its like; `None`: no image is too old.
    #[serde(default)]
    pub now: Option<i64>,
}

/// Which images `down` removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoveImages {
    /// Those without a name of their own (`--rmi local`).
    Local,
    /// All images of the services (`--rmi all`).
    All,
}

/// Flags of `down`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Only these services; networks and volumes in use by others stay.
    pub services: Vec<ServiceName>,
    /// Remove the declared volumes and anonymous ones. This is the consent.
    pub volumes: bool,
    /// Remove orphans and one-off containers.
    pub remove_orphans: bool,
    /// Do not mention orphans.
    pub ignore_orphans: bool,
    /// Images to remove.
    pub images: Option<RemoveImages>,
    /// Overrides every service's stop timeout.
    pub timeout: Option<Duration>,
}

/// Flags of `start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// Wait until everything runs or is healthy.
    pub wait: bool,
    /// Longest wait.
    pub wait_timeout: Option<Duration>,
}

/// Flags of `stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// Overrides every service's stop timeout.
    pub timeout: Option<Duration>,
}

/// Flags of `restart`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// Leave dependents with `restart: true` alone.
    pub no_dependencies: bool,
    /// Overrides every service's stop timeout.
    pub timeout: Option<Duration>,
}

/// Flags of `kill`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// The signal; `SIGKILL` by default.
    pub signal: String,
    /// Signal orphans too.
    pub remove_orphans: bool,
}

/// Flags of `rm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// Stop running ones first.
    pub stop: bool,
    /// Remove anonymous volumes.
    pub volumes: bool,
}

/// Flags of `scale`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// The wanted counts.
    pub replicas: BTreeMap<ServiceName, usize>,
    /// Leave dependencies alone.
    pub no_dependencies: bool,
}

/// Flags of `run`. The service's own attributes, already overridden by the flags, come as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunOnce {
    /// The service with every override of the command line applied (command, environment, user,
    /// ports, labels, ...).
    pub service: Service,
    /// The container's name; empty: `PROJECT-SERVICE-run-SLUG`.
    pub name: String,
    /// 64 hex digits that make the name unique.
    pub slug: String,
    /// Leave dependencies alone.
    pub no_dependencies: bool,
    /// The engine removes it when it ends.
    pub auto_remove: bool,
    /// Give it the service's network aliases.
    pub use_aliases: bool,
    /// Keep standard input open.
    pub interactive: bool,
    /// Allocate a terminal.
    pub tty: bool,
    /// Start it (false: the caller attaches first and starts it).
    pub start: bool,
    /// Image handling and orphans, as for `up`.
    pub up: Up,
}

/// Flags of `pull`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// Also those they depend on.
    pub include_dependencies: bool,
    /// Skip images that can be built.
    pub ignore_buildable: bool,
    /// Failures are reported but do not fail the command.
    pub ignore_failures: bool,
    /// Overrides `pull_policy`.
    pub policy: Option<PullPolicy>,
}

/// Flags of `push`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// Also those they depend on.
    pub include_dependencies: bool,
    /// Failures are reported but do not fail the command.
    pub ignore_failures: bool,
}

/// Flags of `build`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The services; empty for all.
    pub services: Vec<ServiceName>,
    /// Also those they depend on.
    pub with_dependencies: bool,
    /// Do not use the cache.
    pub no_cache: bool,
    /// Pull newer base images.
    pub pull: bool,
    /// Push afterwards.
    pub push: bool,
    /// No output.
    pub quiet: bool,
    /// `KEY=value` that override build arguments; `None` takes the environment's value.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Default or named ssh keys.
    pub ssh: Vec<String>,
    /// Memory limit in bytes; 0 for none.
    pub memory: i64,
    /// A builder instance.
    pub builder: String,
    /// Check the build definitions and build nothing.
    #[serde(default)]
    pub check: bool,
    /// Attestation of provenance where the file says nothing of it.
    #[serde(default)]
    pub provenance: String,
    /// Bill of materials where the file says nothing of it.
    #[serde(default)]
    pub sbom: String,
}

/// An image that some op of a plan pulls, builds or pushes.
pub type ImageName = ImageRef;
