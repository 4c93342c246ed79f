//! The only door to the file system.
//!
//! [`DiskFiles`] reads real files and refuses what would hang or flood a run (FIFOs, devices,
//! huge files); [`MemoryFiles`] is for tests and for callers that hold the texts already.
//! Paths are absolute text with `/`; nothing is relative to a process's working directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};

/// A Compose file or env file larger than this is refused.
pub const SIZE_LIMIT: u64 = 8 * 1024 * 1024;

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, perhaps through symbolic links.
    File,
    /// A directory.
    Directory,
    /// A FIFO, socket or device.
    Other,
}

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is nothing at this path.
    #[error("no such file or directory")]
    NotFound,
    /// A directory where a file is wanted.
    #[error("is a directory")]
    IsDirectory,
    /// A FIFO, socket or device where a file is wanted.
    #[error("is not a regular file")]
    NotRegular,
    /// Larger than [`SIZE_LIMIT`].
    #[error("is larger than {} MiB", SIZE_LIMIT / 1024 / 1024)]
    TooLarge,
    /// What the operating system says.
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::IsADirectory => Self::IsDirectory,
            io::ErrorKind::PermissionDenied => Self::Other("permission denied".to_owned()),
            io::ErrorKind::NotADirectory => Self::Other("not a directory".to_owned()),
            // "File name too long (os error 36)": the number helps nobody.
            _ => {
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or_default();
                Self::Other(text.to_lowercase())
            }
        }
    }
}

/// Reads files by absolute path.
pub trait Files {
    /// The whole content of a regular file.
    ///
    /// # Errors
    /// If there is no such file, it is no regular file, it is larger than [`SIZE_LIMIT`], or the
    /// operating system refuses.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;

    /// What lies at a path, symbolic links followed; `None` if nothing does.
    fn kind(&self, path: &str) -> Option<Kind>;

    /// The path with every symbolic link resolved, if all of it exists.
    fn real_path(&self, path: &str) -> Option<String>;

    /// Whether a regular file lies there.
    fn is_file(&self, path: &str) -> bool {
        self.kind(path) == Some(Kind::File)
    }
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        // `/dev/null` is the usual way to say "no env file".
        if path == "/dev/null" {
            return Ok(Vec::new());
        }
        // Looked at before opening, since opening a FIFO waits for a writer.
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(FileError::IsDirectory);
        }
        if !metadata.is_file() {
            return Err(FileError::NotRegular);
        }
        if metadata.len() > SIZE_LIMIT {
            return Err(FileError::TooLarge);
        }
        let mut content = Vec::new();
        // Files below /proc report no size, hence the second guard.
        fs::File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut content)?;
        if content.len() as u64 > SIZE_LIMIT {
            return Err(FileError::TooLarge);
        }
        Ok(content)
    }

    fn kind(&self, path: &str) -> Option<Kind> {
        let metadata = fs::metadata(path).ok()?;
        Some(if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_file() {
            Kind::File
        } else {
            Kind::Other
        })
    }

    fn real_path(&self, path: &str) -> Option<String> {
        fs::canonicalize(path).ok()?.into_os_string().into_string().ok()
    }
}

/// Files held in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
    directories: BTreeSet<String>,
}

impl MemoryFiles {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file by absolute path; the directories above it exist from then on.
    #[must_use]
    pub fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        for (index, _) in path.match_indices('/') {
            self.directories.insert(path[..index.max(1)].to_owned());
        }
        self.files.insert(path.to_owned(), content.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        match self.files.get(path) {
            Some(content) if content.len() as u64 > SIZE_LIMIT => Err(FileError::TooLarge),
            Some(content) => Ok(content.clone()),
            None if path == "/dev/null" => Ok(Vec::new()),
            None if self.directories.contains(path) => Err(FileError::IsDirectory),
            None => Err(FileError::NotFound),
        }
    }

    fn kind(&self, path: &str) -> Option<Kind> {
        if self.files.contains_key(path) {
            Some(Kind::File)
        } else {
            self.directories.contains(path).then_some(Kind::Directory)
        }
    }

    fn real_path(&self, path: &str) -> Option<String> {
        self.kind(path).map(|_| path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_of_sane_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        assert_eq!(DiskFiles.read(&path("none")), Err(FileError::NotFound));
        assert_eq!(DiskFiles.read(&path("")), Err(FileError::IsDirectory));
        fs::File::create(path("large")).unwrap().set_len(SIZE_LIMIT + 1).unwrap();
        assert_eq!(DiskFiles.read(&path("large")), Err(FileError::TooLarge));
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        assert_eq!(DiskFiles.read(&path("socket")), Err(FileError::NotRegular));
        assert_eq!(DiskFiles.read("/dev/zero"), Err(FileError::NotRegular));
        assert_eq!(DiskFiles.read("/dev/null"), Ok(Vec::new()));
        std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
        assert!(matches!(DiskFiles.read(&path("loop")), Err(FileError::Other(_))));
    }

    #[test]
    fn files_in_memory_have_directories_above_them() {
        let files = MemoryFiles::new().with("/a/b/c.yaml", "x");
        assert_eq!(files.kind("/a/b"), Some(Kind::Directory));
        assert_eq!(files.kind("/"), Some(Kind::Directory));
        assert_eq!(files.read("/a/b/c.yaml"), Ok(b"x".to_vec()));
        assert_eq!(files.read("/a"), Err(FileError::IsDirectory));
    }
}
