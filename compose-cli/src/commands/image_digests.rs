//! Pinning images: `config --resolve-image-digests` and `--lock-image-digests`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use compose_model::Project;
use compose_model::project::Service;
use compose_model::tree::Node;
use compose_registry::{Reference, Registry};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::context::{Context, block_on};

/// How many registries are asked at a time.
const AT_ONCE: usize = 8;

/// Replaces the image of every service by its full name with the digest that the registry has.
pub(super) fn pin(project: &mut Project, context: &Context<'_>) -> anyhow::Result<()> {
    let pinned = pins(project.services.values().map(|service| service.image.clone()).collect(), context)?;
    for service in project.services.values_mut() {
        if let Some(pinned) = pinned.get(&service.image) {
            service.image.clone_from(pinned);
        }
    }
    Ok(())
}

/// The same for a tree whose variables are not filled in; an image with one cannot be looked up.
pub(super) fn pin_tree(tree: &mut Node, context: &Context<'_>) -> anyhow::Result<()> {
    let mut images: Vec<&mut Node> = Vec::new();
    for (_, service) in tree.get_mut("services").and_then(Node::as_mapping_mut).into_iter().flatten() {
        images.extend(service.value.get_mut("image").filter(|image| image.as_str().is_some()));
    }
    let names = images.iter().filter_map(|image| image.as_str().map(str::to_owned)).collect();
    let pinned = pins(names, context)?;
    for image in images {
        if let Some(pinned) = image.as_str().and_then(|name| pinned.get(name)) {
            *image = Node::text(pinned.as_str(), image.origin.clone());
        }
    }
    Ok(())
}

/// The full names with digest of images, by their names.
fn pins(mut images: Vec<String>, context: &Context<'_>) -> anyhow::Result<BTreeMap<String, String>> {
    images.retain(|image| !image.is_empty());
    images.sort();
    images.dedup();
    let registry = crate::registries::registry(context.environment, &context.options.insecure_registry);
    block_on(async {
        let one = |image: String| async {
            let pinned =
                pinned(&registry, &image).await.with_context(|| format!("failed to resolve digest for {image}"))?;
            anyhow::Ok((image, pinned))
        };
        stream::iter(images.into_iter().map(one)).buffer_unordered(AT_ONCE).try_collect().await
    })?
}

/// A project of nothing but the images, to be laid over the other.
pub(super) fn only_images(project: &Project) -> Project {
    let mut lock = Project::default();
    for (name, service) in &project.services {
        let image = Service { image: service.image.clone(), ..Service::default() };
        lock.services.insert(name.clone(), image);
    }
    lock
}

/// The same of a tree.
pub(super) fn only_images_of(tree: &mut Node) {
    let Some(top) = tree.as_mapping_mut() else { return };
    top.retain(|key, _| &**key == "services");
    for (_, service) in tree.get_mut("services").and_then(Node::as_mapping_mut).into_iter().flatten() {
        if let Some(attributes) = service.value.as_mapping_mut() {
            attributes.retain(|key, _| &**key == "image");
        }
    }
}

async fn pinned(registry: &Registry, image: &str) -> anyhow::Result<String> {
    let reference = Reference::parse(image)?;
    let name = format!("{}/{}", reference.registry, reference.repository);
    // A digest says all; a tag beside it would only be another name.
    if let Some(digest) = &reference.digest {
        return Ok(format!("{name}@{digest}"));
    }
    let digest = registry.resolve(&reference).await?.digest;
    Ok(format!("{name}:{}@{digest}", reference.selector()))
}
