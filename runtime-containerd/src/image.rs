//! Images of containerd's store: what a name resolves to, listing, removing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use compose_model::names::{ImageId, ImageRef};
use compose_planner::observed;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{ImageDescription, ImageSummary, Outcome};
use containerd_client::services::v1::{DeleteImageRequest, Image, ListImagesRequest};
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::client::{Client, existed, optional};
use crate::content::{self, digest_of};
use crate::core::Core;
use crate::reference;

/// A pointer to a blob, as manifests and indexes hold it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Pointer {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

/// A manifest, or an index when `manifests` is filled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: i64,
    pub(crate) media_type: String,
    pub(crate) config: Pointer,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<Pointer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) manifests: Vec<Pointer>,
}

/// The parts of an image's configuration that matter here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ImageConfiguration {
    pub(crate) created: Option<String>,
    #[serde(flatten)]
    pub(crate) platform: Platform,
    pub(crate) config: Option<ImageDefaults>,
    pub(crate) rootfs: RootFileSystem,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RootFileSystem {
    pub(crate) diff_ids: Vec<String>,
}

/// What an image brings for its containers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct ImageDefaults {
    pub(crate) user: Option<String>,
    pub(crate) env: Option<Vec<String>>,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) cmd: Option<Vec<String>>,
    pub(crate) working_dir: Option<String>,
    pub(crate) volumes: Option<BTreeMap<String, serde_json::Value>>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) stop_signal: Option<String>,
    pub(crate) exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    pub(crate) healthcheck: Option<ImageHealthcheck>,
}

/// An image's own health check; times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct ImageHealthcheck {
    pub(crate) test: Option<Vec<String>>,
    pub(crate) interval: i64,
    pub(crate) timeout: i64,
    pub(crate) retries: i64,
    pub(crate) start_period: i64,
    pub(crate) start_interval: i64,
}

/// An image for this machine's platform, resolved down to its configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolved {
    /// Digest of the configuration: the image's identity, the same on every engine.
    pub(crate) id: String,
    pub(crate) manifest: Manifest,
    pub(crate) configuration: ImageConfiguration,
}

impl Resolved {
    pub(crate) fn defaults(&self) -> ImageDefaults {
        self.configuration.config.clone().unwrap_or_default()
    }

    /// The name of the snapshot with all layers.
    pub(crate) fn chain_id(&self) -> String {
        chain_ids(&self.configuration.rootfs.diff_ids).pop().unwrap_or_default()
    }
}

/// Snapshot names bottom-up: the first diff id, then the digest of `previous SPACE diff id`.
pub(crate) fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(previous) => digest_of(format!("{previous} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

/// This machine's platform.
pub(crate) fn host_platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "aarch64" => ("arm64", "v8"),
        "x86" => ("386", ""),
        "arm" => ("arm", "v7"),
        "powerpc64" => ("ppc64le", ""),
        other => (other, ""),
    };
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
}

/// Reads `os/arch[/variant]`; empty text is the host's.
#[cfg(test)]
pub(crate) fn parse_platform(text: &str) -> Platform {
    if text.is_empty() {
        return host_platform();
    }
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    Platform {
        os: parts.next().unwrap_or_default(),
        architecture: parts.next().unwrap_or_default(),
        variant: parts.next().unwrap_or_default(),
    }
}

/// The entry of an index for a platform; an index with a single entry is taken as it is.
pub(crate) fn choose<'a>(pointers: &'a [Pointer], wanted: &Platform) -> Option<&'a Pointer> {
    let fits = |pointer: &&Pointer| {
        pointer.platform.as_ref().is_none_or(|platform| {
            platform.os == wanted.os
                && platform.architecture == wanted.architecture
                && (platform.variant == wanted.variant || platform.variant.is_empty() || wanted.variant.is_empty())
        })
    };
    // Attestations name the platform `unknown/unknown`.
    pointers.iter().find(|pointer| fits(pointer) && pointer.platform.is_some()).or_else(|| pointers.iter().find(fits))
}

fn unreadable(digest: &str, error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Failed { message: format!("{digest} in containerd's content store is not readable: {error}") }
}

/// Follows indexes down to the manifest of a platform and its configuration. Where an index has
/// only another platform here, as after a pull with `platform`, that one is taken.
pub(crate) async fn resolve(client: &Client, digest: &str, platform: &Platform) -> Result<Resolved> {
    let mut digest = digest.to_owned();
    for _ in 0..4 {
        let bytes = content::read_document(client, &digest).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| unreadable(&digest, error))?;
        if manifest.manifests.is_empty() {
            return with_configuration(client, manifest).await;
        }
        let first = choose(&manifest.manifests, platform);
        let mut next = None;
        let others = manifest.manifests.iter().filter(|one| one.platform.as_ref().is_none_or(|one| one.os == "linux"));
        for candidate in first.into_iter().chain(others) {
            if crate::download::has(client, &candidate.digest).await? {
                next = Some(candidate.digest.clone());
                break;
            }
        }
        let Some(next) = next else {
            return Err(RuntimeError::NotFound {
                message: format!("the image has nothing for {}/{}", platform.os, platform.architecture),
            });
        };
        digest = next;
    }
    Err(RuntimeError::Failed { message: format!("{digest}: indexes nested too deeply") })
}

/// The image of a manifest that is no index.
pub(crate) async fn resolve_exactly(client: &Client, digest: &str) -> Result<Resolved> {
    let bytes = content::read_document(client, digest).await?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| unreadable(digest, error))?;
    with_configuration(client, manifest).await
}

async fn with_configuration(client: &Client, manifest: Manifest) -> Result<Resolved> {
    let id = manifest.config.digest.clone();
    let bytes = content::read_document(client, &id).await?;
    let configuration = serde_json::from_slice(&bytes).map_err(|error| unreadable(&id, error))?;
    Ok(Resolved { id, manifest, configuration })
}

impl Core {
    /// All images of the namespace; one list call.
    pub(crate) async fn list_images(&self) -> Result<Vec<Image>> {
        let request = self.client.request(ListImagesRequest { filters: Vec::new() });
        Ok(self.client.call("Images.List", self.client.images().list(request)).await?.images)
    }

    /// The stored image for a name or identity as people write it.
    pub(crate) async fn find_image(&self, name: &str) -> Result<Option<(Image, Resolved)>> {
        if let Some(canonical) = reference::canonical(name) {
            let request = self.client.request(containerd_client::services::v1::GetImageRequest { name: canonical });
            let found = optional(self.client.call("Images.Get", self.client.images().get(request)).await)?;
            if let Some(image) = found.and_then(|response| response.image) {
                let resolved = self.resolved(&image).await?;
                return Ok(Some((image, resolved)));
            }
        }
        // By identity, full or shortened to at least 7 digits.
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        if digits.len() < 7 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        for image in self.list_images().await? {
            if let Ok(resolved) = self.resolved(&image).await
                && resolved.id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(digits))
            {
                return Ok(Some((image, resolved)));
            }
        }
        Ok(None)
    }

    /// What an image resolves to on this machine. Kept: blobs never change.
    pub(crate) async fn resolved(&self, image: &Image) -> Result<Resolved> {
        let digest = image.target.clone().unwrap_or_default().digest;
        if let Some(known) = self.resolved.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(known.clone());
        }
        let resolved = resolve(&self.client, &digest, &host_platform()).await?;
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, resolved.clone());
        Ok(resolved)
    }

    /// Images by every name that they can be written under.
    pub(crate) async fn observe_images(&self) -> Result<BTreeMap<ImageRef, observed::Image>> {
        let images = self.list_images().await?;
        let described: Vec<Option<(String, observed::Image)>> = futures_util::stream::iter(images)
            .map(|image| async move {
                // An image for another platform, or half pulled, is none for this machine.
                let Ok(resolved) = self.resolved(&image).await else { return Result::Ok(None) };
                let created = resolved.configuration.created.as_deref().and_then(|text| text.parse().ok());
                let volumes: BTreeSet<String> = resolved.defaults().volumes.unwrap_or_default().into_keys().collect();
                let observed = observed::Image {
                    id: ImageId::new(resolved.id),
                    created: created.map_or(0, jiff::Timestamp::as_second),
                    volumes,
                    ..observed::Image::default()
                };
                Ok(Some((image.name, observed)))
            })
            .buffered(8)
            .try_collect()
            .await?;
        let mut all = BTreeMap::new();
        for (name, image) in described.into_iter().flatten() {
            for spelling in reference::spellings(&name) {
                all.insert(ImageRef::new(spelling), image.clone());
            }
            all.entry(ImageRef::new(image.id.as_str())).or_insert(image);
        }
        Ok(all)
    }

    pub(crate) async fn describe_image(&self, name: &str) -> Result<Option<ImageDescription>> {
        let Some((_, resolved)) = self.find_image(name).await? else { return Ok(None) };
        let mut tags = Vec::new();
        let mut digests = Vec::new();
        let mut tagged = String::new();
        for image in self.list_images().await? {
            if self.resolved(&image).await.is_ok_and(|other| other.id == resolved.id) {
                let familiar = reference::familiar(&image.name);
                if let Some(updated) = image.updated_at {
                    tagged = tagged.max(crate::time::rfc3339(&updated));
                }
                if familiar.contains('@') { digests.push(familiar) } else { tags.push(familiar) }
            }
        }
        let size: i64 = resolved.manifest.layers.iter().map(|layer| layer.size).sum();
        let defaults = resolved.defaults();
        let platform = &resolved.configuration.platform;
        let variant = if platform.variant.is_empty() { String::new() } else { format!("/{}", platform.variant) };
        Ok(Some(ImageDescription {
            id: resolved.id.clone(),
            tags,
            digests,
            size: u64::try_from(size).unwrap_or(0),
            created: resolved.configuration.created.clone().unwrap_or_default(),
            last_tagged: tagged,
            platform: format!("{}/{}{variant}", platform.os, platform.architecture),
            volumes: defaults.volumes.unwrap_or_default().into_keys().collect(),
            entrypoint: defaults.entrypoint.unwrap_or_default(),
            command: defaults.cmd.unwrap_or_default(),
            user: defaults.user.unwrap_or_default(),
            working_dir: defaults.working_dir.unwrap_or_default(),
            environment: defaults.env.unwrap_or_default(),
            exposed: defaults.exposed_ports.unwrap_or_default().into_keys().collect(),
        }))
    }

    /// Images whose configuration has a label, each once with all its names.
    pub(crate) async fn images_with(&self, label: &str, value: &str) -> Result<Vec<ImageSummary>> {
        let mut found: BTreeMap<String, ImageSummary> = BTreeMap::new();
        for image in self.list_images().await? {
            // An image for another platform, or half pulled, is none for this machine.
            let Ok(resolved) = self.resolved(&image).await else { continue };
            let labels = resolved.defaults().labels.unwrap_or_default();
            if labels.get(label).is_none_or(|known| known != value) {
                continue;
            }
            let created = resolved.configuration.created.as_deref().and_then(|text| text.parse().ok());
            let size: i64 = resolved.manifest.layers.iter().map(|layer| layer.size).sum();
            let summary = found.entry(resolved.id.clone()).or_insert_with(|| ImageSummary {
                id: resolved.id.clone(),
                created: created.map_or(0, jiff::Timestamp::as_second),
                size: u64::try_from(size).unwrap_or(0),
                labels,
                ..ImageSummary::default()
            });
            let familiar = reference::familiar(&image.name);
            let names = if familiar.contains('@') { &mut summary.digests } else { &mut summary.tags };
            names.push(familiar);
        }
        Ok(found.into_values().collect())
    }

    /// Removes a name; the collector takes what no name refers to.
    pub(crate) async fn remove_image(&self, image: &ImageRef) -> Result<Outcome> {
        let Some((stored, _)) = self.find_image(image.as_str()).await? else { return Ok(Outcome::AlreadySo) };
        let used = self.records(&[]).await?.into_iter().find(|container| container.image == stored.name);
        if let Some(user) = used {
            return Err(RuntimeError::Conflict {
                message: format!("image {image} is in use by container {}", crate::core::name_of(&user)),
            });
        }
        let request = self.client.request(DeleteImageRequest { name: stored.name, sync: true, target: None });
        let removed = existed(self.client.call("Images.Delete", self.client.images().delete(request)).await)?;
        Ok(if removed { Outcome::Done } else { Outcome::AlreadySo })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_follow_the_specification() {
        let diff_ids = ["sha256:a".to_owned(), "sha256:b".to_owned()];
        let chain = chain_ids(&diff_ids);
        assert_eq!(chain[0], "sha256:a");
        assert_eq!(chain[1], digest_of(b"sha256:a sha256:b"));
        assert!(chain_ids(&[]).is_empty());
    }

    #[test]
    fn an_index_yields_the_entry_of_the_platform_and_never_an_attestation() {
        let entry = |architecture: &str, digest: &str| Pointer {
            digest: digest.to_owned(),
            platform: Some(Platform {
                os: if architecture == "unknown" { "unknown" } else { "linux" }.to_owned(),
                architecture: architecture.to_owned(),
                variant: String::new(),
            }),
            ..Pointer::default()
        };
        let index = [entry("unknown", "x"), entry("arm64", "y"), entry("amd64", "z")];
        let wanted = parse_platform("linux/amd64");
        assert_eq!(choose(&index, &wanted).map(|pointer| pointer.digest.as_str()), Some("z"));
        assert_eq!(choose(&index[..2], &wanted), None);
    }
}
