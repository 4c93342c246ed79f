//! The log process: one per running container, a child of its shim, so that it outlives this
//! program, the supervisor and containerd.
//!
//! It reads the container's standard output and error and appends json-file lines to the log
//! file, rotated by size. It never gives up on an error of the file: a dead log process would
//! kill the container with EPIPE at its next write; on a full disk lines are dropped. How the
//! file is read back is in [`crate::logs`].

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

/// File of the options in a container's directory.
pub(crate) const OPTIONS_FILE: &str = "log-options.json";
/// Longest piece of a line in one entry, as dockerd's.
const PIECE: usize = 16 * 1024;
/// How long an unfinished line may stay unwritten.
const IDLE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Options of the log process, written by whoever creates the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogSettings {
    /// The log file.
    pub(crate) path: PathBuf,
    /// Bytes after which the file is rotated; 0: never.
    pub(crate) max_size: u64,
    /// How many files are kept, the current one included.
    pub(crate) max_files: u32,
    /// Whether nothing is kept (`driver: none`).
    pub(crate) discard: bool,
}

/// The log process's `main`. `arguments` are what follows the hidden argument: the container's
/// directory when containerd's shim starts it (output comes on descriptors 3 and 4, descriptor 5
/// says "ready"), or `--pipes DIRECTORY STDOUT STDERR` for named pipes. Returns the exit code.
#[must_use]
pub fn logger_main(arguments: &[String]) -> i32 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (directory, stdout, stderr, by_shim) = match words.as_slice() {
        ["--pipes", directory, stdout, stderr] => (*directory, *stdout, *stderr, false),
        [directory] => (*directory, "/proc/self/fd/3", "/proc/self/fd/4", true),
        _ => return 2,
    };
    // The shim ends its log process with SIGTERM when the task is deleted, while there may still
    // be output in the pipes: a registered handler takes the signal's deadly default away.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return 1 };
    let guard = runtime.enter();
    let signals = [tokio::signal::unix::SignalKind::terminate(), tokio::signal::unix::SignalKind::hangup()];
    let _handlers = signals.map(tokio::signal::unix::signal);
    drop(guard);
    // Last to be killed when memory is short: the container would die with it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    if !by_shim {
        let _ = rustix::process::setsid();
    }

    let settings = std::fs::read(Path::new(directory).join(OPTIONS_FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<LogSettings>(&bytes).ok())
        .unwrap_or_default();
    let log = Arc::new(Mutex::new(LogFile::open(settings)));
    let open = |path: &str| File::open(path);
    let (Ok(stdout), Ok(stderr)) = (open(stdout), open(stderr)) else { return 1 };
    if by_shim {
        close_ready();
    }
    let readers = [(stdout, "stdout"), (stderr, "stderr")].map(|(pipe, stream)| {
        let log = Arc::clone(&log);
        std::thread::spawn(move || copy(pipe, stream, &log))
    });
    for reader in readers {
        let _ = reader.join();
    }
    0
}

/// Tells the shim that the log process reads, by closing descriptor 5.
#[allow(unsafe_code)]
fn close_ready() {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: containerd's log process protocol hands descriptor 5 to this program for this one
    // purpose; nothing else in the process owns it, and it is taken exactly once.
    drop(unsafe { OwnedFd::from_raw_fd(5) });
}

/// Copies one stream until its end, entry by entry.
fn copy(mut pipe: File, stream: &str, log: &Mutex<LogFile>) {
    let mut pending: Vec<u8> = Vec::with_capacity(2 * PIECE);
    let mut buffer = vec![0; PIECE];
    let write = |bytes: &[u8]| log.lock().unwrap_or_else(PoisonError::into_inner).append(stream, bytes);
    loop {
        if !pending.is_empty() {
            let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
            if matches!(poll(&mut ready, Some(&IDLE)), Ok(0)) {
                let whole = whole_characters(&pending);
                if whole > 0 {
                    write(&pending[..whole]);
                    pending.drain(..whole);
                }
            }
        }
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => pending.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        let mut start = 0;
        while let Some(end) = pending[start..].iter().position(|byte| *byte == b'\n') {
            for piece in pending[start..=start + end].chunks(PIECE) {
                write(piece);
            }
            start += end + 1;
        }
        pending.drain(..start);
        while pending.len() >= PIECE {
            let whole = whole_characters(&pending[..PIECE]).max(1);
            write(&pending[..whole]);
            pending.drain(..whole);
        }
    }
    if !pending.is_empty() {
        write(&pending);
    }
}

/// Length of the part that does not end inside a UTF-8 character.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

/// The log file with its rotation.
struct LogFile {
    settings: LogSettings,
    file: Option<File>,
    written: u64,
}

impl LogFile {
    fn open(settings: LogSettings) -> Self {
        let mut log = Self { settings, file: None, written: 0 };
        log.reopen();
        log
    }

    fn reopen(&mut self) {
        self.file = if self.settings.discard || self.settings.path.as_os_str().is_empty() {
            None
        } else {
            OpenOptions::new().create(true).append(true).mode(0o640).open(&self.settings.path).ok()
        };
        self.written = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.size());
    }

    fn append(&mut self, stream: &str, bytes: &[u8]) {
        #[derive(Serialize)]
        struct Entry<'a> {
            log: &'a str,
            stream: &'a str,
            time: String,
        }
        let time = jiff::Timestamp::now();
        let entry = Entry {
            log: &String::from_utf8_lossy(bytes),
            stream,
            time: jiff::fmt::temporal::DateTimePrinter::new().precision(Some(9)).timestamp_to_string(&time),
        };
        let Ok(mut line) = serde_json::to_vec(&entry) else { return };
        line.push(b'\n');
        if self.settings.max_size > 0
            && self.written > 0
            && self.written + line.len() as u64 > self.settings.max_size
            && self.file.is_some()
        {
            self.rotate();
        }
        if let Some(file) = &mut self.file
            && file.write_all(&line).is_ok()
        {
            self.written += line.len() as u64;
        }
    }

    /// `log` becomes `log.1`, `log.1` becomes `log.2`, ...; the oldest one goes.
    fn rotate(&mut self) {
        let numbered = |number: u32| {
            let mut name = self.settings.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        self.file = None;
        let kept = self.settings.max_files.max(1);
        if kept == 1 {
            let _ = std::fs::remove_file(&self.settings.path);
        } else {
            for number in (1..kept - 1).rev() {
                let _ = std::fs::rename(numbered(number), numbered(number + 1));
            }
            let _ = std::fs::rename(&self.settings.path, numbered(1));
        }
        self.reopen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_partial_lines_and_long_lines_become_entries_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x-json.log");
        let settings = LogSettings { path: path.clone(), max_files: 1, ..LogSettings::default() };
        let input = directory.path().join("input");
        let long = "x".repeat(40_000);
        std::fs::write(&input, format!("one\ntwo \"ü\"\n{long}\nend")).unwrap();
        let log = Mutex::new(LogFile::open(settings));
        copy(File::open(&input).unwrap(), "stdout", &log);
        let text = std::fs::read_to_string(&path).unwrap();
        let entries: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(entries.concat(), std::fs::read_to_string(&input).unwrap());
        assert_eq!(entries[0], "one\n");
        assert!(entries.iter().all(|entry| entry.len() <= PIECE));
        assert_eq!(entries.len(), 6);
    }

    #[test]
    fn rotation_keeps_the_wanted_number_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x-json.log");
        let mut log = LogFile::open(LogSettings { path, max_size: 200, max_files: 3, discard: false });
        for number in 0..20 {
            log.append("stdout", format!("line {number}\n").as_bytes());
        }
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x-json.log", "x-json.log.1", "x-json.log.2"]);
        assert!(std::fs::read_to_string(directory.path().join("x-json.log")).unwrap().contains("line 19"));
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        assert_eq!(whole_characters("aü".as_bytes()), 3);
        assert_eq!(whole_characters(&"aü".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&[0xff, 0xfe]), 2);
    }
}
