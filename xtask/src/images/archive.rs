//! Writing image archives that `docker load` and `ctr images import` both take:
//! an OCI layout and a `docker save` file in one. The same content gives the same bytes.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is at one path of a layer.
enum Node {
    Folder(u32),
    File(u32, Vec<u8>),
    Link(String),
}

/// The files of one layer, by path without the leading slash.
#[derive(Default)]
pub(super) struct Layer {
    nodes: BTreeMap<String, Node>,
}

impl Layer {
    /// A folder with its mode; the folders above it come by themselves.
    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        self.parents(path);
        self.nodes.insert(path.to_owned(), Node::Folder(mode));
    }

    /// A file with its mode and content.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.parents(path);
        self.nodes.insert(path.to_owned(), Node::File(mode, content));
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.nodes.insert(path.to_owned(), Node::Link(target.to_owned()));
    }

    /// A file of this machine, links followed.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let executable = fs::metadata(from)?.permissions().mode() & 0o111 != 0;
        self.file(path, if executable { 0o755 } else { 0o644 }, content);
        Ok(())
    }

    /// Everything below a folder of this machine, without the names that `skip` knows.
    pub(super) fn copy_folder(&mut self, path: &str, from: &Path, skip: &dyn Fn(&str) -> bool) -> Result<()> {
        for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if skip(&name) {
                continue;
            }
            let (below, kind) = (format!("{path}/{name}"), entry.file_type()?);
            if kind.is_dir() {
                self.copy_folder(&below, &entry.path(), skip)?;
            } else if kind.is_symlink() {
                self.link(&below, &fs::read_link(entry.path())?.to_string_lossy());
            } else {
                self.copy(&below, &entry.path())?;
            }
        }
        Ok(())
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].to_owned()).or_insert(Node::Folder(0o755));
        }
    }

    /// The layer as a tar archive.
    pub(super) fn pack(&self) -> Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, node) in &self.nodes {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            match node {
                Node::Folder(mode) => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_size(0);
                    builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
                Node::File(mode, content) => {
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    builder.append_data(&mut header, path, content.as_slice())?;
                }
                Node::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        Ok(builder.into_inner()?)
    }
}

/// A file of the archive that is named by what it holds.
pub(super) struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    /// Names the bytes by their hash.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, bytes }
    }

    fn descriptor(&self, kind: &str) -> Value {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
}

/// An image of an archive.
pub(super) struct Image<'a> {
    /// Its names, as a user would write them: `app:1`, `shop/app:1`.
    pub(super) names: Vec<String>,
    /// From the bottom up.
    pub(super) layers: Vec<&'a Blob>,
    /// The `config` object of the OCI image configuration.
    pub(super) config: Value,
}

/// Writes the archive.
pub(super) fn write(images: &[Image<'_>], to: &Path) -> Result<()> {
    let mut blobs: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut made: Vec<(Blob, Blob)> = Vec::new();
    for image in images {
        let ids: Vec<String> = image.layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
        let history: Vec<Value> = ids.iter().map(|_| json!({"created": "1970-01-01T00:00:00Z"})).collect();
        let config = Blob::new(serde_json::to_vec(&json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": ids},
            "history": history,
        }))?);
        let layers: Vec<Value> = image.layers.iter().map(|layer| layer.descriptor("layer.v1.tar")).collect();
        let manifest = Blob::new(serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("config.v1+json"),
            "layers": layers,
        }))?);
        made.push((config, manifest));
    }
    let (mut index, mut saved) = (Vec::new(), Vec::new());
    for (image, (config, manifest)) in images.iter().zip(&made) {
        for name in &image.names {
            let mut entry = manifest.descriptor("manifest.v1+json");
            entry["annotations"] = json!({
                "io.containerd.image.name": full_name(name),
                "org.opencontainers.image.ref.name": name.rsplit(':').next().unwrap_or("latest"),
            });
            entry["platform"] = json!({"architecture": architecture(), "os": "linux"});
            index.push(entry);
        }
        let layers: Vec<String> = image.layers.iter().map(|layer| layer.path()).collect();
        saved.push(json!({"Config": config.path(), "RepoTags": image.names, "Layers": layers}));
        for blob in image.layers.iter().copied().chain([config, manifest]) {
            blobs.insert(blob.path(), &blob.bytes);
        }
    }
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": index,
    }))?;
    let saved = serde_json::to_vec(&saved)?;
    blobs.insert("oci-layout".to_owned(), b"{\"imageLayoutVersion\":\"1.0.0\"}");
    blobs.insert("index.json".to_owned(), &index);
    blobs.insert("manifest.json".to_owned(), &saved);

    // Under another name first: what is there is always whole.
    let partial = to.with_extension("partial");
    let file = File::create(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    let mut builder = tar::Builder::new(std::io::BufWriter::new(file));
    for (path, bytes) in blobs {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes)?;
    }
    builder.into_inner()?.flush()?;
    fs::rename(&partial, to)?;
    Ok(())
}

/// The name with registry and repository written out, as containerd keeps it.
fn full_name(name: &str) -> String {
    if name.contains('/') { format!("docker.io/{name}") } else { format!("docker.io/library/{name}") }
}

/// This machine's architecture as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_gives_the_same_bytes_whatever_the_order() {
        let (mut one, mut two) = (Layer::default(), Layer::default());
        one.file("bin/a", 0o755, b"a".to_vec());
        one.link("bin/b", "a");
        two.link("bin/b", "a");
        two.file("bin/a", 0o755, b"a".to_vec());
        assert_eq!(one.pack().unwrap(), two.pack().unwrap());
    }

    #[test]
    fn a_short_name_is_written_out_for_containerd() {
        assert_eq!(full_name("busybox:latest"), "docker.io/library/busybox:latest");
        assert_eq!(full_name("diamol/postgres:11.5"), "docker.io/diamol/postgres:11.5");
    }
}
