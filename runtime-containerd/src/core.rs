//! What all parts of the backend share: the connection, the places on disk, look-ups.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::{
    Container, GetContainerRequest, GetRequest, ListContainersRequest, ListTasksRequest, PluginsRequest,
    UpdateContainerRequest,
};
use containerd_client::types::v1::Process;
use serde::{Deserialize, Serialize};

use crate::client::{Client, SharedLease, local, optional};
use crate::image::Resolved;
use crate::record::{EXTENSION, NAME, Record, label};

/// See [`Core::set_record`].
const NETWORK_FILE: &str = "network.json";
/// Digits of a container's identity.
const IDENTITY: usize = 64;

/// Where things are; plain data, so that the command line reads the environment and tests choose
/// places of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// containerd's socket (`CONTAINERD_ADDRESS`).
    pub address: String,
    /// containerd's namespace (`CONTAINERD_NAMESPACE`).
    pub namespace: String,
    /// The product's own binary, which is executed again as log process.
    pub program: PathBuf,
    /// Container directories and names.
    pub data_root: PathBuf,
    /// Volumes; nerdctl's data root, so that the tools share them.
    pub volume_root: PathBuf,
    /// Sockets, pipes, network namespaces, secrets: a directory that a reboot empties.
    pub state_root: PathBuf,
    /// Directories with network plug-ins (`CNI_PATH`), the first one that has `bridge` counts.
    pub plugin_directories: Vec<PathBuf>,
    /// Directory of network definitions (`NETCONFPATH`), shared with nerdctl.
    pub network_directory: PathBuf,
}

impl Settings {
    /// The usual places for a socket and a namespace; empty text means the default one.
    #[must_use]
    pub fn new(address: &str, namespace: &str, program: PathBuf) -> Self {
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        Self {
            address: or(address, "/run/containerd/containerd.sock"),
            namespace: or(namespace, "default"),
            program,
            data_root: "/var/lib/compose".into(),
            volume_root: "/var/lib/nerdctl".into(),
            state_root: "/run/compose".into(),
            plugin_directories: ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"].map(PathBuf::from).into(),
            network_directory: "/etc/cni/net.d".into(),
        }
    }

    /// First 8 digits of the digest of the socket's path, as nerdctl: several containerds on one
    /// machine do not get into each other's way.
    pub(crate) fn address_hash(&self) -> String {
        let path = self.address.strip_prefix("unix://").unwrap_or(&self.address);
        crate::content::digest_of(path.as_bytes())[7..15].to_owned()
    }
}

/// The backend's inside. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core(Arc<Inner>);

impl Deref for Core {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// All layers of an image, the user that is wanted, and further groups.
pub(crate) type UserKey = (String, String, Vec<String>);

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) snapshotter: String,
    /// See [`Settings::address_hash`].
    pub(crate) address_hash: String,
    /// Images never change under their digest.
    pub(crate) resolved: Mutex<BTreeMap<String, Resolved>>,
    /// Images that are known to be unpacked, by the identity of all their layers.
    pub(crate) unpacked: Mutex<BTreeSet<String>>,
    /// Users of images, see [`crate::create`].
    pub(crate) users: Mutex<BTreeMap<UserKey, crate::users::User>>,
    /// The lease that containers are made under.
    pub(crate) creation: tokio::sync::Mutex<SharedLease>,
    /// The client for pulls and pushes; without one of the command's own, an anonymous one.
    pub(crate) registry: OnceLock<compose_registry::Registry>,
    pub(crate) execs: Mutex<BTreeMap<String, crate::exec::Running>>,
    /// Ends of containers that remove themselves, by container: nobody could be asked afterwards.
    pub(crate) ends: Mutex<BTreeMap<String, tokio::sync::watch::Receiver<Option<i64>>>>,
    /// Set in the supervisor's own process, which has not to be asked over its socket.
    pub(crate) hosted: OnceLock<Weak<crate::supervisor::Supervisor>>,
}

impl Core {
    pub(crate) fn new(client: Client, settings: Settings, snapshotter: String) -> Self {
        let address_hash = settings.address_hash();
        Self(Arc::new(Inner {
            client,
            settings,
            snapshotter,
            address_hash,
            resolved: Mutex::default(),
            unpacked: Mutex::default(),
            users: Mutex::default(),
            creation: tokio::sync::Mutex::default(),
            registry: OnceLock::new(),
            execs: Mutex::default(),
            ends: Mutex::default(),
            hosted: OnceLock::new(),
        }))
    }

    /// Connects, and asks for the version and the snapshotters.
    pub(crate) async fn connect(settings: Settings) -> Result<(Self, String)> {
        let client = Client::connect(&settings.address, &settings.namespace).await?;
        let version = client.call("Version", client.version().version(client.request(()))).await?.version;
        let request = client.request(PluginsRequest { filters: vec!["type==io.containerd.snapshotter.v1".to_owned()] });
        let plugins = client.call("Introspection.Plugins", client.introspection().plugins(request)).await?.plugins;
        let usable = |id: &str| plugins.iter().any(|plugin| plugin.id == id && plugin.init_err.is_none());
        let snapshotter = if usable("overlayfs") { "overlayfs" } else { "native" };
        Ok((Self::new(client, settings, snapshotter.to_owned()), version.trim_start_matches('v').to_owned()))
    }

    /// The client for pulls and pushes.
    pub(crate) fn registry(&self) -> &compose_registry::Registry {
        self.registry.get_or_init(|| compose_registry::Registry::new(compose_registry::Settings::default()))
    }

    /// Directory of a container that survives a reboot.
    pub(crate) fn data_directory(&self, id: &str) -> PathBuf {
        self.namespaced(&self.settings.data_root, "containers").join(id)
    }

    /// Directory of a container that a reboot takes.
    pub(crate) fn state_directory(&self, id: &str) -> PathBuf {
        self.namespaced(&self.settings.state_root, "containers").join(id)
    }

    /// Directory of the namespace's volumes.
    pub(crate) fn volumes_directory(&self) -> PathBuf {
        self.namespaced(&self.settings.volume_root, "volumes")
    }

    /// `root/ADDRESS/kind/NAMESPACE`.
    pub(crate) fn namespaced(&self, root: &Path, kind: &str) -> PathBuf {
        root.join(&self.address_hash).join(kind).join(self.client.namespace())
    }

    /// Records with the labels, and with a name or identity; one list call. No conditions: all.
    pub(crate) async fn records(&self, filters: &[String]) -> Result<Vec<Container>> {
        let request = self.client.request(ListContainersRequest { filters: filters.to_vec() });
        let mut found = self.client.call("Containers.List", self.client.containers().list(request)).await?.containers;
        found.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(found)
    }

    /// Tasks of the namespace by container; one list call.
    pub(crate) async fn tasks(&self) -> Result<BTreeMap<String, Process>> {
        let request = self.client.request(ListTasksRequest { filter: String::new() });
        let tasks = self.client.call("Tasks.List", self.client.tasks().list(request)).await?.tasks;
        // The listing names the container in `id`; `container_id` is only set by `Get`.
        Ok(tasks.into_iter().map(|task| (task.id.clone(), task)).collect())
    }

    /// A container by its whole identity.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<Container>> {
        let request = self.client.request(GetContainerRequest { id: id.to_owned() });
        let found = optional(self.client.call("Containers.Get", self.client.containers().get(request)).await)?;
        Ok(found.and_then(|response| response.container))
    }

    /// The task of a container, if there is one.
    pub(crate) async fn task(&self, id: &str) -> Result<Option<Process>> {
        let request = self.client.request(GetRequest { container_id: id.to_owned(), exec_id: String::new() });
        let found = optional(self.client.call("Tasks.Get", self.client.tasks().get(request)).await)?;
        Ok(found.and_then(|response| response.process))
    }

    /// The container with this name or identity (a unique beginning of it will do).
    pub(crate) async fn find(&self, name: &str) -> Result<Container> {
        let missing = || RuntimeError::NotFound { message: format!("no such container: {name}") };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(missing());
        }
        // A whole identity is looked up; containerd reads every container for a list.
        if is_identity(name)
            && let Some(found) = self.get(name).await?
        {
            return Ok(found);
        }
        let mut filters = vec![format!("id=={name}"), format!("labels.\"{NAME}\"==\"{name}\"")];
        if name.len() >= 4 && name.len() < IDENTITY && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            filters.push(format!("id~=\"^{name}\""));
        }
        let found = self.records(&filters).await?;
        let exact = found.iter().find(|one| one.id == name || label(one, NAME) == name);
        match (exact, found.as_slice()) {
            (Some(exact), _) => Ok(exact.clone()),
            (None, [single]) => Ok(single.clone()),
            (None, []) => Err(missing()),
            (None, _) => Err(RuntimeError::Conflict { message: format!("several containers begin with {name}") }),
        }
    }

    /// The container and what this backend recorded of it.
    pub(crate) async fn find_own(&self, name: &str) -> Result<(Container, Record)> {
        let container = self.find(name).await?;
        match Record::of(&container) {
            Some(record) => Ok((container, record)),
            None => Err(RuntimeError::Unsupported {
                engine: crate::client::ENGINE.to_owned(),
                what: format!("manage container {name}: another program made it, use that one"),
            }),
        }
    }

    /// Changes labels; `None` removes one.
    pub(crate) async fn set_labels(&self, id: &str, changes: &[(&str, Option<String>)]) -> Result<()> {
        self.write(id, None, changes).await
    }

    /// Writes the record. What belongs to the machine's networks is also kept beside it: whoever
    /// removes the record with another program takes with it what is needed to give that back.
    pub(crate) async fn set_record(&self, id: &str, record: &Record) -> Result<()> {
        self.write(id, Some(record), &[]).await
    }

    /// Both in one call, each of which costs containerd a write to its disk.
    pub(crate) async fn write(
        &self,
        id: &str,
        record: Option<&Record>,
        changes: &[(&str, Option<String>)],
    ) -> Result<()> {
        let mut paths: Vec<String> = changes.iter().map(|(key, _)| format!("labels.{key}")).collect();
        let labels = changes.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?))).collect();
        let mut container = Container { id: id.to_owned(), labels, ..Container::default() };
        if let Some(record) = record {
            self.keep_network_state(id, record)?;
            container.extensions = [(EXTENSION.to_owned(), record.to_any())].into();
            paths.push(format!("extensions.{EXTENSION}"));
        }
        if paths.is_empty() { Ok(()) } else { self.update(container, paths).await }
    }

    fn keep_network_state(&self, id: &str, record: &Record) -> Result<()> {
        let directory = self.state_directory(id);
        if !directory.exists() {
            return Ok(());
        }
        let kept = Record {
            networks: record.networks.clone(),
            attached: record.attached.clone(),
            published: record.published.clone(),
            ..Record::default()
        };
        let bytes = serde_json::to_vec(&kept).map_err(|error| local("a record", error))?;
        write_atomically(&directory.join(NETWORK_FILE), &bytes)
    }

    /// What [`Core::set_record`] kept of a container whose record is gone.
    pub(crate) fn kept_network_state(&self, id: &str) -> Record {
        let bytes = std::fs::read(self.state_directory(id).join(NETWORK_FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub(crate) async fn update(&self, container: Container, paths: Vec<String>) -> Result<()> {
        let request = self.client.request(UpdateContainerRequest {
            container: Some(container),
            update_mask: Some(prost_types::FieldMask { paths }),
        });
        self.client.call("Containers.Update", self.client.containers().update(request)).await?;
        Ok(())
    }
}

/// Whether a text is a container's whole identity.
pub(crate) fn is_identity(text: &str) -> bool {
    text.len() == IDENTITY && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A container's name, or its identity where it has none.
pub(crate) fn name_of(container: &Container) -> &str {
    match label(container, NAME) {
        "" => &container.id,
        name => name,
    }
}

/// Makes a directory and its parents that only root can look into.
pub(crate) fn private_directory(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| local(path.display(), error))
}

/// Writes a file as a whole: readers see the old or the new content.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| local(path.display(), error))
}
