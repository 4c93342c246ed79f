//! Artifacts in registries: `oci://registry/name:tag`, as `publish` writes them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use compose_registry::{Descriptor, Manifest, Reference, Registry};

use super::kinds::{COMPOSE_FILE, EMPTY_CONFIG, ENV_FILE, ENV_FILE_NAME, EXTENDS, FILE_NAME, PROJECT};
use super::{cache, complete, text_of};
use crate::environment::Environment;

/// What such a reference begins with.
pub(super) const PREFIX: &str = "oci://";

/// Largest part; a Compose file may not be larger either.
const LIMIT: u64 = compose_model::files::SIZE_LIMIT;

/// Fetches an artifact if it is not there, and gives the path of its Compose file.
pub(super) fn fetch(text: &str, environment: &Environment, insecure: &[String]) -> Result<String, String> {
    let reference = Reference::parse(text).map_err(|error| error.to_string())?;
    let cache = cache(environment)?;
    // The caller may be inside an event loop already, which must not wait for another one.
    let folder = std::thread::scope(|scope| {
        let work = || {
            let registry = crate::registries::registry(environment, insecure);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(pull(&registry, &reference, &cache))
        };
        scope.spawn(work).join().unwrap_or_else(|_| Err("fetching it failed".to_owned()))
    })
    .map_err(|reason| format!("failed to pull OCI resource \"{}\": {reason}", shown(&reference)))?;
    text_of(&folder.join("compose.yaml"))
}

fn shown(reference: &Reference) -> String {
    let at = reference.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
    let tag = reference.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    format!("{}/{}{tag}{at}", reference.registry, reference.repository)
}

async fn pull(registry: &Registry, reference: &Reference, cache: &Path) -> Result<PathBuf, String> {
    let mut document = registry.document(reference).await.map_err(|error| error.to_string())?;
    let digest = document.descriptor.digest.clone();
    let place = cache.join(digest.rsplit(':').next().unwrap_or(&digest));
    if place.exists() {
        return Ok(place);
    }
    // A project that is published with its images is an index that has the project among them.
    if document.manifest.is_index() {
        let is_project = |entry: &&Descriptor| entry.artifact_type.as_deref() == Some(PROJECT);
        let entry = document.manifest.manifests.iter().find(is_project);
        let entry = entry.ok_or("OCI index doesn't refer to compose artifacts")?.digest.clone();
        document = registry.document(&reference.at(&entry)).await.map_err(|error| error.to_string())?;
    }
    let files = files(registry, reference, &document.manifest).await?;
    complete(&place, |folder| files.iter().try_for_each(|file| file.append_to(folder)))?;
    Ok(place)
}

/// A piece of a file of the project.
struct Piece {
    name: String,
    text: Vec<u8>,
}

impl Piece {
    fn append_to(&self, folder: &Path) -> Result<(), String> {
        let path = folder.join(&self.name);
        let opened = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let written = opened.and_then(|mut file| file.write_all(&self.text));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

async fn files(registry: &Registry, reference: &Reference, manifest: &Manifest) -> Result<Vec<Piece>, String> {
    let kind = manifest.artifact_type.as_deref().filter(|kind| !kind.is_empty());
    let config = manifest.config.as_ref().map(|config| config.media_type.as_str()).unwrap_or_default();
    if !kind.map_or(config == EMPTY_CONFIG, |kind| kind == PROJECT) {
        return Err(format!("it is not a compose project OCI artifact, but {}", kind.unwrap_or(config)));
    }
    let mut pieces = Vec::new();
    for (index, layer) in manifest.layers.iter().enumerate() {
        let note = |name: &str| layer.annotations.get(name).cloned();
        let name = match layer.media_type.as_str() {
            COMPOSE_FILE => match note(EXTENDS) {
                Some(_) => note(FILE_NAME).ok_or("a part has no com.docker.compose.file")?,
                None => "compose.yaml".to_owned(),
            },
            ENV_FILE => note(ENV_FILE_NAME)
                .ok_or_else(|| format!("missing annotation com.docker.compose.envfile in layer {:?}", layer.digest))?,
            _ => continue,
        };
        if !matches!(Path::new(&name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
            return Err(format!("invalid file name {name:?}: it has to be a name without folders"));
        }
        let content = registry.small_blob(reference, layer, LIMIT).await.map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        // Several files of one project become the documents of one.
        if layer.media_type == COMPOSE_FILE && index > 0 && note(FILE_NAME).is_some() {
            text.extend_from_slice(b"\n---\n");
        }
        text.extend_from_slice(&content);
        pieces.push(Piece { name, text });
    }
    Ok(pieces)
}
