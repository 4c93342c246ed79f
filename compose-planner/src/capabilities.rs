//! What a backend can do, as data that the planner reads.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What the engine behind a backend can do. Limits are known before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The backend's word for itself in plans and messages: `docker`, `containerd`.
    pub engine: String,
    /// The engine's version, for messages.
    pub version: String,
    /// Containers can be renamed, so a replacement can be made beside the old one.
    pub rename: bool,
    /// A container can be created with several networks at once (Docker API 1.44); otherwise the
    /// further ones are connected after creation.
    pub networks_at_create: bool,
    /// Images can be built.
    pub build: bool,
    /// Why not, and how to get a builder; for people.
    #[serde(default)]
    pub build_refusal: String,
    /// Images can be pulled and pushed.
    pub registry: bool,
    /// Health checks are run by the engine or a supervisor.
    pub health: bool,
    /// Restart policies are honoured.
    pub restart_policies: bool,
    /// Networks other than host and none.
    pub networks: bool,
    /// Ports can be published.
    pub published_ports: bool,
    /// Named and anonymous volumes.
    pub volumes: bool,
    /// Secrets that are copied are files in memory that are mounted: [`crate::spec::ContainerSpec::files`].
    #[serde(default)]
    pub secrets_in_memory: bool,
    /// Several `pause`/`unpause`.
    pub pause: bool,
    /// A volume's sub-path can be mounted (Docker API 1.45).
    pub volume_subpath: bool,
    /// Images can be mounted (Docker API 1.48).
    pub image_mounts: bool,
    /// `healthcheck.start_interval` (Docker API 1.44).
    pub start_interval: bool,
    /// `mac_address` of an endpoint (Docker API 1.44).
    pub endpoint_mac_address: bool,
    /// Networks of the engine itself, which `network_mode` names (`bridge`).
    pub engine_networks: bool,
    /// `interface_name` (Docker API 1.49).
    pub interface_name: bool,
    /// Why networks cannot have IPv6 addresses; empty: they can, or the engine says so itself.
    #[serde(default)]
    pub ipv6_refusal: String,
    /// The limit of processes of a container that asks for none; 0: there is no limit then.
    #[serde(default)]
    pub default_pids_limit: i64,
    /// The devices of the Container Device Interface that the machine has, by name (`vendor.com/class=name`);
    /// `None`: the engine says itself which ones it knows.
    #[serde(default)]
    pub named_devices: Option<BTreeSet<String>>,
    /// The log drivers that there are; `None`: the engine says itself which ones it knows.
    #[serde(default)]
    pub log_drivers: Option<BTreeSet<String>>,
    /// The protocols of which ports can be published; `None`: the engine says itself which ones it knows.
    #[serde(default)]
    pub port_protocols: Option<BTreeSet<String>>,
    /// Attributes that the backend cannot honour at all: dotted path patterns below a service
    /// (`ports`, `deploy.resources.reservations.devices`) with the reason shown to the user.
    pub refused: Vec<RefusedAttribute>,
    /// What a client asked for is done to its end though the client died meanwhile.
    #[serde(default)]
    pub outlives_clients: bool,
    /// How many ops of each class may run at once.
    pub concurrency: Concurrency,
}

/// A service attribute that a backend refuses before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAttribute {
    /// The attribute, as in the file: `ports`, `network_mode`.
    pub attribute: String,
    /// Why, and what to do instead.
    pub reason: String,
}

/// How many ops of a class may be under way at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// Creating and starting containers, networks, volumes.
    pub create: usize,
    /// Stopping and removing.
    pub remove: usize,
    /// Pulling and pushing.
    pub transfer: usize,
    /// Building.
    pub build: usize,
}

impl Capabilities {
    /// An engine that can do everything, for tests.
    #[must_use]
    pub fn everything(engine: &str) -> Self {
        Self {
            engine: engine.to_owned(),
            version: String::new(),
            rename: true,
            networks_at_create: true,
            build: true,
            build_refusal: String::new(),
            secrets_in_memory: false,
            registry: true,
            health: true,
            restart_policies: true,
            networks: true,
            published_ports: true,
            volumes: true,
            pause: true,
            volume_subpath: true,
            image_mounts: true,
            start_interval: true,
            endpoint_mac_address: true,
            engine_networks: true,
            interface_name: true,
            ipv6_refusal: String::new(),
            default_pids_limit: 0,
            named_devices: None,
            log_drivers: None,
            port_protocols: None,
            refused: Vec::new(),
            outlives_clients: true,
            concurrency: Concurrency { create: 8, remove: 8, transfer: 4, build: 1 },
        }
    }
}
