//! Looking into a container's file system from outside: a thread with a mount namespace of its
//! own mounts the snapshot, and everything it mounted is gone with the thread, also after a
//! crash. Paths are resolved by the kernel inside the root (`openat2`), so that no link of an
//! image leads out of it.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::types::Mount;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::client::local;
use crate::core::{Core, private_directory};

/// A bind mount of the container, to be seen in its place.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
}

/// Data of an overlay mount beyond this cannot be passed to the kernel as it is.
const DATA_LIMIT: usize = 4000;

impl Core {
    /// Runs `work` on a thread that sees the mounts at the directory that it is given.
    pub(crate) async fn with_root<T: Send + 'static>(
        &self,
        mounts: Vec<Mount>,
        binds: Vec<Bind>,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let directory = self.settings.state_root.join(&self.address_hash).join("root");
        private_directory(&directory)?;
        in_private_thread(move || {
            mount_all(&mounts, &directory)?;
            let root = File::open(&directory).map_err(|error| local(directory.display(), error))?;
            for bind in binds {
                // A missing target is made by runc at the start; nothing can be there yet.
                if let Ok(target) = open_in(&root, &bind.target, OFlags::PATH) {
                    use std::os::fd::AsRawFd;
                    let target = format!("/proc/self/fd/{}", target.as_raw_fd());
                    rustix::mount::mount_bind_recursive(&bind.source, target.as_str())
                        .map_err(|error| local(bind.source.display(), error))?;
                }
            }
            drop(root);
            work(&directory)
        })
        .await
    }
}

/// Runs work on a thread with a mount namespace of its own.
async fn in_private_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("root".to_owned())
        .spawn(move || {
            let result = enter_private_namespace().and_then(|()| work());
            let _ = sender.send(result);
        })
        .map_err(|error| local("starting a thread", error))?;
    receiver.await.map_err(|error| local("the thread with the mounted root", error))?
}

#[allow(unsafe_code)]
fn enter_private_namespace() -> Result<()> {
    // SAFETY: the call is unsafe for `CLONE_FILES` alone, which is not used: descriptors stay
    // shared with the process.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|error| local("a mount namespace", error))?;
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", flags).map_err(|error| local("a private mount namespace", error))
}

/// Mounts what a snapshotter described.
pub(crate) fn mount_all(mounts: &[Mount], directory: &Path) -> Result<()> {
    for one in mounts {
        let failed = |error: rustix::io::Errno| local(format!("mounting a {} snapshot", one.r#type), error);
        let mut flags = MountFlags::empty();
        let mut data: Vec<String> = Vec::new();
        let mut bind = one.r#type == "bind";
        for option in &one.options {
            match option.as_str() {
                "ro" => flags |= MountFlags::RDONLY,
                "rw" => {}
                "bind" | "rbind" => bind = true,
                other => data.push(other.to_owned()),
            }
        }
        if bind {
            rustix::mount::mount_bind_recursive(one.source.as_str(), directory).map_err(failed)?;
            if flags.contains(MountFlags::RDONLY) {
                rustix::mount::mount_remount(directory, MountFlags::BIND | MountFlags::RDONLY, c"").map_err(failed)?;
            }
            continue;
        }
        let mut text = data.join(",");
        if text.len() > DATA_LIMIT
            && let Some(base) = common_base(&data)
        {
            // The thread's working directory is its own since it left the shared namespace.
            std::env::set_current_dir(&base).map_err(|error| local(base.display(), error))?;
            text = text.replace(&format!("{}/", base.display()), "");
        }
        let text = CString::new(text).map_err(|error| local("mount options", error))?;
        mount(one.source.as_str(), directory, one.r#type.as_str(), flags, text.as_c_str()).map_err(failed)?;
    }
    Ok(())
}

/// The directory that holds all snapshots of an overlay: `.../snapshots` of `.../snapshots/N/fs`.
fn common_base(options: &[String]) -> Option<PathBuf> {
    let lower = options.iter().find_map(|option| option.strip_prefix("lowerdir="))?;
    let first = lower.split(':').next()?;
    Some(Path::new(first).parent()?.parent()?.to_owned())
}

/// Opens a path below a root; links are resolved inside the root.
pub(crate) fn open_in(root: &File, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let relative = path.trim_start_matches('/');
    let relative = if relative.is_empty() { "." } else { relative };
    openat2(root, relative, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
}

/// The text of a file below a root; empty where it is absent. Limited to a megabyte.
pub(crate) fn read_text(root: &Path, path: &str) -> Result<String> {
    let root = File::open(root).map_err(|error| local(root.display(), error))?;
    match open_in(&root, path, OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => {
            let mut bytes = Vec::new();
            File::from(file)
                .take(1024 * 1024)
                .read_to_end(&mut bytes)
                .map_err(|error| local(format!("{path} of the image"), error))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(String::new()),
        Err(error) => Err(local(format!("{path} of the image"), error)),
    }
}

/// Copies the content of a directory of the image into an empty volume, with owners, modes and
/// links, and gives the volume the directory's own owner and mode. Nothing happens where the
/// image has no such directory or the volume has content.
pub(crate) fn populate(root: &Path, path: &str, volume: &Path) -> Result<()> {
    let failed = |error: std::io::Error| local(format!("filling volume {}", volume.display()), error);
    if std::fs::read_dir(volume).map_err(failed)?.next().is_some() {
        return Ok(());
    }
    let root = File::open(root).map_err(failed)?;
    let Ok(directory) = open_in(&root, path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Ok(()) };
    use std::os::fd::AsRawFd;
    let source = PathBuf::from(format!("/proc/self/fd/{}/.", directory.as_raw_fd()));
    copy_tree(&source, volume, 0).map_err(failed)
}

fn copy_tree(source: &Path, target: &Path, depth: usize) -> std::io::Result<()> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
    if depth > 200 {
        return Err(std::io::Error::other("directories nested too deeply"));
    }
    let take_over = |metadata: &std::fs::Metadata, target: &Path| {
        std::os::unix::fs::lchown(target, Some(metadata.uid()), Some(metadata.gid()))?;
        if !metadata.file_type().is_symlink() {
            std::fs::set_permissions(target, std::fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
        std::io::Result::Ok(())
    };
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let kind = metadata.file_type();
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if kind.is_dir() {
            std::fs::create_dir(&to)?;
            copy_tree(&from, &to, depth + 1)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from)?, &to)?;
        } else if kind.is_file() {
            std::fs::copy(&from, &to)?;
        } else if kind.is_fifo() {
            make_fifo(&to)?;
        } else {
            continue;
        }
        take_over(&metadata, &to)?;
    }
    take_over(&std::fs::metadata(source)?, target)
}

/// Makes a named pipe that only root can open.
pub(crate) fn make_fifo(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, FileType, mknodat};
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?)
}

/// A clear error where a path in a container does not exist.
pub(crate) fn no_such_path(path: &str) -> RuntimeError {
    RuntimeError::NotFound { message: format!("there is no {path} in the container") }
}
