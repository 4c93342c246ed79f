//! Creating a container: snapshot, mounts, users, specification, record.

use std::path::PathBuf;
use std::sync::PoisonError;

use compose_planner::labels;
use compose_planner::spec::{ContainerSpec, Namespace, NetworkMode};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::Created;
use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::snapshots::{MountsRequest, PrepareSnapshotRequest};
use containerd_client::services::v1::{Container, CreateContainerRequest, Image};
use containerd_client::types::Mount;
use prost::Message;

use crate::client::{Client, random_hex, unsupported};
use crate::core::{Core, private_directory};
use crate::image::Resolved;
use crate::mounts::Prepared;
use crate::naming::{one_line_each, valid_name};
use crate::oci::{self, Host, Input};
use crate::record::{DESIRED, EXTENSION, NAME, Record};
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
            devices: crate::devices::devices(spec)?,
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

    /// Mounts of the container's own layer.
    pub(crate) async fn snapshot_mounts(&self, container: &Container) -> Result<Vec<Mount>> {
        let request = self
            .client
            .request(MountsRequest { snapshotter: container.snapshotter.clone(), key: container.snapshot_key.clone() });
        Ok(self.client.call("Snapshots.Mounts", self.client.snapshots().mounts(request)).await?.mounts)
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
