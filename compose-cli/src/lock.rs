//! One change of a project at a time on one host: a lock file for each engine and project.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use compose_model::names::ProjectName;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::environment::Environment;
use crate::output::Output;

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(crate) struct ProjectLock {
    _file: Option<File>,
}

/// Where lock files live: the user's runtime directory, else the common directory for temporary
/// files, with the user's number in the name.
fn directory(environment: &Environment) -> PathBuf {
    match environment.get("XDG_RUNTIME_DIR") {
        Some(runtime) => PathBuf::from(runtime).join("compose"),
        None => PathBuf::from(format!("/tmp/compose-{}", rustix::process::getuid().as_raw())),
    }
}

/// Takes the lock; waits, saying so, while another run of this program changes the project.
///
/// A host where no lock file can be made is no reason to refuse: the lock keeps two runs apart,
/// the plans converge without it too.
pub(crate) async fn lock(
    environment: &Environment,
    engine: &str,
    project: &ProjectName,
    verb: &str,
    output: &Output,
) -> ProjectLock {
    let none = ProjectLock { _file: None };
    let directory = directory(environment);
    if std::fs::create_dir_all(&directory).is_err() {
        return none;
    }
    let digest = Sha256::digest(engine.as_bytes());
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let path = directory.join(format!("{project}-{digest}.lock"));
    let Ok(mut file) = File::options().read(true).write(true).create(true).truncate(false).open(&path) else {
        return none;
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let holder = holder.trim();
        let holder = if holder.is_empty() { "another run" } else { holder };
        output.message(format!("Waiting for {holder}, which is changing project {project:?} ...\n"));
        let waiting =
            tokio::task::spawn_blocking(move || flock(&file, FlockOperation::LockExclusive).map(|()| file)).await;
        match waiting {
            Ok(Ok(locked)) => file = locked,
            _ => return none,
        }
    }
    let _ = file.set_len(0);
    let _ = file.rewind();
    let _ = write!(file, "`compose {verb}` (process {})", std::process::id());
    ProjectLock { _file: Some(file) }
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        if let Some(file) = &self._file {
            let _ = file.set_len(0);
        }
    }
}
