//! `publish --app`: the images of the project, copied beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::Context as _;
use bytes::Bytes;
use compose_model::Project;
use compose_registry::{BoxedBytes, Descriptor, Document, Manifest, Reference, Registry, Source, media};
use futures_util::StreamExt as _;

use crate::remote::kinds;

/// Copies the image of every service into the project's repository, and puts an index of them
/// there that is attached to the project.
pub(super) async fn images(
    registry: &Registry,
    to: &Reference,
    project: &Project,
    published: Descriptor,
) -> anyhow::Result<()> {
    let images: BTreeSet<&str> =
        project.services.values().map(|service| service.image.as_str()).filter(|image| !image.is_empty()).collect();
    let mut manifests = Vec::new();
    for image in images {
        let from = Reference::parse(image)?;
        let descriptor = copy(registry, &from, to).await.with_context(|| format!("cannot copy {image}"))?;
        manifests.push(descriptor);
    }
    let version = compose_planner::labels::COMPOSE_VERSION.to_owned();
    let version = BTreeMap::from([(kinds::VERSION.to_owned(), version)]);
    let subject = Descriptor { annotations: version.clone(), ..published };
    let index = Manifest {
        schema_version: 2,
        media_type: media::INDEX.to_owned(),
        manifests,
        subject: Some(subject),
        annotations: version,
        ..Manifest::default()
    };
    let bytes = Bytes::from(serde_json::to_vec(&index)?);
    let at = to.at(&compose_registry::digest_of(&bytes));
    registry.push_document(&at, media::INDEX, bytes).await?;
    Ok(())
}

/// Copies an image with all its platforms.
async fn copy(registry: &Registry, from: &Reference, to: &Reference) -> anyhow::Result<Descriptor> {
    let document = registry.document(from).await?;
    for entry in &document.manifest.manifests {
        let platform = registry.document(&from.at(&entry.digest)).await?;
        copy_one(registry, from, to, &platform).await?;
    }
    copy_one(registry, from, to, &document).await
}

/// Copies what a manifest names, then the manifest.
async fn copy_one(
    registry: &Registry,
    from: &Reference,
    to: &Reference,
    document: &Document,
) -> anyhow::Result<Descriptor> {
    // Within one registry nothing is sent.
    let elsewhere: Vec<String> = (from.registry == to.registry).then(|| from.repository.clone()).into_iter().collect();
    for blob in document.manifest.config.iter().chain(&document.manifest.layers) {
        let (registry_of_source, from, wanted) = (registry.clone(), from.clone(), blob.clone());
        let source = Source::new(move || {
            let (registry, from, wanted) = (registry_of_source.clone(), from.clone(), wanted.clone());
            Box::pin(async move {
                let stream = registry.blob(&from, &wanted, 0).await.map_err(io::Error::other)?;
                let stream: BoxedBytes = Box::pin(stream.map(|bytes| bytes.map_err(io::Error::other)));
                Ok::<_, io::Error>(stream)
            })
        });
        registry.push_blob(to, blob, &elsewhere, &source).await?;
    }
    let descriptor = &document.descriptor;
    registry.push_document(&to.at(&descriptor.digest), &descriptor.media_type, document.bytes.clone()).await?;
    Ok(descriptor.clone())
}
