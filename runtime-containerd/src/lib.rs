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
mod capabilities;
mod client;
mod cni;
mod content;
mod core;
mod create;
mod events;
mod exec;
mod figures;
mod files;
mod firewall;
mod image;
mod lifecycle;
mod logger;
mod logs;
mod mounts;
mod netns;
mod networks;
mod observe;
mod oci;
mod ports;
mod record;
mod reference;
mod rootfs;
mod signal;
mod streams;
mod subnet;
mod time;
mod users;
mod volumes;

use async_trait::async_trait;
use compose_planner::Capabilities;
use compose_planner::observed::{Container, Observed};
use compose_runtime::Runtime;
use compose_runtime::error::Result;
use compose_runtime::port::{Builder, Containers, Description, Images, Networks, ObserveQuery, Streams, Volumes};
use containerd_client::services::v1::PluginsRequest;

use crate::core::Core;
pub use crate::core::Settings;
pub use crate::logger::logger_main;

/// The hidden first argument under which the product's binary is the log process:
/// `compose __containerd-logger ...` calls [`logger_main`] with what follows it.
pub const LOGGER_ARGUMENT: &str = "__containerd-logger";

/// containerd as an engine.
pub struct Containerd {
    core: Core,
    capabilities: Capabilities,
    description: Description,
}

impl Containerd {
    /// Connects and asks for version and snapshotters.
    ///
    /// # Errors
    /// [`compose_runtime::RuntimeError::Unreachable`] when nothing answers at the address.
    pub async fn connect(settings: Settings) -> Result<Self> {
        let client = client::Client::connect(&settings.address, &settings.namespace).await?;
        let version = client.call("Version", client.version().version(client.request(()))).await?.version;
        let request = client.request(PluginsRequest { filters: vec!["type==io.containerd.snapshotter.v1".to_owned()] });
        let plugins = client.call("Introspection.Plugins", client.introspection().plugins(request)).await?.plugins;
        let usable = |id: &str| plugins.iter().any(|plugin| plugin.id == id && plugin.init_err.is_none());
        let snapshotter = if usable("overlayfs") { "overlayfs" } else { "native" };
        let description = Description {
            engine: client::ENGINE.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            api_version: "v1".to_owned(),
            address: format!("{} (namespace {})", client.address(), client.namespace()),
            why: String::new(),
        };
        let capabilities = capabilities::capabilities(&description.version, &settings.plugin_directories);
        let core = Core::new(client, settings, snapshotter.to_owned());
        Ok(Self { core, capabilities, description })
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
        None
    }
}
