//! Removing a container with all that belongs to it.

use compose_runtime::error::Result;
use compose_runtime::port::Outcome;
use containerd_client::services::v1::snapshots::RemoveSnapshotRequest;
use containerd_client::services::v1::{Container, DeleteContainerRequest};

use crate::client::existed;
use crate::core::Core;
use crate::record::Record;

impl Core {
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
}
