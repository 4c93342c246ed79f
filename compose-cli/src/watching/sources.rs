//! What changes below the watched paths.
//!
//! The system's notices are hints only: they name paths to look at, and an index of what was there
//! at the last look tells what became of them. So nothing is lost where notices are: in a directory
//! that is filled before it is watched itself, or when a burst overflows the system's queue, after
//! which everything is looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A file that is written twice within this many nanoseconds may have the same time both times:
/// clocks of file systems tick, some of them in whole seconds.
const TICK: i128 = 20_000_000;
const COARSE_TICK: i128 = 2_000_000_000;

/// Paths that changed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Gone; of a directory only itself.
    pub(crate) removed: BTreeSet<PathBuf>,
    /// There, new or different.
    pub(crate) written: BTreeSet<PathBuf>,
}

impl Changes {
    fn remove(&mut self, path: &Path) {
        let below = self.written.range(path.to_owned()..).take_while(|written| written.starts_with(path));
        for written in below.cloned().collect::<Vec<_>>() {
            self.written.remove(&written);
        }
        self.removed.insert(path.to_owned());
    }

    /// Adds what came later.
    pub(crate) fn extend(&mut self, later: Self) {
        for path in &later.removed {
            self.remove(path);
        }
        self.written.extend(later.written);
    }
}

/// What the system has noticed.
#[derive(Debug)]
enum Signal {
    /// Something happened to a path; `gone` if what was there has left it.
    Touched { path: PathBuf, gone: bool },
    /// Notices were lost.
    Lost,
}

/// How a file was when it was looked at.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    directory: bool,
    inode: u64,
    mode: u32,
    size: u64,
    /// The time of the last change, which no program can set.
    changed: i128,
    /// The look came so long after that time that any later change has another one.
    settled: bool,
}

impl Stamp {
    /// From what a look that began at `looked` found.
    fn of(metadata: &Metadata, looked: i128) -> Self {
        let directory = metadata.is_dir();
        let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        let tick = if changed % 1_000_000 == 0 { COARSE_TICK } else { TICK };
        Self {
            directory,
            inode: metadata.ino(),
            mode: metadata.mode(),
            // A directory's own time and size change with its entries, which are told by themselves.
            size: if directory { 0 } else { metadata.size() },
            changed: if directory { 0 } else { changed },
            settled: directory || changed + tick < looked,
        }
    }

    /// Whether nothing can have happened to the file between two looks.
    fn is_same(&self, later: &Self) -> bool {
        let key = |stamp: &Self| (stamp.directory, stamp.inode, stamp.mode, stamp.size, stamp.changed);
        self.settled && key(self) == key(later)
    }
}

/// Says of a directory that nothing below it is of interest.
pub(crate) type Skip = Box<dyn Fn(&Path) -> bool + Send>;

/// The watched paths.
pub(crate) struct Sources {
    watcher: RecommendedWatcher,
    signals: UnboundedReceiver<Signal>,
    roots: Vec<PathBuf>,
    skip: Skip,
    entries: BTreeMap<PathBuf, Stamp>,
    watched: BTreeSet<PathBuf>,
    dirty: BTreeSet<PathBuf>,
    gone: BTreeSet<PathBuf>,
    lost: bool,
    looked: i128,
}

impl Sources {
    /// Begins to watch files and directories. One that is not there yet is awaited.
    ///
    /// # Errors
    /// The system cannot watch so much.
    pub(crate) fn watch(roots: Vec<PathBuf>, skip: Skip) -> anyhow::Result<Self> {
        let (sender, signals) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| pass_on(event, &sender))
            .context("cannot watch files: the system gives no notices of changes")?;
        let mut sources = Self {
            watcher,
            signals,
            roots,
            skip,
            entries: BTreeMap::new(),
            watched: BTreeSet::new(),
            dirty: BTreeSet::new(),
            gone: BTreeSet::new(),
            lost: false,
            looked: now(),
        };
        let mut changes = Changes::default();
        sources.enter_roots(&mut changes)?;
        Ok(sources)
    }

    /// Waits for a notice that is of interest, and takes all that have come with it. Nothing is
    /// lost if this is dropped.
    pub(crate) async fn notice(&mut self) {
        while let Some(signal) = self.signals.recv().await {
            let mut interesting = self.take(signal);
            while let Ok(signal) = self.signals.try_recv() {
                interesting |= self.take(signal);
            }
            if interesting {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    fn take(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Lost => self.lost = true,
            Signal::Touched { path, gone } => {
                // The directory above a root is watched where the root itself cannot be.
                let above = self.roots.iter().any(|root| root.starts_with(&path) && root != &path);
                if !above && !self.is_below_a_root(&path) {
                    return false;
                }
                if gone {
                    self.gone.insert(path.clone());
                }
                self.dirty.insert(path);
            }
        }
        true
    }

    fn is_below_a_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    /// Looks at everything that notices have come of.
    ///
    /// # Errors
    /// The system cannot watch what is new.
    pub(crate) fn look(&mut self) -> anyhow::Result<Changes> {
        let mut changes = Changes::default();
        let (dirty, gone) = (std::mem::take(&mut self.dirty), std::mem::take(&mut self.gone));
        self.looked = now();
        if std::mem::take(&mut self.lost) {
            self.look_everywhere(&mut changes)?;
        }
        // What has left goes first: a directory under a new name keeps the system's watch.
        let mut there = Vec::new();
        for path in dirty {
            let metadata = fs::symlink_metadata(&path).ok();
            let known = self.entries.get(&path).copied();
            let directory = metadata.as_ref().is_some_and(Metadata::is_dir);
            let replaced = known.is_some_and(|known| {
                let other = metadata.as_ref().is_none_or(|metadata| {
                    metadata.ino() != known.inode || known.directory != directory || gone.contains(&path)
                });
                other && (known.directory || metadata.is_none() || directory)
            });
            if replaced {
                self.forget(&path, &mut changes);
            }
            if let Some(metadata) = metadata {
                there.push((path, metadata));
            }
        }
        for (path, metadata) in there {
            if !self.is_below_a_root(&path) || (metadata.is_dir() && (self.skip)(&path)) {
                continue;
            }
            let stamp = Stamp::of(&metadata, self.looked);
            match self.entries.get(&path) {
                // A late notice of what was seen already; acting on it again would restart, or
                // execute, twice.
                Some(known) if known.is_same(&stamp) => {}
                None if stamp.directory => self.enter(&path, &metadata, &mut changes)?,
                _ => {
                    self.entries.insert(path.clone(), stamp);
                    changes.written.insert(path);
                }
            }
        }
        self.enter_roots(&mut changes)?;
        Ok(changes)
    }

    /// Takes up the roots that have appeared, and watches for those that are missing.
    fn enter_roots(&mut self, changes: &mut Changes) -> anyhow::Result<()> {
        for root in self.roots.clone() {
            if self.entries.contains_key(&root) {
                continue;
            }
            let mut tried: Option<&Path> = None;
            loop {
                if let Ok(metadata) = fs::symlink_metadata(&root) {
                    if !metadata.is_dir()
                        && let Some(parent) = root.parent()
                    {
                        // An editor replaces a file; its directory tells of that.
                        self.watch_anew(parent)?;
                    }
                    self.enter(&root, &metadata, changes)?;
                    break;
                }
                let above = root.ancestors().skip(1).find(|above| above.is_dir());
                if above == tried {
                    break;
                }
                // Looked at again after what is above is watched: it may have come in between.
                if let Some(above) = above {
                    self.watch_anew(above)?;
                }
                tried = above;
            }
        }
        Ok(())
    }

    /// Takes up a path with everything below it; what was not known is written.
    fn enter(&mut self, path: &Path, metadata: &Metadata, changes: &mut Changes) -> anyhow::Result<()> {
        let mut open = vec![(path.to_owned(), Stamp::of(metadata, self.looked))];
        while let Some((path, stamp)) = open.pop() {
            if stamp.directory {
                if (self.skip)(&path) {
                    continue;
                }
                // Before it is listed, so that what comes meanwhile is told.
                self.watch_directory(&path)?;
                for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                    if let Ok(metadata) = entry.metadata() {
                        open.push((entry.path(), Stamp::of(&metadata, self.looked)));
                    }
                }
            }
            if self.entries.insert(path.clone(), stamp).is_none_or(|known| !known.is_same(&stamp)) {
                changes.written.insert(path);
            }
        }
        Ok(())
    }

    /// Watches a directory that may be another one than when it was watched before.
    fn watch_anew(&mut self, path: &Path) -> anyhow::Result<()> {
        self.watched.remove(path);
        self.watch_directory(path)
    }

    fn watch_directory(&mut self, path: &Path) -> anyhow::Result<()> {
        if self.watched.contains(path) {
            return Ok(());
        }
        match self.watcher.watch(path, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(path.to_owned());
                Ok(())
            }
            Err(error) => match error.kind {
                // It has gone meanwhile.
                notify::ErrorKind::PathNotFound => Ok(()),
                notify::ErrorKind::Io(ref cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
                notify::ErrorKind::MaxFilesWatch => anyhow::bail!(
                    "cannot watch {}: the system watches {} directories for this program and allows no more. Raise the \
                     limit (sysctl fs.inotify.max_user_watches) or leave out directories with `ignore`",
                    path.display(),
                    self.watched.len()
                ),
                _ => Err(error).with_context(|| format!("cannot watch {}", path.display())),
            },
        }
    }

    /// Drops a path and everything below it. A root stays in the container as an empty directory,
    /// since it may be the place of a mount.
    fn forget(&mut self, path: &Path, changes: &mut Changes) {
        let below: Vec<PathBuf> = self
            .entries
            .range(path.to_owned()..)
            .map(|(below, _)| below)
            .take_while(|below| below.starts_with(path))
            .cloned()
            .collect();
        let is_root = self.roots.iter().any(|root| root == path);
        for entry in below {
            let stamp = self.entries.remove(&entry);
            if self.watched.remove(&entry) {
                // The system drops the watch of a removed directory by itself.
                let _ = self.watcher.unwatch(&entry);
            }
            let directory = stamp.is_some_and(|stamp| stamp.directory);
            if entry == path && !(is_root && directory) || is_root && entry.parent() == Some(path) {
                changes.remove(&entry);
            }
        }
    }

    /// Compares everything with the index.
    fn look_everywhere(&mut self, changes: &mut Changes) -> anyhow::Result<()> {
        let before = std::mem::take(&mut self.entries);
        // A directory of the same name may be another one: every watch is set anew.
        self.watched.clear();
        let mut all = Changes::default();
        self.enter_roots(&mut all)?;
        for path in all.written {
            let same = match (self.entries.get(&path), before.get(&path)) {
                (Some(now), Some(then)) => then.is_same(now),
                _ => false,
            };
            if !same {
                changes.written.insert(path);
            }
        }
        let mut last: Option<PathBuf> = None;
        for (path, then) in before {
            let kept = self.entries.get(&path).is_some_and(|now| now.directory == then.directory);
            if kept || last.as_ref().is_some_and(|last| path.starts_with(last)) {
                continue;
            }
            if !(then.directory && self.roots.contains(&path)) {
                changes.removed.insert(path.clone());
                last = Some(path);
            }
        }
        Ok(())
    }
}

fn now() -> i128 {
    crate::time_format::now().as_nanosecond()
}

/// Runs on the thread of the watcher.
fn pass_on(event: notify::Result<notify::Event>, sender: &UnboundedSender<Signal>) {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // What went wrong is unknown, and so is what was missed.
        Ok(_) | Err(_) => return drop(sender.send(Signal::Lost)),
    };
    let gone = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => return,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => true,
        _ => false,
    };
    let both = event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::Both));
    for (index, path) in event.paths.into_iter().enumerate() {
        let _ = sender.send(Signal::Touched { path, gone: gone || (both && index == 0) });
    }
}

#[cfg(test)]
mod tests;
