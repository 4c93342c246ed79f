//! Loading image archives: `docker save` output, old and new, and OCI layouts, plain or gzipped.
//!
//! The archive is spooled to an unnamed file, since its parts come in any order. Nothing is ever
//! unpacked to a path that the archive names: layers are unpacked by containerd.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::Reader;
use containerd_client::services::v1::{CreateImageRequest, Image, UpdateImageRequest};
use containerd_client::types::Descriptor;
use serde::Deserialize;

use crate::client::{Client, local};
use crate::content::{self, Source, digest_of, digest_of_part};
use crate::core::Core;
use crate::image::{Manifest, Pointer, host_platform, resolve};
use crate::reference;
use crate::unpacking::unpack;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Largest JSON document in an archive.
const DOCUMENT_LIMIT: u64 = 8 * 1024 * 1024;

/// An entry of `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn invalid(message: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Invalid { message: format!("not an image archive: {message}") }
}

/// A spooled archive and where its files lie.
struct Archive {
    file: File,
    parts: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    /// Reads the table of contents; follows gzip and links inside the archive.
    fn open(mut file: File) -> Result<Self> {
        let failed = |error: std::io::Error| invalid(error);
        let mut magic = [0; 2];
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let read = file.read(&mut magic).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        if read == 2 && magic == [0x1f, 0x8b] {
            let mut plain = unnamed_file()?;
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(file), &mut plain).map_err(failed)?;
            plain.seek(SeekFrom::Start(0)).map_err(failed)?;
            file = plain;
        }
        let mut parts = BTreeMap::new();
        let mut links: Vec<(String, String)> = Vec::new();
        let mut archive = tar::Archive::new(&file);
        for entry in archive.entries_with_seek().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(path) = clean(&entry.path_bytes(), "") else { continue };
            let kind = entry.header().entry_type();
            if kind.is_file() {
                parts.insert(path, (entry.raw_file_position(), entry.size()));
            } else if let Some(target) = entry.link_name_bytes() {
                let base = if kind.is_symlink() { path.rsplit_once('/').map_or("", |(base, _)| base) } else { "" };
                if let Some(target) = clean(&target, base) {
                    links.push((path, target));
                }
            }
        }
        for (path, target) in links {
            if let Some(part) = parts.get(&target).copied() {
                parts.insert(path, part);
            }
        }
        Ok(Self { file, parts })
    }

    fn document(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some((offset, size)) = self.parts.get(path).copied() else { return Ok(None) };
        if size > DOCUMENT_LIMIT {
            return Err(invalid(format!("{path} is too large")));
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(offset)).map_err(invalid)?;
        (&self.file).take(size).read_to_end(&mut bytes).map_err(invalid)?;
        Ok(Some(bytes))
    }

    fn part(&self, path: &str) -> Result<Option<Source>> {
        let Some((offset, size)) = self.parts.get(path).copied() else { return Ok(None) };
        Ok(Some(Source::Part { file: self.reopen()?, offset, size }))
    }

    /// A descriptor with a position of its own.
    fn reopen(&self) -> Result<File> {
        use std::os::fd::AsRawFd;
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd())).map_err(|error| local("archive", error))
    }
}

/// A path inside the archive without `.` and `..`; `None` if it leads out of it.
fn clean(path: &[u8], base: &str) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let mut components: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            other => components.push(other),
        }
    }
    Some(components.join("/"))
}

/// A temporary file without a name.
fn unnamed_file() -> Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let open = |directory: &str| openat(CWD, directory, flags, Mode::from_raw_mode(0o600));
    open("/var/tmp").or_else(|_| open("/tmp")).map(File::from).map_err(|error| local("/var/tmp", error))
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

impl Core {
    /// Loads an archive and returns the names in it, in the form that people read.
    pub(crate) async fn load_archive(&self, reader: Reader) -> Result<Vec<String>> {
        let mut bridge = tokio_util::io::SyncIoBridge::new(reader);
        let mut archive = tokio::task::spawn_blocking(move || {
            let mut file = unnamed_file()?;
            std::io::copy(&mut bridge, &mut file).map_err(|error| local("reading the image archive", error))?;
            file.flush().map_err(|error| local("writing the image archive", error))?;
            Archive::open(file)
        })
        .await
        .map_err(|error| local("reading the image archive", error))??;

        let lease = self.client.lease().await?;
        let loaded = self.load_parts(&lease.client, &mut archive).await;
        lease.end().await;
        let names = loaded?;
        if names.is_empty() {
            return Err(invalid("there is no named image in it"));
        }
        Ok(names)
    }

    async fn load_parts(&self, client: &Client, archive: &mut Archive) -> Result<Vec<String>> {
        let saved: Vec<Saved> = match archive.document("manifest.json")? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(invalid)?,
            None => Vec::new(),
        };
        let mut names = Vec::new();
        if let Some(bytes) = archive.document("index.json")? {
            let index: Manifest = serde_json::from_slice(&bytes).map_err(invalid)?;
            for pointer in &index.manifests {
                let resolved = self.load_pointer(client, archive, pointer, 0).await?;
                let mut of_this: Vec<String> = Vec::new();
                let annotation = |key: &str| pointer.annotations.get(key).cloned();
                of_this.extend(annotation("io.containerd.image.name"));
                if let Some(name) = annotation("org.opencontainers.image.ref.name")
                    && of_this.is_empty()
                    && name.contains([':', '/'])
                {
                    of_this.push(name);
                }
                if let Some(config) = &resolved {
                    let same = |saved: &&Saved| saved.config == blob_path(config);
                    of_this.extend(
                        saved.iter().filter(same).flat_map(|saved| saved.repo_tags.clone().unwrap_or_default()),
                    );
                }
                for name in of_this {
                    names.extend(self.name_image(client, &name, pointer).await?);
                }
            }
        } else {
            for saved in &saved {
                let pointer = load_saved(client, archive, saved).await?;
                let resolved = resolve(client, &pointer.digest, &host_platform()).await?;
                unpack(client, &self.snapshotter, &resolved).await?;
                for name in saved.repo_tags.iter().flatten() {
                    names.extend(self.name_image(client, name, &pointer).await?);
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Takes a manifest or index with all that it refers to and the archive has; returns the
    /// configuration's digest of a manifest for this machine.
    async fn load_pointer(
        &self,
        client: &Client,
        archive: &mut Archive,
        pointer: &Pointer,
        depth: usize,
    ) -> Result<Option<String>> {
        if depth > 3 {
            return Err(invalid("indexes nested too deeply"));
        }
        let path = blob_path(&pointer.digest);
        let Some(bytes) = archive.document(&path)? else { return Err(invalid(format!("{path} is missing"))) };
        if digest_of(&bytes) != pointer.digest {
            return Err(invalid(format!("{path} has another digest than its name says")));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(invalid)?;
        let mut labels = BTreeMap::new();
        let mut config = None;
        if manifest.manifests.is_empty() {
            if !archive.parts.contains_key(&blob_path(&manifest.config.digest)) {
                return Err(invalid(format!("{} is missing", manifest.config.digest)));
            }
            let children = manifest.layers.iter().chain([&manifest.config]);
            for child in children {
                // A layer may be there already and left out of the archive.
                if let Some(source) = archive.part(&blob_path(&child.digest))? {
                    content::write(client, &child.digest, source, BTreeMap::new()).await?;
                }
            }
            for (index, layer) in manifest.layers.iter().enumerate() {
                labels.insert(format!("containerd.io/gc.ref.content.l.{index}"), layer.digest.clone());
            }
            labels.insert("containerd.io/gc.ref.content.config".to_owned(), manifest.config.digest.clone());
        } else {
            for (index, child) in manifest.manifests.iter().enumerate() {
                if archive.parts.contains_key(&blob_path(&child.digest)) {
                    let found = Box::pin(self.load_pointer(client, archive, child, depth + 1)).await?;
                    config = config.or(found);
                    labels.insert(format!("containerd.io/gc.ref.content.m.{index}"), child.digest.clone());
                }
            }
        }
        content::write(client, &pointer.digest, Source::Bytes(bytes), labels).await?;
        if manifest.manifests.is_empty() {
            let resolved = resolve(client, &pointer.digest, &host_platform()).await?;
            let host = host_platform();
            let platform = &resolved.configuration.platform;
            if platform.os == host.os && platform.architecture == host.architecture {
                unpack(client, &self.snapshotter, &resolved).await?;
                config = Some(resolved.id);
            }
        }
        Ok(config)
    }

    /// Names a manifest or index in the image store.
    async fn name_image(&self, client: &Client, name: &str, pointer: &Pointer) -> Result<Option<String>> {
        let Some(stored) = reference::canonical(name) else {
            return Err(invalid(format!("`{name}` is no image name")));
        };
        let media_type = if pointer.media_type.is_empty() { MANIFEST } else { &pointer.media_type };
        let target = Descriptor {
            media_type: media_type.to_owned(),
            digest: pointer.digest.clone(),
            size: pointer.size,
            annotations: Default::default(),
        };
        self.put_image(client, &stored, target).await?;
        Ok(Some(reference::familiar(&stored)))
    }

    /// Makes a canonical name stand for a manifest or index, whatever it stood for.
    pub(crate) async fn put_image(&self, client: &Client, stored: &str, target: Descriptor) -> Result<()> {
        let image = Image { name: stored.to_owned(), target: Some(target), ..Image::default() };
        let request = client.request(CreateImageRequest { image: Some(image.clone()), source_date_epoch: None });
        match client.call("Images.Create", client.images().create(request)).await {
            Err(error) if error.is_conflict() => {
                let request = client.request(UpdateImageRequest {
                    image: Some(image),
                    update_mask: None,
                    source_date_epoch: None,
                });
                client.call("Images.Update", client.images().update(request)).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}

/// Takes an image of an old `docker save`, which has no OCI manifest: one is written.
async fn load_saved(client: &Client, archive: &mut Archive, saved: &Saved) -> Result<Pointer> {
    let path = clean(saved.config.as_bytes(), "").unwrap_or_default();
    let Some(config) = archive.document(&path)? else { return Err(invalid(format!("{path} is missing"))) };
    let mut manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: Pointer {
            media_type: CONFIG.to_owned(),
            digest: digest_of(&config),
            size: config.len() as i64,
            ..Pointer::default()
        },
        ..Manifest::default()
    };
    let mut labels = BTreeMap::new();
    for (index, path) in saved.layers.iter().enumerate() {
        let path = clean(path.as_bytes(), "").unwrap_or_default();
        let Some((offset, size)) = archive.parts.get(&path).copied() else {
            return Err(invalid(format!("{path} is missing")));
        };
        let mut file = archive.reopen()?;
        let (digest, gzip) = tokio::task::spawn_blocking(move || {
            let mut magic = [0; 2];
            let gzip = file.seek(SeekFrom::Start(offset)).is_ok()
                && file.read_exact(&mut magic).is_ok()
                && magic == [0x1f, 0x8b];
            digest_of_part(&mut file, offset, size).map(|digest| (digest, gzip))
        })
        .await
        .map_err(|error| local("reading the image archive", error))??;
        let source = Source::Part { file: archive.reopen()?, offset, size };
        content::write(client, &digest, source, BTreeMap::new()).await?;
        labels.insert(format!("containerd.io/gc.ref.content.l.{index}"), digest.clone());
        manifest.layers.push(Pointer {
            media_type: if gzip { format!("{LAYER}+gzip") } else { LAYER.to_owned() },
            digest,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            ..Pointer::default()
        });
    }
    labels.insert("containerd.io/gc.ref.content.config".to_owned(), manifest.config.digest.clone());
    content::write(client, &manifest.config.digest, Source::Bytes(config), BTreeMap::new()).await?;
    let bytes = serde_json::to_vec(&manifest).map_err(|error| local("image manifest", error))?;
    let pointer = Pointer {
        media_type: MANIFEST.to_owned(),
        digest: digest_of(&bytes),
        size: bytes.len() as i64,
        ..Pointer::default()
    };
    content::write(client, &pointer.digest, Source::Bytes(bytes), labels).await?;
    Ok(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_archive_never_lead_out_of_it() {
        assert_eq!(clean(b"./blobs/sha256/aa", ""), Some("blobs/sha256/aa".to_owned()));
        assert_eq!(clean(b"../b/layer.tar", "a"), Some("b/layer.tar".to_owned()));
        assert_eq!(clean(b"../../etc/passwd", "a"), None);
        assert_eq!(clean(b"/etc/passwd", ""), Some("etc/passwd".to_owned()));
    }
}
