//! What the engine has of a project at one moment, with labels already read into typed fields.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{
    ContainerId, ContainerName, ImageId, ImageRef, NetworkKey, NetworkName, ProjectName, ServiceName, VolumeKey,
    VolumeName,
};
use serde::{Deserialize, Serialize};

/// The engine's state, as far as one project is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Containers that carry the project's label, and those whose name the project wants.
    pub containers: Vec<Container>,
    /// Networks of the engine by name (all of them: external ones are looked up here).
    pub networks: BTreeMap<NetworkName, Vec<Network>>,
    /// Volumes of the engine by name.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Local images by every reference they are known under, in the short form that files use
    /// as well as in the full one.
    pub images: BTreeMap<ImageRef, Image>,
    /// What the host holds for configs and secrets: digests by `config.NAME` and `secret.NAME`, made
    /// by [`crate::content_digest`]. What is absent is not compared.
    #[serde(default)]
    pub contents: BTreeMap<String, String>,
    /// What serves models; `None` where nothing does, or where it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelRunner>,
}

/// What serves models (the Docker Model plugin), as far as a plan depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRunner {
    /// Address that containers reach it at.
    pub endpoint: String,
    /// Models that it has, by every name.
    pub available: BTreeSet<String>,
    /// Whether it takes `runtime_flags`.
    pub takes_runtime_flags: bool,
}

/// A container's life cycle, in the engine's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum State {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl State {
    /// The engine's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether its process is there (running, paused or about to be restarted).
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// What the health check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Health {
    /// There is no health check.
    #[default]
    None,
    Starting,
    Healthy,
    Unhealthy,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's identity.
    pub id: ContainerId,
    /// Its name, without a leading slash.
    pub name: ContainerName,
    /// The project's name from its label; `None` for a foreign container that holds a wanted name.
    pub project: Option<ProjectName>,
    /// Its service.
    pub service: ServiceName,
    /// Replica number; `None` on one-offs.
    pub number: Option<usize>,
    /// Whether `run` made it.
    pub one_off: bool,
    /// `pre_start` on a hook's container.
    pub hook: Option<String>,
    /// The recorded hash of the service.
    pub config_hash: String,
    /// The image in use.
    pub image_id: ImageId,
    /// The image's name as given at creation.
    pub image: ImageRef,
    /// Recorded identity of the image (label).
    pub recorded_image: String,
    /// `SERVICE-NUMBER` that it replaces, if it is a replacement.
    pub replaces: Option<String>,
    /// `dependency:condition:restart` entries.
    pub depends_on: Vec<(ServiceName, String, bool)>,
    /// Digests of attribute groups (own label).
    pub groups: BTreeMap<String, String>,
    /// Digests of the contents that it was made with (own label).
    pub contents: Option<String>,
    /// Digests of what was read back from it, by `config.NAME` and `secret.NAME`: contents that were
    /// delivered later count for more than the label, which cannot be changed.
    #[serde(default)]
    pub delivered: BTreeMap<String, String>,
    /// Directory of the project that made it.
    pub working_directory: String,
    /// Compose files of the project that made it.
    pub config_files: String,
    /// Its state.
    pub state: State,
    /// Its health.
    pub health: Health,
    /// Exit code, where it has ended.
    pub exit_code: Option<i64>,
    /// The engine's own words on its state, for example `Up 2 minutes (healthy)`.
    pub status: String,
    /// Unix seconds.
    pub created: i64,
    /// The command, as the engine prints it.
    pub command: String,
    /// Names of the networks that it is connected to, with the network's identity.
    pub networks: BTreeMap<NetworkName, String>,
    /// Its network mode, for example `shop_default`, `host`, `container:ID`.
    pub network_mode: String,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// Its published ports.
    pub ports: Vec<PublishedPort>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What only an inspection tells; present where old values are to be shown.
    pub detail: Option<Box<Detail>>,
}

/// What only an inspection tells of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// `KEY=value`.
    pub environment: Vec<String>,
    /// The command.
    pub command: Vec<String>,
    /// The entrypoint.
    pub entrypoint: Vec<String>,
    /// The user.
    pub user: String,
    /// The working directory.
    pub working_dir: String,
    /// The restart policy as Compose files write it: `no`, `always`, `on-failure:3`.
    pub restart: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// The host name.
    pub hostname: String,
    /// Whether it has extended privileges.
    pub privileged: bool,
    /// Whether its root file system is read-only.
    pub read_only: bool,
    /// Limits that can be changed while it runs, by the attribute's name; unset ones are absent.
    /// `None`: the backend does not tell.
    pub limits: Option<BTreeMap<String, String>>,
    /// Its places in networks.
    pub endpoints: BTreeMap<NetworkName, Endpoint>,
    /// What else it was made with, by the attribute's name in Compose files (`healthcheck.test`);
    /// what equals the engine's own default is absent. Backends may leave it empty.
    pub further: BTreeMap<String, Further>,
}

/// In [`Detail::further`]: targets of mounts that the container cannot write.
pub const READ_ONLY: &str = "read-only mounts";

/// A value of an attribute that is only read to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Further {
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<String>),
    Mapping(BTreeMap<String, String>),
}

/// A container's place in a network, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// The names that it answers to there.
    pub aliases: BTreeSet<String>,
    /// Its fixed address; empty when the engine chose.
    pub ipv4_address: String,
    /// Its fixed address; empty when the engine chose.
    pub ipv6_address: String,
}

/// A mount of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// `volume`, `bind`, `tmpfs`, `image`.
    pub kind: String,
    /// The volume's name, where it is one.
    pub volume: Option<VolumeName>,
    /// Host path of a bind.
    pub source: String,
    /// Path in the container.
    pub target: String,
}

/// A published or exposed port.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Host address; empty when only exposed.
    pub host_ip: String,
    /// Host port; 0 when only exposed.
    pub published: u16,
    /// Container port.
    pub target: u16,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
}

/// A network of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The engine's identity.
    pub id: String,
    /// The project's label.
    pub project: Option<ProjectName>,
    /// The key's label.
    pub key: Option<NetworkKey>,
    /// The recorded hash.
    pub config_hash: Option<String>,
    /// The driver.
    pub driver: String,
}

/// A volume of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The project's label.
    pub project: Option<ProjectName>,
    /// The key's label.
    pub key: Option<VolumeKey>,
    /// The recorded hash.
    pub config_hash: Option<String>,
    /// The driver.
    pub driver: String,
}

/// A local image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its identity; of one that is there for several platforms, that for the host's.
    pub id: ImageId,
    /// The identities of one that is there for several platforms, by `os/architecture/variant`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, ImageId>,
    /// Unix seconds of its creation or, where known, of its last pull.
    pub created: i64,
    /// Paths that the image declares as volumes, where known.
    pub volumes: BTreeSet<String>,
}

impl Image {
    /// The identity for a platform; empty text means the host's. A variant counts where both name one.
    #[must_use]
    pub fn identity(&self, platform: &str) -> &ImageId {
        let fits = |known: &str| {
            let longer = |text: &str, start: &str| text.strip_prefix(start).is_some_and(|rest| rest.starts_with('/'));
            known == platform || longer(known, platform) || longer(platform, known)
        };
        let found = self.platforms.iter().find(|(known, _)| !platform.is_empty() && fits(known));
        found.map_or(&self.id, |(_, id)| id)
    }

    /// Whether this is an identity of the image.
    #[must_use]
    pub fn has_identity(&self, id: &str) -> bool {
        self.id.as_str() == id || self.platforms.values().any(|known| known.as_str() == id)
    }
}
