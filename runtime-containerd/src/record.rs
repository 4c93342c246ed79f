//! What this backend writes into a container's record in containerd, its only data base: labels
//! for what changes and is looked for, one JSON extension for the rest.

use std::collections::BTreeMap;

use compose_planner::observed::MountPoint;
use compose_planner::spec::{EndpointSpec, FileSpec, HealthcheckSpec, PortSpec, RestartPolicy};
use containerd_client::services::v1::Container;
use serde::{Deserialize, Serialize};

/// The container's name; nerdctl reads it too.
pub(crate) const NAME: &str = "nerdctl/name";
/// The published ports while the container runs, for nerdctl.
pub(crate) const PORTS: &str = "nerdctl/ports";
/// Prefix of nerdctl's labels.
pub(crate) const NERDCTL: &str = "nerdctl/";
/// Prefix of the labels that hold the state of a container.
pub(crate) const STATE: &str = "dev.compose.containerd/";
/// `created`, `starting`, `running`, `stopping` or `stopped`: what was last asked for. It is `starting` from
/// the moment that somebody asks until the process runs: what a kill leaves so is finished by the
/// supervisor.
pub(crate) const DESIRED: &str = "dev.compose.containerd/desired";
/// Values of [`DESIRED`].
pub(crate) const STARTING: &str = "starting";
/// See [`DESIRED`].
pub(crate) const RUNNING: &str = "running";
/// See [`DESIRED`]: somebody is stopping it, with signal and grace period.
pub(crate) const STOPPING: &str = "stopping";
/// See [`DESIRED`].
pub(crate) const STOPPED: &str = "stopped";
/// Exit code of the last run.
pub(crate) const EXIT_CODE: &str = "dev.compose.containerd/exit-code";
/// End of the last run, RFC 3339.
pub(crate) const FINISHED: &str = "dev.compose.containerd/finished-at";
/// Begin of the last run, RFC 3339.
pub(crate) const STARTED: &str = "dev.compose.containerd/started-at";
/// Why the last start failed.
pub(crate) const ERROR: &str = "dev.compose.containerd/error";
/// How often the restart policy has started it again.
pub(crate) const RESTARTS: &str = "dev.compose.containerd/restart-count";
/// Milliseconds that the restart policy waited before the last start; absent after a start by hand.
pub(crate) const BACKOFF: &str = "dev.compose.containerd/backoff-ms";
/// What the health check says.
pub(crate) const HEALTH: &str = "dev.compose.containerd/health";
/// `true` while the restart policy is about to start it again.
pub(crate) const RESTARTING: &str = "dev.compose.containerd/restarting";

/// Exit code of a run whose end nobody saw, as dockerd's after a crash.
pub(crate) const LOST: i64 = 255;

/// The extension's key and type.
pub(crate) const EXTENSION: &str = "dev.compose.containerd/record";
const TYPE: &str = "dev.compose.containerd.Record";

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) image: String,
    pub(crate) image_id: String,
    pub(crate) tty: bool,
    pub(crate) stdin_open: bool,
    pub(crate) stdin_once: bool,
    pub(crate) stop_signal: String,
    /// Seconds; `None`: the default.
    pub(crate) stop_timeout: Option<i64>,
    pub(crate) restart: RestartPolicy,
    pub(crate) auto_remove: bool,
    /// The service's check over the image's; `None`: there is none.
    pub(crate) healthcheck: Option<HealthcheckSpec>,
    /// `networks`, `none`, `host`, `container:ID`.
    pub(crate) network_mode: String,
    pub(crate) networks: Vec<EndpointSpec>,
    pub(crate) ports: Vec<PortSpec>,
    /// What `ports` became at the last start, host ports chosen.
    pub(crate) published: Vec<compose_planner::observed::PublishedPort>,
    pub(crate) expose: Vec<String>,
    pub(crate) hostname: String,
    pub(crate) domainname: String,
    pub(crate) extra_hosts: Vec<String>,
    /// Name servers of its own; empty: the host's.
    pub(crate) dns: Vec<String>,
    pub(crate) mounts: Vec<MountPoint>,
    /// What must be mounted on the host before a start.
    pub(crate) host_mounts: Vec<crate::host_mounts::HostMount>,
    /// The container whose process namespace it joins.
    pub(crate) pid_of: Option<String>,
    /// The container whose IPC namespace it joins.
    pub(crate) ipc_of: Option<String>,
    /// Others may join its IPC namespace.
    pub(crate) ipc_shareable: bool,
    pub(crate) anonymous: Vec<String>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<String>,
    /// Names in `environment` that neither service nor image has set: every process gets them.
    pub(crate) given: Vec<String>,
    pub(crate) user: String,
    pub(crate) working_dir: String,
    /// Files that are copied in, to copy them again when a reboot has taken them. A secret's
    /// content is never here.
    pub(crate) files: Vec<FileSpec>,
    /// The last address in each network, to be asked for again when the machine has been started.
    pub(crate) addresses: BTreeMap<String, String>,
    /// Results of the network plug-ins by network, for detaching.
    pub(crate) attached: BTreeMap<String, crate::cni::Attachment>,
}

impl Record {
    /// Reads it; `None` for a container that another program made.
    pub(crate) fn of(container: &Container) -> Option<Self> {
        let extension = container.extensions.get(EXTENSION)?;
        serde_json::from_slice(&extension.value).ok()
    }

    /// The environment without what every process gets, as dockerd's inspections show it.
    pub(crate) fn own_environment(&self) -> impl Iterator<Item = &String> {
        let given = |entry: &String| self.given.iter().any(|name| entry.split('=').next() == Some(name));
        self.environment.iter().filter(move |entry| !given(entry))
    }

    /// As containerd's `Any`.
    pub(crate) fn to_any(&self) -> prost_types::Any {
        prost_types::Any { type_url: TYPE.to_owned(), value: serde_json::to_vec(self).unwrap_or_default() }
    }
}

/// A label's value, empty where it is absent.
pub(crate) fn label<'a>(container: &'a Container, key: &str) -> &'a str {
    container.labels.get(key).map_or("", String::as_str)
}
