//! Pushing images: the blobs that a registry lacks, then manifests, the named one last.

use compose_model::names::ImageRef;
use compose_registry::{Descriptor, Manifest, Reference, Source, Uploaded, is_digest};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{ProgressSink, TransferProgress};
use containerd_client::services::v1::{InfoRequest, ReadContentRequest};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use crate::client::Client;
use crate::content;
use crate::core::Core;
use crate::download::has;
use crate::pull::{from_registry, tell};

/// Layers that are under way at the same time, as dockerd.
const LAYERS: usize = 5;

fn read(digest: &str, bytes: &[u8]) -> Result<Manifest> {
    serde_json::from_slice(bytes).map_err(|error| RuntimeError::Failed {
        message: format!("{digest} in containerd's content store is not readable: {error}"),
    })
}

impl Core {
    /// Pushes an image to the registry in its name.
    pub(crate) async fn push_image(
        &self,
        image: &ImageRef,
        progress: ProgressSink<'_, TransferProgress>,
    ) -> Result<()> {
        let reference = Reference::parse(image.as_str()).map_err(from_registry)?;
        let Some((stored, _)) = self.find_image(image.as_str()).await? else {
            return Err(RuntimeError::NotFound {
                message: format!("an image does not exist locally with the tag: {}", reference.familiar()),
            });
        };
        let target = stored.target.unwrap_or_default();
        let mut digest = target.digest;
        let mut media_type = target.media_type;
        let mut bytes = content::read_document(&self.client, &digest).await?;
        let mut document = read(&digest, &bytes)?;
        if document.is_index() {
            let mut there = Vec::new();
            for entry in document.manifests.iter().filter(|entry| is_digest(&entry.digest)) {
                if has(&self.client, &entry.digest).await? {
                    there.push(entry.clone());
                }
            }
            let complete = there.len() == document.manifests.len();
            let mut sent = None;
            for entry in &there {
                let bytes = content::read_document(&self.client, &entry.digest).await?;
                let manifest = read(&entry.digest, &bytes)?;
                if complete {
                    self.push_blobs(&reference, &manifest, progress).await?;
                    let by_digest = reference.at(&entry.digest);
                    let pushing = self.registry().push_document(&by_digest, &entry.media_type, bytes.into());
                    pushing.await.map_err(from_registry)?;
                } else {
                    sent = Some((entry.digest.clone(), entry.media_type.clone(), bytes, manifest));
                }
            }
            // Of an index that is here in part, what is here is pushed as an image of its own.
            if !complete {
                let Some(found) = sent else {
                    return Err(RuntimeError::NotFound {
                        message: format!("no platform of {} is here as a whole", reference.familiar()),
                    });
                };
                (digest, media_type, bytes, document) = found;
            }
        }
        if !document.is_index() {
            self.push_blobs(&reference, &document, progress).await?;
        }
        let size = bytes.len();
        // A tag names the image also where the reference is pinned to a digest.
        let pushing = self.registry().push_document(&reference, &media_type, bytes.into());
        pushing.await.map_err(from_registry)?;
        let tag = reference.tag.as_deref().unwrap_or(&digest);
        progress(TransferProgress {
            status: format!("{tag}: digest: {digest} size: {size}"),
            ..TransferProgress::default()
        });
        Ok(())
    }

    async fn push_blobs(
        &self,
        reference: &Reference,
        manifest: &Manifest,
        progress: ProgressSink<'_, TransferProgress>,
    ) -> Result<()> {
        let blobs: Vec<&Descriptor> = manifest.layers.iter().chain(&manifest.config).collect();
        for layer in &manifest.layers {
            tell(progress, &layer.digest, "Preparing", 0, 0);
        }
        let config = manifest.config.as_ref().map(|config| config.digest.clone()).unwrap_or_default();
        let mut uploads = Vec::new();
        for blob in blobs {
            let shown = (blob.digest != config).then_some(progress);
            uploads.push(self.push_one(reference, blob, shown).boxed());
        }
        futures_util::stream::iter(uploads).buffer_unordered(LAYERS).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    async fn push_one(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        progress: Option<ProgressSink<'_, TransferProgress>>,
    ) -> Result<()> {
        let elsewhere = self.repositories_with(reference, &blob.digest).await?;
        let source = source(&self.client, &blob.digest);
        if let Some(progress) = progress {
            tell(progress, &blob.digest, "Pushing", 0, blob.size);
        }
        let how = self.registry().push_blob(reference, blob, &elsewhere, &source).await.map_err(from_registry)?;
        if let Some(progress) = progress {
            let status = match how {
                Uploaded::Existed => "Layer already exists".to_owned(),
                Uploaded::Mounted => format!("Mounted from {}", elsewhere.join(", ")),
                Uploaded::Sent => "Pushed".to_owned(),
            };
            tell(progress, &blob.digest, &status, blob.size, blob.size);
        }
        Ok(())
    }

    /// Repositories of the same registry that a blob was pulled from.
    async fn repositories_with(&self, reference: &Reference, digest: &str) -> Result<Vec<String>> {
        let request = self.client.request(InfoRequest { digest: digest.to_owned() });
        let info = self.client.call("Content.Info", self.client.content().info(request)).await?.info;
        let label = format!("containerd.io/distribution.source.{}", reference.registry);
        let names = info.and_then(|info| info.labels.get(&label).cloned()).unwrap_or_default();
        Ok(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }
}

/// A blob of the content store as the source of an upload.
fn source(client: &Client, digest: &str) -> Source {
    let (client, digest) = (client.clone(), digest.to_owned());
    Source::new(move || {
        let (client, digest) = (client.clone(), digest.clone());
        Box::pin(async move {
            let request = client.request(ReadContentRequest { digest, offset: 0, size: 0 });
            let mut content = client.content();
            let reading = client.call("Content.Read", content.read(request));
            let stream = reading.await.map_err(std::io::Error::other)?;
            let bytes = stream.map(|part| part.map(|part| part.data.into()).map_err(std::io::Error::other));
            Ok(Box::pin(bytes) as compose_registry::BoxedBytes)
        })
    })
}
