//! The images of this containerd that a build starts from: BuildKit gets them as OCI layouts, so
//! that a build finds what was built or loaded here, as on a Docker Engine, and pulls the rest.
//! The layouts are links to the content store's files; only what is asked for is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use compose_planner::spec::BuildSpec;
use compose_runtime::bake::is_remote;
use compose_runtime::error::Result;
use containerd_client::services::v1::PluginsRequest;
use serde_json::json;

use crate::client::{Client, local};
use crate::content::digest_of;
use crate::core::Core;
use crate::image::Resolved;
use crate::reference;

/// Names of images in a Dockerfile: `FROM`, `COPY --from=` and `RUN --mount=from=`, without the
/// names of its own stages. `arguments` are those of the build.
fn images_of(text: &str, arguments: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut defaults: BTreeMap<String, String> = BTreeMap::new();
    let (mut stages, mut found) = (BTreeSet::new(), BTreeSet::new());
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        let mut words = line.split_whitespace();
        let Some(instruction) = words.next().map(str::to_ascii_uppercase) else { continue };
        let words: Vec<&str> = words.collect();
        if instruction == "ARG" && stages.is_empty() {
            for word in &words {
                let (name, value) = word.split_once('=').unwrap_or((word, ""));
                let value =
                    arguments.get(name).map_or_else(|| value.trim_matches(['"', '\'']).to_owned(), Clone::clone);
                defaults.insert(name.to_owned(), value);
            }
        }
        if instruction == "FROM" {
            let mut rest = words.iter().filter(|word| !word.starts_with("--"));
            let image = rest.next().map(|word| expanded(word, &defaults)).unwrap_or_default();
            if !stages.contains(&image.to_ascii_lowercase()) {
                found.insert(image);
            }
            let stage = match (rest.next(), rest.next()) {
                (Some(word), Some(name)) if word.eq_ignore_ascii_case("as") => name.to_ascii_lowercase(),
                // A stage without a name is named by its number alone.
                _ => stages.len().to_string(),
            };
            stages.insert(stage);
        }
        for word in words {
            let options = word.strip_prefix("--").unwrap_or_default();
            let options = options.strip_prefix("mount=").unwrap_or(options).split(',');
            for image in options.filter_map(|option| option.strip_prefix("from=")) {
                if !stages.contains(&image.to_ascii_lowercase()) && image.parse::<u32>().is_err() {
                    found.insert(image.to_owned());
                }
            }
        }
    }
    found.retain(|image| !image.is_empty() && image != "scratch" && !image.contains('$'));
    found
}

/// `$NAME`, `${NAME}` and `${NAME:-default}` by the values.
fn expanded(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, default, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((inner, after)) => {
                let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
                (name, default, after)
            }
            None => {
                let plain = |character: char| !character.is_ascii_alphanumeric() && character != '_';
                let (name, after) = rest.split_at(rest.find(plain).unwrap_or(rest.len()));
                (name, "", after)
            }
        };
        let value = values.get(name).map(String::as_str).filter(|value| !value.is_empty());
        out.push_str(value.unwrap_or(default));
        rest = after;
    }
    out + rest
}

/// The name under which BuildKit looks for a context instead of an image.
fn context_name(image: &str) -> Option<String> {
    let familiar = reference::familiar(&reference::canonical(image)?);
    Some(familiar.strip_suffix(":latest").map_or(familiar.clone(), str::to_owned))
}

impl Core {
    /// Adds the images that are here to the build's contexts. The caller holds a lease.
    pub(crate) async fn offer_base_images(&self, client: &Client, spec: &mut BuildSpec, scratch: &Path) -> Result<()> {
        let mut wanted: BTreeMap<String, String> = BTreeMap::new();
        // With `pull` the registry is asked, but for images that other services have just built.
        if !spec.build.pull && !is_remote(&spec.build.context) {
            let text = if spec.build.dockerfile_inline.is_empty() {
                let named = if spec.build.dockerfile.is_empty() { "Dockerfile" } else { &spec.build.dockerfile };
                // One that cannot be read is BuildKit's to tell.
                std::fs::read_to_string(Path::new(&spec.build.context).join(named)).unwrap_or_default()
            } else {
                spec.build.dockerfile_inline.clone()
            };
            let arguments = spec.build.args.iter();
            let arguments = arguments.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
            for image in images_of(&text, &arguments) {
                if let Some(name) =
                    context_name(&image).filter(|_| !spec.build.additional_contexts.contains_key(&image))
                {
                    wanted.insert(name, image);
                }
            }
        }
        for (name, context) in &spec.build.additional_contexts {
            if let Some(image) = context.strip_prefix("docker-image://") {
                wanted.insert(name.clone(), image.to_owned());
            }
        }
        let mut store = None;
        for (number, (name, image)) in wanted.into_iter().enumerate() {
            let Some((_, resolved)) = self.find_image(&image).await? else { continue };
            if store.is_none() {
                store = Some(self.content_directory(client).await?);
            }
            let Some(Some(store)) = &store else { return Ok(()) };
            let directory = scratch.join(format!("base-{number}"));
            if let Some(digest) = lay_out(store, &resolved, &directory)? {
                let place = format!("oci-layout://{}@{digest}", directory.display());
                spec.build.additional_contexts.insert(name, place);
            }
        }
        Ok(())
    }

    /// Where the content store keeps its files, if it tells and we may look.
    async fn content_directory(&self, client: &Client) -> Result<Option<PathBuf>> {
        let request = client.request(PluginsRequest { filters: vec!["type==io.containerd.content.v1".to_owned()] });
        let plugins = client.call("Introspection.Plugins", client.introspection().plugins(request)).await?.plugins;
        let root = plugins.into_iter().find_map(|plugin| plugin.exports.get("root").map(PathBuf::from));
        Ok(root.map(|root| root.join("blobs/sha256")).filter(|directory| directory.is_dir()))
    }
}

/// Lays an image out; returns the digest of its manifest, or `None` where parts of it are not here
/// (containerd may have dropped layers after unpacking them).
fn lay_out(store: &Path, image: &Resolved, directory: &Path) -> Result<Option<String>> {
    let blobs = directory.join("blobs/sha256");
    let failed = |error: std::io::Error| local(directory.display(), error);
    std::fs::create_dir_all(&blobs).map_err(failed)?;
    for pointer in image.manifest.layers.iter().chain([&image.manifest.config]) {
        let Some(name) = pointer.digest.strip_prefix("sha256:").filter(|name| !name.contains('/')) else {
            return Ok(None);
        };
        let source = store.join(name);
        if !source.is_file() {
            return Ok(None);
        }
        match std::os::unix::fs::symlink(source, blobs.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
    }
    let mut manifest = image.manifest.clone();
    if manifest.media_type.is_empty() {
        manifest.media_type = crate::archive::MANIFEST.to_owned();
    }
    let bytes = serde_json::to_vec(&manifest).map_err(|error| local("image manifest", error))?;
    let digest = digest_of(&bytes);
    std::fs::write(blobs.join(digest.trim_start_matches("sha256:")), &bytes).map_err(failed)?;
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": manifest.media_type, "digest": digest, "size": bytes.len() }],
    });
    std::fs::write(directory.join("index.json"), index.to_string()).map_err(failed)?;
    std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).map_err(failed)?;
    Ok(Some(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_images_are_found_in_a_dockerfile() {
        let text = "ARG BASE=busybox:1\nARG OTHER\nFROM --platform=$P ${BASE} AS first\nFROM first\nfrom $OTHER\nFROM \
                    scratch\nCOPY --from=first /a /b\nCOPY --from=0 /a /b\nCOPY --from=tools:2 \\\n  /a /b\nRUN \
                    --mount=type=bind,from=more,target=/x true\nFROM ${UNSET:-last}\nFROM $UNSET\n";
        let arguments = BTreeMap::from([("OTHER".to_owned(), "given".to_owned())]);
        let found = images_of(text, &arguments);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["busybox:1", "given", "last", "more", "tools:2"]);
    }

    #[test]
    fn contexts_are_named_as_buildkit_looks_for_them() {
        for (image, name) in [
            ("busybox", "busybox"),
            ("docker.io/library/busybox:latest", "busybox"),
            ("example/app:1", "example/app:1"),
            ("127.0.0.1:5000/a:latest", "127.0.0.1:5000/a"),
        ] {
            assert_eq!(context_name(image).as_deref(), Some(name));
        }
    }
}
