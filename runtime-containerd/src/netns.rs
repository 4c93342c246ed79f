//! Network namespaces as files, and the netlink requests that the plug-ins leave to us.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use compose_runtime::error::Result;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::client::local;

/// Type of the file system that namespaces are files of.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Whether a namespace is kept at the path. After a reboot an empty file may be left there.
pub(crate) fn exists(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NSFS_MAGIC)
}

/// Makes a network namespace and keeps it at the path.
pub(crate) async fn create(path: &Path) -> Result<()> {
    let path = path.to_owned();
    on_thread(move || {
        File::create(&path).map_err(|error| local(path.display(), error))?;
        enter_new().map_err(|error| local("a network namespace", error))?;
        set_loopback_up()?;
        mount_bind("/proc/thread-self/ns/net", &path).map_err(|error| local(path.display(), error))
    })
    .await
}

/// Runs work inside a namespace that is kept at the path.
pub(crate) async fn inside<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let path = path.to_owned();
    on_thread(move || {
        let failed = |error: std::io::Error| local(path.display(), error);
        let namespace = File::open(&path).map_err(failed)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| failed(error.into()))?;
        work()
    })
    .await
}

/// Ends the keeping of a namespace; it is gone when nothing else uses it.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match unmount(path, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(local(path.display(), error)),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(local(path.display(), error)),
        _ => Ok(()),
    }
}

#[allow(unsafe_code)]
fn enter_new() -> rustix::io::Result<()> {
    // SAFETY: the call is unsafe for `CLONE_FILES` alone, which is not used.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// A thread of its own: it ends with the work, so that no pool thread stays in a namespace.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("netns".to_owned())
        .spawn(move || {
            let _ = sender.send(work());
        })
        .map_err(|error| local("starting a thread", error))?;
    receiver.await.map_err(|error| local("the thread in the network namespace", error))?
}

/// The number of the network device of that name, if there is one.
pub(crate) fn device_index(name: &str) -> Option<u32> {
    // Not from /sys, which shows the devices of the namespace that it was mounted in.
    let socket = link_socket().ok()?;
    rustix::net::netdevice::name_to_index(&socket, name).ok()
}

/// `struct nlmsghdr` and `struct ifinfomsg` ask for one thing on one device.
struct LinkRequest {
    kind: u16,
    index: u32,
    flags: u32,
}

/// Brings up the loopback device of the calling thread's namespace: the first device there.
fn set_loopback_up() -> Result<()> {
    const NEW_LINK: u16 = 16;
    const UP: u32 = 1;
    let socket = link_socket().map_err(|error| local("the loopback device", error))?;
    LinkRequest { kind: NEW_LINK, index: 1, flags: UP }
        .send(&socket)
        .map_err(|error| local("the loopback device", error))
}

/// Removes a network device; one that is not there is fine.
pub(crate) fn delete_device(name: &str) -> Result<()> {
    const DELETE_LINK: u16 = 17;
    let failed = |error: rustix::io::Errno| local(format!("removing network device {name}"), error);
    let socket = link_socket().map_err(failed)?;
    let Ok(index) = rustix::net::netdevice::name_to_index(&socket, name) else { return Ok(()) };
    LinkRequest { kind: DELETE_LINK, index, flags: 0 }.send(&socket).map_err(failed)
}

fn link_socket() -> rustix::io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    // No protocol number means NETLINK_ROUTE, which is 0.
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
}

impl LinkRequest {
    /// Sends it and waits for the answer.
    fn send(&self, socket: &OwnedFd) -> rustix::io::Result<()> {
        use rustix::net::netlink::SocketAddrNetlink;
        use rustix::net::{RecvFlags, SendFlags, recv, sendto};
        const REQUEST_WITH_ACKNOWLEDGEMENT: u16 = 0x1 | 0x4;
        // Header: length, type, flags, sequence, port; then family and type, index, flags, mask of flags.
        let mut message = Vec::with_capacity(32);
        message.extend_from_slice(&32_u32.to_ne_bytes());
        message.extend_from_slice(&self.kind.to_ne_bytes());
        message.extend_from_slice(&REQUEST_WITH_ACKNOWLEDGEMENT.to_ne_bytes());
        message.extend_from_slice(&1_u32.to_ne_bytes());
        message.extend_from_slice(&0_u32.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&self.index.to_ne_bytes());
        message.extend_from_slice(&self.flags.to_ne_bytes());
        message.extend_from_slice(&self.flags.to_ne_bytes());
        sendto(socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut answer = [0; 512];
        let (length, _) = recv(socket, &mut answer, RecvFlags::empty())?;
        // struct nlmsgerr follows the header; 0 is success.
        match answer.get(16..20).filter(|_| length >= 20).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()) {
            Some(bytes) if i32::from_ne_bytes(bytes) != 0 => {
                Err(rustix::io::Errno::from_raw_os_error(-i32::from_ne_bytes(bytes)))
            }
            _ => Ok(()),
        }
    }
}
