//! The name server's sockets: one pair inside each container's network namespace, at the address
//! that its `resolv.conf` names, and the way to the servers outside, from the host's namespace.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use compose_runtime::error::Result;
use containerd_client::services::v1::Container;
use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Supervisor;
use super::dns::{self, Reply};
use super::names::Member;
use super::unit::Running;
use crate::client::local;
use crate::netns;
use crate::record::Record;

/// The address in every container, the same as dockerd's.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const PORT: u16 = 53;
/// Where we listen if the container itself has port 53; a rule in its namespace leads here.
const ASIDE: u16 = 41_053;
/// The longest datagram.
const DATAGRAM: usize = 4096;
/// How long one server outside may take.
const UPSTREAM: Duration = Duration::from_secs(3);
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// Queries that are under way to servers outside.
pub(super) const FORWARDED: usize = 512;

/// The sockets of one container.
pub(super) struct Sockets {
    /// The namespace that they are in; another one needs others.
    namespace: u64,
    _datagrams: Running,
    _streams: Running,
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| std::os::unix::fs::MetadataExt::ino(&metadata))
}

/// Opens the sockets; called on a thread inside the namespace.
fn open(aside: bool) -> std::io::Result<(UdpSocket, TcpListener)> {
    let bind = |port: u16| -> std::io::Result<(UdpSocket, TcpListener)> {
        let address = SocketAddr::from((ADDRESS, port));
        let (datagrams, streams) = (UdpSocket::bind(address)?, TcpListener::bind(address)?);
        datagrams.set_nonblocking(true)?;
        streams.set_nonblocking(true)?;
        Ok((datagrams, streams))
    };
    if !aside {
        match bind(PORT) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    let bound = bind(ASIDE)?;
    lead_aside()?;
    Ok(bound)
}

/// Leads queries to the port where we listen, in the namespace of the calling thread.
fn lead_aside() -> std::io::Result<()> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let listing = Command::new("iptables").env("PATH", path).args(["-w", "5", "-t", "nat", "-S", "OUTPUT"]).output()?;
    let there = format!("--to-destination {ADDRESS}:{ASIDE}");
    if String::from_utf8_lossy(&listing.stdout).contains(&there) {
        return Ok(());
    }
    let rule = |protocol: &str| {
        format!("-A OUTPUT -d {ADDRESS}/32 -p {protocol} --dport {PORT} -j DNAT --to-destination {ADDRESS}:{ASIDE}\n")
    };
    let mut child = Command::new("iptables-restore")
        .env("PATH", path)
        .args(["-w", "5", "--noflush"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(format!("*nat\n{}{}COMMIT\n", rule("udp"), rule("tcp")).as_bytes())?;
    }
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut said)?;
    }
    if child.wait()?.success() { Ok(()) } else { Err(std::io::Error::other(said.trim().to_owned())) }
}

impl Supervisor {
    /// Makes sure that a container's names are answered, and that it is found by its own.
    pub(super) async fn serve_names(
        self: &Arc<Self>,
        container: &Container,
        record: &Record,
        running: bool,
    ) -> Result<()> {
        if record.network_mode != "networks" {
            return Ok(());
        }
        let id = container.id.as_str();
        self.names().set(id, Member::of(container, record, running));
        let path = self.core.namespace_path(id);
        let namespace = if netns::exists(&path) { inode(&path) } else { return Ok(()) };
        let has = |unit: &super::Unit| unit.sockets.as_ref().is_some_and(|sockets| sockets.namespace == namespace);
        if self.state().units.get(id).is_some_and(has) {
            return Ok(());
        }
        // Two lookers at one container would be in each other's way.
        let _turn = self.opening.lock().await;
        if self.state().units.get(id).is_some_and(has) {
            return Ok(());
        }
        if let Some(unit) = self.state().units.get_mut(id) {
            unit.sockets = None;
        }
        let aside = record.expose.iter().any(|port| port.split('/').next() == Some("53"));
        let within = path.clone();
        let (datagrams, streams) = netns::inside(&path, move || {
            open(aside).map_err(|error| local(format!("the name server in {}", within.display()), error))
        })
        .await?;
        let failed = |error: std::io::Error| local("the name server", error);
        let datagrams = tokio::net::UdpSocket::from_std(datagrams).map_err(failed)?;
        let streams = tokio::net::TcpListener::from_std(streams).map_err(failed)?;
        let sockets = Sockets {
            namespace,
            _datagrams: Running::new(id, Arc::clone(self).serve_datagrams(id.to_owned(), datagrams)),
            _streams: Running::new(id, Arc::clone(self).serve_streams(id.to_owned(), streams)),
        };
        self.state().units.entry(id.to_owned()).or_default().sockets = Some(sockets);
        Ok(())
    }

    pub(super) fn names(&self) -> std::sync::MutexGuard<'_, super::names::Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve_datagrams(self: Arc<Self>, id: String, socket: tokio::net::UdpSocket) {
        let socket = Arc::new(socket);
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                // An answer that could not be delivered; not ours to mend.
                tokio::task::yield_now().await;
                continue;
            };
            let query = &buffer[..length];
            let reply = dns::answer(&mut self.names(), &id, query, true);
            match reply {
                Reply::Answer(bytes) => drop(socket.send_to(&bytes, from).await),
                Reply::Nothing => {}
                Reply::Forward(servers) => {
                    let Ok(permit) = Arc::clone(&self.forwards).try_acquire_owned() else { continue };
                    let (socket, query) = (Arc::clone(&socket), query.to_vec());
                    tokio::spawn(async move {
                        if let Some(bytes) = forward(&query, &servers, false).await {
                            let _ = socket.send_to(&bytes, from).await;
                        }
                        drop(permit);
                    });
                }
            }
        }
    }

    async fn serve_streams(self: Arc<Self>, id: String, listener: tokio::net::TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&self.forwards).try_acquire_owned() else { continue };
            let (supervisor, id) = (Arc::clone(&self), id.clone());
            tokio::spawn(async move {
                let _ = supervisor.serve_stream(&id, stream).await;
                drop(permit);
            });
        }
    }

    /// Queries of one connection; the length of each stands before it.
    async fn serve_stream(&self, id: &str, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let length = tokio::time::timeout(SILENCE, stream.read_u16()).await??;
            let mut query = vec![0; usize::from(length)];
            tokio::time::timeout(SILENCE, stream.read_exact(&mut query)).await??;
            let reply = dns::answer(&mut self.names(), id, &query, false);
            let bytes = match reply {
                Reply::Answer(bytes) => bytes,
                Reply::Nothing => return Ok(()),
                Reply::Forward(servers) => match forward(&query, &servers, true).await {
                    Some(bytes) => bytes,
                    None => return Ok(()),
                },
            };
            let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await?;
        }
    }
}

/// The host's name servers. systemd's stub is asked too: it is reached from here.
fn host_servers() -> Vec<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server = |line: &str| line.strip_prefix("nameserver")?.trim().split('%').next()?.parse().ok();
    text.lines().filter_map(server).collect()
}

/// Asks servers outside, one after the other, and passes on what the first one says, as it is.
async fn forward(query: &[u8], servers: &[IpAddr], stream: bool) -> Option<Vec<u8>> {
    let servers = if servers.is_empty() { host_servers() } else { servers.to_vec() };
    for server in servers {
        let server = SocketAddr::from((server, PORT));
        let asked =
            async { if stream { ask_by_stream(query, server).await } else { ask_by_datagram(query, server).await } };
        if let Ok(Ok(answer)) = tokio::time::timeout(UPSTREAM, asked).await {
            return Some(answer);
        }
    }
    match dns::refuse(query, ResponseCode::ServFail) {
        Reply::Answer(bytes) => Some(bytes),
        _ => None,
    }
}

async fn ask_by_datagram(query: &[u8], server: SocketAddr) -> std::io::Result<Vec<u8>> {
    let own: SocketAddr = if server.is_ipv6() { ([0; 8], 0).into() } else { ([0; 4], 0).into() };
    let socket = tokio::net::UdpSocket::bind(own).await?;
    // Connected: datagrams of others do not get here.
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length >= 12 && buffer[..2] == query[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_by_stream(query: &[u8], server: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// The text of a container's `resolv.conf` that leads to this name server.
pub(crate) fn resolver_text(search: &[String], options: &[String]) -> String {
    let mut text = format!("nameserver {ADDRESS}\n");
    if !search.is_empty() && search != ["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    let mut options = options.to_vec();
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".to_owned());
    }
    text.push_str(&format!("options {}\n", options.join(" ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolver_file_keeps_search_and_options() {
        let text = |search: &[&str], options: &[&str]| {
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            resolver_text(&owned(search), &owned(options))
        };
        assert_eq!(text(&[], &[]), "nameserver 127.0.0.11\noptions ndots:0\n");
        assert_eq!(
            text(&["a.example", "b"], &["ndots:2", "rotate"]),
            "nameserver 127.0.0.11\nsearch a.example b\noptions ndots:2 rotate\n"
        );
        assert_eq!(text(&["."], &["timeout:1"]), "nameserver 127.0.0.11\noptions timeout:1 ndots:0\n");
    }
}
