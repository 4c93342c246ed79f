//! Pulling images: manifests and layers from the registry into the content store, layers in
//! parallel and resumed where an earlier attempt broke off, then unpacked and named.
//!
//! Everything is written under a lease; each blob is checked by containerd against its digest
//! when it is committed.

use std::collections::BTreeMap;

use compose_model::names::ImageRef;
use compose_registry::{Descriptor, Document, Platform, Reference, RegistryError, is_digest};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{ProgressSink, TransferProgress};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use crate::client::{Client, ENGINE};
use crate::content::{self, Source};
use crate::core::Core;
use crate::download::download;
use crate::image::{chain_ids, resolve_exactly};
use crate::unpacking::unpack;

/// Layers that are under way at the same time, as dockerd.
const LAYERS: usize = 3;
/// Largest image configuration.
const CONFIG_LIMIT: u64 = 8 * 1024 * 1024;

/// The registry's error in the port's terms.
pub(crate) fn from_registry(error: RegistryError) -> RuntimeError {
    let message = error.to_string();
    match error {
        RegistryError::NotFound { .. } | RegistryError::NoPlatform { .. } => RuntimeError::NotFound { message },
        RegistryError::InvalidReference { .. } => RuntimeError::Invalid { message },
        RegistryError::Local { .. } => RuntimeError::Local { message },
        _ => RuntimeError::Failed { message },
    }
}

/// The first digits of a digest, by which progress names a layer.
pub(crate) fn short(digest: &str) -> String {
    digest.split_once(':').map_or(digest, |(_, hex)| hex).chars().take(12).collect()
}

/// One layer's progress.
pub(crate) fn tell(progress: ProgressSink<'_, TransferProgress>, layer: &str, status: &str, current: u64, total: u64) {
    progress(TransferProgress { layer: short(layer), status: status.to_owned(), current, total });
}

/// Whether a layer is to be fetched: foreign ones belong to Windows.
fn is_fetched(layer: &Descriptor) -> bool {
    !layer.media_type.contains("foreign") && !layer.media_type.contains("nondistributable")
}

impl Core {
    /// Pulls an image for a platform; empty text is this machine's.
    pub(crate) async fn pull_image(
        &self,
        image: &ImageRef,
        platform: &str,
        progress: ProgressSink<'_, TransferProgress>,
    ) -> Result<()> {
        let reference = Reference::parse(image.as_str()).map_err(from_registry)?;
        let platform = Platform::parse(platform);
        let registry = self.registry();
        let named = registry.document(&reference).await.map_err(from_registry)?;
        let chosen = if named.manifest.is_index() {
            let fixed = reference.at(&named.descriptor.digest);
            registry.image(&fixed, &platform).await.map_err(from_registry)?
        } else {
            named.clone()
        };
        let lease = self.client.lease().await?;
        let pulled = self.pull_under_lease(&lease.client, &reference, &named, &chosen, progress).await;
        // What was fetched before a connection broke is kept for the next attempt, for a day.
        if !matches!(&pulled, Err(RuntimeError::Failed { .. })) {
            lease.end().await;
        }
        pulled
    }

    async fn pull_under_lease(
        &self,
        client: &Client,
        reference: &Reference,
        named: &Document,
        chosen: &Document,
        progress: ProgressSink<'_, TransferProgress>,
    ) -> Result<()> {
        let registry = self.registry();
        let manifest = &chosen.manifest;
        let Some(config) = manifest.config.as_ref().filter(|config| is_digest(&config.digest)) else {
            return Err(RuntimeError::Invalid { message: format!("{} is no image", reference.familiar()) });
        };
        // Lets pushes to the same registry mount the blobs instead of sending them.
        let origin = BTreeMap::from([(
            format!("containerd.io/distribution.source.{}", reference.registry),
            reference.repository.clone(),
        )]);
        let bytes = registry.small_blob(reference, config, CONFIG_LIMIT).await.map_err(from_registry)?;
        let configuration: crate::image::ImageConfiguration =
            serde_json::from_slice(&bytes).map_err(|_| RuntimeError::Invalid {
                message: format!(
                    "{} is no image but another artifact ({})",
                    reference.familiar(),
                    manifest.artifact_type.as_deref().unwrap_or(&config.media_type)
                ),
            })?;
        let diff_ids = &configuration.rootfs.diff_ids;
        let there = self.unpacked_depth(client, &chain_ids(diff_ids)).await?;
        let layers: Vec<&Descriptor> = manifest.layers.iter().filter(|layer| is_fetched(layer)).collect();
        for (index, layer) in layers.iter().enumerate() {
            tell(progress, &layer.digest, if index < there { "Already exists" } else { "Pulling fs layer" }, 0, 0);
        }
        let mut downloads = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let mut labels = origin.clone();
            if let Some(diff_id) = diff_ids.get(index) {
                labels.insert("containerd.io/uncompressed".to_owned(), diff_id.clone());
            }
            let told = if index < there { None } else { Some(progress) };
            downloads.push(download(client, registry, reference, layer, labels, told).boxed());
        }
        futures_util::stream::iter(downloads).buffer_unordered(LAYERS).try_collect::<Vec<()>>().await?;
        content::write(client, &config.digest, Source::Bytes(bytes.to_vec()), origin.clone()).await?;
        let mut labels = origin.clone();
        labels.insert("containerd.io/gc.ref.content.config".to_owned(), config.digest.clone());
        for (index, layer) in layers.iter().enumerate() {
            labels.insert(format!("containerd.io/gc.ref.content.l.{index}"), layer.digest.clone());
        }
        content::write(client, &chosen.descriptor.digest, Source::Bytes(chosen.bytes.to_vec()), labels).await?;
        if named.manifest.is_index() {
            let mut labels = origin.clone();
            for (index, entry) in named.manifest.manifests.iter().enumerate() {
                if entry.digest == chosen.descriptor.digest {
                    labels.insert(format!("containerd.io/gc.ref.content.m.{index}"), entry.digest.clone());
                }
            }
            content::write(client, &named.descriptor.digest, Source::Bytes(named.bytes.to_vec()), labels).await?;
        }
        let resolved = resolve_exactly(client, &chosen.descriptor.digest).await?;
        for layer in layers.iter().skip(there) {
            tell(progress, &layer.digest, "Extracting", 0, 0);
        }
        unpack(client, &self.snapshotter, &resolved).await?;
        for layer in layers.iter().skip(there) {
            tell(progress, &layer.digest, "Pull complete", 0, 0);
        }
        let target = containerd_client::types::Descriptor {
            media_type: named.descriptor.media_type.clone(),
            digest: named.descriptor.digest.clone(),
            size: i64::try_from(named.descriptor.size).unwrap_or(i64::MAX),
            ..Default::default()
        };
        self.put_image(client, &reference.to_string(), target).await?;
        progress(TransferProgress {
            status: format!("Digest: {}", named.descriptor.digest),
            ..TransferProgress::default()
        });
        Ok(())
    }

    /// How many layers from the bottom are snapshots already.
    async fn unpacked_depth(&self, client: &Client, chain: &[String]) -> Result<usize> {
        for (index, name) in chain.iter().enumerate().rev() {
            if crate::unpacking::snapshot_exists(client, &self.snapshotter, name).await? {
                return Ok(index + 1);
            }
        }
        Ok(0)
    }

    /// The digest that a registry has for a reference.
    pub(crate) async fn resolve_in_registry(&self, image: &ImageRef) -> Result<String> {
        let reference = Reference::parse(image.as_str()).map_err(from_registry)?;
        Ok(self.registry().resolve(&reference).await.map_err(from_registry)?.digest)
    }
}

/// A call of the content store that did not end in time.
pub(crate) fn stalled(call: &str, after: std::time::Duration) -> RuntimeError {
    RuntimeError::Stalled { engine: ENGINE.to_owned(), call: call.to_owned(), after }
}
