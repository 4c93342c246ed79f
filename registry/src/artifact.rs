//! Small artifacts as a whole: a manifest with a configuration and parts of any media type, as
//! `publish` makes them and `-f oci://` reads them.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::client::{Registry, what};
use crate::digest::digest_of;
use crate::document::{Descriptor, Manifest, media};
use crate::error::{RegistryError, Result};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::uploads::Source;

/// Largest part of an artifact, and most bytes of all together.
const LIMIT: u64 = 64 * 1024 * 1024;

/// A part of an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub media_type: String,
    /// Free texts.
    pub annotations: BTreeMap<String, String>,
    /// Its content.
    pub bytes: Bytes,
}

/// An artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    /// What kind of artifact it is; `None` writes a manifest as registries before OCI 1.1 want it.
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Part,
    /// Its parts.
    pub parts: Vec<Part>,
    /// Free texts of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// What it is attached to.
    pub subject: Option<Descriptor>,
}

impl Part {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: digest_of(&self.bytes),
            size: self.bytes.len() as u64,
            annotations: self.annotations.clone(),
            ..Descriptor::default()
        }
    }
}

impl Artifact {
    /// The manifest's bytes, which are the same for the same artifact.
    #[must_use]
    pub fn manifest(&self) -> Bytes {
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::MANIFEST.to_owned(),
            artifact_type: self.artifact_type.clone(),
            config: Some(self.config.descriptor()),
            layers: self.parts.iter().map(Part::descriptor).collect(),
            manifests: Vec::new(),
            subject: self.subject.clone(),
            annotations: self.annotations.clone(),
        };
        Bytes::from(serde_json::to_vec(&manifest).unwrap_or_default())
    }
}

impl Registry {
    /// Pushes an artifact: its parts, then its manifest.
    ///
    /// # Errors
    /// As [`Self::document`].
    pub async fn push_artifact(&self, reference: &Reference, artifact: &Artifact) -> Result<Descriptor> {
        let mut done = Vec::new();
        for part in std::iter::once(&artifact.config).chain(&artifact.parts) {
            let descriptor = part.descriptor();
            if !done.contains(&descriptor.digest) {
                self.push_blob(reference, &descriptor, &[], &Source::bytes(part.bytes.clone())).await?;
                done.push(descriptor.digest);
            }
        }
        self.push_document(reference, media::MANIFEST, artifact.manifest()).await
    }

    /// Pulls an artifact with all its parts. Of an index, the entry for this machine or without a
    /// platform is taken.
    ///
    /// # Errors
    /// As [`Self::document`]; [`RegistryError::Unreadable`] where it is larger than 64 MiB.
    pub async fn pull_artifact(&self, reference: &Reference) -> Result<(Descriptor, Artifact)> {
        let document = self.image(reference, &Platform::host()).await?;
        let manifest = &document.manifest;
        let config = manifest.config.clone().unwrap_or_default();
        let size = manifest.layers.iter().try_fold(config.size, |sum, layer| sum.checked_add(layer.size));
        if size.is_none_or(|size| size > LIMIT) {
            return Err(RegistryError::Unreadable {
                registry: reference.registry.clone(),
                what: what(reference, reference.selector()),
                message: format!("its parts are larger than {} MiB together", LIMIT >> 20),
            });
        }
        let config = self.part(reference, &config).await?;
        let mut parts = Vec::new();
        for layer in &manifest.layers {
            parts.push(self.part(reference, layer).await?);
        }
        let artifact = Artifact {
            artifact_type: manifest.artifact_type.clone(),
            config,
            parts,
            annotations: manifest.annotations.clone(),
            subject: manifest.subject.clone(),
        };
        Ok((document.descriptor, artifact))
    }

    async fn part(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Part> {
        let bytes = self.small_blob(reference, descriptor, LIMIT).await?;
        Ok(Part { media_type: descriptor.media_type.clone(), annotations: descriptor.annotations.clone(), bytes })
    }
}
