//! One change of a project at a time on one host: a lock file for each engine and project.
//!
//! While it is held the file tells who holds it, and what the engine is being asked for. Where a run is killed,
//! or gives up waiting, that stays in the file: an engine goes on with what a client asked for that is gone, so the
//! next run lets it finish before it looks at what is there ([`crate::unfinished`]).

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use compose_model::names::ProjectName;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::environment::Environment;
use crate::output::Output;
use crate::unfinished::Unfinished;

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(crate) struct ProjectLock {
    file: Option<File>,
    /// Who held it last, if that run was killed or gave up waiting.
    pub(crate) left_by: String,
    /// What that run had asked for without hearing how it ended.
    pub(crate) unfinished: Vec<Unfinished>,
    /// How much has been asked for and not answered.
    open: Cell<usize>,
}

impl ProjectLock {
    /// Notes what an engine is about to be asked for. A file that cannot be written only costs what the next run
    /// would have learned from it.
    pub(crate) fn begun(&self, request: &Unfinished) {
        self.open.set(self.open.get().saturating_add(1));
        self.write(&request.begun());
    }

    /// Notes that it has answered.
    pub(crate) fn ended(&self, request: &Unfinished) {
        self.open.set(self.open.get().saturating_sub(1));
        self.write(&request.ended());
    }

    fn write(&self, line: &str) {
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(line.as_bytes());
        }
    }
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
    let none = ProjectLock { file: None, left_by: String::new(), unfinished: Vec::new(), open: Cell::new(0) };
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
        let holder = holder.lines().next().unwrap_or_default();
        let holder = if holder.is_empty() { "another run" } else { holder };
        output.message(format!("Waiting for {holder}, which is changing project {project:?} ...\n"));
        let waiting =
            tokio::task::spawn_blocking(move || flock(&file, FlockOperation::LockExclusive).map(|()| file)).await;
        match waiting {
            Ok(Ok(locked)) => file = locked,
            _ => return none,
        }
    }
    let mut left = String::new();
    let _ = file.rewind();
    let _ = file.read_to_string(&mut left);
    let _ = file.set_len(0);
    let _ = file.rewind();
    let _ = writeln!(file, "`compose {verb}` (process {})", std::process::id());
    let left_by = left.lines().next().unwrap_or_default().to_owned();
    ProjectLock { file: Some(file), left_by, unfinished: Unfinished::read(&left), open: Cell::new(0) }
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|_| self.open.get() == 0) {
            let _ = file.set_len(0);
        }
    }
}
