//! A build context as a tar archive, made while it is sent.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use compose_runtime::error::Result;
use compose_runtime::port::Reader;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use crate::error;
use compose_runtime::dockerignore::Ignore;

const PIECE: usize = 128 * 1024;

/// What goes into the archive.
pub(crate) struct ContextArchive {
    /// The context's directory.
    pub(crate) directory: PathBuf,
    /// What is left out of it.
    pub(crate) ignore: Ignore,
    /// Paths that the patterns do not leave out: the Dockerfile and `.dockerignore`.
    pub(crate) always: Vec<String>,
    /// A file that the directory does not have: name and content.
    pub(crate) extra: Option<(String, Vec<u8>)>,
}

impl ContextArchive {
    /// Reads a directory's `.dockerignore`.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let path = directory.join(".dockerignore");
        let ignore = match fs::read_to_string(&path) {
            Ok(text) => Ignore::parse(&text)?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ignore::default(),
            Err(cause) => return Err(error::local(format!("cannot read {}: {cause}", path.display()))),
        };
        let always = vec![".dockerignore".to_owned()];
        Ok(Self { directory: directory.to_owned(), ignore, always, extra: None })
    }

    /// The archive, written by a thread of its own as it is read.
    pub(crate) fn stream(self) -> Reader {
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(8);
        tokio::task::spawn_blocking(move || {
            let mut pipe = Pipe { sender: sender.clone(), buffer: Vec::with_capacity(PIECE) };
            if let Err(cause) = self.write(&mut pipe).and_then(|()| pipe.flush()) {
                // Nobody listens any more when the engine has refused the build: that is told elsewhere.
                sender.blocking_send(Err(cause)).unwrap_or_default();
            }
        });
        let pieces =
            futures_util::stream::unfold(
                receiver,
                |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
            );
        Box::pin(StreamReader::new(Box::pin(pieces)))
    }

    fn write(&self, pipe: &mut Pipe) -> io::Result<()> {
        let mut archive = tar::Builder::new(pipe);
        archive.follow_symlinks(false);
        self.add_directory(&mut archive, "")?;
        if let Some((name, content)) = &self.extra {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(0);
            archive.append_data(&mut header, name, content.as_slice())?;
        }
        archive.finish()
    }

    fn add_directory(&self, archive: &mut tar::Builder<&mut Pipe>, below: &str) -> io::Result<()> {
        let directory = self.directory.join(below);
        let named =
            |cause: io::Error, path: &Path| io::Error::new(cause.kind(), format!("{}: {cause}", path.display()));
        let mut entries = fs::read_dir(&directory)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(|cause| named(cause, &directory))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(io::Error::other(format!("{}: the name is no UTF-8", entry.path().display())));
            };
            let inside = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).map_err(|cause| named(cause, &path))?;
            let out = self.ignore.leaves_out(&inside) && !self.always.contains(&inside);
            if metadata.is_dir() {
                if !out {
                    self.add(archive, &path, &inside, &metadata).map_err(|cause| named(cause, &path))?;
                }
                let prefix = format!("{inside}/");
                let wanted = self.always.iter().any(|always| always.starts_with(&prefix));
                if !out || self.ignore.has_exceptions() || wanted {
                    self.add_directory(archive, &inside)?;
                }
            } else if !out {
                self.add(archive, &path, &inside, &metadata).map_err(|cause| named(cause, &path))?;
            }
        }
        Ok(())
    }

    fn add(
        &self,
        archive: &mut tar::Builder<&mut Pipe>,
        path: &Path,
        inside: &str,
        metadata: &fs::Metadata,
    ) -> io::Result<()> {
        let kind = metadata.file_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            // Sockets and devices mean nothing elsewhere.
            return Ok(());
        }
        let mut header = tar::Header::new_gnu();
        header.set_metadata(metadata);
        // Files of a context belong to root in the image, whoever builds.
        header.set_uid(0);
        header.set_gid(0);
        if kind.is_symlink() {
            return archive.append_link(&mut header, inside, fs::read_link(path)?);
        }
        if kind.is_dir() {
            return archive.append_data(&mut header, format!("{inside}/"), io::empty());
        }
        let size = metadata.len();
        // A file that grows meanwhile is cut; one that shrinks is filled up: the archive stays whole.
        let content = fs::File::open(path)?.take(size).chain(io::repeat(0)).take(size);
        archive.append_data(&mut header, inside, content)
    }
}

/// Passes pieces on to an asynchronous reader.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_context_holds_what_is_not_left_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::create_dir_all(root.join("out/deep")).expect("made");
        fs::create_dir_all(root.join("in")).expect("made");
        for name in ["Dockerfile", "in/a", "in/b.log", "out/deep/keep", "out/drop"] {
            fs::write(root.join(name), name).expect("written");
        }
        std::os::unix::fs::symlink("in/a", root.join("link")).expect("linked");
        fs::write(root.join(".dockerignore"), "out\n!out/deep/keep\n**/*.log\nDockerfile\n").expect("written");
        let mut archive = ContextArchive::of(root).expect("a context");
        archive.always.push("Dockerfile".to_owned());
        archive.extra = Some(("extra".to_owned(), b"x".to_vec()));
        let mut bytes = Vec::new();
        archive.stream().read_to_end(&mut bytes).await.expect("read");
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .expect("entries")
            .map(|entry| entry.expect("good").path().expect("a path").display().to_string())
            .collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "in/", "in/a", "link", "out/deep/keep", "extra"]);
    }
}
