//! What the in-memory engine tells of itself.

use std::collections::BTreeMap;

use compose_model::names::ImageId;
use compose_model::names::VolumeName;
use compose_planner::labels;
use compose_planner::observed::{Container, Image, MountPoint, Network, Observed, PublishedPort, State, Volume};
use compose_planner::spec::{ContainerSpec, MountSource, NetworkMode, VolumeSpec};

use super::world::{Boxed, World};
use crate::port::ObserveQuery;

impl World {
    pub(super) fn summary(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .containers
            .values()
            .map(|found| format!("{} {}", found.name, found.state.as_str()))
            .chain(self.networks.values().map(|spec| format!("network {}", spec.name)))
            .chain(self.volumes.keys().map(|name| format!("volume {name}")))
            .collect();
        lines.sort();
        lines
    }

    pub(super) fn observe(&self, query: &ObserveQuery) -> Observed {
        let project = query.project.as_str();
        let containers = self.containers.values().map(|found| self.describe(found)).filter(|container| {
            container.project.as_ref().is_some_and(|name| name.as_str() == project)
                || query.container_names.contains(&container.name)
        });
        let networks = self.networks.iter().fold(BTreeMap::<_, Vec<_>>::new(), |mut all, (id, spec)| {
            let label = |key: &str| spec.labels.get(key).cloned();
            all.entry(spec.name.clone()).or_default().push(Network {
                id: id.clone(),
                project: label(labels::PROJECT).map(Into::into),
                key: label(labels::NETWORK).map(Into::into),
                config_hash: label(labels::CONFIG_HASH),
                driver: spec.driver.clone(),
            });
            all
        });
        let volume = |spec: &VolumeSpec| Volume {
            project: spec.labels.get(labels::PROJECT).map(|text| text.as_str().into()),
            key: spec.labels.get(labels::VOLUME).map(|text| text.as_str().into()),
            config_hash: spec.labels.get(labels::CONFIG_HASH).cloned(),
            driver: spec.driver.clone(),
        };
        let image = |id: &ImageId| Image { id: id.clone(), ..Image::default() };
        Observed {
            containers: containers.collect(),
            networks: if query.networks { networks } else { BTreeMap::new() },
            volumes: if query.volumes {
                self.volumes.iter().map(|(name, spec)| (name.clone(), volume(spec))).collect()
            } else {
                BTreeMap::new()
            },
            images: if query.images {
                self.images.iter().map(|(name, id)| (name.clone(), image(id))).collect()
            } else {
                BTreeMap::new()
            },
            ..Observed::default()
        }
    }

    pub(super) fn describe(&self, found: &Boxed) -> Container {
        let all = &found.spec.labels;
        let label = |key: &str| all.get(key).cloned().unwrap_or_default();
        let depends_on = label(labels::DEPENDS_ON)
            .split(',')
            .filter_map(|entry| {
                let mut parts = entry.split(':');
                Some((parts.next()?.into(), parts.next()?.to_owned(), parts.next() == Some("true")))
            })
            .collect();
        let groups = label(labels::GROUPS)
            .split(',')
            .filter_map(|entry| entry.split_once('=').map(|(group, digest)| (group.to_owned(), digest.to_owned())))
            .collect();
        let network_mode = match &found.spec.network_mode {
            NetworkMode::Networks => {
                found.spec.networks.first().map(|first| first.network.to_string()).unwrap_or("none".into())
            }
            NetworkMode::None => "none".to_owned(),
            NetworkMode::Host => "host".to_owned(),
            NetworkMode::Container(target) => {
                let id = self.known_target(target).map(|other| other.id.to_string());
                format!("container:{}", id.unwrap_or_else(|_| target.name().to_string()))
            }
            NetworkMode::Engine(mode) => mode.clone(),
        };
        let networks = found
            .networks
            .keys()
            .filter_map(|name| self.network(name.as_str()).ok().map(|(id, _)| (name.clone(), id.clone())));
        Container {
            id: found.id.clone(),
            name: found.name.clone(),
            project: all.get(labels::PROJECT).map(|text| text.as_str().into()),
            service: label(labels::SERVICE).into(),
            number: label(labels::CONTAINER_NUMBER).parse().ok(),
            one_off: label(labels::ONEOFF) == "True",
            hook: all.get(labels::HOOK).cloned(),
            config_hash: label(labels::CONFIG_HASH),
            image_id: found.image_id.clone(),
            image: found.spec.image.clone(),
            recorded_image: label(labels::IMAGE),
            replaces: all.get(labels::REPLACE).cloned(),
            depends_on,
            groups,
            contents: all.get(labels::CONTENTS).cloned(),
            delivered: BTreeMap::new(),
            working_directory: label(labels::WORKING_DIR),
            config_files: label(labels::CONFIG_FILES),
            state: found.state,
            health: found.health,
            exit_code: matches!(found.state, State::Exited | State::Dead).then_some(found.exit_code),
            status: found.state.as_str().to_owned(),
            created: 0,
            command: found.spec.command.clone().unwrap_or_default().join(" "),
            networks: networks.collect(),
            network_mode,
            mounts: mounts(found),
            ports: ports(&found.spec),
            labels: all.clone(),
            detail: None,
        }
    }
}

fn mounts(found: &Boxed) -> Vec<MountPoint> {
    let point = |kind: &str, volume: Option<&VolumeName>, source: &str, target: &str| MountPoint {
        kind: kind.to_owned(),
        volume: volume.cloned(),
        source: source.to_owned(),
        target: target.to_owned(),
    };
    found
        .spec
        .mounts
        .iter()
        .map(|mount| match &mount.source {
            MountSource::Bind { path, .. } => point("bind", None, path, &mount.target),
            MountSource::Volume { name, .. } => point("volume", Some(name), "", &mount.target),
            MountSource::Anonymous { .. } => point("volume", found.anonymous.get(&mount.target), "", &mount.target),
            MountSource::Tmpfs { .. } => point("tmpfs", None, "", &mount.target),
            MountSource::Image { image, .. } => point("image", None, image.as_str(), &mount.target),
            MountSource::NamedPipe { path } => point("npipe", None, path, &mount.target),
            MountSource::Cluster { name } => point("cluster", None, name, &mount.target),
        })
        .collect()
}

pub(super) fn ports(spec: &ContainerSpec) -> Vec<PublishedPort> {
    spec.ports
        .iter()
        .filter_map(|port| {
            Some(PublishedPort {
                host_ip: port.host_ip.clone(),
                published: port.published.parse().ok()?,
                target: port.target,
                protocol: port.protocol.clone(),
            })
        })
        .collect()
}
