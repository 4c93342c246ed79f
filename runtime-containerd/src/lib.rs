//! The port on containerd (1.6 to 2.x) and runc, without dockerd.
//!
//! containerd keeps images, snapshots, container records and tasks; what dockerd does beyond
//! that (OCI specifications, log files, volumes, networks) is done here. No type of containerd's
//! API leaves this crate.
//!
//! Where state is: everything about a container in its containerd record ([`record`]); log files,
//! `hosts` and `resolv.conf` in the data directory; network namespaces, pipes, secrets and locks
//! in a directory that a reboot empties; volumes and networks where nerdctl has them.

mod archive;
mod base_images;
mod build;
mod buildctl;
mod capabilities;
mod cdi;
mod client;
mod cni;
mod commit;
mod content;
mod core;
mod create;
mod definition;
mod detach;
mod devices;
mod download;
mod ending;
mod events;
mod exec;
mod figures;
mod files;
mod firewall;
mod further;
mod health;
mod host_mounts;
mod image;
mod init;
mod lifecycle;
mod locks;
mod log_options;
mod logger;
mod logs;
mod mounts;
mod naming;
mod netns;
mod networks;
mod observe;
mod oci;
mod policy;
mod ports;
mod pull;
mod push;
mod record;
mod reference;
mod removal;
mod resources;
mod rootfs;
mod rules;
mod seccomp;
mod security;
mod sharing;
mod signal;
mod starting;
mod streams;
mod subnet;
mod supervisor;
mod time;
mod unpacking;
mod users;
mod volumes;

use async_trait::async_trait;
use compose_planner::Capabilities;
use compose_planner::observed::{Container, Observed};
use compose_runtime::Runtime;
use compose_runtime::error::Result;
use compose_runtime::port::{Builder, Containers, Description, Images, Networks, ObserveQuery, Streams, Volumes};

pub use crate::build::BuildSettings;
use crate::core::Core;
pub use crate::core::Settings;
pub use crate::logger::logger_main;
pub use crate::supervisor::{Manner, settings_of, supervisor_main};

/// The hidden first argument under which the product's binary is the log process:
/// `compose __containerd-logger ...` calls [`logger_main`] with what follows it.
pub const LOGGER_ARGUMENT: &str = "__containerd-logger";

/// The hidden first argument under which the product's binary is the supervisor, started by a
/// command: the settings follow, for [`settings_of`] and [`supervisor_main`].
pub const SUPERVISOR_ARGUMENT: &str = "__containerd-supervisor";

/// containerd as an engine.
pub struct Containerd {
    core: Core,
    capabilities: Capabilities,
    description: Description,
    builder: Option<build::ImageBuilder>,
}

impl Containerd {
    /// Connects and asks for version and snapshotters.
    ///
    /// # Errors
    /// [`compose_runtime::RuntimeError::Unreachable`] when nothing answers at the address.
    pub async fn connect(settings: Settings) -> Result<Self> {
        let (core, version) = Core::connect(settings).await?;
        let description = Description {
            engine: client::ENGINE.to_owned(),
            version,
            api_version: "v1".to_owned(),
            address: format!("{} (namespace {})", core.client.address(), core.client.namespace()),
            why: String::new(),
        };
        let capabilities = capabilities::capabilities(&description.version, &core.settings.plugin_directories);
        Ok(Self { core, capabilities, description, builder: None })
    }

    /// Pulls and pushes through this client, which knows the user's credentials and certificates.
    #[must_use]
    pub fn with_registry(self, registry: compose_registry::Registry) -> Self {
        let _ = self.core.registry.set(registry);
        self
    }

    /// Builds with BuildKit, where it answers.
    #[must_use]
    pub fn with_builder(mut self, settings: &BuildSettings) -> Self {
        match build::ImageBuilder::find(&self.core, settings) {
            Ok(builder) => {
                self.capabilities.concurrency.build = builder.at_once();
                self.builder = Some(builder);
                self.capabilities.build = true;
                self.capabilities.build_refusal = String::new();
            }
            Err(refusal) => self.capabilities.build_refusal = refusal,
        }
        self
    }

    /// Notes why containerd was chosen, for `version` and messages.
    #[must_use]
    pub fn because(mut self, why: &str) -> Self {
        why.clone_into(&mut self.description.why);
        self
    }

    /// What the running supervisor says of itself; `None` if there is none.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn supervisor_status(&self) -> Result<Option<String>> {
        self.core.ask_running_supervisor("status").await.transpose()
    }

    /// Ends the running supervisor; containers go on. `false` if there is none.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn stop_supervisor(&self) -> Result<bool> {
        Ok(self.core.ask_running_supervisor("stop").await.transpose()?.is_some())
    }
}

#[async_trait]
impl Runtime for Containerd {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn describe(&self) -> Description {
        self.description.clone()
    }

    async fn observe(&self, query: &ObserveQuery) -> Result<Observed> {
        self.core.observe_project(query).await
    }

    async fn list_containers(&self, labels: &[(String, Option<String>)]) -> Result<Vec<Container>> {
        self.core.list_with_labels(labels).await
    }

    fn containers(&self) -> &dyn Containers {
        &self.core
    }

    fn networks(&self) -> &dyn Networks {
        &self.core
    }

    fn volumes(&self) -> &dyn Volumes {
        &self.core
    }

    fn images(&self) -> &dyn Images {
        &self.core
    }

    fn streams(&self) -> &dyn Streams {
        &self.core
    }

    fn builder(&self) -> Option<&dyn Builder> {
        self.builder.as_ref().map(|builder| builder as &dyn Builder)
    }
}
