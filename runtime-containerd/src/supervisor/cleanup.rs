//! Taking away what is left of containers that are gone, however they went.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use compose_runtime::error::Result;
use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::{Container, CreateContainerRequest, DeleteContainerRequest};

use super::Supervisor;
use crate::core::Core;
use crate::locks::{FileLock, Missing, Taken};

/// Names in a directory that can be identities of containers.
fn identities(directory: &std::path::Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).collect()
}

impl Supervisor {
    /// A container is gone: so is what this process has for it, and what it left on the machine.
    pub(super) async fn forget(self: &Arc<Self>, id: &str) -> Result<()> {
        self.state().units.remove(id);
        self.names().remove(id);
        if self.core.places_of(id).iter().any(|path| path.exists()) {
            self.clean(&[id.to_owned()]).await?;
        }
        self.idle_later();
        Ok(())
    }

    /// Looks for leavings of containers that went while no supervisor was there.
    pub(super) async fn clean_left_behind(self: &Arc<Self>) -> Result<()> {
        let left: Vec<String> = self.core.directories_without(&self.core.records(&[]).await?).into_iter().collect();
        if left.is_empty() { Ok(()) } else { self.clean(&left).await }
    }

    async fn clean(&self, left: &[String]) -> Result<()> {
        for id in left {
            // Directories are made before the record, under this lock.
            let _creation = self.core.lock_creation().await?;
            if self.core.get(id).await?.is_some() {
                continue;
            }
            let lock = match FileLock::try_take(&self.core.locks_directory().join(id), Missing::Refuse)? {
                Taken::Held(lock) => Some(lock),
                // Whoever removes it is at work still.
                Taken::Busy => continue,
                // Nobody has come as far as its lock: no other process knows it.
                Taken::Missing => None,
            };
            self.core.clean_container(id).await;
            if let Some(lock) = lock {
                lock.remove();
            }
        }
        Ok(())
    }
}

impl Core {
    /// Everything that is kept on disk of a container, its lock included.
    fn places_of(&self, id: &str) -> [PathBuf; 3] {
        [self.state_directory(id), self.data_directory(id), self.locks_directory().join(id)]
    }

    /// Identities that have a directory or a lock file here and are not among the containers.
    pub(super) fn directories_without(&self, containers: &[Container]) -> BTreeSet<String> {
        let mut found = identities(&self.namespaced(&self.settings.state_root, "containers"));
        found.append(&mut identities(&self.namespaced(&self.settings.data_root, "containers")));
        // Left by a command that was killed between the container's end and its own.
        found.append(&mut identities(&self.locks_directory()));
        for container in containers {
            found.remove(&container.id);
        }
        found
    }

    /// Gives back everything of a container whose record is gone.
    async fn clean_container(&self, id: &str) {
        let mut record = self.kept_network_state(id);
        if self.state_directory(id).exists() || self.data_directory(id).exists() {
            tracing::info!(container = id, "cleaning up after a container that is gone");
        }
        if let Err(error) = self.end_orphaned_task(id).await {
            tracing::warn!(container = id, %error, "ending the task of a container that is gone");
        }
        self.withdraw(id, &mut record).await;
        self.detach_all(id, &mut record).await;
        self.remove_snapshot(id).await;
        self.remove_directories(id);
    }

    /// Ends a task whose container is gone: somebody removed that while its restart policy started
    /// it. containerd looks tasks up by their containers, so for a moment there is one again.
    async fn end_orphaned_task(&self, id: &str) -> Result<()> {
        if !self.tasks().await?.contains_key(id) {
            return Ok(());
        }
        let runtime = Runtime { name: "io.containerd.runc.v2".to_owned(), ..Runtime::default() };
        let spec = prost_types::Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Spec".to_owned(),
            value: b"{}".to_vec(),
        };
        let container =
            Container { id: id.to_owned(), runtime: Some(runtime), spec: Some(spec), ..Container::default() };
        let request = self.client.request(CreateContainerRequest { container: Some(container) });
        self.client.call("Containers.Create", self.client.containers().create(request)).await?;
        let ended = match self.kill_and_wait(id).await {
            Ok(()) => self.delete_task(id).await.map(drop),
            Err(error) => Err(error),
        };
        let request = self.client.request(DeleteContainerRequest { id: id.to_owned() });
        self.client.call("Containers.Delete", self.client.containers().delete(request)).await?;
        ended
    }
}
