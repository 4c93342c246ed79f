//! Reading log files back: the past, and what comes, by file events.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use compose_runtime::error::Result;
use compose_runtime::port::{Channel, Items, LogChunk, LogOptions};
use containerd_client::types::v1::Status;
use jiff::Timestamp;
use rustix::fs::inotify;
use serde::Deserialize;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::client::local;
use crate::core::Core;
use crate::time;

/// Pieces that wait for a slow reader.
const QUEUE: usize = 256;

#[derive(Deserialize)]
struct Entry {
    log: String,
    stream: String,
    time: String,
}

/// What is wanted of the entries.
#[derive(Clone, Debug, Default)]
struct Filter {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    timestamps: bool,
}

/// Where a reader is within a line, for each stream, so that a line in pieces gets one time.
#[derive(Default)]
struct Lines {
    unfinished: [bool; 2],
}

impl Filter {
    /// The piece for an entry; `None` where it is not wanted or not readable.
    fn piece(&self, line: &[u8], lines: &mut Lines) -> Option<LogChunk> {
        let entry: Entry = serde_json::from_slice(line).ok()?;
        if self.since.is_some() || self.until.is_some() {
            let at: Timestamp = entry.time.parse().ok()?;
            if self.since.is_some_and(|since| at < since) || self.until.is_some_and(|until| at > until) {
                return None;
            }
        }
        let channel = if entry.stream == "stderr" { Channel::Stderr } else { Channel::Stdout };
        let unfinished = &mut lines.unfinished[usize::from(channel == Channel::Stderr)];
        let continues = std::mem::replace(unfinished, !entry.log.ends_with('\n'));
        let bytes = if self.timestamps && !continues { format!("{} {}", entry.time, entry.log) } else { entry.log };
        Some(LogChunk { channel, bytes: Bytes::from(bytes) })
    }
}

/// The files of a log, the oldest one first: `log.2`, `log.1`, `log`.
fn files(path: &Path) -> Vec<PathBuf> {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    let mut found: Vec<PathBuf> = (1..).map(numbered).take_while(|path| path.exists()).collect();
    found.reverse();
    found.push(path.to_owned());
    found
}

/// Reads a log file entry by entry and goes on in the next one when it is rotated.
struct Tail {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    partial: Vec<u8>,
}

impl Tail {
    /// From the end of what is there, or from the begin.
    fn open(path: &Path, at_end: bool) -> Self {
        use std::io::{Seek, SeekFrom};
        let mut file = File::open(path).ok();
        if at_end && let Some(file) = &mut file {
            let _ = file.seek(SeekFrom::End(0));
        }
        Self { path: path.to_owned(), reader: file.map(BufReader::new), partial: Vec::new() }
    }

    /// Opens the file if it was not there before.
    fn ensure_open(&mut self) {
        if self.reader.is_none() {
            self.reader = File::open(&self.path).ok().map(BufReader::new);
        }
    }

    /// The next complete entry that is there already.
    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.reader.is_none() {
                self.reader = Some(BufReader::new(File::open(&self.path).ok()?));
            }
            let reader = self.reader.as_mut()?;
            reader.by_ref().read_until(b'\n', &mut self.partial).ok()?;
            if self.partial.ends_with(b"\n") {
                return Some(std::mem::take(&mut self.partial));
            }
            // At the end: of this file, or of one that was rotated away meanwhile?
            let inode = reader.get_ref().metadata().map(|metadata| metadata.ino()).ok();
            let current = std::fs::metadata(&self.path).map(|metadata| metadata.ino()).ok()?;
            if inode == Some(current) {
                return None;
            }
            self.reader = None;
            self.partial.clear();
        }
    }
}

/// Tells when something changes in a directory.
struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    fn new(directory: &Path) -> Result<Self> {
        let failed = |error: rustix::io::Errno| local(directory.display(), error);
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
        let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, directory, what).map_err(failed)?;
        register(watch).map(Self).map_err(|error| local(directory.display(), error))
    }

    async fn changed(&self) {
        let mut buffer = [0; 4096];
        let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
        while rustix::io::read(self.0.get_ref(), &mut buffer).is_ok_and(|read| read > 0) {}
        ready.clear_ready();
    }
}

#[allow(unsafe_code)]
fn register(watch: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is the same open descriptor for as long as it lives, and the
    // `AsyncFd` owns it.
    unsafe { AsyncFd::register(watch) }.map_err(std::io::Error::from)
}

impl Core {
    fn log_path(&self, id: &str) -> PathBuf {
        self.data_directory(id).join(format!("{id}-json.log"))
    }

    /// The log of a container; with `follow`, until it ends.
    pub(crate) async fn read_logs(&self, container: &str, options: &LogOptions) -> Result<Items<LogChunk>> {
        let (found, _) = self.find_own(container).await?;
        let path = self.log_path(&found.id);
        let filter = Filter {
            since: time::parse(&options.since),
            until: time::parse(&options.until),
            timestamps: options.timestamps,
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let watch = if options.follow { Some(Watch::new(&self.data_directory(&found.id))?) } else { None };
        let (core, tail, id) = (self.clone(), options.tail, found.id);
        tokio::spawn(async move {
            let past_sender = sender.clone();
            let past_filter = filter.clone();
            let past = tokio::task::spawn_blocking(move || read_past(&path, tail, &past_filter, &past_sender)).await;
            if let (Ok((current, lines)), Some(watch)) = (past, watch) {
                core.follow(&id, current, lines, &filter, watch, &sender).await;
            }
        });
        Ok(from_channel(receiver))
    }

    /// What a container writes from now on (or all of it), until it ends. It need not be started
    /// yet.
    pub(crate) async fn attach_output(&self, id: &str, replay: bool) -> Result<Items<LogChunk>> {
        let watch = Watch::new(&self.data_directory(id))?;
        let tail = Tail::open(&self.log_path(id), !replay);
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (core, id) = (self.clone(), id.to_owned());
        let hold = self.hold(&id);
        tokio::spawn(async move {
            let filter = Filter::default();
            // Before the start there is no task whose end could be waited for.
            if core.task(&id).await.is_ok_and(|task| task.is_none())
                && core.wait_for_start(&id, &sender).await.is_none()
            {
                return;
            }
            core.follow(&id, tail, Lines::default(), &filter, watch, &sender).await;
            drop(hold);
            // Nobody else reads: one that removes itself may go now.
            let _ = core.reap(&id).await;
        });
        Ok(from_channel(receiver))
    }

    /// Waits until a container has a task; `None` if nobody listens any more or it is removed.
    async fn wait_for_start(&self, id: &str, sender: &mpsc::Sender<Result<LogChunk>>) -> Option<()> {
        let mut events = self
            .subscribe(&[
                format!("topic==\"/tasks/create\",event.container_id==\"{id}\""),
                format!("topic==\"/containers/delete\",event.id==\"{id}\""),
            ])
            .await
            .ok()?;
        // Subscribed first, looked at afterwards: nothing falls between.
        if self.task(id).await.ok()?.is_some() {
            return Some(());
        }
        loop {
            let topic = tokio::select! {
                event = events.message() => event.ok()??.topic,
                () = sender.closed() => return None,
            };
            match topic.as_str() {
                "/tasks/create" => return Some(()),
                "/containers/delete" => return None,
                _ => {}
            }
        }
    }

    async fn follow(
        &self,
        id: &str,
        mut tail: Tail,
        mut lines: Lines,
        filter: &Filter,
        watch: Watch,
        sender: &mpsc::Sender<Result<LogChunk>>,
    ) {
        let end = self.end_of_output(id);
        tokio::pin!(end);
        let mut ended = false;
        loop {
            while let Some(line) = tail.next() {
                if let Some(piece) = filter.piece(&line, &mut lines)
                    && sender.send(Ok(piece)).await.is_err()
                {
                    return;
                }
            }
            if ended {
                return;
            }
            tokio::select! {
                () = watch.changed() => {}
                () = &mut end => {
                    // Open before it may be removed.
                    tail.ensure_open();
                    if let Err(error) = self.reap(id).await {
                        tracing::debug!(container = id, %error, "reaping after the end of the output");
                    }
                    ended = true;
                }
                () = sender.closed() => return,
            }
        }
    }

    /// Keeps a container that removes itself until its output has been read.
    fn hold(&self, id: &str) -> Option<File> {
        let file = File::create(self.hold_path(id)).ok()?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).ok()?;
        Some(file)
    }

    /// Ends when the process has ended. Its task is still to be deleted, which ends the log
    /// process: the log is complete then.
    async fn end_of_output(&self, id: &str) {
        let running = self.task(id).await.ok().flatten().is_some_and(|task| task.status() != Status::Stopped);
        if running {
            let _ = self.wait_task(id).await;
        }
    }
}

fn from_channel(receiver: mpsc::Receiver<Result<LogChunk>>) -> Items<LogChunk> {
    Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    }))
}

/// Sends what the log files hold and returns the place to go on from.
fn read_past(
    path: &Path,
    tail: Option<u64>,
    filter: &Filter,
    sender: &mpsc::Sender<Result<LogChunk>>,
) -> (Tail, Lines) {
    let mut lines = Lines::default();
    let mut kept: VecDeque<Vec<LogChunk>> = VecDeque::new();
    let wanted = tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let mut fresh = true;
    let all = files(path);
    let mut current = None;
    for (index, file) in all.iter().enumerate() {
        let mut reader = Tail::open(file, false);
        while let Some(line) = reader.next() {
            let Some(piece) = filter.piece(&line, &mut lines) else { continue };
            match wanted {
                None => {
                    if sender.blocking_send(Ok(piece)).is_err() {
                        break;
                    }
                }
                Some(wanted) => {
                    // Pieces of one line stay together.
                    let complete = piece.bytes.ends_with(b"\n");
                    match kept.back_mut().filter(|_| !fresh) {
                        Some(last) => last.push(piece),
                        None => kept.push_back(vec![piece]),
                    }
                    fresh = complete;
                    if kept.len() > wanted {
                        kept.pop_front();
                        fresh |= kept.is_empty();
                    }
                }
            }
        }
        if index + 1 == all.len() {
            current = Some(reader);
        }
    }
    for piece in kept.into_iter().flatten() {
        if sender.blocking_send(Ok(piece)).is_err() {
            break;
        }
    }
    (current.unwrap_or_else(|| Tail::open(path, true)), lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(log: &str, second: u32) -> String {
        let entry = serde_json::json!({
            "log": log, "stream": "stdout", "time": format!("2026-01-01T00:00:{second:02}.000000000Z")
        });
        format!("{entry}\n")
    }

    fn past(path: &Path, tail: Option<u64>, filter: &Filter) -> Vec<String> {
        let (sender, mut receiver) = mpsc::channel(1000);
        read_past(path, tail, filter, &sender);
        drop(sender);
        let mut pieces = Vec::new();
        while let Ok(Ok(piece)) = receiver.try_recv() {
            pieces.push(String::from_utf8(piece.bytes.to_vec()).unwrap());
        }
        pieces
    }

    #[test]
    fn the_past_is_read_over_rotated_files_by_lines_and_times() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(directory.path().join("log.1"), [entry("a\n", 1), entry("b", 2), entry("c\n", 3)].concat())
            .unwrap();
        std::fs::write(&path, [entry("d\n", 4), "{torn".to_owned()].concat()).unwrap();
        let everything = Filter::default();
        assert_eq!(past(&path, None, &everything).concat(), "a\nbc\nd\n");
        assert_eq!(past(&path, Some(2), &everything).concat(), "bc\nd\n");
        assert_eq!(past(&path, Some(0), &everything).concat(), "");
        let late = Filter { since: time::parse("2026-01-01T00:00:03Z"), ..Filter::default() };
        assert_eq!(past(&path, None, &late).concat(), "c\nd\n");
        let stamped = Filter { timestamps: true, ..Filter::default() };
        assert_eq!(past(&path, Some(2), &stamped)[0], "2026-01-01T00:00:02.000000000Z b");
        assert_eq!(past(&path, Some(2), &stamped)[1], "c\n");
    }

    #[test]
    fn a_reader_goes_on_in_the_new_file_after_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, entry("a\n", 1)).unwrap();
        let mut tail = Tail::open(&path, false);
        assert!(tail.next().is_some());
        assert!(tail.next().is_none());
        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        std::fs::write(&path, entry("b\n", 2)).unwrap();
        assert!(String::from_utf8(tail.next().unwrap()).unwrap().contains("b\\n"));
    }
}
