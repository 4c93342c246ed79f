//! The labels of containers, networks and volumes (the contract of adoption).

use std::borrow::Cow;
use std::collections::BTreeMap;

use compose_model::project::{FileReference, Mount, Network, Service, StringMap, Volume};

use super::{Peers, Role, mounted_images};
use crate::hashes;
use crate::labels as keys;
use crate::observed::Image;
use crate::op::Target;
use crate::select;
use crate::spec::API_CREDENTIALS;
use crate::world::World;

/// The service as its hash sees it: `service:x` references replaced by the identity of the
/// container, where that is known when planning. The flag tells whether one is not: then the
/// label has to be completed when the container is created.
pub(crate) fn hashed_service<'s>(world: &World<'_>, peers: &Peers, service: &'s Service) -> (Cow<'s, Service>, bool) {
    if !service.network_mode.starts_with("service:")
        && !service.ipc.starts_with("service:")
        && !service.pid.starts_with("service:")
        && service.volumes_from.is_empty()
        && !service.use_api_socket
    {
        return (Cow::Borrowed(service), false);
    }
    let mut hashed = service.clone();
    let mut late = false;
    if service.use_api_socket {
        add_api_socket(&mut hashed);
    }
    let mut id_of = |other: &str| -> Option<String> {
        let target = peers.get(other).and_then(|list| list.first()).map(|peer| &peer.target);
        match target {
            Some(Target::Existing { id, .. }) => Some(id.to_string()),
            Some(_) => {
                late = true;
                None
            }
            None => world.replicas(&other.into()).first().map(|container| container.id.to_string()),
        }
    };
    for text in [&mut hashed.network_mode, &mut hashed.ipc, &mut hashed.pid] {
        if let Some(other) = text.strip_prefix("service:")
            && let Some(id) = id_of(other)
        {
            *text = format!("container:{id}");
        }
    }
    for text in &mut hashed.volumes_from {
        if text.starts_with("container:") {
            continue;
        }
        let other = text.split(':').next().unwrap_or_default().to_owned();
        if let Some(id) = id_of(&other) {
            *text = id;
        }
    }
    (Cow::Owned(hashed), late)
}

/// What the reference makes of `use_api_socket` before it hashes: a mount of the socket, whichever
/// the engine's is, and a config with the registry credentials.
fn add_api_socket(service: &mut Service) {
    const SOCKET: &str = "/var/run/docker.sock";
    service.volumes.push(Mount {
        kind: "bind".to_owned(),
        source: SOCKET.to_owned(),
        target: SOCKET.to_owned(),
        ..Mount::default()
    });
    let folder = || Some(API_CREDENTIALS.to_owned());
    service.environment.entry("DOCKER_CONFIG".to_owned()).or_insert_with(folder);
    service.configs.push(FileReference {
        source: "#apisocket".to_owned(),
        target: format!("{API_CREDENTIALS}/config.json"),
        ..FileReference::default()
    });
}

/// Digests of image mounts as the label carries them; empty when there are none or when an image
/// is not known yet.
pub(crate) fn image_volume_digest(world: &World<'_>, service: &Service) -> String {
    let mut entries = Vec::new();
    for (target, image) in mounted_images(service) {
        match world.image(&image) {
            Some(image) => entries.push(format!("{target}={}", image.id)),
            None => return String::new(),
        }
    }
    entries.join(",")
}

pub(super) fn labels(
    world: &World<'_>,
    service: &Service,
    hashed: &Service,
    late: bool,
    role: Role<'_>,
    image: Option<&Image>,
) -> StringMap {
    let project = world.project;
    let mut labels = service.labels.clone();
    let mut set = |key: &str, value: String| {
        labels.insert(key.to_owned(), value);
    };
    set(keys::PROJECT, project.name.to_string());
    set(keys::SERVICE, service.name.to_string());
    set(keys::VERSION, keys::COMPOSE_VERSION.to_owned());
    set(keys::DEPENDS_ON, depends_on(world, service));
    if let Role::Hook { index, of } = role {
        set(keys::SERVICE, of.to_string());
        set(keys::HOOK, "pre_start".to_owned());
        set(keys::HOOK_INDEX, index.to_string());
        return labels;
    }
    set(keys::WORKING_DIR, project.working_directory.clone());
    set(keys::CONFIG_FILES, project.files.join(","));
    if !project.environment_files.is_empty() {
        set(keys::ENVIRONMENT_FILE, project.environment_files.join(","));
    }
    if !late {
        set(keys::CONFIG_HASH, hashes::service(hashed));
    }
    set(keys::GROUPS, hashes::groups_label(&hashes::groups(service)));
    let contents = hashes::contents(&world.observed.contents, service);
    if !contents.is_empty() {
        set(keys::CONTENTS, hashes::groups_label(&contents));
    }
    if let Some(image) = image {
        set(keys::IMAGE, image.identity(&service.platform).to_string());
    }
    let mounted = image_volume_digest(world, service);
    if !mounted.is_empty() {
        set(keys::IMAGE_VOLUME_DIGEST, mounted);
    }
    match role {
        Role::Replica { number, replaces, .. } => {
            set(keys::ONEOFF, "False".to_owned());
            set(keys::CONTAINER_NUMBER, number.to_string());
            if replaces.is_some() {
                let prefix = format!("{}-", project.name);
                let name = world.container_name(service, number);
                set(keys::REPLACE, name.as_str().strip_prefix(&prefix).unwrap_or(name.as_str()).to_owned());
            }
        }
        Role::OneOff { slug, .. } => {
            set(keys::ONEOFF, "True".to_owned());
            set(keys::SLUG, slug.to_owned());
        }
        Role::Hook { .. } => {}
    }
    labels
}

/// `dependency:condition:restart`, sorted by name.
fn depends_on(world: &World<'_>, service: &Service) -> String {
    select::dependencies(world.project, service)
        .iter()
        .map(|(name, terms)| format!("{name}:{}:{}", terms.condition.as_str(), terms.restart))
        .collect::<Vec<_>>()
        .join(",")
}

fn with_own(user: &StringMap, own: [(&str, String); 4]) -> BTreeMap<String, String> {
    let mut labels = user.clone();
    labels.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value)));
    labels
}

pub(super) fn of_network(world: &World<'_>, key: &str, network: &Network) -> StringMap {
    with_own(
        &network.labels,
        [
            (keys::PROJECT, world.project.name.to_string()),
            (keys::NETWORK, key.to_owned()),
            (keys::VERSION, keys::COMPOSE_VERSION.to_owned()),
            (keys::CONFIG_HASH, hashes::network(network)),
        ],
    )
}

pub(super) fn of_volume(world: &World<'_>, key: &str, volume: &Volume) -> StringMap {
    with_own(
        &volume.labels,
        [
            (keys::PROJECT, world.project.name.to_string()),
            (keys::VOLUME, key.to_owned()),
            (keys::VERSION, keys::COMPOSE_VERSION.to_owned()),
            (keys::CONFIG_HASH, hashes::volume(volume)),
        ],
    )
}
