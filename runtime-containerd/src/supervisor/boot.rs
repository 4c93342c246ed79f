//! After a start of the machine: processes, namespaces, mounts and memory are gone, containers,
//! data and policies are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use compose_planner::labels;
use compose_planner::spec::RestartPolicy;
use compose_runtime::error::Result;
use containerd_client::services::v1::Container;
use containerd_client::types::v1::Status;

use super::Supervisor;
use crate::client::{local, optional};
use crate::core::{Core, private_directory, write_atomically};
use crate::lifecycle::By;
use crate::policy::starts_at_boot;
use crate::record::{DESIRED, EXIT_CODE, HEALTH, RESTARTING, RUNNING, Record, STARTED, STOPPED, STOPPING, label};

/// How long a container waits for its dependencies to be healthy; it is started all the same.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks at a dependency.
const LOOK: Duration = Duration::from_millis(200);

impl Core {
    /// The file that says during which run of the machine a supervisor was here.
    fn boot_mark(&self) -> PathBuf {
        self.settings
            .state_root
            .join(&self.address_hash)
            .join("supervisor")
            .join(format!("{}.boot", self.client.namespace()))
    }
}

/// Whether a container is up, or as far as its dependents want it.
fn satisfied(container: &Container, healthy: bool) -> bool {
    label(container, DESIRED) == RUNNING
        && label(container, RESTARTING).is_empty()
        && (!healthy || label(container, HEALTH) == "healthy")
}

impl Supervisor {
    /// Brings containers back if the machine has been started since a supervisor was here.
    pub(super) async fn boot_if_needed(self: &Arc<Self>) -> Result<()> {
        let path = self.core.boot_mark();
        let current = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        if std::fs::read_to_string(&path).is_ok_and(|mark| mark == current) {
            return Ok(());
        }
        self.boot().await?;
        if let Some(parent) = path.parent() {
            private_directory(parent)?;
        }
        write_atomically(&path, current.as_bytes()).map_err(|error| local("the mark of the boot", error))
    }

    async fn boot(self: &Arc<Self>) -> Result<()> {
        let (records, tasks) = tokio::try_join!(self.core.records(&[]), self.core.tasks())?;
        let runs = |id: &str| tasks.get(id).is_some_and(|task| !matches!(task.status(), Status::Stopped));
        let mut wanted: Vec<Container> = Vec::new();
        for container in records {
            let Some(record) = Record::of(&container) else { continue };
            let id = container.id.as_str();
            if runs(id) {
                continue;
            }
            self.give_back(id).await?;
            let stopped = matches!(label(&container, DESIRED), STOPPED | STOPPING);
            let lost = label(&container, DESIRED) == RUNNING && label(&container, RESTARTING).is_empty();
            let code =
                label(&container, EXIT_CODE).parse().ok().filter(|_| !lost || !label(&container, EXIT_CODE).is_empty());
            let never = label(&container, STARTED).is_empty() || record.restart == RestartPolicy::No;
            if !never && starts_at_boot(&record.restart, stopped, code) {
                wanted.push(container);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        tracing::info!(containers = wanted.len(), "starting containers after the start of the machine");
        self.state().booting = wanted.iter().map(|container| container.id.clone()).collect();
        let dependencies = dependencies(&wanted);
        for container in wanted {
            let waits = dependencies.get(&container.id).cloned().unwrap_or_default();
            let supervisor = Arc::clone(self);
            tokio::spawn(async move {
                let id = container.id;
                for (other, healthy) in waits {
                    supervisor.wait_for(&other, healthy).await;
                }
                if let Err(error) = supervisor.start_after_boot(&id).await {
                    tracing::warn!(container = id, %error, "starting a container after the start of the machine");
                }
                supervisor.state().booting.remove(&id);
                supervisor.wake(&id);
            });
        }
        Ok(())
    }

    /// Gives addresses and rules back that belong to a namespace that is gone. The addresses stay
    /// in the record, to be asked for again.
    async fn give_back(&self, id: &str) -> Result<()> {
        let Some((_lock, _, mut record)) = optional(self.core.lock_own(id).await)? else { return Ok(()) };
        if crate::netns::exists(&self.core.namespace_path(id)) || record.attached.is_empty() {
            return Ok(());
        }
        self.core.withdraw(id, &mut record).await;
        self.core.detach_all(id, &mut record).await;
        self.core.set_record(id, &record).await
    }

    async fn start_after_boot(&self, id: &str) -> Result<()> {
        let Some((_lock, container, record)) = optional(self.core.lock_own(id).await)? else { return Ok(()) };
        // By the policy's name: a start that fails is tried again.
        let changes = [(DESIRED, Some(RUNNING.to_owned())), (RESTARTING, Some("true".to_owned()))];
        self.core.set_labels(id, &changes).await?;
        self.core.start_locked(&container, record, By::Policy).await.map(drop)
    }

    async fn wait_for(&self, id: &str, healthy: bool) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < until {
            match self.core.get(id).await {
                Ok(Some(container)) if satisfied(&container, healthy) => return,
                Ok(None) => return,
                _ => tokio::time::sleep(LOOK).await,
            }
        }
        tracing::warn!(dependency = id, "it is not up in time; its dependents are started all the same");
    }
}

/// Which of the containers each one waits for, and whether for their health. Cycles cannot come
/// from a file; one in labels is cut.
fn dependencies(containers: &[Container]) -> BTreeMap<String, Vec<(String, bool)>> {
    let mut services: BTreeMap<(&str, &str), Vec<&Container>> = BTreeMap::new();
    for container in containers {
        services
            .entry((label(container, labels::PROJECT), label(container, labels::SERVICE)))
            .or_default()
            .push(container);
    }
    let mut all: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for container in containers {
        let project = label(container, labels::PROJECT);
        for entry in label(container, labels::DEPENDS_ON).split(',').filter(|entry| !entry.is_empty()) {
            let mut parts = entry.split(':');
            let (service, condition) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            // A job has done its work before the machine went down.
            if condition == "service_completed_successfully" {
                continue;
            }
            for other in services.get(&(project, service)).into_iter().flatten() {
                let checked = Record::of(other).is_some_and(|record| record.healthcheck.is_some());
                let healthy = condition == "service_healthy" && checked;
                if other.id != container.id {
                    all.entry(container.id.clone()).or_default().push((other.id.clone(), healthy));
                }
            }
        }
    }
    let ids: Vec<String> = all.keys().cloned().collect();
    for id in ids {
        if reaches(&all, &id, &id, &mut BTreeSet::new()) {
            all.remove(&id);
        }
    }
    all
}

fn reaches(all: &BTreeMap<String, Vec<(String, bool)>>, from: &str, to: &str, seen: &mut BTreeSet<String>) -> bool {
    all.get(from)
        .into_iter()
        .flatten()
        .any(|(next, _)| next == to || (seen.insert(next.clone()) && reaches(all, next, to, seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, service: &str, depends_on: &str) -> Container {
        let labels = [(labels::PROJECT, "shop"), (labels::SERVICE, service), (labels::DEPENDS_ON, depends_on)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Container { id: id.to_owned(), labels, ..Container::default() }
    }

    #[test]
    fn dependents_wait_for_every_replica_and_cycles_are_cut() {
        let all = [
            container("w", "web", "db:service_started:false,job:service_completed_successfully:false"),
            container("d1", "db", ""),
            container("d2", "db", ""),
            container("j", "job", ""),
            container("a", "a", "b:service_started:false"),
            container("b", "b", "a:service_started:false"),
        ];
        let found = dependencies(&all);
        assert_eq!(found.get("w"), Some(&vec![("d1".to_owned(), false), ("d2".to_owned(), false)]));
        assert!(!found.contains_key("a") || !found.contains_key("b"), "{found:?}");
        assert!(!found.contains_key("d1"));
    }
}
