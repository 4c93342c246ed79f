//! The state of the in-memory engine and its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compose_model::names::{ContainerId, ContainerName, ImageId, ImageRef, NetworkName, VolumeName};
use compose_planner::labels;
use compose_planner::observed::{Health, State};
use compose_planner::op::Target;
use compose_planner::spec::{
    ContainerSpec, EndpointSpec, MountSource, Namespace, NetworkMode, NetworkSpec, VolumeSpec,
};
use tokio::sync::mpsc::UnboundedSender;

use super::view::ports;
use super::{Action, Behaviour, CopiedFile, Fault, HealthCourse};
use crate::error::{Result, RuntimeError};
use crate::port::{EngineEvent, EventQuery, Inspection, Outcome};

#[derive(Default)]
pub(super) struct World {
    /// Time since the clock's zero.
    now: Duration,
    last_id: u64,
    pub(super) containers: BTreeMap<ContainerId, Boxed>,
    pub(super) networks: BTreeMap<String, NetworkSpec>,
    pub(super) volumes: BTreeMap<VolumeName, VolumeSpec>,
    pub(super) images: BTreeMap<ImageRef, ImageId>,
    pub(super) registry: BTreeSet<ImageRef>,
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    pub(super) exec_results: BTreeMap<String, (i64, String)>,
    /// Exit codes of commands that were executed.
    pub(super) execs: BTreeMap<String, i64>,
    pub(super) faults: Vec<Fault>,
    pub(super) calls_left: Option<usize>,
    pub(super) actions: BTreeMap<usize, Action>,
    pub(super) calls: Vec<String>,
    pub(super) seen: BTreeSet<String>,
    pub(super) running: BTreeMap<&'static str, usize>,
    pub(super) peaks: BTreeMap<&'static str, usize>,
    pub(super) subscribers: Vec<(EventQuery, UnboundedSender<Result<EngineEvent>>)>,
    pub(super) subscriptions: usize,
}

/// A container.
pub(super) struct Boxed {
    pub(super) id: ContainerId,
    pub(super) name: ContainerName,
    pub(super) spec: ContainerSpec,
    pub(super) image_id: ImageId,
    pub(super) state: State,
    pub(super) health: Health,
    pub(super) exit_code: i64,
    pub(super) networks: BTreeMap<NetworkName, EndpointSpec>,
    pub(super) anonymous: BTreeMap<String, VolumeName>,
    started: Option<Duration>,
    pub(super) log: Vec<String>,
    pub(super) files: BTreeMap<String, CopiedFile>,
}

fn conflict(message: impl Into<String>) -> RuntimeError {
    RuntimeError::Conflict { message: message.into() }
}
fn not_found(message: impl Into<String>) -> RuntimeError {
    RuntimeError::NotFound { message: message.into() }
}
fn invalid(message: impl Into<String>) -> RuntimeError {
    RuntimeError::Invalid { message: message.into() }
}

impl World {
    // ------------------------------------------------------------ calls and faults

    pub(super) fn enter(&mut self, class: &'static str, call: &str, target: &str) -> Option<Action> {
        let running = self.running.entry(class).or_default();
        *running += 1;
        let peak = self.peaks.entry(class).or_default();
        *peak = (*peak).max(*running);
        self.calls.push(format!("{call} {target}"));
        self.seen.insert(format!("{call} {target}"));
        self.actions.remove(&self.calls.len())
    }

    pub(super) fn answers(&self) -> Result<()> {
        if self.calls_left != Some(0) {
            return Ok(());
        }
        Err(RuntimeError::Unreachable {
            engine: "the fake engine".to_owned(),
            address: "memory".to_owned(),
            message: "it was told to crash".to_owned(),
            help: String::new(),
        })
    }

    /// Fails where a fault was ordered.
    pub(super) fn strike(&mut self, call: &str, target: &str) -> Result<()> {
        self.answers()?;
        if let Some(left) = &mut self.calls_left {
            *left -= 1;
        }
        for fault in &mut self.faults {
            let meant = |wanted: &str, there: &str| wanted.is_empty() || wanted == there;
            if fault.left > 0 && meant(&fault.call, call) && meant(&fault.target, target) {
                fault.left -= 1;
                if fault.left == 0 {
                    return Err(fault.error.clone());
                }
            }
        }
        Ok(())
    }

    fn new_id(&mut self) -> String {
        self.last_id += 1;
        // The digits that people look at are the first twelve.
        format!("{:012x}{:052x}", self.last_id, 0)
    }

    // ------------------------------------------------------------ time and events

    pub(super) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.come_to_pass();
    }

    /// Lets everything happen that is due now.
    fn come_to_pass(&mut self) {
        let due: Vec<ContainerId> = self.containers.keys().cloned().collect();
        for id in due {
            let Some(found) = self.containers.get(&id) else { continue };
            let Some(started) = found.started.filter(|_| found.state == State::Running) else { continue };
            let behaviour = self.behaviour(found);
            let age = self.now.saturating_sub(started);
            if let Some((after, code)) = behaviour.ends
                && age >= after
            {
                self.end(&id, code);
                continue;
            }
            let now_healthy = match behaviour.health {
                HealthCourse::HealthyAfter(after) if age >= after => Health::Healthy,
                HealthCourse::UnhealthyAfter(after) if age >= after => Health::Unhealthy,
                _ => Health::Starting,
            };
            let Some(found) = self.containers.get_mut(&id) else { continue };
            if found.health != Health::None && found.health != now_healthy {
                found.health = now_healthy;
                let word = if now_healthy == Health::Healthy { "healthy" } else { "unhealthy" };
                self.tell(&id, &format!("health_status: {word}"));
            }
        }
    }

    fn behaviour(&self, container: &Boxed) -> Behaviour {
        let by_name = self.behaviours.get(container.name.as_str());
        by_name.or_else(|| self.behaviours.get(container.spec.service.as_str())).cloned().unwrap_or_default()
    }

    fn end(&mut self, id: &ContainerId, code: i64) {
        if let Some(found) = self.containers.get_mut(id) {
            found.state = State::Exited;
            found.exit_code = code;
            found.health = if found.health == Health::None { Health::None } else { Health::Unhealthy };
        }
        self.tell(id, "die");
    }

    fn tell(&mut self, id: &ContainerId, action: &str) {
        let Some(found) = self.containers.get(id) else { return };
        let mut attributes = found.spec.labels.clone();
        attributes.insert("exitCode".to_owned(), found.exit_code.to_string());
        let event = EngineEvent {
            action: action.to_owned(),
            container: id.clone(),
            name: found.name.clone(),
            attributes,
            time: i64::try_from(self.now.as_nanos()).unwrap_or(i64::MAX),
        };
        let labels = found.spec.labels.clone();
        self.subscribers.retain(|(query, sender)| {
            let wanted = query.labels.iter().all(|(key, value)| {
                labels.get(key).is_some_and(|there| value.as_ref().is_none_or(|value| value == there))
            });
            !wanted || sender.send(Ok(event.clone())).is_ok()
        });
    }

    // ------------------------------------------------------------ images

    pub(super) fn add_image(&mut self, image: &ImageRef) {
        let id = ImageId::new(format!("sha256:{}", self.new_id()));
        self.images.insert(image.clone(), id);
    }

    // ------------------------------------------------------------ containers

    pub(super) fn find(&self, container: &str) -> Result<&Boxed> {
        self.containers
            .get(container)
            .or_else(|| self.containers.values().find(|found| found.name.as_str() == container))
            .ok_or_else(|| not_found(format!("No such container: {container}")))
    }

    pub(super) fn find_mut(&mut self, container: &str) -> Result<&mut Boxed> {
        let id = self.find(container)?.id.clone();
        self.containers.get_mut(&id).ok_or_else(|| not_found(format!("No such container: {container}")))
    }

    pub(super) fn known_target(&self, target: &Target) -> Result<&Boxed> {
        match target {
            Target::Existing { id, .. } => self.find(id.as_str()),
            Target::Named { name } => self.find(name.as_str()),
            Target::MadeBy { op, .. } => Err(invalid(format!("`{op}` was not resolved to a container"))),
        }
    }

    pub(super) fn create(&mut self, spec: &ContainerSpec) -> Result<ContainerId> {
        if spec.name.as_str().is_empty() {
            return Err(invalid("a container needs a name"));
        }
        if self.find(spec.name.as_str()).is_ok() {
            return Err(conflict(format!("The container name \"/{}\" is already in use", spec.name)));
        }
        let Some(image_id) = self.images.get(&spec.image).cloned() else {
            return Err(not_found(format!("No such image: {}", spec.image)));
        };
        for endpoint in &spec.networks {
            self.network(endpoint.network.as_str())?;
        }
        if let NetworkMode::Container(target) = &spec.network_mode {
            self.known_target(target)?;
        }
        for namespace in [&spec.ipc, &spec.pid] {
            if let Namespace::Container(target) = namespace {
                self.known_target(target)?;
            }
        }
        for from in &spec.volumes_from {
            self.known_target(&from.container)?;
        }
        let mut anonymous = BTreeMap::new();
        for mount in &spec.mounts {
            let name = match &mount.source {
                MountSource::Volume { name, .. } => name.clone(),
                MountSource::Anonymous { carried, .. } => {
                    let name = carried.clone().unwrap_or_else(|| VolumeName::new(self.new_id()));
                    self.volumes.entry(name.clone()).or_default();
                    anonymous.insert(mount.target.clone(), name.clone());
                    name
                }
                _ => continue,
            };
            if !self.volumes.contains_key(&name) {
                return Err(not_found(format!("no such volume: {name}")));
            }
        }
        let id = ContainerId::new(self.new_id());
        let mut spec = spec.clone();
        spec.labels.entry(labels::IMAGE.to_owned()).or_insert_with(|| image_id.to_string());
        let networks = spec.networks.iter().map(|endpoint| (endpoint.network.clone(), endpoint.clone())).collect();
        self.containers.insert(
            id.clone(),
            Boxed {
                id: id.clone(),
                name: spec.name.clone(),
                spec,
                image_id,
                state: State::Created,
                health: Health::None,
                exit_code: 0,
                networks,
                anonymous,
                started: None,
                log: Vec::new(),
                files: BTreeMap::new(),
            },
        );
        self.tell(&id, "create");
        Ok(id)
    }

    pub(super) fn start(&mut self, container: &str) -> Result<Outcome> {
        let found = self.find(container)?;
        let id = found.id.clone();
        if found.state == State::Running {
            return Ok(Outcome::AlreadySo);
        }
        if found.state == State::Paused {
            return Err(conflict("cannot start a paused container, try unpause instead"));
        }
        if let NetworkMode::Container(target) = &found.spec.network_mode
            && self.known_target(target)?.state != State::Running
        {
            return Err(conflict("cannot join network of a non running container"));
        }
        let wanted = ports(&found.spec);
        for other in self.containers.values().filter(|other| other.id != id && other.state.is_up()) {
            for port in ports(&other.spec) {
                if wanted.iter().any(|mine| mine.published == port.published && mine.protocol == port.protocol) {
                    return Err(RuntimeError::Failed {
                        message: format!("Bind for 0.0.0.0:{} failed: port is already allocated", port.published),
                    });
                }
            }
        }
        let behaviour = self.behaviour(found);
        let now = self.now;
        let found = self.find_mut(container)?;
        let checked =
            found.spec.healthcheck.as_ref().is_some_and(|check| check.test.first().is_none_or(|word| word != "NONE"));
        found.state = State::Running;
        found.started = Some(now);
        found.health = if checked { Health::Starting } else { Health::None };
        found.log.extend(behaviour.output);
        self.tell(&id, "start");
        self.come_to_pass();
        Ok(Outcome::Done)
    }

    pub(super) fn stop(&mut self, container: &str) -> Result<Outcome> {
        let found = self.find(container)?;
        if !found.state.is_up() {
            return Ok(Outcome::AlreadySo);
        }
        let id = found.id.clone();
        self.end(&id, 143);
        Ok(Outcome::Done)
    }

    pub(super) fn kill(&mut self, container: &str, signal: &str) -> Result<Outcome> {
        let found = self.find(container)?;
        if !found.state.is_up() {
            return Err(conflict(format!("Cannot kill container: {container}: it is not running")));
        }
        let id = found.id.clone();
        match signal {
            "SIGKILL" | "KILL" | "9" | "" => self.end(&id, 137),
            "SIGTERM" | "TERM" | "15" => self.end(&id, 143),
            _ => self.tell(&id, "kill"),
        }
        Ok(Outcome::Done)
    }

    pub(super) fn pause(&mut self, container: &str, pause: bool) -> Result<()> {
        let found = self.find_mut(container)?;
        let (from, to) = if pause { (State::Running, State::Paused) } else { (State::Paused, State::Running) };
        if found.state != from {
            return Err(conflict(format!("Container {container} is {}", found.state.as_str())));
        }
        found.state = to;
        Ok(())
    }

    pub(super) fn remove(&mut self, container: &str, volumes: bool, force: bool) -> Result<Outcome> {
        let found = self.find(container)?;
        if found.state.is_up() && !force {
            return Err(conflict(format!("cannot remove container \"/{}\": container is running", found.name)));
        }
        let id = found.id.clone();
        if found.state.is_up() {
            self.end(&id, 137);
        }
        self.tell(&id, "destroy");
        if let Some(gone) = self.containers.remove(&id)
            && volumes
        {
            for name in gone.anonymous.values() {
                if !self.volume_in_use(name) {
                    self.volumes.remove(name);
                }
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) fn rename(&mut self, container: &str, to: &ContainerName) -> Result<Outcome> {
        let id = self.find(container)?.id.clone();
        if let Ok(holder) = self.find(to.as_str()) {
            if holder.id == id {
                return Ok(Outcome::AlreadySo);
            }
            return Err(conflict(format!("The container name \"/{to}\" is already in use by container {}", holder.id)));
        }
        let found = self.find_mut(container)?;
        found.name = to.clone();
        self.tell(&id, "rename");
        Ok(Outcome::Done)
    }

    pub(super) fn inspect(&self, container: &str) -> Result<Inspection> {
        let found = self.find(container)?;
        let time = |time: Option<Duration>| time.map(|time| format!("T+{}ms", time.as_millis())).unwrap_or_default();
        Ok(Inspection {
            id: found.id.clone(),
            name: found.name.clone(),
            state: found.state,
            health: found.health,
            has_healthcheck: found.spec.healthcheck.is_some() && found.health != Health::None
                || found
                    .spec
                    .healthcheck
                    .as_ref()
                    .is_some_and(|check| check.test.first().is_none_or(|word| word != "NONE")),
            exit_code: found.exit_code,
            started_at: time(found.started),
            last_probe: (found.health == Health::Unhealthy).then(|| (1, "probe failed".to_owned())),
            ports: ports(&found.spec),
            ..Inspection::default()
        })
    }

    // ------------------------------------------------------------ networks and volumes

    /// A network by identity or name.
    pub(super) fn network(&self, network: &str) -> Result<(&String, &NetworkSpec)> {
        self.networks
            .get_key_value(network)
            .or_else(|| self.networks.iter().find(|(_, spec)| spec.name.as_str() == network))
            .ok_or_else(|| not_found(format!("network {network} not found")))
    }

    pub(super) fn create_network(&mut self, spec: &NetworkSpec) -> Result<String> {
        if let Ok((id, there)) = self.network(spec.name.as_str()) {
            if there.labels == spec.labels {
                return Ok(id.clone());
            }
            return Err(conflict(format!("network with name {} already exists", spec.name)));
        }
        let id = self.new_id();
        self.networks.insert(id.clone(), spec.clone());
        Ok(id)
    }

    pub(super) fn remove_network(&mut self, network: &str) -> Result<Outcome> {
        let (id, spec) = self.network(network)?;
        // Stricter than Docker, which looks at running containers only.
        if self.containers.values().any(|found| found.networks.contains_key(&spec.name)) {
            return Err(conflict(format!("network {} has active endpoints", spec.name)));
        }
        let id = id.clone();
        self.networks.remove(&id);
        Ok(Outcome::Done)
    }

    pub(super) fn connect(&mut self, container: &str, endpoint: &EndpointSpec) -> Result<Outcome> {
        self.network(endpoint.network.as_str())?;
        let found = self.find_mut(container)?;
        if found.networks.insert(endpoint.network.clone(), endpoint.clone()).is_some() {
            return Err(conflict(format!("container {container} is connected to {} already", endpoint.network)));
        }
        Ok(Outcome::Done)
    }

    pub(super) fn disconnect(&mut self, container: &str, network: &NetworkName) -> Result<Outcome> {
        let found = self.find_mut(container)?;
        Ok(if found.networks.remove(network).is_some() { Outcome::Done } else { Outcome::AlreadySo })
    }

    fn volume_in_use(&self, name: &VolumeName) -> bool {
        self.containers.values().any(|found| {
            found.anonymous.values().any(|other| other == name)
                || found
                    .spec
                    .mounts
                    .iter()
                    .any(|mount| matches!(&mount.source, MountSource::Volume { name: other, .. } if other == name))
        })
    }

    pub(super) fn remove_volume(&mut self, name: &VolumeName) -> Result<Outcome> {
        if self.volume_in_use(name) {
            return Err(conflict(format!("remove {name}: volume is in use")));
        }
        self.volumes.remove(name).map(|_| Outcome::Done).ok_or_else(|| not_found(format!("no such volume: {name}")))
    }
}
