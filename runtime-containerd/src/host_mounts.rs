//! What a container needs mounted on the host, below its state directory, before it starts: memory
//! that others share with it, an image's file system, a part of a volume. The mounts stay until
//! the container is removed, and a reboot takes them; the next start makes them again.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use compose_planner::observed::MountPoint;
use compose_planner::spec::{MountSpec, Namespace};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::snapshots::{MountsRequest, ViewSnapshotRequest};
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};
use serde::{Deserialize, Serialize};

use crate::client::{Client, local};
use crate::core::{Core, private_directory};
use crate::mounts::Prepared;
use crate::rootfs::{mount_all, open_in};

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostMount {
    /// Its place below the container's own directory for mounts.
    pub(crate) name: String,
    pub(crate) what: What,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// Memory: `/dev/shm` of a container whose IPC namespace others may join, or its secrets.
    Memory { bytes: i64, mode: u32 },
    /// A read-only snapshot.
    View { key: String },
    /// A path below a directory or below another of these mounts; links do not lead out of it.
    Part { base: PathBuf, path: String },
}

impl Core {
    /// Where a container's mounts of the host are.
    pub(crate) fn host_mounts_directory(&self, id: &str) -> PathBuf {
        self.state_directory(id).join("mounts")
    }

    /// Where the shared memory of a container is that others may join.
    pub(crate) fn shared_memory(&self, id: &str) -> PathBuf {
        self.host_mounts_directory(id).join("shm")
    }

    /// A part of a directory; returns the place to bind.
    pub(crate) fn part_of(&self, prepared: &mut Prepared, id: &str, base: &Path, path: &str) -> PathBuf {
        let name = format!("part-{}", prepared.host_mounts.len());
        let what = What::Part { base: base.to_owned(), path: path.to_owned() };
        let place = self.host_mounts_directory(id).join(&name);
        prepared.host_mounts.push(HostMount { name, what });
        place
    }

    /// `type: image`.
    pub(crate) async fn prepare_image(
        &self,
        client: &Client,
        prepared: &mut Prepared,
        id: &str,
        spec: &MountSpec,
        image: &str,
        subpath: &str,
    ) -> Result<()> {
        let Some((_, resolved)) = self.find_image(image).await? else {
            return Err(RuntimeError::NotFound { message: format!("no such image: {image}") });
        };
        crate::unpacking::unpack(client, &self.snapshotter, &resolved).await?;
        let name = format!("image-{}", prepared.host_mounts.len());
        let key = format!("{id}-{name}");
        let request = client.request(ViewSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.clone(),
            parent: resolved.chain_id(),
            labels: Default::default(),
        });
        client.call("Snapshots.View", client.snapshots().view(request)).await?;
        let mut place = self.host_mounts_directory(id).join(&name);
        prepared.host_mounts.push(HostMount { name, what: What::View { key } });
        if !subpath.is_empty() {
            place = self.part_of(prepared, id, &place, subpath);
        }
        prepared.mounts.push(serde_json::json!({
            "destination": spec.target, "type": "bind", "source": place.display().to_string(),
            "options": ["rbind", "rprivate", "ro"]
        }));
        prepared.points.push(MountPoint {
            kind: "image".to_owned(),
            volume: None,
            source: image.to_owned(),
            target: spec.target.clone(),
        });
        Ok(())
    }

    /// The IPC namespace: whose it is, and where its `/dev/shm` comes from.
    pub(crate) async fn prepare_ipc(
        &self,
        prepared: &mut Prepared,
        id: &str,
        spec: &compose_planner::spec::ContainerSpec,
    ) -> Result<Option<String>> {
        let bind = |prepared: &mut Prepared, source: PathBuf| {
            prepared.mounts.push(serde_json::json!({
                "destination": "/dev/shm", "type": "bind", "source": source.display().to_string(),
                "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev"]
            }));
        };
        if matches!(&spec.ipc, Namespace::Engine(mode) if mode == "shareable") {
            let what = What::Memory { bytes: crate::oci::shm_bytes(spec), mode: 0o1777 };
            prepared.host_mounts.push(HostMount { name: "shm".to_owned(), what });
            bind(prepared, self.shared_memory(id));
        }
        let Some((other, record)) = self.shared_with(&spec.ipc).await? else { return Ok(None) };
        if !record.ipc_shareable {
            return Err(RuntimeError::Conflict {
                message: format!(
                    "cannot join the IPC namespace of container {}: give its service `ipc: shareable`",
                    crate::core::name_of(&other)
                ),
            });
        }
        bind(prepared, self.shared_memory(&other.id));
        Ok(Some(other.id))
    }

    /// Makes the mounts that are missing.
    pub(crate) async fn ensure_host_mounts(&self, id: &str, mounts: &[HostMount]) -> Result<()> {
        let directory = self.host_mounts_directory(id);
        for one in mounts {
            let place = directory.join(&one.name);
            if is_mounted(&place) {
                match one.what {
                    // What is at the path may have changed since.
                    What::Part { .. } => drop(unmount(&place, UnmountFlags::DETACH)),
                    _ => continue,
                }
            }
            private_directory(&directory)?;
            let failed = |error: rustix::io::Errno| local(place.display(), error);
            match &one.what {
                What::Memory { bytes, mode } => {
                    private_directory(&place)?;
                    let data = std::ffi::CString::new(format!("mode={mode:o},size={bytes}"))
                        .map_err(|error| local("mount options", error))?;
                    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                    mount("compose", &place, "tmpfs", flags, data.as_c_str()).map_err(failed)?;
                }
                What::View { key } => {
                    private_directory(&place)?;
                    let request =
                        self.client.request(MountsRequest { snapshotter: self.snapshotter.clone(), key: key.clone() });
                    let mounts = self.client.call("Snapshots.Mounts", self.client.snapshots().mounts(request)).await?;
                    mount_all(&mounts.mounts, &place)?;
                }
                What::Part { base, path } => {
                    let root = File::open(base).map_err(|error| local(base.display(), error))?;
                    let found = open_in(&root, path, OFlags::PATH).map_err(|error| RuntimeError::Invalid {
                        message: format!("cannot access path {}: {error}", base.join(path).display()),
                    })?;
                    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
                    if Path::new(&source).is_dir() {
                        private_directory(&place)?;
                    } else {
                        File::create(&place).map_err(|error| local(place.display(), error))?;
                    }
                    mount_bind_recursive(source.as_str(), &place).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Ends all mounts of a container; `false` if one cannot be ended, and what it shows must not
    /// be removed.
    pub(crate) fn remove_host_mounts(&self, id: &str) -> bool {
        let mut free = true;
        for entry in std::fs::read_dir(self.host_mounts_directory(id)).into_iter().flatten().flatten() {
            let place = entry.path();
            while free && is_mounted(&place) {
                if let Err(error) = unmount(&place, UnmountFlags::DETACH) {
                    tracing::warn!(mount = %place.display(), %error, "ending a mount");
                    free = false;
                }
            }
        }
        free
    }

    /// The labels that keep a container's views from the collector.
    pub(crate) fn view_labels(&self, mounts: &[HostMount]) -> Vec<(String, String)> {
        let label = |mount: &HostMount| match &mount.what {
            What::View { key } => {
                Some((format!("containerd.io/gc.ref.snapshot.{}/{}", self.snapshotter, mount.name), key.clone()))
            }
            What::Memory { .. } | What::Part { .. } => None,
        };
        mounts.iter().filter_map(label).collect()
    }

    /// Removes a container's views.
    pub(crate) async fn remove_views(&self, mounts: &[HostMount]) {
        for (_, key) in self.view_labels(mounts) {
            self.remove_snapshot(&key).await;
        }
    }
}

/// Whether something is mounted at a path.
fn is_mounted(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/self/mountinfo") else { return false };
    let wanted = path.display().to_string();
    text.lines().any(|line| line.split(' ').nth(4) == Some(wanted.as_str()))
}
