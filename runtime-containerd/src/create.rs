//! Creating a container: snapshot, mounts, users, specification, record; and removing it.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use compose_planner::labels;
use compose_planner::spec::{ContainerSpec, Namespace, NetworkMode};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{Created, Outcome};
use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::snapshots::{MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest};
use containerd_client::services::v1::{Container, CreateContainerRequest, DeleteContainerRequest, Image};
use containerd_client::types::Mount;
use prost::Message;

use crate::client::{Client, existed, local, random_hex, unsupported};
use crate::core::{Core, private_directory};
use crate::image::Resolved;
use crate::logger::{LogSettings, OPTIONS_FILE};
use crate::mounts::Prepared;
use crate::oci::{self, Device, Host, Input};
use crate::record::{DESIRED, EXTENSION, NAME, Record, label};
use crate::rootfs::{populate, read_text};
use crate::unpacking::unpack;
use crate::users;

/// Options of the shim for runc; the client library lacks the type.
#[derive(Clone, PartialEq, Message)]
struct RuncOptions {
    #[prost(string, tag = "6")]
    binary_name: String,
    #[prost(bool, tag = "9")]
    systemd_cgroup: bool,
}

/// Bytes that containerd allows a label with its key.
const LABEL_LIMIT: usize = 4096;

/// The containers whose namespaces one joins.
struct Shared {
    pid_of: Option<String>,
    ipc_of: Option<String>,
}

/// Names that containers may have, as dockerd's.
fn valid_name(name: &str) -> bool {
    (2..=200).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// What becomes part of a line in `hosts` or `resolv.conf` must not make a line of its own.
fn one_line_each(spec: &ContainerSpec) -> Result<()> {
    let single = [&spec.hostname, &spec.domainname];
    let lists = [&spec.extra_hosts, &spec.dns, &spec.dns_search, &spec.dns_opt];
    let aliases = spec.networks.iter().flat_map(|endpoint| endpoint.aliases.iter());
    let mut all = single.into_iter().chain(lists.into_iter().flatten()).chain(aliases);
    match all.find(|text| text.chars().any(char::is_control)) {
        Some(text) => Err(RuntimeError::Invalid { message: format!("{text:?} is no host name: it has a line break") }),
        None => Ok(()),
    }
}

impl Core {
    /// Creates a container. After an error nothing of it is left but volumes.
    pub(crate) async fn create_container(&self, spec: &ContainerSpec) -> Result<Created> {
        let name = spec.name.as_str();
        if !valid_name(name) {
            return Err(RuntimeError::Invalid { message: format!("`{name}` is no valid container name") });
        }
        if !matches!(spec.userns_mode.as_str(), "" | "host") {
            return Err(RuntimeError::Invalid { message: format!("invalid userns_mode: `{}`", spec.userns_mode) });
        }
        one_line_each(spec)?;
        let (image, resolved) = self.image_to_run(spec).await?;
        let creation = self.share_creation().await?;
        let id = random_hex(32)?;
        let client = self.creation.lock().await.join(&self.client).await?;
        let created = self.create_under_lease(&client, &id, spec, &image, &resolved).await;
        if created.is_err() {
            // What was known of the image may be why.
            self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).remove(&resolved.chain_id());
            self.remove_snapshot(&id).await;
            self.remove_directories(&id);
        }
        let unused = self.creation.lock().await.leave();
        if let Some(lease) = unused {
            lease.end().await;
        }
        drop(creation);
        created?;
        Ok(Created { id: id.into(), warnings: Vec::new() })
    }

    /// The image that a container is made from: the one of the identity, whatever its name stands for now.
    async fn image_to_run(&self, spec: &ContainerSpec) -> Result<(Image, Resolved)> {
        let wanted = spec.image_id.as_ref().map(|id| id.as_str());
        let named = self.find_image(spec.image.as_str()).await?;
        if let Some(named) = named.as_ref().filter(|(_, resolved)| wanted.is_none_or(|wanted| wanted == resolved.id)) {
            return Ok(named.clone());
        }
        let found = match wanted {
            Some(wanted) => self.find_image(wanted).await?,
            None => None,
        };
        found.or(named).ok_or_else(|| RuntimeError::NotFound { message: format!("no such image: {}", spec.image) })
    }

    pub(crate) async fn name_is_free(&self, name: &str) -> Result<()> {
        let holders = self.records(&[format!("labels.\"{NAME}\"==\"{name}\"")]).await?;
        match holders.first() {
            None => Ok(()),
            Some(holder) => Err(RuntimeError::Conflict {
                message: format!("the container name \"{name}\" is already in use by container {}", holder.id),
            }),
        }
    }

    async fn create_under_lease(
        &self,
        client: &Client,
        id: &str,
        spec: &ContainerSpec,
        image: &Image,
        resolved: &Resolved,
    ) -> Result<()> {
        let layers = resolved.chain_id();
        let known = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).contains(&layers);
        if !known {
            unpack(client, &self.snapshotter, resolved).await?;
            self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).insert(layers.clone());
        }
        let defaults = resolved.defaults();
        let data = self.data_directory(id);
        private_directory(&data)?;
        let prepare = || {
            let (key, parent) = (id.to_owned(), layers.clone());
            let snapshotter = self.snapshotter.clone();
            let request = PrepareSnapshotRequest { snapshotter, key, parent, labels: Default::default() };
            let mut snapshots = client.snapshots();
            let request = client.request(request);
            async move { client.call("Snapshots.Prepare", snapshots.prepare(request)).await }
        };
        let snapshot = match prepare().await {
            // Somebody has removed the image since, and it was brought anew.
            Err(error) if known && error.is_not_found() => {
                unpack(client, &self.snapshotter, resolved).await?;
                prepare().await?
            }
            prepared => prepared?,
        };
        let some = !spec.mounts.is_empty() || defaults.volumes.as_ref().is_some_and(|volumes| !volumes.is_empty());
        let _volumes = if some { Some(self.lock_volumes().await?) } else { None };
        let mut prepared = self.prepare_mounts(client, id, spec, &defaults).await?;
        let ipc_of = self.prepare_ipc(&mut prepared, id, spec).await?;
        let pid_of = self.shared_with(&spec.pid).await?.map(|(other, _)| other.id);
        let shared = Shared { pid_of, ipc_of };
        let made = self.create_record(client, id, spec, image, resolved, snapshot.mounts, &prepared, shared).await;
        if made.is_err() {
            self.remove_views(&prepared.host_mounts).await;
            for volume in &prepared.anonymous {
                let carried = spec.mounts.iter().any(|mount| {
                    matches!(&mount.source, compose_planner::spec::MountSource::Anonymous { carried: Some(name), .. }
                        if name.as_str() == volume)
                });
                if !carried {
                    let _ = self.delete_volume(volume);
                }
            }
        }
        made
    }

    #[allow(clippy::too_many_arguments)] // One step of one procedure, named for its reader.
    async fn create_record(
        &self,
        client: &Client,
        id: &str,
        spec: &ContainerSpec,
        image: &Image,
        resolved: &Resolved,
        snapshot: Vec<Mount>,
        prepared: &Prepared,
        shared: Shared,
    ) -> Result<()> {
        let defaults = resolved.defaults();
        let wanted_user =
            if spec.user.is_empty() { defaults.user.clone().unwrap_or_default() } else { spec.user.clone() };
        let user = self.user_of(spec, &wanted_user, resolved, snapshot, prepared).await?;

        let hostname = match (&spec.network_mode, spec.hostname.as_str()) {
            (NetworkMode::Host, "") => rustix::system::uname().nodename().to_string_lossy().into_owned(),
            (_, "") => id[..12].to_owned(),
            (_, own) => own.to_owned(),
        };
        let (network_mode, network) = self.network_of(id, spec).await?;
        let (entrypoint, command) = oci::words(spec, &defaults);
        let host = Host::detect();
        let mut mounts = prepared.mounts.clone();
        if spec.init == Some(true) {
            let program = crate::init::program()?.display().to_string();
            let options = ["bind", "ro"];
            mounts.push(serde_json::json!({
                "destination": oci::INIT, "type": "bind", "source": program, "options": options
            }));
        }
        let mut document = oci::build(Input {
            id,
            namespace: client.namespace(),
            spec,
            image: &defaults,
            user: &user,
            host: &host,
            hostname: &hostname,
            network,
            mounts,
            devices: devices(spec)?,
            security: &crate::security::of(spec)?,
            init: spec.init == Some(true),
        })?;
        crate::cdi::apply(spec, &mut document)?;
        let environment: Vec<String> = serde_json::from_value(document["process"]["env"].clone()).unwrap_or_default();
        let named = |name: &str| {
            let image = defaults.env.iter().flatten().filter_map(|entry| entry.split('=').next());
            image.chain(spec.environment.keys().map(String::as_str)).any(|other| other == name)
        };
        let given = ["HOSTNAME", "HOME", "TERM"].into_iter().filter(|name| !named(name)).map(str::to_owned).collect();
        let either = |own: &str, image: Option<&String>| {
            if own.is_empty() { image.cloned().unwrap_or_default() } else { own.to_owned() }
        };
        let mut record = Record {
            image: spec.image.as_str().to_owned(),
            image_id: resolved.id.clone(),
            tty: spec.tty,
            stdin_open: spec.stdin_open,
            stdin_once: spec.stdin_once,
            stop_signal: either(&spec.stop_signal, defaults.stop_signal.as_ref()),
            stop_timeout: spec.stop_grace_period.map(|period| i64::try_from(period.to_std().as_secs()).unwrap_or(10)),
            restart: spec.restart.clone(),
            auto_remove: spec.auto_remove,
            healthcheck: crate::health::effective(spec.healthcheck.as_ref(), defaults.healthcheck.as_ref()),
            dns: spec.dns.clone(),
            files: spec.files.clone(),
            network_mode,
            networks: spec.networks.clone(),
            ports: spec.ports.clone(),
            expose: spec.expose.iter().cloned().chain(defaults.exposed_ports.unwrap_or_default().into_keys()).collect(),
            hostname: hostname.clone(),
            domainname: spec.domainname.clone(),
            extra_hosts: spec.extra_hosts.clone(),
            mounts: prepared.points.clone(),
            host_mounts: prepared.host_mounts.clone(),
            pid_of: shared.pid_of,
            ipc_of: shared.ipc_of,
            ipc_shareable: matches!(&spec.ipc, Namespace::Engine(mode) if mode == "shareable"),
            anonymous: prepared.anonymous.clone(),
            entrypoint,
            command,
            environment,
            given,
            user: wanted_user,
            working_dir: document["process"]["cwd"].as_str().unwrap_or_default().to_owned(),
            ..Record::default()
        };
        record.expose.sort();
        record.expose.dedup();
        self.write_resolver(id, spec)?;
        self.write_name_files(id, &record, &[])?;
        self.write_log_options(id, spec)?;

        let mut all: std::collections::HashMap<String, String> = spec.labels.clone().into_iter().collect();
        all.entry(labels::IMAGE.to_owned()).or_insert_with(|| resolved.id.clone());
        let networks: Vec<&str> = spec.networks.iter().map(|one| one.network.as_str()).collect();
        let platform = crate::image::host_platform();
        for (key, value) in [
            (NAME, spec.name.as_str().to_owned()),
            ("nerdctl/namespace", client.namespace().to_owned()),
            ("nerdctl/hostname", hostname),
            ("nerdctl/platform", format!("{}/{}", platform.os, platform.architecture)),
            ("nerdctl/state-dir", self.data_directory(id).display().to_string()),
            ("nerdctl/networks", serde_json::to_string(&networks).unwrap_or_default()),
            ("nerdctl/extraHosts", serde_json::to_string(&spec.extra_hosts).unwrap_or_default()),
            ("nerdctl/mounts", nerdctl_mounts(&record)),
            ("nerdctl/anonymous-volumes", serde_json::to_string(&record.anonymous).unwrap_or_default()),
            ("nerdctl/stop-timeout", record.stop_timeout.map(|seconds| seconds.to_string()).unwrap_or_default()),
            ("nerdctl/pid-container", record.pid_of.clone().unwrap_or_default()),
            (DESIRED, "created".to_owned()),
        ] {
            // What another tool would like to know must not be why a container cannot be made.
            if !value.is_empty() && key.len() + value.len() <= LABEL_LIMIT {
                all.insert(key.to_owned(), value);
            }
        }
        all.extend(self.view_labels(&prepared.host_mounts));
        let options = RuncOptions { binary_name: String::new(), systemd_cgroup: host.systemd };
        let container = Container {
            id: id.to_owned(),
            labels: all,
            image: image.name.clone(),
            runtime: Some(Runtime {
                name: "io.containerd.runc.v2".to_owned(),
                options: Some(prost_types::Any {
                    type_url: "containerd.runc.v1.Options".to_owned(),
                    value: options.encode_to_vec(),
                }),
            }),
            spec: Some(prost_types::Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/Spec".to_owned(),
                value: document.to_string().into_bytes(),
            }),
            snapshotter: self.snapshotter.clone(),
            snapshot_key: id.to_owned(),
            extensions: [(EXTENSION.to_owned(), record.to_any())].into(),
            ..Container::default()
        };
        // containerd knows identities alone: that names are unique is our business.
        let _names = self.lock_names().await?;
        self.name_is_free(spec.name.as_str()).await?;
        let request = client.request(CreateContainerRequest { container: Some(container) });
        client.call("Containers.Create", client.containers().create(request)).await?;
        Ok(())
    }

    /// Fills the volumes that are still empty, and looks up who the process runs as: in files of the image, which
    /// are the same for all containers of it.
    async fn user_of(
        &self,
        spec: &ContainerSpec,
        wanted: &str,
        resolved: &Resolved,
        snapshot: Vec<Mount>,
        prepared: &Prepared,
    ) -> Result<users::User> {
        let key = (resolved.chain_id(), wanted.to_owned(), spec.group_add.clone());
        let known = self.users.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known.filter(|_| prepared.populate.is_empty()) {
            return Ok(known);
        }
        let (volumes, user, groups) = (prepared.populate.clone(), wanted.to_owned(), spec.group_add.clone());
        let found = self
            .with_root(snapshot, Vec::new(), move |root| {
                for (path, volume) in &volumes {
                    populate(root, path, volume)?;
                }
                users::resolve(&user, &groups, &read_text(root, "/etc/passwd")?, &read_text(root, "/etc/group")?)
            })
            .await?;
        self.users.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        Ok(found)
    }

    /// The network mode for the record and the namespace's path; `None`: the host's.
    async fn network_of(&self, id: &str, spec: &ContainerSpec) -> Result<(String, Option<PathBuf>)> {
        Ok(match &spec.network_mode {
            NetworkMode::Networks if spec.networks.is_empty() => ("none".to_owned(), Some(self.namespace_path(id))),
            NetworkMode::Networks => ("networks".to_owned(), Some(self.namespace_path(id))),
            NetworkMode::None => ("none".to_owned(), Some(self.namespace_path(id))),
            NetworkMode::Host => ("host".to_owned(), None),
            NetworkMode::Container(target) => {
                let (other, record) = self.find_own(crate::sharing::name_of_target(target)).await?;
                let path = match record.network_mode.as_str() {
                    "host" => None,
                    mode => match mode.strip_prefix("container:") {
                        Some(shared) => Some(self.namespace_path(shared)),
                        None => Some(self.namespace_path(&other.id)),
                    },
                };
                (format!("container:{}", other.id), path)
            }
            NetworkMode::Engine(mode) => return Err(unsupported(&format!("use `network_mode: {mode}`"))),
        })
    }

    fn write_log_options(&self, id: &str, spec: &ContainerSpec) -> Result<()> {
        let directory = self.data_directory(id);
        let mut settings =
            LogSettings { path: directory.join(format!("{id}-json.log")), max_files: 1, ..LogSettings::default() };
        if let Some(logging) = &spec.logging {
            match logging.driver.as_str() {
                "" | "json-file" | "local" => {}
                "none" => settings.discard = true,
                other => return Err(unsupported(&format!("use the log driver `{other}`"))),
            }
            let wrong = |key: &str, value: &str| RuntimeError::Invalid {
                message: format!("invalid log option: `{key}: {value}`"),
            };
            for (key, value) in &logging.options {
                match key.as_str() {
                    "max-size" if value == "-1" => {}
                    "max-size" => settings.max_size = size(value).ok_or_else(|| wrong(key, value))?,
                    "max-file" => settings.max_files = value.parse().map_err(|_| wrong(key, value))?,
                    "mode" | "compress" | "labels" | "env" | "tag" | "max-buffer-size" => {}
                    _ => return Err(unsupported(&format!("use the log option `{key}`"))),
                }
            }
        }
        let bytes = serde_json::to_vec(&settings).map_err(|error| local(OPTIONS_FILE, error))?;
        let path = directory.join(OPTIONS_FILE);
        std::fs::write(&path, bytes).map_err(|error| local(path.display(), error))
    }

    /// Mounts of the container's own layer.
    pub(crate) async fn snapshot_mounts(&self, container: &Container) -> Result<Vec<Mount>> {
        let request = self
            .client
            .request(MountsRequest { snapshotter: container.snapshotter.clone(), key: container.snapshot_key.clone() });
        Ok(self.client.call("Snapshots.Mounts", self.client.snapshots().mounts(request)).await?.mounts)
    }

    /// Removes a snapshot; the collector may have been first.
    pub(crate) async fn remove_snapshot(&self, key: &str) {
        let request =
            self.client.request(RemoveSnapshotRequest { snapshotter: self.snapshotter.clone(), key: key.to_owned() });
        if let Err(error) = existed(self.client.call("Snapshots.Remove", self.client.snapshots().remove(request)).await)
        {
            tracing::warn!(snapshot = key, %error, "removing a snapshot");
        }
    }

    pub(crate) fn remove_directories(&self, id: &str) {
        // Never through a mount: behind it may be a volume.
        let free = self.remove_host_mounts(id);
        for directory in free.then(|| self.state_directory(id)).into_iter().chain([self.data_directory(id)]) {
            match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(directory = %directory.display(), %error, "removing a container's directory");
                }
                _ => {}
            }
        }
    }

    /// Removes a container with all that belongs to it. The caller has made sure that its task is
    /// gone and holds its lock.
    pub(crate) async fn delete_container(
        &self,
        container: &Container,
        mut record: Record,
        volumes: bool,
    ) -> Result<Outcome> {
        self.withdraw(&container.id, &mut record).await;
        self.detach_all(&container.id, &mut record).await;
        let request = self.client.request(DeleteContainerRequest { id: container.id.clone() });
        let deleted = existed(self.client.call("Containers.Delete", self.client.containers().delete(request)).await)?;
        self.remove_snapshot(&container.snapshot_key).await;
        self.remove_directories(&container.id);
        self.remove_views(&record.host_mounts).await;
        if volumes {
            for volume in &record.anonymous {
                if let Err(error) = compose_runtime::port::Volumes::remove(self, &volume.as_str().into()).await {
                    tracing::warn!(volume, %error, "removing an anonymous volume");
                }
            }
        }
        Ok(if deleted { Outcome::Done } else { Outcome::AlreadySo })
    }

    /// Renames a container.
    pub(crate) async fn rename_container(&self, container: &str, to: &str) -> Result<Outcome> {
        if !valid_name(to) {
            return Err(RuntimeError::Invalid { message: format!("`{to}` is no valid container name") });
        }
        let found = self.find(container).await?;
        if label(&found, NAME) == to {
            return Ok(Outcome::AlreadySo);
        }
        let _names = self.lock_names().await?;
        self.name_is_free(to).await?;
        self.set_labels(&found.id, &[(NAME, Some(to.to_owned()))]).await?;
        Ok(Outcome::Done)
    }
}

/// The mounts as nerdctl keeps them for its `inspect` and `ps --filter volume=`.
fn nerdctl_mounts(record: &Record) -> String {
    let mount = |point: &compose_planner::observed::MountPoint| {
        serde_json::json!({
            "Type": point.kind, "Name": point.volume.as_ref().map_or("", |name| name.as_str()), "Source": point.source,
            "Destination": point.target, "Mode": "", "RW": true, "Propagation": "",
        })
    };
    serde_json::Value::Array(record.mounts.iter().map(mount).collect()).to_string()
}

/// `10m`, `100k`, `1g`: powers of 1024, as dockerd reads them.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|character: char| !character.is_ascii_digit()).unwrap_or(lower.len());
    let factor = match lower[digits..].trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    lower[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

/// The devices of the host that the container gets.
fn devices(spec: &ContainerSpec) -> Result<Vec<Device>> {
    if !spec.device_requests.is_empty() {
        return Err(unsupported("give a container devices by capability (`gpus`, `reservations.devices`)"));
    }
    let mut found = Vec::new();
    let mut add = |source: &Path, target: String, access: &str| {
        let metadata = std::fs::metadata(source).map_err(|error| local(source.display(), error))?;
        let kind = if metadata.file_type().is_block_device() {
            "b"
        } else if metadata.file_type().is_char_device() {
            "c"
        } else {
            return Err(RuntimeError::Invalid { message: format!("{} is no device", source.display()) });
        };
        found.push(Device {
            path: target,
            kind,
            major: rustix::fs::major(metadata.rdev()),
            minor: rustix::fs::minor(metadata.rdev()),
            mode: metadata.mode() & 0o777,
            access: access.to_owned(),
        });
        Ok(())
    };
    for device in spec.devices.iter().filter(|device| !device.is_named()) {
        let access = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        let target = if device.target.is_empty() { &device.source } else { &device.target };
        let source = Path::new(&device.source);
        if source.is_dir() {
            for entry in std::fs::read_dir(source).map_err(|error| local(source.display(), error))?.flatten() {
                let _ = add(&entry.path(), format!("{target}/{}", entry.file_name().to_string_lossy()), access);
            }
        } else {
            add(source, target.clone(), access)?;
        }
    }
    if spec.privileged {
        for entry in std::fs::read_dir("/dev").map_err(|error| local("/dev", error))?.flatten() {
            let _ = add(&entry.path(), entry.path().display().to_string(), "rwm");
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_dockerd_reads_them() {
        for (text, wanted) in [("10m", Some(10 << 20)), ("1k", Some(1024)), ("5", Some(5)), ("1gb", Some(1 << 30))] {
            assert_eq!(size(text), wanted, "{text}");
        }
        assert_eq!(size("ten"), None);
    }

    #[test]
    fn names_of_hosts_have_no_line_breaks() {
        let of = |host: &str| ContainerSpec { extra_hosts: vec![host.to_owned()], ..ContainerSpec::default() };
        assert!(one_line_each(&of("a:1.2.3.4")).is_ok());
        let error = one_line_each(&of("a\n6.6.6.6 bank:1.2.3.4")).unwrap_err().to_string();
        assert!(error.contains("a\\n6.6.6.6"), "{error}");
    }

    #[test]
    fn container_names_cannot_be_paths_or_filters() {
        assert!(valid_name("shop-web-1"));
        for wrong in ["", "a", "../x", "a\"b", "-a", "a/b"] {
            assert!(!valid_name(wrong), "{wrong}");
        }
    }
}
