//! Looking at an engine: one list call per kind of object, inspections only where asked.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{
    ContainerId, ContainerName, ImageId, ImageRef, NetworkKey, NetworkName, ProjectName, ServiceName, VolumeKey,
    VolumeName,
};
use compose_planner::labels;
use compose_planner::observed::{
    Container, Detail, Health, Image, MountPoint, Network, Observed, PublishedPort, State, Volume,
};
use compose_registry::Platform;
use compose_runtime::error::Result;
use compose_runtime::port::{Naming, ObserveQuery};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use crate::containers::Inspected;
use crate::reference::Reference;
use crate::transport::{Call, Query, Transport, encode};

type Labels = BTreeMap<String, String>;

/// An entry of the engine's list of containers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContainerSummary {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    command: String,
    created: i64,
    state: String,
    status: String,
    labels: Option<Labels>,
    host_config: Option<HostConfig>,
    network_settings: Option<NetworkSettings>,
    mounts: Option<Vec<MountSummary>>,
    ports: Option<Vec<PortSummary>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<EndpointSummary>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointSummary {
    #[serde(rename = "NetworkID")]
    network_id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MountSummary {
    r#type: String,
    name: String,
    source: String,
    destination: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PortSummary {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    r#type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSummary {
    id: String,
    name: String,
    driver: String,
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VolumeList {
    volumes: Option<Vec<VolumeSummary>>,
}

/// An entry of the engine's list of volumes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct VolumeSummary {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) mountpoint: String,
    pub(crate) scope: String,
    pub(crate) labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageSummary {
    id: String,
    created: i64,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    manifests: Option<Vec<ManifestSummary>>,
    /// Only Podman's list has it.
    names: Option<Vec<String>>,
}

/// Podman puts images that came from no registry under `localhost/`, and finds them without it.
fn short_name(name: &str, by_podman: bool) -> &str {
    name.strip_prefix("localhost/").filter(|_| by_podman).unwrap_or(name)
}

/// One of the images that a name stands for, where the engine keeps several (the containerd image store).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ManifestSummary {
    kind: String,
    available: bool,
    descriptor: ManifestDescriptor,
    image_data: Option<ImageData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ManifestDescriptor {
    digest: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageData {
    platform: Platform,
}

/// The identities by platform, and that for the wanted platform (empty: the host's).
pub(crate) fn identities(
    manifests: Option<Vec<ManifestSummary>>,
    wanted: &str,
) -> (BTreeMap<String, ImageId>, Option<ImageId>) {
    let mut platforms = BTreeMap::new();
    let wanted = Platform::parse(wanted);
    let mut best: Option<(u8, ImageId)> = None;
    for manifest in manifests.into_iter().flatten().filter(|manifest| manifest.kind == "image" && manifest.available) {
        let platform = manifest.image_data.unwrap_or_default().platform;
        let id = ImageId::new(manifest.descriptor.digest);
        if let Some(rank) = platform.rank_on(&wanted)
            && best.as_ref().is_none_or(|(other, _)| rank < *other)
        {
            best = Some((rank, id.clone()));
        }
        platforms.insert(platform.to_string(), id);
    }
    (platforms, best.map(|(_, id)| id))
}

/// A label filter as the engine reads it.
pub(crate) fn label_filters(labels: &[(String, Option<String>)]) -> serde_json::Value {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}")))
        .collect();
    json!(labels)
}

fn containers_with(filters: &serde_json::Value) -> Call {
    Call::get(format!("/containers/json{}", Query::new().with("all", "1").with("filters", &filters.to_string())))
}

/// What the engine says of a name: the filter `before` is resolved by name, and its complaint tells a name that
/// nobody has (it repeats the name) from one that is reserved for a container that is not there yet (it has
/// the identity that the container will have).
pub(crate) async fn naming(transport: &Transport, name: &ContainerName) -> Result<Naming> {
    let filters = json!({"before": [name]}).to_string();
    let query = Query::new().with("all", "1").with("limit", "1").with("filters", &filters);
    let answer = transport.unary(Call::get(format!("/containers/json{query}"))).await?;
    if answer.status.is_success() {
        return Ok(Naming::Taken);
    }
    match answer.success() {
        Err(error) => naming_of(&error.to_string(), name).ok_or(error),
        Ok(_) => Ok(Naming::Taken),
    }
}

fn naming_of(complaint: &str, name: &ContainerName) -> Option<Naming> {
    if !complaint.to_ascii_lowercase().contains("no such container") {
        return None;
    }
    let subject = complaint.split_whitespace().last().unwrap_or_default();
    Some(if subject == name.as_str() { Naming::Free } else { Naming::UnderWay })
}

/// The list of a project's containers.
pub(crate) fn containers_of(project: &ProjectName) -> Call {
    containers_with(&json!({"label": [format!("{}={project}", labels::PROJECT)]}))
}

/// Containers of any project, with labels.
pub(crate) async fn list_containers(
    transport: &Transport,
    labels: &[(String, Option<String>)],
) -> Result<Vec<Container>> {
    let call = if labels.is_empty() {
        Call::get("/containers/json?all=1")
    } else {
        containers_with(&json!({"label": label_filters(labels)}))
    };
    let list: Vec<ContainerSummary> = transport.unary(call).await?.decode()?;
    Ok(list.into_iter().map(container).collect())
}

/// Everything that the query asks for, the lists at the same time.
pub(crate) async fn observe(
    transport: &Transport,
    query: &ObserveQuery,
    fetched: Option<Vec<ContainerSummary>>,
) -> Result<Observed> {
    let (mut containers, networks, volumes, images) = futures_util::try_join!(
        containers(transport, query, fetched),
        async { if query.networks { networks(transport).await } else { Ok(BTreeMap::new()) } },
        async { if query.volumes { volumes(transport).await } else { Ok(BTreeMap::new()) } },
        async { if query.images { images(transport).await } else { Ok(BTreeMap::new()) } },
    )?;
    name_networks_by_id(&mut containers, &networks);
    Ok(Observed { containers, networks, volumes, images, ..Observed::default() })
}

/// Podman tells a network's name where its id should stand; with it every container would look as
/// if it were on another network than the one that is there.
fn name_networks_by_id(containers: &mut [Container], networks: &BTreeMap<NetworkName, Vec<Network>>) {
    for (name, id) in containers.iter_mut().flat_map(|container| &mut container.networks) {
        if id.as_str() == name.as_str()
            && let Some([only]) = networks.get(name).map(Vec::as_slice)
        {
            id.clone_from(&only.id);
        }
    }
}

async fn containers(
    transport: &Transport,
    query: &ObserveQuery,
    fetched: Option<Vec<ContainerSummary>>,
) -> Result<Vec<Container>> {
    let list = match fetched {
        Some(list) => list,
        None => transport.unary(containers_of(&query.project)).await?.decode()?,
    };
    let mut containers: Vec<Container> = list.into_iter().map(container).collect();
    containers.retain(|container| container.project.is_some());
    let known: BTreeSet<&ContainerName> = containers.iter().map(|container| &container.name).collect();
    let missing: Vec<String> = query
        .container_names
        .iter()
        .filter(|name| !known.contains(name))
        .map(|name| format!("^/{}$", escape(name.as_str())))
        .collect();
    if !missing.is_empty() {
        let call = containers_with(&json!({ "name": missing }));
        let foreign: Vec<ContainerSummary> = transport.unary(call).await?.decode()?;
        containers.extend(foreign.into_iter().map(container));
    }
    // The engine lists the newest first; ours is an order that does not change with time.
    containers.sort_by(|one, other| one.name.cmp(&other.name).then_with(|| one.id.cmp(&other.id)));
    containers.dedup_by(|one, other| one.id == other.id);
    let details: BTreeMap<ContainerId, Detail> = stream::iter(query.detail.clone())
        .map(|id| async move {
            let call = Call::get(format!("/containers/{}/json", encode(id.as_str())));
            let answer = transport.unary(call).await?;
            if answer.status == http::StatusCode::NOT_FOUND {
                // Gone since it was listed.
                return Ok(None);
            }
            Ok(Some((id, answer.decode::<Inspected>()?.detail())))
        })
        .buffer_unordered(8)
        .try_filter_map(|found| async move { Ok::<_, compose_runtime::RuntimeError>(found) })
        .try_collect()
        .await?;
    for container in &mut containers {
        container.detail = details.get(&container.id).cloned().map(Box::new);
    }
    Ok(containers)
}

/// Escapes what has a meaning in the engine's regular expressions.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if ".+*?()|[]{}^$\\".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

async fn networks(transport: &Transport) -> Result<BTreeMap<NetworkName, Vec<Network>>> {
    let list: Vec<NetworkSummary> = transport.unary(Call::get("/networks")).await?.decode()?;
    let mut networks: BTreeMap<NetworkName, Vec<Network>> = BTreeMap::new();
    for summary in list {
        let mut labels = summary.labels.unwrap_or_default();
        networks.entry(NetworkName::new(summary.name)).or_default().push(Network {
            id: summary.id,
            project: labels.remove(labels::PROJECT).map(ProjectName::new),
            key: labels.remove(labels::NETWORK).map(NetworkKey::new),
            config_hash: labels.remove(labels::CONFIG_HASH),
            driver: summary.driver,
        });
    }
    for same in networks.values_mut() {
        same.sort_by(|one, other| one.id.cmp(&other.id));
    }
    Ok(networks)
}

/// Volumes, with a filter.
pub(crate) async fn list_volumes(
    transport: &Transport,
    filters: Option<serde_json::Value>,
) -> Result<Vec<VolumeSummary>> {
    let query = filters.map_or_else(Query::new, |filters| Query::new().with("filters", &filters.to_string()));
    let list: VolumeList = transport.unary(Call::get(format!("/volumes{query}"))).await?.decode()?;
    Ok(list.volumes.unwrap_or_default())
}

async fn volumes(transport: &Transport) -> Result<BTreeMap<VolumeName, Volume>> {
    let mut volumes = BTreeMap::new();
    for summary in list_volumes(transport, None).await? {
        let mut labels = summary.labels.unwrap_or_default();
        let volume = Volume {
            project: labels.remove(labels::PROJECT).map(ProjectName::new),
            key: labels.remove(labels::VOLUME).map(VolumeKey::new),
            config_hash: labels.remove(labels::CONFIG_HASH),
            driver: summary.driver,
        };
        volumes.insert(VolumeName::new(summary.name), volume);
    }
    Ok(volumes)
}

async fn images(transport: &Transport) -> Result<BTreeMap<ImageRef, Image>> {
    let several = if transport.at_least(47) { "?manifests=1" } else { "" };
    let list: Vec<ImageSummary> = transport.unary(Call::get(format!("/images/json{several}"))).await?.decode()?;
    let mut images = BTreeMap::new();
    for summary in list {
        let (platforms, own) = identities(summary.manifests, "");
        let image = Image {
            id: own.unwrap_or_else(|| ImageId::new(summary.id.clone())),
            platforms: if platforms.len() > 1 { platforms } else { BTreeMap::new() },
            created: summary.created,
            volumes: BTreeSet::default(),
        };
        let names = summary.repo_tags.iter().chain(&summary.repo_digests).flatten();
        for name in names.filter(|name| !name.contains("<none>")) {
            for spelling in Reference::parse(name).spellings() {
                images.insert(ImageRef::new(spelling), image.clone());
            }
            let short = short_name(name, summary.names.is_some());
            if short.len() < name.len() {
                for spelling in Reference::parse(short).spellings() {
                    images.entry(ImageRef::new(spelling)).or_insert_with(|| image.clone());
                }
            }
        }
        if let Some(hex) = summary.id.strip_prefix("sha256:") {
            images.insert(ImageRef::new(hex), image.clone());
            if let Some(short) = hex.get(..12) {
                images.insert(ImageRef::new(short), image.clone());
            }
        }
        images.insert(ImageRef::new(summary.id), image);
    }
    Ok(images)
}

/// The engine's word for a state.
pub(crate) fn state(word: &str) -> State {
    match word {
        "running" => State::Running,
        "paused" => State::Paused,
        "restarting" => State::Restarting,
        "removing" => State::Removing,
        "exited" | "stopped" => State::Exited,
        "dead" => State::Dead,
        _ => State::Created,
    }
}

fn health(status: &str) -> Health {
    if status.contains("(healthy)") {
        Health::Healthy
    } else if status.contains("(unhealthy)") {
        Health::Unhealthy
    } else if status.contains("(health: starting)") || status.contains("(starting)") {
        Health::Starting
    } else {
        Health::None
    }
}

/// `Exited (137) 2 minutes ago`, `Restarting (1) 3 seconds ago`.
fn exit_code(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split_once(')')?.0.parse().ok()
}

/// `a:service_healthy:false,b:service_started:true`; older ones have the name alone.
fn depends_on(text: &str) -> Vec<(ServiceName, String, bool)> {
    let entries = text.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let mut parts = entry.split(':');
            let service = ServiceName::new(parts.next().unwrap_or_default());
            let condition = parts.next().unwrap_or("service_started").to_owned();
            (service, condition, parts.next() == Some("true"))
        })
        .collect()
}

fn container(summary: ContainerSummary) -> Container {
    let labels = summary.labels.unwrap_or_default();
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    let own = |name: &str| name.trim_start_matches('/').to_owned();
    let names = summary.names.unwrap_or_default();
    // `/other/alias` are links of other containers.
    let name = names.iter().find(|name| !own(name).contains('/')).or_else(|| names.first());
    let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let groups = label(labels::GROUPS);
    Container {
        id: ContainerId::new(summary.id),
        name: ContainerName::new(name.map(|name| own(name)).unwrap_or_default()),
        // What carries the project's name without a hash was not made for it by any Compose.
        project: labels
            .get(labels::PROJECT)
            .filter(|_| labels.contains_key(labels::CONFIG_HASH) || labels.contains_key(labels::HOOK))
            .map(ProjectName::new),
        service: ServiceName::new(label(labels::SERVICE)),
        number: labels.get(labels::CONTAINER_NUMBER).and_then(|number| number.parse().ok()),
        one_off: label(labels::ONEOFF).eq_ignore_ascii_case("true"),
        hook: labels.get(labels::HOOK).cloned(),
        config_hash: label(labels::CONFIG_HASH),
        image_id: ImageId::new(summary.image_id),
        image: ImageRef::new(summary.image),
        recorded_image: label(labels::IMAGE),
        replaces: labels.get(labels::REPLACE).cloned().filter(|text| !text.is_empty()),
        depends_on: depends_on(&label(labels::DEPENDS_ON)),
        groups: groups
            .split(',')
            .filter_map(|entry| entry.split_once('='))
            .map(|(group, digest)| (group.to_owned(), digest.to_owned()))
            .collect(),
        contents: labels.get(labels::CONTENTS).cloned(),
        delivered: BTreeMap::new(),
        working_directory: label(labels::WORKING_DIR),
        config_files: label(labels::CONFIG_FILES),
        state: state(&summary.state),
        health: health(&summary.status),
        exit_code: exit_code(&summary.status),
        status: summary.status,
        created: summary.created,
        command: summary.command,
        networks: networks
            .into_iter()
            .map(|(name, endpoint)| (NetworkName::new(name), endpoint.unwrap_or_default().network_id))
            .collect(),
        network_mode: summary.host_config.unwrap_or_default().network_mode,
        mounts: summary.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        ports: ports(summary.ports.unwrap_or_default()),
        labels,
        detail: None,
    }
}

fn mount(summary: MountSummary) -> MountPoint {
    let is_volume = summary.r#type == "volume";
    MountPoint {
        kind: summary.r#type,
        volume: Some(summary.name).filter(|name| is_volume && !name.is_empty()).map(VolumeName::new),
        source: summary.source,
        target: summary.destination,
    }
}

fn ports(list: Vec<PortSummary>) -> Vec<PublishedPort> {
    let mut ports: Vec<PublishedPort> = list
        .into_iter()
        .map(|port| PublishedPort {
            // Podman tells no address where it publishes at all of them.
            host_ip: if port.ip.is_empty() && port.public_port != 0 { "0.0.0.0".to_owned() } else { port.ip },
            published: port.public_port,
            target: port.private_port,
            protocol: port.r#type,
        })
        .collect();
    ports.sort();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_about_a_name_tells_whether_a_container_of_it_is_being_made() {
        let of = |text: &str| naming_of(text, &"shop-web-1".into());
        assert_eq!(of("Error response from daemon: No such container: shop-web-1"), Some(Naming::Free));
        assert_eq!(of("Error response from daemon: no such container shop-web-1"), Some(Naming::Free));
        let reserved = "Error response from daemon: No such container: a7fa8e2c9b9caea7c3d4dbb77369cfe2cfa252a3177a5cb";
        assert_eq!(of(reserved), Some(Naming::UnderWay));
        assert_eq!(of("Error response from daemon: invalid filter 'before'"), None);
    }

    #[test]
    fn an_image_of_several_platforms_has_an_identity_for_each() {
        let manifest = |kind: &str, available: bool, platform: &str, digest: &str| {
            let (os, architecture) = platform.split_once('/').unwrap_or_default();
            json!({
                "Kind": kind, "Available": available, "Descriptor": {"digest": digest},
                "ImageData": {"Platform": {"os": os, "architecture": architecture}},
            })
        };
        let manifests = json!([
            manifest("image", true, "linux/amd64", "sha256:aa"),
            manifest("image", true, "linux/arm64", "sha256:bb"),
            manifest("image", false, "linux/s390x", "sha256:cc"),
            manifest("attestation", true, "unknown/unknown", "sha256:dd"),
        ]);
        let of = |wanted: &str| {
            let manifests: Vec<ManifestSummary> = serde_json::from_value(manifests.clone()).expect("manifests");
            let (platforms, own) = identities(Some(manifests), wanted);
            let image = Image { id: own.clone().unwrap_or_default(), platforms, ..Image::default() };
            (own.map(|id| id.to_string()), image)
        };
        let (own, image) = of("linux/arm64/v8");
        assert_eq!(own.as_deref(), Some("sha256:bb"));
        for (platform, id) in [
            ("linux/amd64", "sha256:aa"),
            ("linux/arm64/v8", "sha256:bb"),
            ("", "sha256:bb"),
            ("linux/s390x", "sha256:bb"),
        ] {
            assert_eq!(image.identity(platform).as_str(), id, "{platform}");
        }
        assert!(image.has_identity("sha256:aa") && !image.has_identity("sha256:cc"));
        assert_eq!(of("linux/riscv64").0, None);
        assert_eq!(identities(None, ""), (BTreeMap::new(), None));
    }

    #[test]
    fn status_texts_tell_health_and_exit_code() {
        assert_eq!(health("Up 2 minutes (healthy)"), Health::Healthy);
        assert_eq!(health("Up 2 minutes (unhealthy)"), Health::Unhealthy);
        assert_eq!(health("Up 1 second (health: starting)"), Health::Starting);
        assert_eq!(health("Up 2 minutes"), Health::None);
        assert_eq!(exit_code("Exited (137) 2 minutes ago"), Some(137));
        assert_eq!(exit_code("Restarting (1) 3 seconds ago"), Some(1));
        assert_eq!(exit_code("Up 2 minutes (Paused)"), None);
        assert_eq!(exit_code("Created"), None);
    }

    #[test]
    fn a_summary_becomes_a_container_with_typed_labels() {
        let summary: ContainerSummary = serde_json::from_value(json!({
            "Id": "c1", "Names": ["/other/link", "/shop-web-2"], "Image": "web", "ImageID": "sha256:1", "Created": 7,
            "State": "exited", "Status": "Exited (3) 1 second ago", "Command": "sh",
            "Labels": {
                "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "2", "com.docker.compose.oneoff": "False",
                "com.docker.compose.depends_on": "db:service_healthy:true,cache",
                "dev.compose.groups": "image=1,ports=2",
            },
            "HostConfig": {"NetworkMode": "shop_default"},
            "NetworkSettings": {"Networks": {"shop_default": {"NetworkID": "n1"}, "odd": null}},
            "Mounts": [{"Type": "volume", "Name": "v", "Destination": "/v"}, {"Type": "bind", "Source": "/s", "Destination": "/d"}],
            "Ports": [{"PrivatePort": 80, "Type": "tcp"}, {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
        }))
        .expect("a summary");
        let container = container(summary);
        assert_eq!(container.name.as_str(), "shop-web-2");
        assert_eq!(container.number, Some(2));
        assert_eq!(container.exit_code, Some(3));
        assert_eq!(container.state, State::Exited);
        assert_eq!(
            container.depends_on,
            [
                (ServiceName::new("db"), "service_healthy".to_owned(), true),
                (ServiceName::new("cache"), "service_started".to_owned(), false)
            ]
        );
        assert_eq!(container.groups.get("ports").map(String::as_str), Some("2"));
        assert_eq!(container.mounts[0].volume, Some(VolumeName::new("v")));
        assert_eq!(container.mounts[1].volume, None);
        assert_eq!(container.ports[1].published, 8080);
    }
}
