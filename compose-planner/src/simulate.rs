//! What an engine has after steps of a plan, as a pure function: for laws such as "planning again
//! is empty" and "interrupted anywhere, the next run ends in the same state". It knows the outcome
//! of success only, and nothing of time.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{ContainerId, ImageId, ImageRef, NetworkName};

use crate::hashes;
use crate::labels;
use crate::observed::{Container, Image, MountPoint, Network, Observed, State, Volume};
use crate::op::{Op, OpId, Target, Until};
use crate::plan::Step;
use crate::spec::{ContainerSpec, MountSource, NetworkMode};

/// What there is after `steps` have been done, in this order, on what was `observed`.
#[must_use]
pub fn simulate<'s>(observed: &Observed, steps: impl IntoIterator<Item = &'s Step>) -> Observed {
    let mut engine = Engine { world: observed.clone(), made: BTreeMap::new() };
    for step in steps {
        engine.apply(step);
    }
    engine.world
}

struct Engine {
    world: Observed,
    made: BTreeMap<OpId, ContainerId>,
}

/// An identity that depends on everything there, so that none is given twice.
fn identity(what: &str, world: &Observed) -> String {
    let mut text = what.to_owned();
    for container in &world.containers {
        text.push_str(container.id.as_str());
    }
    for network in world.networks.values().flatten() {
        text.push_str(&network.id);
    }
    let mut id = String::new();
    for round in 0..6 {
        id.push_str(&hashes::short(format!("{round}{text}").as_bytes()));
    }
    id.truncate(64);
    id
}

impl Engine {
    fn id(&self, target: &Target) -> Option<ContainerId> {
        match target {
            Target::Existing { id, .. } => Some(id.clone()),
            Target::MadeBy { op, .. } => self.made.get(op).cloned(),
            Target::Named { name } => {
                self.world.containers.iter().find(|container| container.name == *name).map(|found| found.id.clone())
            }
        }
    }

    fn with(&mut self, target: &Target, change: impl FnOnce(&mut Container)) {
        let id = self.id(target);
        if let Some(container) = self.world.containers.iter_mut().find(|container| Some(&container.id) == id.as_ref()) {
            change(container);
        }
    }

    fn network_id(&self, name: &NetworkName) -> String {
        let all = self.world.networks.get(name);
        all.and_then(|all| all.last()).map(|network| network.id.clone()).unwrap_or_default()
    }

    fn add_image(&mut self, reference: &ImageRef) {
        let id = ImageId::new(format!("sha256:{}", identity(reference.as_str(), &Observed::default())));
        self.world.images.entry(reference.clone()).or_insert_with(|| Image {
            id,
            created: 0,
            volumes: BTreeSet::new(),
            ..Image::default()
        });
    }

    fn apply(&mut self, step: &Step) {
        match &step.op {
            Op::Pull { image, .. } => self.add_image(image),
            Op::Build { spec } => self.add_image(&spec.image),
            Op::RemoveImage { image } => {
                self.world.images.remove(image);
            }
            Op::CreateNetwork { spec } => {
                let network = Network {
                    id: identity(step.id.0.as_str(), &self.world),
                    project: spec.labels.get(labels::PROJECT).map(|text| text.as_str().into()),
                    key: spec.labels.get(labels::NETWORK).map(|text| text.as_str().into()),
                    config_hash: spec.labels.get(labels::CONFIG_HASH).cloned(),
                    driver: spec.driver.clone(),
                };
                self.world.networks.entry(spec.name.clone()).or_default().push(network);
            }
            Op::RemoveNetwork { name, id } => {
                if let Some(all) = self.world.networks.get_mut(name) {
                    all.retain(|network| network.id != *id);
                    if all.is_empty() {
                        self.world.networks.remove(name);
                    }
                }
            }
            Op::CreateVolume { spec } => {
                let volume = Volume {
                    project: spec.labels.get(labels::PROJECT).map(|text| text.as_str().into()),
                    key: spec.labels.get(labels::VOLUME).map(|text| text.as_str().into()),
                    config_hash: spec.labels.get(labels::CONFIG_HASH).cloned(),
                    driver: spec.driver.clone(),
                };
                self.world.volumes.insert(spec.name.clone(), volume);
            }
            Op::RemoveVolume { name } => {
                self.world.volumes.remove(name);
            }
            Op::CreateContainer { spec, .. } => self.create(&step.id, spec),
            Op::Connect { container, endpoint } => {
                let id = self.network_id(&endpoint.network);
                self.with(container, |container| {
                    container.networks.insert(endpoint.network.clone(), id);
                });
            }
            Op::Disconnect { container, network } => self.with(container, |container| {
                container.networks.remove(network);
            }),
            Op::Start { container, .. } | Op::Restart { container, .. } | Op::Unpause { container } => {
                self.with(container, |container| {
                    container.state = State::Running;
                    container.exit_code = None;
                });
            }
            Op::Await { container, until: Until::Completed, .. } => self.with(container, |container| {
                container.state = State::Exited;
                container.exit_code = Some(0);
            }),
            Op::FinishHook { container, .. } | Op::RemoveContainer { container, .. } => {
                let id = self.id(container);
                self.world.containers.retain(|container| Some(&container.id) != id.as_ref());
            }
            // Whether it ends the process is the program's choice.
            Op::Kill { signal, .. } if !is_deadly(signal) => {}
            Op::Stop { container, .. } | Op::Kill { container, .. } => self.with(container, |container| {
                if container.state.is_up() {
                    container.state = State::Exited;
                    container.exit_code = Some(143);
                }
            }),
            Op::Pause { container } => self.with(container, |container| container.state = State::Paused),
            Op::Rename { container, to } => self.with(container, |container| container.name = to.clone()),
            Op::CopyIn { container, files } => {
                let known = self.world.contents.clone();
                self.with(container, |container| {
                    for file in files {
                        if let Some(digest) = known.get(&file.object) {
                            container.delivered.insert(file.object.clone(), digest.clone());
                        }
                    }
                });
            }
            Op::PullModel { model, .. } => {
                if let Some(runner) = &mut self.world.models {
                    runner.available.insert(model.clone());
                }
            }
            Op::Push { .. }
            | Op::Await { .. }
            | Op::RunHook { .. }
            | Op::RunProvider { .. }
            | Op::ConfigureModel { .. } => {}
        }
    }

    fn create(&mut self, op: &OpId, spec: &ContainerSpec) {
        let mut spec = spec.clone();
        crate::complete_labels(&mut spec, |op| self.made.get(op).cloned());
        let id = ContainerId::new(identity(op.0.as_str(), &self.world));
        self.made.insert(op.clone(), id.clone());
        let image_id = spec
            .image_id
            .clone()
            .or_else(|| self.world.images.get(&spec.image).map(|image| image.id.clone()))
            .unwrap_or_default();
        spec.labels.entry(labels::IMAGE.to_owned()).or_insert_with(|| image_id.to_string());
        let label = |key: &str| spec.labels.get(key).cloned();
        let mut mounts = Vec::new();
        for (index, mount) in spec.mounts.iter().enumerate() {
            let (kind, volume) = match &mount.source {
                MountSource::Volume { name, .. } => ("volume", Some(name.clone())),
                MountSource::Anonymous { carried, .. } => {
                    let made = || format!("{:0>64}", hashes::short(format!("{id}{index}").as_bytes())).into();
                    ("volume", Some(carried.clone().unwrap_or_else(made)))
                }
                MountSource::Bind { .. } => ("bind", None),
                MountSource::Tmpfs { .. } => ("tmpfs", None),
                _ => ("other", None),
            };
            mounts.push(MountPoint {
                kind: kind.to_owned(),
                volume,
                source: String::new(),
                target: mount.target.clone(),
            });
        }
        let depends_on = label(labels::DEPENDS_ON)
            .unwrap_or_default()
            .split(',')
            .filter_map(|entry| {
                let mut parts = entry.split(':');
                Some((parts.next()?.into(), parts.next()?.to_owned(), parts.next() == Some("true")))
            })
            .collect();
        let network_mode = match &spec.network_mode {
            NetworkMode::Container(target) => {
                format!("container:{}", self.id(target).map(|id| id.to_string()).unwrap_or_default())
            }
            NetworkMode::Host => "host".to_owned(),
            NetworkMode::None => "none".to_owned(),
            NetworkMode::Engine(mode) => mode.clone(),
            NetworkMode::Networks => {
                spec.networks.first().map(|endpoint| endpoint.network.to_string()).unwrap_or_default()
            }
        };
        let container = Container {
            id,
            name: spec.name.clone(),
            project: label(labels::PROJECT).map(Into::into),
            service: spec.service.clone(),
            number: spec.number,
            one_off: label(labels::ONEOFF).is_some_and(|text| text == "True"),
            hook: label(labels::HOOK),
            config_hash: label(labels::CONFIG_HASH).unwrap_or_default(),
            image_id,
            image: spec.image.clone(),
            recorded_image: label(labels::IMAGE).unwrap_or_default(),
            replaces: label(labels::REPLACE),
            depends_on,
            groups: hashes::parse_groups(&label(labels::GROUPS).unwrap_or_default()),
            contents: label(labels::CONTENTS),
            working_directory: label(labels::WORKING_DIR).unwrap_or_default(),
            config_files: label(labels::CONFIG_FILES).unwrap_or_default(),
            networks: spec
                .networks
                .iter()
                .map(|endpoint| (endpoint.network.clone(), self.network_id(&endpoint.network)))
                .collect(),
            network_mode,
            mounts,
            labels: spec.labels.clone(),
            created: i64::try_from(self.made.len()).unwrap_or(0),
            ..Container::default()
        };
        self.world.containers.push(container);
    }
}

/// Whether a signal is sent to end a process.
fn is_deadly(signal: &str) -> bool {
    let name = signal.strip_prefix("SIG").unwrap_or(signal);
    matches!(name, "KILL" | "TERM" | "INT" | "QUIT" | "ABRT" | "9" | "15" | "2" | "3" | "6")
}
