//! What an op makes: containers, networks, volumes and images, in terms that every engine knows.
//!
//! A specification is complete. Backends translate it and add nothing of their own choice: names,
//! labels, addresses, mounts and limits are all here. The content of secrets is not; it is read
//! when it is copied in.

use std::collections::BTreeMap;

use compose_model::names::{ContainerId, ContainerName, ImageId, ImageRef, NetworkName, ServiceName, VolumeName};
use compose_model::project::{
    BlkioConfig, Build, DeviceMapping, DeviceRequest, Environment, FileReference, Ipam, Logging, Place, Service,
    StringMap, Ulimit,
};
use compose_model::units::{ByteSize, Duration};
use serde::{Deserialize, Serialize};

use crate::op::Target;

/// A container to create.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The name to create it under (a temporary one for a replacement).
    pub name: ContainerName,
    /// The service that it belongs to.
    pub service: ServiceName,
    /// Replica number; `None` for one-offs and hooks.
    pub number: Option<usize>,
    /// The image to run.
    pub image: ImageRef,
    /// The image's identity where it is known when planning; else that of `image` when created.
    pub image_id: Option<ImageId>,
    /// `os/arch[/variant]`; empty for the engine's own.
    pub platform: String,
    /// All labels. Where [`crate::labels::IMAGE`] is not among them, the backend adds it with the
    /// identity of the image that it used.
    pub labels: StringMap,
    /// `None` keeps the image's; an empty list clears it.
    pub command: Option<Vec<String>>,
    /// `None` keeps the image's; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Variables; `None` removes the image's own.
    pub environment: Environment,
    /// User, `name|uid[:group|gid]`.
    pub user: String,
    /// Working directory.
    pub working_dir: String,
    /// Host name.
    pub hostname: String,
    /// Domain name.
    pub domainname: String,
    /// Allocate a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub stdin_open: bool,
    /// Close standard input when the first attached client goes.
    pub stdin_once: bool,
    /// Signal that stops it; empty: the image's or SIGTERM.
    pub stop_signal: String,
    /// Time to wait before killing it; `None`: the engine's default.
    pub stop_grace_period: Option<Duration>,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// The engine removes it when it ends.
    pub auto_remove: bool,
    /// Health check; `None` keeps the image's.
    pub healthcheck: Option<HealthcheckSpec>,
    /// How it is connected.
    pub network_mode: NetworkMode,
    /// Networks to be connected to; the first one is the primary.
    pub networks: Vec<EndpointSpec>,
    /// Published ports.
    pub ports: Vec<PortSpec>,
    /// Exposed ports, `80/tcp`.
    pub expose: Vec<String>,
    /// Mounts.
    pub mounts: Vec<MountSpec>,
    /// `/path[:options]` of temporary file systems.
    pub tmpfs: Vec<String>,
    /// Containers whose volumes are mounted.
    pub volumes_from: Vec<VolumesFrom>,
    /// Secrets for which the engine mounts files in memory; their content is copied by
    /// [`crate::Op::CopyIn`] before each start, as for those that are not named here.
    pub files: Vec<FileSpec>,
    /// `host=address`.
    pub extra_hosts: Vec<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Resolver options.
    pub dns_opt: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// IPC namespace.
    pub ipc: Namespace,
    /// Process namespace.
    pub pid: Namespace,
    /// UTS namespace, `host` or empty.
    pub uts: String,
    /// User namespace, `host` or empty.
    pub userns_mode: String,
    /// Cgroup namespace, `host`, `private` or empty.
    pub cgroup: String,
    /// Parent cgroup.
    pub cgroup_parent: String,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Capabilities to drop.
    pub cap_drop: Vec<String>,
    /// Extended privileges.
    pub privileged: bool,
    /// Read-only root file system.
    pub read_only: bool,
    /// Run an init process.
    pub init: Option<bool>,
    /// Isolation technology.
    pub isolation: String,
    /// The OCI runtime.
    pub runtime: String,
    /// Security options; a seccomp profile's file is named by its absolute path.
    pub security_opt: Vec<String>,
    /// Storage options.
    pub storage_opt: StringMap,
    /// Kernel parameters.
    pub sysctls: StringMap,
    /// Annotations.
    pub annotations: StringMap,
    /// Further groups.
    pub group_add: Vec<String>,
    /// Ulimits.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Logging driver and its options.
    pub logging: Option<Logging>,
    /// Size of `/dev/shm`; 0 for the default.
    pub shm_size: ByteSize,
    /// CPU, memory and process limits.
    pub resources: ResourceSpec,
    /// Devices.
    pub devices: Vec<DeviceMapping>,
    /// Rules for the device cgroup.
    pub device_cgroup_rules: Vec<String>,
    /// Devices by capability (GPUs, CDI).
    pub device_requests: Vec<DeviceRequest>,
    /// Deprecated: links on the default bridge network, `container:alias`.
    pub links: Vec<String>,
    /// MAC address, where no endpoint carries it.
    pub mac_address: String,
    /// Mounts the engine's socket and the registry credentials.
    pub use_api_socket: bool,
    /// Set where the `config-hash` label can only be completed when the container is created; see
    /// [`crate::complete_labels`].
    pub late_hash: Option<Box<Service>>,
    /// Where attributes are written, for error messages about them (`ports.0`, `image`, ...).
    pub places: BTreeMap<String, Place>,
}

/// CPU, memory and process limits; zero means unset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct ResourceSpec {
    /// In billionths of a CPU.
    pub nano_cpus: i64,
    pub cpu_count: i64,
    pub cpu_percent: i64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpu_rt_period: i64,
    pub cpu_rt_runtime: i64,
    pub cpu_shares: i64,
    pub cpuset: String,
    pub mem_limit: ByteSize,
    pub mem_reservation: ByteSize,
    pub memswap_limit: ByteSize,
    pub mem_swappiness: Option<i64>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: i64,
    pub pids_limit: i64,
    pub blkio: Option<BlkioConfig>,
}

/// Billionths of a processor as files write them (`0.5`); empty for none.
#[must_use]
pub fn cpus_text(nano: i64) -> String {
    if nano == 0 { String::new() } else { format!("{}", nano as f64 / 1e9) }
}

/// When the engine starts a container again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After any exit.
    Always,
    /// After any exit, unless it was stopped by hand.
    UnlessStopped,
    /// After a failure, at most so many times (0: no limit).
    OnFailure(u64),
}

/// A health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthcheckSpec {
    /// `["NONE"]`, `["CMD", ...]`, `["CMD-SHELL", text]`; empty keeps the image's.
    pub test: Vec<String>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Longest time of a probe.
    pub timeout: Option<Duration>,
    /// Failures until unhealthy.
    pub retries: Option<u64>,
    /// Time in which failures do not count.
    pub start_period: Option<Duration>,
    /// Time between probes in the start period.
    pub start_interval: Option<Duration>,
}

/// How a container is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// To the networks of its specification; none if there are none.
    #[default]
    Networks,
    /// To nothing.
    None,
    /// The host's own network.
    Host,
    /// Another container's network.
    Container(Target),
    /// A mode of the engine's, as written (`bridge`, ...).
    Engine(String),
}

/// A namespace that may be shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespace {
    /// The engine's default.
    #[default]
    Default,
    /// Another container's.
    Container(Target),
    /// A mode of the engine's, as written (`host`, `private`, `shareable`, `none`).
    Engine(String),
}

/// Volumes of another container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// The other container.
    pub container: Target,
    /// Mount them read-only.
    pub read_only: bool,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct EndpointSpec {
    /// The network in the engine.
    pub network: NetworkName,
    /// The network's identity, where the name alone is ambiguous.
    pub network_id: Option<String>,
    /// All names that it answers to there.
    pub aliases: Vec<String>,
    /// `container:alias`.
    pub links: Vec<String>,
    pub ipv4_address: String,
    pub ipv6_address: String,
    pub link_local_ips: Vec<String>,
    pub mac_address: String,
    pub driver_opts: StringMap,
    pub gw_priority: i64,
    pub interface_name: String,
}

/// A published port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// Container port.
    pub target: u16,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// Host address; empty for all.
    pub host_ip: String,
    /// Host port or range; empty: the engine chooses.
    pub published: String,
    /// Where the file asks for it.
    pub place: Option<Place>,
}

/// The folder in a container where `use_api_socket` puts the registry credentials, and that
/// `DOCKER_CONFIG` names there.
pub const API_CREDENTIALS: &str = "/run/secrets/docker";

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Path in the container.
    pub target: String,
    /// Mount it read-only.
    pub read_only: bool,
    /// Consistency, as written.
    pub consistency: String,
    /// What is mounted.
    pub source: MountSource,
    /// Where the file asks for it.
    pub place: Option<Place>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Fields are the attributes of the same names in the specification.
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        path: String,
        /// Make a missing directory.
        create_host_path: bool,
        propagation: String,
        recursive: String,
        selinux: String,
    },
    /// A volume of the engine.
    Volume {
        name: VolumeName,
        nocopy: bool,
        subpath: String,
        /// Labels of a volume that the mount itself makes.
        labels: StringMap,
        /// `z` or `Z` of the short form.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        selinux: String,
    },
    /// A volume without a name; `carried` names the one taken over from a replaced container.
    Anonymous { carried: Option<VolumeName>, nocopy: bool, subpath: String, labels: StringMap },
    /// Memory.
    Tmpfs { size: ByteSize, mode: u32 },
    /// An image's file system.
    Image { image: ImageRef, subpath: String },
    /// A Windows named pipe.
    NamedPipe { path: String },
    /// A Swarm cluster volume.
    Cluster { name: String },
}

/// A file that is copied into a created container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Whether it is a secret (its content is then never shown).
    pub secret: bool,
    /// The object's name in the engine's terms, `PROJECT_KEY`.
    pub name: String,
    /// Its key in [`crate::observed::Observed::contents`].
    #[serde(default)]
    pub object: String,
    /// Absolute path in the container.
    pub target: String,
    /// Where the content comes from.
    pub content: FileContent,
    /// Numeric owner; empty for root.
    pub uid: String,
    /// Numeric group; empty for root.
    pub gid: String,
    /// Permission bits.
    pub mode: u32,
}

/// Where the content of a copied file comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileContent {
    /// A variable of the environment; the plan knows its name alone.
    Environment {
        /// The variable.
        variable: String,
    },
    /// Text of the file (configs).
    Inline {
        /// The text.
        text: String,
    },
    /// A file of the host.
    File {
        /// Its absolute path.
        path: String,
    },
}

/// A command to execute in a container as part of its life cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Fields are the attributes of the same names in the specification.
pub struct HookSpec {
    /// `post_start` or `pre_stop`.
    pub moment: String,
    /// Index in the list.
    pub index: usize,
    pub command: Vec<String>,
    pub user: String,
    pub privileged: bool,
    pub working_dir: String,
    pub environment: Environment,
}

/// A network to create.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct NetworkSpec {
    pub name: NetworkName,
    pub driver: String,
    pub driver_opts: StringMap,
    pub ipam: Ipam,
    pub internal: bool,
    pub attachable: bool,
    pub enable_ipv4: Option<bool>,
    pub enable_ipv6: Option<bool>,
    pub labels: StringMap,
}

/// A volume to create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct VolumeSpec {
    pub name: VolumeName,
    pub driver: String,
    pub driver_opts: StringMap,
    pub labels: StringMap,
}

/// An image to build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildSpec {
    /// The service it is for.
    pub service: ServiceName,
    /// The image's name.
    pub image: ImageRef,
    /// `build:`, with command line arguments merged in, `additional_contexts` resolved.
    pub build: Build,
    /// Labels that the image gets beside those of `build`.
    pub labels: StringMap,
    /// `os/arch[/variant]` of the service; empty for the engine's own.
    pub platform: String,
    /// No progress output.
    pub quiet: bool,
    /// Memory limit in bytes; 0 for none.
    pub memory: i64,
    /// A builder instance.
    pub builder: String,
    /// Push when built.
    pub push: bool,
    /// Build only where the image is still missing: pulling it was tried first.
    pub only_if_missing: bool,
    /// Where each secret of `build.secrets` comes from, by its id.
    pub secrets: BTreeMap<String, FileContent>,
    /// Paths of secrets and ssh keys, as written.
    pub secret_references: Vec<FileReference>,
    /// Names of `additional_contexts` that are images of other services.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub service_contexts: BTreeMap<String, ServiceName>,
    /// Check the build definition and build nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub check: bool,
    /// Attestation of provenance for builds that say nothing of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provenance: String,
    /// Bill of materials for builds that say nothing of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sbom: String,
}

impl BuildSpec {
    /// The platform to build for where only one can be kept: the only one that `build.platforms`
    /// names, else the service's, else the machine's.
    #[must_use]
    pub fn single_platform<'a>(&'a self, machine: &'a str) -> &'a str {
        match self.build.platforms.as_slice() {
            [one] => one,
            _ if !self.platform.is_empty() => &self.platform,
            _ => machine,
        }
    }
}

/// A container that an engine has already.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Existing {
    /// Its identity.
    pub id: ContainerId,
    /// Its name, for people.
    pub name: ContainerName,
}
