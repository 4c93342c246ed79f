//! What containerd has, in the planner's words: one list call for each kind of object.

use std::collections::BTreeMap;

use compose_model::names::{ContainerId, ContainerName, ImageId, ImageRef, NetworkName};
use compose_planner::labels;
use compose_planner::observed::{self, Detail, Health, MountPoint, Observed, PublishedPort, State};
use compose_planner::spec::RestartPolicy;
use compose_runtime::error::Result;
use compose_runtime::port::{Inspection, ObserveQuery};
use containerd_client::services::v1::Container;
use containerd_client::types::v1::{Process, Status};

use crate::core::{Core, name_of};
use crate::record::{
    ERROR, EXIT_CODE, FINISHED, HEALTH, LOST, NAME, NERDCTL, RESTARTING, RESTARTS, Record, STARTED, STATE, label,
};
use crate::{reference, time};

/// How long the end of a process may take to be noted.
const SOON: std::time::Duration = std::time::Duration::from_secs(2);

fn state_of(container: &Container, record: &Record, task: Option<&Process>) -> State {
    match task.map(Process::status) {
        Some(Status::Running | Status::Pausing) => State::Running,
        Some(Status::Paused) => State::Paused,
        Some(Status::Stopped) if is_started_again(container, record, task) => State::Restarting,
        Some(Status::Stopped) => State::Exited,
        Some(Status::Created | Status::Unknown) | None => {
            if label(container, RESTARTING) == "true" {
                State::Restarting
            } else if label(container, STARTED).is_empty() {
                // Also where a start has failed: it has never run.
                State::Created
            } else if task.is_none() && is_started_again(container, record, task) {
                State::Restarting
            } else {
                State::Exited
            }
        }
    }
}

/// Whether the restart policy is about to start a container that has ended, though nobody has
/// noted its end yet.
fn is_started_again(container: &Container, record: &Record, task: Option<&Process>) -> bool {
    // An end that was noted says what follows it.
    if task.is_none() && !label(container, EXIT_CODE).is_empty() {
        return false;
    }
    let code = exit_code_of(container, task).unwrap_or(LOST);
    crate::ending::restart_after(container, record, code, &finished_of(container, task)).is_some()
}

/// Whether a container has run, has no task any more, and its end is not in what was read of it. Whoever takes a
/// task away notes the end right after it: the container was read before, or just between the two.
fn end_is_unread(container: &Container, task: Option<&Process>) -> bool {
    task.is_none() && !label(container, STARTED).is_empty() && label(container, EXIT_CODE).is_empty()
}

fn exit_code_of(container: &Container, task: Option<&Process>) -> Option<i64> {
    match task {
        Some(task) if task.status() == Status::Stopped => Some(i64::from(task.exit_status)),
        Some(_) => None,
        None => label(container, EXIT_CODE).parse().ok(),
    }
}

fn finished_of(container: &Container, task: Option<&Process>) -> String {
    match task.filter(|task| task.status() == Status::Stopped).and_then(|task| task.exited_at.as_ref()) {
        Some(ended) => time::rfc3339(ended),
        None => label(container, FINISHED).to_owned(),
    }
}

fn health_of(container: &Container, state: State) -> Health {
    match label(container, HEALTH) {
        _ if !state.is_up() => Health::None,
        "starting" => Health::Starting,
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        _ => Health::None,
    }
}

/// dockerd's words: `Up 2 minutes (healthy)`, `Exited (1) 3 hours ago`.
fn status_text(container: &Container, task: Option<&Process>, state: State, now: jiff::Timestamp) -> String {
    let since = |text: &str| {
        let then = text.parse::<jiff::Timestamp>().unwrap_or(now);
        time::human(now.as_second() - then.as_second())
    };
    let started = since(label(container, STARTED));
    let health = match health_of(container, state) {
        Health::None => "",
        Health::Starting => " (health: starting)",
        Health::Healthy => " (healthy)",
        Health::Unhealthy => " (unhealthy)",
    };
    let ended = || since(&finished_of(container, task));
    let code = exit_code_of(container, task).unwrap_or(0);
    match state {
        State::Running => format!("Up {started}{health}"),
        State::Paused => format!("Up {started} (Paused)"),
        State::Restarting => format!("Restarting ({code}) {} ago", ended()),
        State::Exited => format!("Exited ({code}) {} ago", ended()),
        _ => "Created".to_owned(),
    }
}

fn depends_on(text: &str) -> Vec<(compose_model::names::ServiceName, String, bool)> {
    text.split(',')
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let mut parts = entry.split(':');
            let name = parts.next().unwrap_or_default();
            (name.into(), parts.next().unwrap_or_default().to_owned(), parts.next() == Some("true"))
        })
        .collect()
}

/// dockerd's way of showing a command in one line.
fn command_line(words: &[String]) -> String {
    let quote = |(index, word): (usize, &String)| {
        if index > 0 && word.contains(' ') { format!("'{word}'") } else { word.clone() }
    };
    words.iter().enumerate().map(quote).collect::<Vec<_>>().join(" ")
}

fn ports_of(record: &Record, running: bool) -> Vec<PublishedPort> {
    let mut ports = if running { record.published.clone() } else { Vec::new() };
    if running {
        for exposed in &record.expose {
            let (number, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
            let Ok(target) = number.parse() else { continue };
            if !ports.iter().any(|port| port.target == target && port.protocol == protocol) {
                ports.push(PublishedPort { target, protocol: protocol.to_owned(), ..PublishedPort::default() });
            }
        }
        ports.sort();
    }
    ports
}

impl Core {
    /// One container in the planner's words.
    fn observed(
        &self,
        container: &Container,
        task: Option<&Process>,
        networks: &BTreeMap<String, String>,
        now: jiff::Timestamp,
        with_detail: bool,
    ) -> observed::Container {
        let record = Record::of(container);
        let of = record.clone().unwrap_or_default();
        let label = |key: &str| container.labels.get(key).cloned();
        let own = |key: &str| label(key).unwrap_or_default();
        let state = state_of(container, &of, task);
        let listed = |text: String| -> BTreeMap<String, String> {
            let pair = |entry: &str| entry.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            text.split(',').filter_map(pair).collect()
        };
        let words: Vec<String> = of.entrypoint.iter().chain(&of.command).cloned().collect();
        let identity = |network: &str| networks.get(network).cloned().unwrap_or_default();
        let mode = match of.network_mode.as_str() {
            "networks" => of.networks.first().map_or_else(String::new, |one| one.network.as_str().to_owned()),
            other => other.to_owned(),
        };
        let kept =
            |key: &str| !key.starts_with(STATE) && !key.starts_with(NERDCTL) && !key.starts_with("containerd.io/");
        observed::Container {
            id: ContainerId::new(&container.id),
            name: ContainerName::new(name_of(container)),
            project: label(labels::PROJECT).map(Into::into),
            service: own(labels::SERVICE).into(),
            number: own(labels::CONTAINER_NUMBER).parse().ok(),
            one_off: own(labels::ONEOFF) == "True",
            hook: label(labels::HOOK),
            config_hash: own(labels::CONFIG_HASH),
            image_id: ImageId::new(of.image_id.clone()),
            image: if of.image.is_empty() {
                ImageRef::new(reference::familiar(&container.image))
            } else {
                ImageRef::new(of.image.clone())
            },
            recorded_image: own(labels::IMAGE),
            replaces: label(labels::REPLACE),
            depends_on: depends_on(&own(labels::DEPENDS_ON)),
            groups: listed(own(labels::GROUPS)),
            contents: label(labels::CONTENTS),
            delivered: BTreeMap::new(),
            working_directory: own(labels::WORKING_DIR),
            config_files: own(labels::CONFIG_FILES),
            state,
            health: health_of(container, state),
            exit_code: exit_code_of(container, task),
            status: status_text(container, task, state, now),
            created: container.created_at.as_ref().map_or(0, |created| created.seconds),
            command: command_line(&words),
            networks: of.networks.iter().map(|one| (one.network.clone(), identity(one.network.as_str()))).collect(),
            network_mode: mode,
            mounts: of.mounts.iter().map(MountPoint::clone).collect(),
            ports: ports_of(&of, state.is_up()),
            labels: container
                .labels
                .iter()
                .filter(|(key, _)| kept(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            detail: with_detail.then(|| Box::new(detail(&of))),
        }
    }

    fn network_identities(&self) -> BTreeMap<String, String> {
        let pair = |one: crate::definition::Definition| (one.name().to_owned(), one.id().to_owned());
        self.definitions().into_iter().map(pair).collect()
    }

    /// The container and its task, with the end that somebody was noting when they were read.
    async fn with_end(&self, container: Container, task: Option<Process>) -> Result<(Container, Option<Process>)> {
        if !end_is_unread(&container, task.as_ref()) {
            return Ok((container, task));
        }
        // Whoever notes it holds the lock. After a crash or a reboot nobody has noted anything.
        let _lock = match tokio::time::timeout(SOON, self.lock_own(&container.id)).await {
            Ok(Err(error)) if error.is_not_found() => return Ok((container, task)),
            Ok(Ok(held)) => Some(held.0),
            Ok(Err(_)) | Err(_) => None,
        };
        let task = self.task(&container.id).await?;
        Ok((self.get(&container.id).await?.unwrap_or(container), task))
    }

    /// The same for all that were listed.
    async fn with_ends(
        &self,
        records: Vec<Container>,
        tasks: &mut BTreeMap<String, Process>,
    ) -> Result<Vec<Container>> {
        let read = records.into_iter().map(|container| {
            let task = tasks.get(&container.id).cloned();
            self.with_end(container, task)
        });
        let read = futures_util::future::try_join_all(read).await?;
        let settled = |(container, task): (Container, Option<Process>)| {
            match task {
                Some(task) => drop(tasks.insert(container.id.clone(), task)),
                None => drop(tasks.remove(&container.id)),
            }
            container
        };
        Ok(read.into_iter().map(settled).collect())
    }

    /// Everything of a project.
    pub(crate) async fn observe_project(&self, query: &ObserveQuery) -> Result<Observed> {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        let mut filters = vec![format!("labels.\"{}\"==\"{}\"", labels::PROJECT, query.project)];
        for name in query.container_names.iter().filter(|name| plain(name.as_str())) {
            filters.push(format!("labels.\"{NAME}\"==\"{name}\""));
        }
        let images = async { if query.images { self.observe_images().await } else { Ok(BTreeMap::new()) } };
        let (records, mut tasks, images) = tokio::try_join!(self.records(&filters), self.tasks(), images)?;
        let records = self.with_ends(records, &mut tasks).await?;
        self.revive_supervisor(&records).await;
        let identities = self.network_identities();
        let now = time::now();
        let containers = records
            .iter()
            .map(|container| {
                let with_detail = query.detail.iter().any(|id| id.as_str() == container.id);
                self.observed(container, tasks.get(&container.id), &identities, now, with_detail)
            })
            .collect();
        Ok(Observed {
            containers,
            networks: if query.networks { self.observe_networks() } else { BTreeMap::new() },
            volumes: if query.volumes { self.observe_volumes()? } else { BTreeMap::new() },
            images,
            ..Observed::default()
        })
    }

    /// Containers with labels, of any project.
    pub(crate) async fn list_with_labels(
        &self,
        labels: &[(String, Option<String>)],
    ) -> Result<Vec<observed::Container>> {
        let (records, mut tasks) = tokio::try_join!(self.records(&[]), self.tasks())?;
        let records = self.with_ends(records, &mut tasks).await?;
        let identities = self.network_identities();
        let now = time::now();
        let fits = |container: &&Container| {
            labels.iter().all(|(key, value)| {
                container.labels.get(key).is_some_and(|got| value.as_ref().is_none_or(|value| value == got))
            })
        };
        Ok(records
            .iter()
            .filter(fits)
            .map(|container| self.observed(container, tasks.get(&container.id), &identities, now, false))
            .collect())
    }

    pub(crate) async fn inspect_container(&self, name: &str) -> Result<Inspection> {
        let container = self.find(name).await?;
        let task = self.task(&container.id).await?;
        let (container, task) = self.with_end(container, task).await?;
        let record = Record::of(&container).unwrap_or_default();
        let state = state_of(&container, &record, task.as_ref());
        let health = health_of(&container, state);
        let address = |(network, one): (&String, &crate::cni::Attachment)| {
            (NetworkName::new(network.clone()), one.address.clone())
        };
        Ok(Inspection {
            id: ContainerId::new(&container.id),
            name: ContainerName::new(name_of(&container)),
            state,
            health,
            has_healthcheck: record.healthcheck.is_some(),
            patience: record.healthcheck.as_ref().and_then(crate::health::Check::of).map(|check| check.patience()),
            exit_code: match exit_code_of(&container, task.as_ref()) {
                Some(code) => code,
                None if state.is_up() => 0,
                None => self.remembered_end(&container.id).await.unwrap_or(0),
            },
            error: label(&container, ERROR).to_owned(),
            started_at: label(&container, STARTED).to_owned(),
            finished_at: finished_of(&container, task.as_ref()),
            last_probe: self.health(&container.id).log.pop().map(|probe| (probe.exit_code, probe.output)),
            restart_count: label(&container, RESTARTS).parse().unwrap_or(0),
            detail: with_further(detail(&record), &record, &container),
            addresses: record.attached.iter().map(address).collect(),
            ports: ports_of(&record, state.is_up()),
        })
    }
}

/// For a single container: what only the runtime's document has beside it.
fn with_further(detail: Detail, record: &Record, container: &Container) -> Detail {
    let document =
        container.spec.as_ref().and_then(|spec| serde_json::from_slice(&spec.value).ok()).unwrap_or_default();
    let limits = Some(crate::further::limits(&document));
    Detail { limits, further: crate::further::attributes(record, &document), ..detail }
}

fn detail(record: &Record) -> Detail {
    Detail {
        environment: record.own_environment().cloned().collect(),
        command: record.command.clone(),
        entrypoint: record.entrypoint.clone(),
        user: record.user.clone(),
        working_dir: record.working_dir.clone(),
        restart: match record.restart {
            RestartPolicy::No => "no".to_owned(),
            RestartPolicy::Always => "always".to_owned(),
            RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
            RestartPolicy::OnFailure(0) => "on-failure".to_owned(),
            RestartPolicy::OnFailure(most) => format!("on-failure:{most}"),
        },
        tty: record.tty,
        ..Detail::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(labels: &[(&str, &str)]) -> Container {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Container { labels, ..Container::default() }
    }

    #[test]
    fn a_container_without_a_task_is_read_again_until_its_end_is_noted() {
        let ran = container(&[(STARTED, "2026-01-01T00:00:00Z")]);
        assert!(end_is_unread(&ran, None));
        assert!(!end_is_unread(&ran, Some(&Process::default())), "the task tells it");
        let noted = container(&[(STARTED, "2026-01-01T00:00:00Z"), (EXIT_CODE, "0")]);
        assert!(!end_is_unread(&noted, None));
        assert!(!end_is_unread(&container(&[]), None), "it has never run");
    }
}
