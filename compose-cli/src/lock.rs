//! One change of a project at a time on one host: a lock file for each engine and project.
//!
//! While it is held the file tells who holds it, and which containers are being stopped or removed.
//! Where a run is killed, that stays in the file: an engine goes on with what a dead client asked for,
//! so the next run waits for it before it looks at what is there.

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
    file: Option<File>,
    /// Who held it last, if that run was killed.
    pub(crate) left_by: String,
    /// What that run had asked for without hearing how it ended.
    pub(crate) unfinished: Vec<Ending>,
}

/// A container that is about to stop or to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// Its identity.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// When it is over at the latest, in seconds of Unix time.
    pub(crate) until: i64,
}

/// What is told of a step when it begins and when it has ended.
const BEGINS: &str = "ending";
const ENDED: &str = "ended";

/// The endings in a lock file that were begun and did not end.
fn unfinished(text: &str) -> Vec<Ending> {
    let mut open: Vec<Ending> = Vec::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [BEGINS, until, id, name] => {
                let ending = |until| Ending { id: (*id).to_owned(), name: (*name).to_owned(), until };
                open.extend(until.parse().ok().map(ending));
            }
            [ENDED, id] => open.retain(|ending| ending.id != *id),
            _ => {}
        }
    }
    open
}

impl ProjectLock {
    /// Notes that a container is about to stop or to go. A file that cannot be written only costs what
    /// the next run would have learned from it.
    pub(crate) fn begins(&self, ending: &Ending) {
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(format!("{BEGINS} {} {} {}\n", ending.until, ending.id, ending.name).as_bytes());
        }
    }

    /// Notes that it has.
    pub(crate) fn ended(&self, ending: &Ending) {
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(format!("{ENDED} {}\n", ending.id).as_bytes());
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
    let none = ProjectLock { file: None, left_by: String::new(), unfinished: Vec::new() };
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
    ProjectLock { file: Some(file), left_by, unfinished: unfinished(&left) }
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_and_did_not_end_is_read_from_the_file() {
        let text =
            "`compose down` (process 7)\nending 100 aa p-web-1\nending 90 bb p-db-1\nended aa\nending x cc p-c-1\nendi";
        let expected = Ending { id: "bb".to_owned(), name: "p-db-1".to_owned(), until: 90 };
        assert_eq!(unfinished(text), [expected]);
        assert_eq!(unfinished(""), []);
    }
}
