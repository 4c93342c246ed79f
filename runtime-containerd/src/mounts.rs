//! The mounts of a container beyond the standard ones: binds, volumes, memory, copied files and
//! the files that make names work (`hosts`, `hostname`, `resolv.conf`).

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use compose_model::names::VolumeName;
use compose_planner::observed::MountPoint;
use compose_planner::spec::{ContainerSpec, FileContent, FileSpec, MountSource, MountSpec, NetworkMode};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde_json::{Value, json};

use crate::client::{Client, local, unsupported};
use crate::core::Core;
use crate::host_mounts::{HostMount, What};
use crate::image::ImageDefaults;
use crate::record::Record;
use crate::volumes::Description;

/// The mount with a container's secrets, and what it may hold at most.
const SECRETS: &str = "secrets";
const SECRETS_LIMIT: i64 = 64 * 1024 * 1024;

/// What the mounts of a container come to.
#[derive(Default)]
pub(crate) struct Prepared {
    /// For the OCI specification.
    pub(crate) mounts: Vec<Value>,
    /// For observation.
    pub(crate) points: Vec<MountPoint>,
    /// Volumes that go with the container.
    pub(crate) anonymous: Vec<String>,
    /// Paths of the image whose content fills a volume that is still empty.
    pub(crate) populate: Vec<(String, PathBuf)>,
    /// What is mounted on the host before each start.
    pub(crate) host_mounts: Vec<HostMount>,
}

impl Prepared {
    fn bind(&mut self, source: &Path, target: &str, options: &[&str]) {
        self.mounts.push(json!({
            "destination": target, "type": "bind", "source": source.display().to_string(), "options": options
        }));
    }
}

/// `size=64m,mode=1777` of a `tmpfs` entry, with dockerd's defaults.
fn tmpfs_options(text: &str) -> Vec<String> {
    let mut options: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).into();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        match option {
            "exec" | "suid" | "dev" => options.retain(|default| *default != format!("no{option}")),
            other => options.push(other.to_owned()),
        }
    }
    options
}

impl Core {
    /// Resolves all mounts; makes missing volumes and host directories.
    pub(crate) async fn prepare_mounts(
        &self,
        client: &Client,
        id: &str,
        spec: &ContainerSpec,
        image: &ImageDefaults,
    ) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        if spec.use_api_socket {
            return Err(unsupported("give a container the engine's API socket (`use_api_socket`)"));
        }
        for entry in &spec.tmpfs {
            let (target, options) = entry.split_once(':').unwrap_or((entry, ""));
            prepared.mounts.push(json!({
                "destination": target, "type": "tmpfs", "source": "tmpfs", "options": tmpfs_options(options)
            }));
        }
        for mount in &spec.mounts {
            match &mount.source {
                MountSource::Image { image, subpath } => {
                    self.prepare_image(client, &mut prepared, id, mount, image.as_str(), subpath).await?;
                }
                _ => self.prepare_mount(&mut prepared, id, mount)?,
            }
        }
        for from in &spec.volumes_from {
            let (_, record) = self.find_own(from.container.name().as_str()).await?;
            for mount in record.mounts {
                if mount.kind == "tmpfs" || prepared.points.iter().any(|point| point.target == mount.target) {
                    continue;
                }
                let source = match &mount.volume {
                    Some(volume) => self.volume(volume.as_str())?.map(|(_, data)| data),
                    None => Some(PathBuf::from(&mount.source)),
                };
                let Some(source) = source else { continue };
                let mode = if from.read_only { "ro" } else { "rw" };
                prepared.bind(&source, &mount.target, &["rbind", "rprivate", mode]);
                prepared.points.push(mount);
            }
        }
        // Paths that the image declares and nothing covers become volumes of this container.
        let destination = |mount: &Value| mount["destination"].as_str().unwrap_or_default().to_owned();
        let covered: BTreeSet<String> =
            prepared.mounts.iter().map(|mount| destination(mount).trim_end_matches('/').to_owned()).collect();
        for target in image.volumes.clone().unwrap_or_default().into_keys() {
            if !covered.contains(target.trim_end_matches('/')) {
                let source = MountSource::Anonymous {
                    carried: None,
                    nocopy: false,
                    subpath: String::new(),
                    labels: Default::default(),
                };
                let mount = MountSpec { target, read_only: false, consistency: String::new(), source, place: None };
                self.prepare_mount(&mut prepared, id, &mount)?;
            }
        }
        self.prepare_files(&mut prepared, id, spec).await?;
        Ok(prepared)
    }

    fn prepare_mount(&self, prepared: &mut Prepared, id: &str, mount: &MountSpec) -> Result<()> {
        let mode = if mount.read_only { "ro" } else { "rw" };
        let target = mount.target.as_str();
        let point = |kind: &str, volume: Option<&str>, source: &Path| MountPoint {
            kind: kind.to_owned(),
            volume: volume.map(VolumeName::from),
            source: source.display().to_string(),
            target: target.to_owned(),
        };
        match &mount.source {
            MountSource::Bind { path, create_host_path, propagation, recursive, .. } => {
                let source = Path::new(path);
                if !source.exists() {
                    if !create_host_path {
                        return Err(RuntimeError::Invalid {
                            message: format!("invalid mount: bind source path does not exist: {path}"),
                        });
                    }
                    std::fs::create_dir_all(source).map_err(|error| local(source.display(), error))?;
                }
                let bind = if recursive == "disabled" { "bind" } else { "rbind" };
                let propagation = if propagation.is_empty() { "rprivate" } else { propagation };
                prepared.bind(source, target, &[bind, propagation, mode]);
                prepared.points.push(point("bind", None, source));
            }
            MountSource::Volume { name, nocopy, subpath, labels, .. } => {
                let wanted = Description { labels: labels.clone(), ..Description::default() };
                let (_, description, data) = self.ensure_volume(name.as_str(), &wanted)?;
                prepared.points.push(point("volume", Some(name.as_str()), &data));
                if let Some(foreign) = foreign_mount(&description, target, mode) {
                    if !subpath.is_empty() {
                        return Err(unsupported("mount a part (`subpath`) of a volume that is a device"));
                    }
                    prepared.mounts.push(foreign);
                    return Ok(());
                }
                if !subpath.is_empty() {
                    let source = self.part_of(prepared, id, &data, subpath);
                    prepared.bind(&source, target, &["rbind", "rprivate", mode]);
                    return Ok(());
                }
                if !nocopy {
                    prepared.populate.push((target.to_owned(), data.clone()));
                }
                prepared.bind(&data, target, &["rbind", "rprivate", mode]);
            }
            MountSource::Anonymous { carried, nocopy, subpath, labels } => {
                let carried = carried.as_ref().map(VolumeName::as_str);
                let (name, data) = match carried.map(|name| self.volume(name)).transpose()?.flatten() {
                    Some((_, data)) => (carried.unwrap_or_default().to_owned(), data),
                    None => self.anonymous_volume(labels)?,
                };
                let mut source = data.clone();
                if !subpath.is_empty() {
                    source = self.part_of(prepared, id, &data, subpath);
                } else if !nocopy {
                    prepared.populate.push((target.to_owned(), data.clone()));
                }
                prepared.bind(&source, target, &["rbind", "rprivate", mode]);
                prepared.points.push(point("volume", Some(&name), &data));
                prepared.anonymous.push(name);
            }
            MountSource::Tmpfs { size, mode: bits } => {
                let mut options = ["nosuid", "nodev", mode].map(str::to_owned).to_vec();
                if size.0 > 0 {
                    options.push(format!("size={}", size.0));
                }
                options.push(format!("mode={:o}", if *bits == 0 { 0o1777 } else { *bits }));
                prepared.mounts.push(json!({
                    "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options
                }));
                prepared.points.push(point("tmpfs", None, Path::new("")));
            }
            // See `prepare_image`.
            MountSource::Image { .. } => {}
            MountSource::NamedPipe { .. } => return Err(unsupported("mount a named pipe (`type: npipe`)")),
            MountSource::Cluster { .. } => return Err(unsupported("mount a cluster volume (`type: cluster`)")),
        }
        Ok(())
    }

    /// The files that the container finds beside its image: names, resolver, secrets, configs.
    async fn prepare_files(&self, prepared: &mut Prepared, id: &str, spec: &ContainerSpec) -> Result<()> {
        let taken: BTreeSet<String> =
            prepared.mounts.iter().map(|mount| mount["destination"].as_str().unwrap_or_default().to_owned()).collect();
        let directory = self.data_directory(id);
        for (name, target) in
            [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")]
        {
            if !taken.contains(target) {
                prepared.bind(&directory.join(name), target, &["bind", "rprivate", "rw"]);
            }
        }
        if spec.files.is_empty() {
            return Ok(());
        }
        // Content is copied in once the container is created; it never touches a disk.
        let memory = HostMount { name: SECRETS.to_owned(), what: What::Memory { bytes: SECRETS_LIMIT, mode: 0o700 } };
        self.ensure_host_mounts(id, std::slice::from_ref(&memory)).await?;
        prepared.host_mounts.push(memory);
        self.make_files(id, &spec.files)?;
        for (index, file) in spec.files.iter().enumerate() {
            let path = self.file_path(id, index);
            prepared.bind(&path, &file.target, &["bind", "rprivate", "rw"]);
        }
        Ok(())
    }

    fn file_path(&self, id: &str, index: usize) -> PathBuf {
        self.host_mounts_directory(id).join(SECRETS).join(index.to_string())
    }

    /// Makes the files that content is copied into, where they are missing.
    fn make_files(&self, id: &str, files: &[FileSpec]) -> Result<()> {
        for index in 0..files.len() {
            let path = self.file_path(id, index);
            let made = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            made.map_err(|error| local(path.display(), error))?;
        }
        Ok(())
    }

    /// Makes ready what files of a container that does not run are copied into: a reboot may have
    /// taken it.
    pub(crate) async fn prepare_copy(&self, id: &str, record: &Record) -> Result<()> {
        self.ensure_host_mounts(id, &record.host_mounts).await?;
        self.make_files(id, &record.files)
    }

    /// Writes the copied files again that a reboot has taken. Those of a container that is started
    /// for the first time are there: whoever created it has filled them.
    pub(crate) fn restore_files(&self, id: &str, record: &Record) -> Result<()> {
        for (index, file) in record.files.iter().enumerate() {
            let path = self.file_path(id, index);
            if path.exists() {
                continue;
            }
            let content = match &file.content {
                FileContent::File { path } => std::fs::read(path).map_err(|error| local(path, error))?,
                FileContent::Inline { text } => text.clone().into_bytes(),
                FileContent::Environment { variable } => {
                    return Err(RuntimeError::Failed {
                        message: format!(
                            "the content of {} came from the variable {variable}, and the restart of the machine has \
                             taken it; run `up` with the variable set",
                            file.name
                        ),
                    });
                }
            };
            let failed = |error: std::io::Error| local(path.display(), error);
            let owner = |text: &str| text.parse::<u32>().unwrap_or(0);
            // Made under another name: a file with half its content would count as filled.
            let unfinished = path.with_extension("new");
            let mut made = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)
                .map_err(failed)?;
            made.write_all(&content).map_err(failed)?;
            std::os::unix::fs::fchown(&made, Some(owner(&file.uid)), Some(owner(&file.gid))).map_err(failed)?;
            made.set_permissions(std::fs::Permissions::from_mode(file.mode & 0o7777)).map_err(failed)?;
            std::fs::rename(&unfinished, &path).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes `hosts`, `hostname` and `resolv.conf`; `addresses` are the container's own. The
    /// files stay the same ones (inodes), since a running container has them mounted.
    pub(crate) fn write_name_files(&self, id: &str, record: &Record, addresses: &[String]) -> Result<()> {
        let directory = self.data_directory(id);
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(|error| local(path.display(), error))
        };
        write("hostname", format!("{}\n", record.hostname))?;
        // Who shares a network has the names of the one that it belongs to.
        if let Some(other) = record.network_mode.strip_prefix("container:") {
            let of = |name: &str| std::fs::read_to_string(self.data_directory(other).join(name));
            if let (Ok(hosts), Ok(resolver)) = (of("hosts"), of("resolv.conf")) {
                write("resolv.conf", resolver)?;
                return write("hosts", hosts);
            }
        }
        let mut hosts = if record.network_mode == "host" {
            std::fs::read_to_string("/etc/hosts").unwrap_or_default()
        } else {
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
                .to_owned()
        };
        for entry in &record.extra_hosts {
            if let Some((host, address)) = entry.split_once(['=', ':']) {
                let gateway = || self.gateway_of(record).unwrap_or_else(|| "127.0.0.1".to_owned());
                let address = if address == "host-gateway" { gateway() } else { address.to_owned() };
                hosts.push_str(&format!("{address}\t{host}\n"));
            }
        }
        for address in addresses {
            let names = match record.domainname.as_str() {
                "" => record.hostname.clone(),
                domain => format!("{}.{domain} {}", record.hostname, record.hostname),
            };
            hosts.push_str(&format!("{address}\t{names}\n"));
        }
        write("hosts", hosts)
    }

    /// Writes `resolv.conf` from the specification and the host's.
    pub(crate) fn write_resolver(&self, id: &str, spec: &ContainerSpec) -> Result<()> {
        let stub = "/run/systemd/resolve/resolv.conf";
        let mut host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        // systemd's stub listens on the host's loopback, which a container does not reach.
        if spec.network_mode != NetworkMode::Host && host.contains("127.0.0.53") {
            host = std::fs::read_to_string(stub).unwrap_or(host);
        }
        let lines = |key: &str| {
            let key = format!("{key} ");
            let found: Vec<String> =
                host.lines().filter_map(|line| line.strip_prefix(&key)).map(str::to_owned).collect();
            found
        };
        let or_host = |own: &[String], key: &str| if own.is_empty() { lines(key) } else { own.to_vec() };
        let path = self.data_directory(id).join("resolv.conf");
        if spec.network_mode == NetworkMode::Networks && !spec.networks.is_empty() {
            // The supervisor answers, and asks `dns` or the host's servers for what it does not know.
            let words = |own: &[String], key: &str| -> Vec<String> {
                or_host(own, key).iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect()
            };
            let text =
                crate::supervisor::resolver_text(&words(&spec.dns_search, "search"), &words(&spec.dns_opt, "options"));
            return std::fs::write(&path, text).map_err(|error| local(path.display(), error));
        }
        let mut text = String::new();
        for server in or_host(&spec.dns, "nameserver") {
            text.push_str(&format!("nameserver {server}\n"));
        }
        for (key, own) in [("search", &spec.dns_search), ("options", &spec.dns_opt)] {
            let words = or_host(own, key).join(" ");
            if !words.is_empty() && words != "." {
                text.push_str(&format!("{key} {words}\n"));
            }
        }
        std::fs::write(&path, text).map_err(|error| local(path.display(), error))
    }
}

/// A volume with options of the local driver (`type`, `device`, `o`) is mounted by the runtime.
fn foreign_mount(description: &Description, target: &str, mode: &str) -> Option<Value> {
    let option = |key: &str| description.options.get(key).map(String::as_str).unwrap_or_default();
    let device = option("device");
    if device.is_empty() {
        return None;
    }
    let mut options: Vec<&str> = option("o").split(',').filter(|text| !text.is_empty()).collect();
    options.push(mode);
    let bind = options.iter().any(|text| matches!(*text, "bind" | "rbind"));
    let kind = if bind { "bind" } else { option("type") };
    Some(json!({ "destination": target, "type": kind, "source": device, "options": options }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_override_the_defaults() {
        assert_eq!(tmpfs_options("size=1m,exec"), ["nosuid", "nodev", "size=1m"]);
        assert_eq!(tmpfs_options(""), ["noexec", "nosuid", "nodev"]);
    }

    #[test]
    fn a_volume_with_a_device_is_mounted_by_the_runtime() {
        let options = [("type", "none"), ("o", "bind"), ("device", "/srv/x")];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mount = foreign_mount(&Description { options, ..Description::default() }, "/data", "ro");
        assert_eq!(
            mount,
            Some(json!({ "destination": "/data", "type": "bind", "source": "/srv/x", "options": ["bind", "ro"] }))
        );
        assert_eq!(foreign_mount(&Description::default(), "/data", "rw"), None);
    }
}
