//! The steps that an engine can do. Each variant carries exactly its data.

use std::fmt;

use compose_model::names::{ContainerId, ContainerName, ImageRef, NetworkName, ServiceName, VolumeName};
use compose_model::project::{Condition, Place, Provider};
use compose_model::units::Duration;
use serde::{Deserialize, Serialize};

use crate::spec::{BuildSpec, ContainerSpec, EndpointSpec, FileSpec, HookSpec, NetworkSpec, VolumeSpec};

/// The identity of a step: its verb and target, for example `create:web.2`. Not a number, so that
/// a new step changes one line of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub String);

impl OpId {
    /// `VERB:TARGET`.
    #[must_use]
    pub fn new(verb: &str, target: impl fmt::Display) -> Self {
        Self(format!("{verb}:{target}"))
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// A container that is there already, or the one that an earlier step makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// There already.
    Existing {
        /// The engine's identity.
        id: ContainerId,
        /// Its name, for people.
        name: ContainerName,
    },
    /// Made by the step with this identity.
    MadeBy {
        /// That step (a `CreateContainer`).
        op: OpId,
        /// The name it will have, for people.
        name: ContainerName,
    },
    /// Named by the user outside the project (`container:NAME`).
    Named {
        /// Name or identity, as written.
        name: ContainerName,
    },
}

impl Target {
    /// The container's name, for people.
    #[must_use]
    pub const fn name(&self) -> &ContainerName {
        match self {
            Self::Existing { name, .. } | Self::MadeBy { name, .. } | Self::Named { name } => name,
        }
    }
}

/// What an `Await` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Running.
    Started,
    /// The health check passes. A container without one is an error.
    Healthy,
    /// Ended with code 0.
    Completed,
    /// Running, and healthy where there is a health check (`--wait`); ended with code 0 also
    /// counts where `allow_exit` says so.
    Ready {
        /// Whether an end with code 0 counts (jobs).
        allow_exit: bool,
    },
}

impl From<Condition> for Until {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::ServiceStarted => Self::Started,
            Condition::ServiceHealthy => Self::Healthy,
            Condition::ServiceCompletedSuccessfully => Self::Completed,
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Pull an image.
    Pull {
        /// The image.
        image: ImageRef,
        /// `os/arch[/variant]`; empty for the engine's own.
        platform: String,
        /// Services that use it.
        services: Vec<ServiceName>,
        /// A failure is reported and does not fail the plan (`--ignore-pull-failures`, or the
        /// image can be built instead).
        optional: bool,
        /// Where the file names it.
        place: Option<Place>,
    },
    /// Push an image.
    Push {
        /// The image.
        image: ImageRef,
        /// A failure is reported and does not fail the plan.
        optional: bool,
    },
    /// Build an image.
    Build {
        /// What to build.
        spec: Box<BuildSpec>,
    },
    /// Remove an image.
    RemoveImage {
        /// The image.
        image: ImageRef,
    },
    /// Create a network.
    CreateNetwork {
        /// What to create.
        spec: Box<NetworkSpec>,
    },
    /// Remove a network. One that is still in use stays, with a warning.
    RemoveNetwork {
        /// Its name.
        name: NetworkName,
        /// Its identity.
        id: String,
    },
    /// Create a volume.
    CreateVolume {
        /// What to create.
        spec: Box<VolumeSpec>,
    },
    /// Remove a volume with its data.
    RemoveVolume {
        /// Its name.
        name: VolumeName,
    },
    /// Create a container.
    CreateContainer {
        /// What to create.
        spec: Box<ContainerSpec>,
        /// The container that it takes the place of.
        replaces: Option<Target>,
    },
    /// Connect a container to a further network.
    Connect {
        /// The container.
        container: Target,
        /// Its place there.
        endpoint: Box<EndpointSpec>,
    },
    /// Disconnect a container from a network.
    Disconnect {
        /// The container.
        container: Target,
        /// The network's name.
        network: NetworkName,
    },
    /// Copy secrets and configs into a created container.
    CopyIn {
        /// The container.
        container: Target,
        /// The files.
        files: Vec<FileSpec>,
    },
    /// Start a container.
    Start {
        /// The container.
        container: Target,
        /// Ports that it publishes, by `HOST_PORT/PROTOCOL`, with the place that asks for them,
        /// so that "already allocated" can point there.
        ports: Vec<(String, Place)>,
    },
    /// Wait for a container.
    Await {
        /// The container.
        container: Target,
        /// The service, for messages.
        service: ServiceName,
        /// For what.
        until: Until,
        /// For how long at most.
        within: Option<Duration>,
        /// `false`: a failure is a warning (`required: false`).
        required: bool,
    },
    /// Execute a `post_start` or `pre_stop` command.
    RunHook {
        /// The container.
        container: Target,
        /// The service, for messages.
        service: ServiceName,
        /// The command.
        hook: Box<HookSpec>,
        /// A failure is reported and does not fail the plan (`pre_stop` of one that is replaced).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        optional: bool,
    },
    /// Wait for a `pre_start` container's end and remove it if it ended with 0.
    FinishHook {
        /// The hook's container.
        container: Target,
        /// The service.
        service: ServiceName,
        /// Index of the hook.
        index: usize,
    },
    /// Stop a container.
    Stop {
        /// The container.
        container: Target,
        /// Time before it is killed; `None`: what the container was created with.
        timeout: Option<Duration>,
    },
    /// Stop and start a container in one call.
    Restart {
        /// The container.
        container: Target,
        /// Time before it is killed; `None`: what the container was created with.
        timeout: Option<Duration>,
    },
    /// Send a signal.
    Kill {
        /// The container.
        container: Target,
        /// The signal.
        signal: String,
    },
    /// Freeze.
    Pause {
        /// The container.
        container: Target,
    },
    /// Thaw.
    Unpause {
        /// The container.
        container: Target,
    },
    /// Remove a container.
    RemoveContainer {
        /// The container.
        container: Target,
        /// Remove its anonymous volumes too.
        volumes: bool,
        /// Kill it first if it runs.
        force: bool,
    },
    /// Rename a container.
    Rename {
        /// The container.
        container: Target,
        /// The new name.
        to: ContainerName,
    },
    /// Bring a `provider` service up or down.
    RunProvider {
        /// The service.
        service: ServiceName,
        /// The provider.
        provider: Box<Provider>,
        /// `up`, `down` or `stop`.
        verb: String,
    },
    /// Fetch a model.
    PullModel {
        /// What it is called in progress.
        name: String,
        /// Its reference.
        model: String,
    },
    /// Tell the model runner how a model is to be served.
    ConfigureModel {
        /// What it is called in progress.
        name: String,
        /// Its reference.
        model: String,
        /// Tokens of context; 0 for the runner's own choice.
        context_size: i64,
        /// Flags of the inference engine.
        runtime_flags: Vec<String>,
    },
}

impl Op {
    /// The verb of its identity.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Pull { .. } => "pull",
            Self::Push { .. } => "push",
            Self::Build { .. } => "build",
            Self::RemoveImage { .. } => "remove-image",
            Self::CreateNetwork { .. } => "create-network",
            Self::RemoveNetwork { .. } => "remove-network",
            Self::CreateVolume { .. } => "create-volume",
            Self::RemoveVolume { .. } => "remove-volume",
            Self::CreateContainer { .. } => "create",
            Self::Connect { .. } => "connect",
            Self::Disconnect { .. } => "disconnect",
            Self::CopyIn { .. } => "copy-in",
            Self::Start { .. } => "start",
            Self::Await { .. } => "await",
            Self::RunHook { .. } => "hook",
            Self::FinishHook { .. } => "finish-hook",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Kill { .. } => "kill",
            Self::Pause { .. } => "pause",
            Self::Unpause { .. } => "unpause",
            Self::RemoveContainer { .. } => "remove",
            Self::Rename { .. } => "rename",
            Self::RunProvider { .. } => "provider",
            Self::PullModel { .. } => "pull-model",
            Self::ConfigureModel { .. } => "configure-model",
        }
    }

    /// Whether a failure is reported without failing the plan; what comes after goes on.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        matches!(
            self,
            Self::Pull { optional: true, .. }
                | Self::Push { optional: true, .. }
                | Self::RunHook { optional: true, .. }
                | Self::Await { required: false, .. }
        )
    }

    /// The class that its concurrency is limited by.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Pull { .. } | Self::Push { .. } | Self::PullModel { .. } => Class::Transfer,
            Self::Build { .. } => Class::Build,
            Self::Stop { .. }
            | Self::Kill { .. }
            | Self::RemoveContainer { .. }
            | Self::RemoveNetwork { .. }
            | Self::RemoveVolume { .. }
            | Self::RemoveImage { .. } => Class::Remove,
            Self::Await { .. } | Self::FinishHook { .. } => Class::Wait,
            _ => Class::Create,
        }
    }
}

/// Classes of steps, each with its own limit on how many run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Creating, starting and all other short calls.
    Create,
    /// Stopping and removing.
    Remove,
    /// Moving images.
    Transfer,
    /// Building images.
    Build,
    /// Waiting; not limited.
    Wait,
}
