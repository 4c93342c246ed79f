//! Locks against other processes of this program: one for each container, and those for all.

use std::fs::File;
use std::path::{Path, PathBuf};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::Container;
use rustix::fs::FlockOperation;

use crate::client::{local, optional};
use crate::core::{Core, is_identity, private_directory};
use crate::record::Record;

/// See [`Core::share_creation`].
const CREATION_LOCK: &str = "creation";

impl Core {
    /// Directory of this namespace's lock files: those for all, one for each container.
    pub(crate) fn locks_directory(&self) -> PathBuf {
        self.namespaced(&self.settings.state_root, "locks")
    }

    /// Held together by all who make containers, from the first directory to the record.
    pub(crate) async fn share_creation(&self) -> Result<FileLock> {
        self.share_lock_at(&self.locks_directory(), CREATION_LOCK).await
    }

    /// Held alone: nobody makes a container meanwhile.
    pub(crate) async fn lock_creation(&self) -> Result<FileLock> {
        self.lock_at(&self.locks_directory(), CREATION_LOCK).await
    }

    /// Holds the lock on the containers' names until the guard is dropped, also against other
    /// processes.
    pub(crate) async fn lock_names(&self) -> Result<FileLock> {
        self.lock_at(&self.locks_directory(), "names").await
    }

    /// Held while volumes are made and filled: two that fill one would be in each other's way.
    pub(crate) async fn lock_volumes(&self) -> Result<FileLock> {
        self.lock_at(&self.locks_directory(), "volumes").await
    }

    /// Holds the lock of a container, also against other processes, and reads the container under
    /// it; not found if it is gone.
    pub(crate) async fn lock_own(&self, id: &str) -> Result<(FileLock, Container, Record)> {
        let path = self.locks_directory().join(id);
        let taken = FileLock::take(&path, FlockOperation::LockExclusive, Missing::Refuse).await?;
        let lock = match taken {
            Taken::Held(lock) => lock,
            // Nobody has needed it since the machine was started, or the container is gone: then a
            // file would be left by whoever is killed now.
            Taken::Missing | Taken::Busy => {
                self.get(id).await?.ok_or_else(|| gone(id))?;
                self.lock_at(&self.locks_directory(), id).await?
            }
        };
        self.read_locked(lock, id).await
    }

    /// The same for a container by name or identity.
    pub(crate) async fn lock_named(&self, name: &str) -> Result<(FileLock, Container, Record)> {
        self.lock_own(&self.identity(name).await?).await
    }

    /// The whole identity of a container; one that is whole already is not looked up.
    pub(crate) async fn identity(&self, name: &str) -> Result<String> {
        if is_identity(name) { Ok(name.to_owned()) } else { Ok(self.find_own(name).await?.0.id) }
    }

    /// The same without waiting: `None` if somebody else holds the lock, or the container is gone.
    pub(crate) async fn try_lock_own(&self, id: &str) -> Result<Option<(FileLock, Container, Record)>> {
        let directory = self.locks_directory();
        let lock = match FileLock::try_take(&directory.join(id), Missing::Refuse)? {
            Taken::Held(lock) => lock,
            Taken::Busy => return Ok(None),
            Taken::Missing => {
                if self.get(id).await?.is_none() {
                    return Ok(None);
                }
                private_directory(&directory)?;
                match FileLock::try_take(&directory.join(id), Missing::Create)? {
                    Taken::Held(lock) => lock,
                    Taken::Busy | Taken::Missing => return Ok(None),
                }
            }
        };
        optional(self.read_locked(lock, id).await)
    }

    async fn read_locked(&self, lock: FileLock, id: &str) -> Result<(FileLock, Container, Record)> {
        match self.find_own(id).await {
            Ok((container, record)) => Ok((lock, container, record)),
            Err(error) => {
                // One that another program made needs none.
                if error.is_not_found() || matches!(error, RuntimeError::Unsupported { .. }) {
                    lock.remove();
                }
                Err(error)
            }
        }
    }

    /// Holds a lock file in a directory.
    pub(crate) async fn lock_at(&self, directory: &Path, name: &str) -> Result<FileLock> {
        self.lock_as(directory, name, FlockOperation::LockExclusive).await
    }

    /// Holds a lock file in a directory together with others who share it.
    pub(crate) async fn share_lock_at(&self, directory: &Path, name: &str) -> Result<FileLock> {
        self.lock_as(directory, name, FlockOperation::LockShared).await
    }

    async fn lock_as(&self, directory: &Path, name: &str, operation: FlockOperation) -> Result<FileLock> {
        private_directory(directory)?;
        let path = directory.join(name);
        match FileLock::take(&path, operation, Missing::Create).await? {
            Taken::Held(lock) => Ok(lock),
            // Cannot be: it waits, and makes the file.
            Taken::Busy | Taken::Missing => Err(local(path.display(), "the lock file comes and goes")),
        }
    }
}

fn gone(id: &str) -> RuntimeError {
    RuntimeError::NotFound { message: format!("no such container: {id}") }
}

/// A lock on a file, also against other processes, until it is dropped.
pub(crate) struct FileLock {
    _file: File,
    path: PathBuf,
}

/// What to do where the lock file is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Create,
    /// Say so: what it guards is gone.
    Refuse,
}

/// What came of taking a lock.
pub(crate) enum Taken {
    Held(FileLock),
    /// Somebody else holds it, or has just removed the file.
    Busy,
    /// There is no file, and none was to be made.
    Missing,
}

impl FileLock {
    /// Takes the lock without waiting.
    pub(crate) fn try_take(path: &Path, missing: Missing) -> Result<Taken> {
        Self::attempt(path, FlockOperation::NonBlockingLockExclusive, missing)
    }

    /// Takes the lock, and waits for it. Never [`Taken::Busy`].
    async fn take(path: &Path, operation: FlockOperation, missing: Missing) -> Result<Taken> {
        let path = path.to_owned();
        let taking = tokio::task::spawn_blocking(move || {
            loop {
                match Self::attempt(&path, operation, missing)? {
                    Taken::Busy => {}
                    taken => return Ok(taken),
                }
            }
        });
        taking.await.map_err(|error| local("lock", error))?
    }

    fn attempt(path: &Path, operation: FlockOperation, missing: Missing) -> Result<Taken> {
        use std::os::unix::fs::MetadataExt;
        let opened = File::options().create(missing == Missing::Create).truncate(false).write(true).open(path);
        let file = match opened {
            Err(error) if missing == Missing::Refuse && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Taken::Missing);
            }
            opened => opened.map_err(|error| local(path.display(), error))?,
        };
        match rustix::fs::flock(&file, operation) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Taken::Busy),
            Err(error) => return Err(local(path.display(), error)),
        }
        // Whoever had it may have removed the file; a lock on a nameless file is none.
        let held = file.metadata().map(|metadata| metadata.ino()).ok();
        let current = std::fs::metadata(path).map(|metadata| metadata.ino()).ok();
        let good = held.is_some() && current == held;
        Ok(if good { Taken::Held(Self { _file: file, path: path.to_owned() }) } else { Taken::Busy })
    }

    /// Removes the lock file with what it guarded.
    pub(crate) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::core::Settings;

    #[tokio::test]
    async fn a_lock_that_is_given_up_while_its_container_is_looked_for_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("c.sock");
        // It accepts, and answers nothing: the supervisor is ended while it waits for containerd.
        let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let mut settings = Settings::new(&socket.display().to_string(), "test", PathBuf::new());
        settings.state_root = directory.path().join("state");
        let client = Client::connect(&settings.address, &settings.namespace).await.unwrap();
        let core = Core::new(client, settings, "native".to_owned());
        private_directory(&core.locks_directory()).unwrap();
        for id in ["0123", "4567"] {
            let (mut waits, mut tries) = (Box::pin(core.lock_own(id)), Box::pin(core.try_lock_own(id)));
            // As far as they come by themselves.
            for _ in 0..100 {
                assert!(futures_util::poll!(waits.as_mut()).is_pending());
                assert!(futures_util::poll!(tries.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
        }
        let left: Vec<_> = std::fs::read_dir(core.locks_directory()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_lock_file_is_made_only_where_it_is_wanted_and_goes_with_what_it_guards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert!(matches!(FileLock::try_take(&path, Missing::Refuse).unwrap(), Taken::Missing));
        assert!(!path.exists());
        let Taken::Held(lock) = FileLock::try_take(&path, Missing::Create).unwrap() else { panic!("not held") };
        assert!(matches!(FileLock::try_take(&path, Missing::Refuse).unwrap(), Taken::Busy));
        lock.remove();
        assert!(matches!(FileLock::try_take(&path, Missing::Refuse).unwrap(), Taken::Missing));
    }
}
