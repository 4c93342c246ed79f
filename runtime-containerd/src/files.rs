//! Files of a container from outside: archives in and out, what a path is.
//!
//! A running container is seen through its process's root, so with all its mounts. Of one that
//! does not run, the snapshot is mounted with its binds in a thread's own mount namespace. All
//! paths are resolved inside the root by the kernel.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use compose_runtime::error::Result;
use compose_runtime::port::{PathStat, Reader};
use containerd_client::services::v1::Container;
use containerd_client::types::v1::Status;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, fchmod, fchown, mkdirat, openat2, statat, symlinkat};
use rustix::fs::{FileType, Gid, Timespec, Timestamps, Uid, futimens};
use serde_json::Value;

use crate::client::local;
use crate::core::Core;
use crate::rootfs::{Bind, no_such_path, open_in, read_text};

/// Bind mounts of the container's specification.
fn binds(container: &Container) -> Vec<(Bind, bool)> {
    let document: Value =
        container.spec.as_ref().and_then(|spec| serde_json::from_slice(&spec.value).ok()).unwrap_or(Value::Null);
    let mounts = document["mounts"].as_array().cloned().unwrap_or_default();
    mounts
        .iter()
        .filter(|mount| mount["type"] == "bind")
        .filter_map(|mount| {
            let source = PathBuf::from(mount["source"].as_str()?);
            let directory = source.is_dir();
            Some((Bind { source, target: mount["destination"].as_str()?.to_owned() }, directory))
        })
        .collect()
}

impl Core {
    /// Runs work with the container's root in view.
    async fn in_container<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(File) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let container = self.find(name).await?;
        let open = |path: &Path| File::open(path).map_err(|error| local(path.display(), error));
        let task = self.task(&container.id).await?;
        if let Some(task) = task.filter(|task| matches!(task.status(), Status::Running | Status::Paused)) {
            let root = PathBuf::from(format!("/proc/{}/root", task.pid));
            return tokio::task::spawn_blocking(move || work(open(&root)?))
                .await
                .map_err(|error| local("a container's files", error))?;
        }
        if let Some(record) = crate::record::Record::of(&container) {
            self.prepare_copy(&container.id, &record).await?;
        }
        let binds = binds(&container);
        let mounts = self.snapshot_mounts(&container).await?;
        self.with_root(mounts, Vec::new(), move |root| {
            for (bind, directory) in binds {
                let view = open(root)?;
                if !bind.source.exists() {
                    continue;
                }
                let target = ensure_target(&view, &bind.target, directory)?;
                use std::os::fd::AsRawFd;
                rustix::mount::mount_bind_recursive(
                    &bind.source,
                    format!("/proc/self/fd/{}", target.as_raw_fd()).as_str(),
                )
                .map_err(|error| local(bind.source.display(), error))?;
            }
            work(open(root)?)
        })
        .await
    }

    /// Unpacks an archive into a directory of the container. With `copy_owner` everything becomes the
    /// container's user's, where it has one, as with dockerd; else the archive says whose it is.
    pub(crate) async fn put_files(&self, name: &str, path: &str, archive: Reader, copy_owner: bool) -> Result<()> {
        let user = if copy_owner { self.find_own(name).await?.1.user } else { String::new() };
        let mut reader = tokio_util::io::SyncIoBridge::new(archive);
        let path = path.to_owned();
        self.in_container(name, move |root| {
            let directory =
                open_in(&root, &path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|_| no_such_path(&path))?;
            let directory = File::from(directory);
            let failed = |error: std::io::Error| local(format!("copying into {path}"), error);
            let owner = if user.is_empty() {
                None
            } else {
                use std::os::fd::AsRawFd;
                let root = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
                let (passwd, group) = (read_text(&root, "/etc/passwd")?, read_text(&root, "/etc/group")?);
                let user = crate::users::resolve(&user, &[], &passwd, &group)?;
                Some((user.uid, user.gid))
            };
            let mut archive = tar::Archive::new(&mut reader);
            for entry in archive.entries().map_err(failed)? {
                let mut entry = entry.map_err(failed)?;
                unpack_entry(&root, &directory, &path, &mut entry, owner).map_err(failed)?;
            }
            Ok(())
        })
        .await
    }

    /// Packs a path of the container.
    pub(crate) async fn get_files(&self, name: &str, path: &str) -> Result<Reader> {
        // Looked at first, so that a missing path is an error and not an empty archive.
        if self.stat_file(name, path).await?.is_none() {
            return Err(no_such_path(path));
        }
        let (writer, reader) = tokio::io::duplex(256 * 1024);
        let mut writer = tokio_util::io::SyncIoBridge::new(writer);
        let (core, name, path) = (self.clone(), name.to_owned(), path.to_owned());
        tokio::spawn(async move {
            let packed = core
                .in_container(&name, move |root| {
                    let base = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
                    let mut builder = tar::Builder::new(&mut writer);
                    builder.follow_symlinks(false);
                    let packed = pack(&root, &path, Path::new(if base.is_empty() { "." } else { &base }), &mut builder)
                        .and_then(|()| builder.finish());
                    drop(builder);
                    let _ = writer.shutdown();
                    packed.map_err(|error| local(format!("copying {path}"), error))
                })
                .await;
            if let Err(error) = packed {
                tracing::warn!(container = name, %error, "reading files of a container");
            }
        });
        Ok(Box::pin(reader))
    }

    /// What a path is.
    pub(crate) async fn stat_file(&self, name: &str, path: &str) -> Result<Option<PathStat>> {
        let path = path.to_owned();
        self.in_container(name, move |root| {
            let Ok(found) = open_in(&root, &path, OFlags::PATH | OFlags::NOFOLLOW) else { return Ok(None) };
            let stat = rustix::fs::fstat(&found).map_err(|error| local(&path, error))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let link_target = if kind == FileType::Symlink {
                let target = rustix::fs::readlinkat(&found, "", Vec::new()).map_err(|error| local(&path, error))?;
                target.to_string_lossy().into_owned()
            } else {
                String::new()
            };
            Ok(Some(PathStat {
                name: path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned(),
                size: stat.st_size,
                is_directory: kind == FileType::Directory,
                link_target,
                mode: stat.st_mode & 0o7777,
            }))
        })
        .await
    }
}

/// Makes the directories on the way, as the runtime does for mount points, and opens the target.
fn ensure_target(root: &File, path: &str, directory: bool) -> Result<OwnedFd> {
    let failed = |error: rustix::io::Errno| local(format!("the mount point {path}"), error);
    if let Ok(found) = open_in(root, path, OFlags::PATH) {
        return Ok(found);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let mut so_far = String::new();
    for (index, part) in parts.iter().enumerate() {
        let parent = open_in(root, &so_far, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
        so_far = format!("{so_far}/{part}");
        if open_in(root, &so_far, OFlags::PATH).is_ok() {
            continue;
        }
        if index + 1 < parts.len() || directory {
            mkdirat(&parent, *part, Mode::from_raw_mode(0o755)).map_err(failed)?;
        } else {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            openat2(&parent, *part, flags, Mode::from_raw_mode(0o644), ResolveFlags::BENEATH).map_err(failed)?;
        }
    }
    open_in(root, path, OFlags::PATH).map_err(failed)
}

/// Unpacks one entry below a directory. Existing files are written in place: they may be mounts.
fn unpack_entry(
    root: &File,
    directory: &File,
    base: &str,
    entry: &mut tar::Entry<'_, impl Read>,
    owner: Option<(u32, u32)>,
) -> std::io::Result<()> {
    let mut parts = parts_of(&entry.path()?)?;
    let Some(name) = parts.pop() else { return Ok(()) };
    let mut parent: OwnedFd = directory.try_clone()?.into();
    let mut parent_path = base.trim_end_matches('/').to_owned();
    for part in &parts {
        parent_path = format!("{parent_path}/{part}");
        parent = match open_in(root, &parent_path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(&parent, part.as_str(), Mode::from_raw_mode(0o755))?;
                open_in(root, &parent_path, OFlags::RDONLY | OFlags::DIRECTORY)?
            }
            Err(error) => return Err(error.into()),
        };
    }
    let full = format!("{parent_path}/{name}");
    let header = entry.header().clone();
    let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
    let number = |value: std::io::Result<u64>| value.ok().and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    let owner = owner.unwrap_or_else(|| (number(header.uid()), number(header.gid())));
    let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
    match header.entry_type() {
        tar::EntryType::Directory => {
            match mkdirat(&parent, name.as_str(), mode) {
                Err(rustix::io::Errno::EXIST) => return Ok(()),
                made => made?,
            }
            let made = open_in(root, &full, OFlags::RDONLY | OFlags::DIRECTORY)?;
            fchown(&made, uid, gid)?;
            fchmod(&made, mode)?;
        }
        tar::EntryType::Symlink => {
            let Some(target) = entry.link_name()? else { return Ok(()) };
            remove_old(&parent, &name)?;
            symlinkat(target.as_ref(), &parent, name.as_str())?;
            rustix::fs::chownat(&parent, name.as_str(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        tar::EntryType::Link => {
            let Some(target) = entry.link_name()? else { return Ok(()) };
            let target = format!("{}/{}", base.trim_end_matches('/'), parts_of(&target)?.join("/"));
            let (above, last) = target.rsplit_once('/').unwrap_or(("", &target));
            let above = open_in(root, above, OFlags::PATH | OFlags::DIRECTORY)?;
            remove_old(&parent, &name)?;
            // A link itself is never followed.
            rustix::fs::linkat(&above, last, &parent, name.as_str(), AtFlags::empty())?;
        }
        kind @ (tar::EntryType::Fifo | tar::EntryType::Char | tar::EntryType::Block) => {
            let number = |value: Option<u32>| value.unwrap_or(0);
            let device = rustix::fs::makedev(number(header.device_major()?), number(header.device_minor()?));
            let (kind, device) = match kind {
                tar::EntryType::Fifo => (FileType::Fifo, 0),
                tar::EntryType::Char => (FileType::CharacterDevice, device),
                _ => (FileType::BlockDevice, device),
            };
            remove_old(&parent, &name)?;
            rustix::fs::mknodat(&parent, name.as_str(), kind, mode, device)?;
            // By its name: a pipe or a device is not opened.
            rustix::fs::chownat(&parent, name.as_str(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            let made =
                openat2(&parent, name.as_str(), OFlags::PATH | OFlags::NOFOLLOW, Mode::empty(), ResolveFlags::BENEATH)?;
            use std::os::fd::AsRawFd;
            rustix::fs::chmod(format!("/proc/self/fd/{}", made.as_raw_fd()), mode)?;
        }
        kind if kind.is_file() => {
            let mut file = writable(&parent, &name, mode)?;
            std::io::copy(entry, &mut file)?;
            file.flush()?;
            fchown(file.as_fd(), uid, gid)?;
            fchmod(file.as_fd(), mode)?;
            let seconds = header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0);
            let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
            futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
        }
        // What else tar knows tells of entries, and is none itself.
        _ => {}
    }
    Ok(())
}

/// The parts of a path in an archive; one that leads out of it is an error.
fn parts_of(path: &Path) -> std::io::Result<Vec<String>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            std::path::Component::CurDir | std::path::Component::RootDir => {}
            _ => return Err(std::io::Error::other(format!("`{}` leads out of the archive", path.display()))),
        }
    }
    Ok(parts)
}

/// Removes what a new file takes the place of.
fn remove_old(parent: &OwnedFd, name: &str) -> std::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file for new content. A regular file stays the one that it is: it may be a mount. Anything
/// else in the way (a link, a pipe, a device that the container made) is replaced and never opened.
fn writable(parent: &OwnedFd, name: &str, mode: Mode) -> std::io::Result<File> {
    use std::os::fd::AsRawFd;
    let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(parent, name, look, Mode::empty(), ResolveFlags::BENEATH) {
        Ok(found) => {
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
            if kind == FileType::RegularFile {
                return File::options().write(true).truncate(true).open(format!("/proc/self/fd/{}", found.as_raw_fd()));
            }
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
        }
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let make = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat2(parent, name, make, mode, ResolveFlags::BENEATH)?))
}

/// Packs a file or a tree; links are packed as links.
fn pack(root: &File, path: &str, name: &Path, builder: &mut tar::Builder<impl Write>) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    let found = open_in(root, path, OFlags::PATH | OFlags::NOFOLLOW)?;
    let stat = statat(&found, "", AtFlags::EMPTY_PATH)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mut header = tar::Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    match kind {
        FileType::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, name, std::io::empty())?;
            let listing = std::fs::read_dir(format!("/proc/self/fd/{}/.", found.as_raw_fd()))?;
            let mut children: Vec<_> = listing.flatten().map(|entry| entry.file_name()).collect();
            children.sort();
            for child in children {
                let below = format!("{}/{}", path.trim_end_matches('/'), child.to_string_lossy());
                pack(root, &below, &name.join(&child), builder)?;
            }
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, name, &*target.to_string_lossy())?;
        }
        FileType::RegularFile => {
            let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
            let size = file.metadata()?.size();
            header.set_size(size);
            // A file that grows meanwhile is cut; one that shrinks ends the archive with an error.
            builder.append_data(&mut header, name, file.take(size))?;
        }
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
            header.set_entry_type(match kind {
                FileType::Fifo => tar::EntryType::Fifo,
                FileType::CharacterDevice => tar::EntryType::Char,
                _ => tar::EntryType::Block,
            });
            header.set_device_major(rustix::fs::major(stat.st_rdev))?;
            header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
            builder.append_data(&mut header, name, std::io::empty())?;
        }
        // Nobody would answer at a copy of a socket.
        _ => {}
    }
    Ok(())
}
