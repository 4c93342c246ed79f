//! A proxy in front of an engine's socket: counts requests and connections, and can stop the
//! world when the engine has answered the n-th change, so that a client dies at a known moment.
//!
//! It reads HTTP/1.1 as far as it has to: heads, lengths and chunks; what follows an upgrade passes
//! unread. In front of a containerd it reads frames of HTTP/2 ([`crate::grpc`]), of the program's
//! commands alone: its supervisor goes on when a command is stopped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{Engine, Kind, setting};

/// A request that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path without the API version, with its query.
    pub path: String,
}

impl Request {
    /// Whether it changes something. Waits and the size of a terminal do not.
    #[must_use]
    pub fn changes(&self) -> bool {
        if self.path.starts_with("/containerd.") {
            return crate::grpc::changes(&self.path);
        }
        let path = self.path.split('?').next().unwrap_or_default();
        let looks = ["/wait", "/resize", "/attach", "/auth"].iter().any(|end| path.ends_with(end));
        matches!(self.method.as_str(), "POST" | "PUT" | "DELETE") && !looks
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

#[derive(Default)]
struct Ledger {
    requests: Vec<Request>,
    open: usize,
    most_open: usize,
    answered_changes: usize,
    /// Answers to changes after which the world stops.
    stop_after: Option<usize>,
    stopped: bool,
    /// Whether the proxy is gone.
    over: bool,
    /// Streams to cut when the world goes on.
    streams: Vec<UnixStream>,
}

/// What all connections of a proxy share.
#[derive(Default)]
pub(crate) struct Shared {
    ledger: Mutex<Ledger>,
    turned: Condvar,
}

impl Shared {
    /// Notes a request.
    pub(crate) fn asked(&self, request: &Request) {
        self.ledger().requests.push(request.clone());
    }

    /// Notes an answer, and stops the world if it was the one that was waited for.
    pub(crate) fn answered(&self, request: &Request) {
        if !request.changes() {
            return;
        }
        let mut ledger = self.ledger();
        ledger.answered_changes += 1;
        if ledger.stop_after.is_some_and(|count| ledger.answered_changes >= count) {
            ledger.stopped = true;
            self.turned.notify_all();
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds its thread while the world stands still. False when the connection was cut then.
    pub(crate) fn pass(&self) -> bool {
        let mut ledger = self.ledger();
        if !ledger.stopped {
            return true;
        }
        while ledger.stopped {
            ledger = self.turned.wait(ledger).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }
}

/// The proxy. Dropping it cuts what is open.
pub struct Proxy {
    _folder: Option<tempfile::TempDir>,
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens in front of an engine.
    ///
    /// # Errors
    /// When no socket can be made.
    pub fn before(engine: &Engine) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("compose-proxy-").tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("proxy.sock");
        Self::listen(&path, &engine.socket, engine.kind, Some(folder))
    }

    /// Listens at a path, in front of a socket.
    ///
    /// # Errors
    /// When no socket can be made.
    pub fn at(path: &Path, upstream: &str, kind: Kind) -> Result<Self, String> {
        Self::listen(path, upstream, kind, None)
    }

    fn listen(path: &Path, upstream: &str, kind: Kind, folder: Option<tempfile::TempDir>) -> Result<Self, String> {
        let proxy = Self { _folder: folder, path: path.to_owned(), shared: Arc::default() };
        let listener = UnixListener::bind(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (shared, upstream) = (Arc::clone(&proxy.shared), upstream.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.ledger().over {
                    break;
                }
                // While the engine is away its clients are turned away.
                let Ok(engine) = UnixStream::connect(&upstream) else { continue };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&shared, client, engine, kind));
            }
        });
        Ok(proxy)
    }

    /// Its address for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Forgets what was counted; with a number, stops the world when so many changes were answered.
    pub fn reset(&self, stop_after: Option<usize>) {
        let mut ledger = self.shared.ledger();
        ledger.requests.clear();
        ledger.answered_changes = 0;
        ledger.most_open = ledger.open;
        ledger.stop_after = stop_after;
    }

    /// What went through since the last reset.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.ledger().requests.clone()
    }

    /// The most connections that were open at the same time since then.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.shared.ledger().most_open
    }

    /// Waits until the world has stopped; false when `ended` says that it will not.
    pub fn wait_stopped(&self, limit: Duration, mut ended: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut ledger = self.shared.ledger();
        while !ledger.stopped {
            if ended() || Instant::now() > end {
                return false;
            }
            // The client's end wakes nobody here.
            let pace = Duration::from_millis(5);
            ledger = self.shared.turned.wait_timeout(ledger, pace).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Cuts every connection, as the death of the client would, and lets the world go on.
    pub fn release(&self) {
        let mut ledger = self.shared.ledger();
        for stream in ledger.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        ledger.stop_after = None;
        ledger.stopped = false;
        drop(ledger);
        self.shared.turned.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.release();
        self.shared.ledger().over = true;
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A request whose answer is to come.
struct Pending {
    request: Request,
    upgrade: bool,
}

fn serve(shared: &Shared, client: UnixStream, engine: UnixStream, kind: Kind) {
    if kind == Kind::Containerd && !is_command(&client) {
        pass_unread(&client, &engine);
        return;
    }
    {
        let mut ledger = shared.ledger();
        ledger.open += 1;
        ledger.most_open = ledger.most_open.max(ledger.open);
        ledger.streams.extend([client.try_clone(), engine.try_clone()].into_iter().flatten());
    }
    match kind {
        Kind::Docker => connection(shared, client, engine),
        Kind::Containerd => drop(crate::grpc::connection(shared, &client, &engine)),
    }
    shared.ledger().open -= 1;
}

/// Whether the one at the other end is a command of the program, and not its supervisor or another
/// program.
fn is_command(client: &UnixStream) -> bool {
    let Ok(peer) = rustix::net::sockopt::socket_peercred(client) else { return false };
    let line = std::fs::read(format!("/proc/{}/cmdline", peer.pid.as_raw_nonzero())).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split('\0');
    let own = words.next().is_some_and(|program| setting("BINARY").is_some_and(|binary| binary == program));
    own && !words.any(|word| word.starts_with("__"))
}

fn pass_unread(mut client: &UnixStream, mut engine: &UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = std::io::copy(&mut engine, &mut client);
            let _ = client.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut client, &mut engine);
        let _ = engine.shutdown(Shutdown::Both);
    });
}

fn connection(shared: &Shared, client: UnixStream, engine: UnixStream) {
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        if let (Ok(from), Ok(to)) = (engine.try_clone(), client.try_clone()) {
            scope.spawn(move || {
                let _ = answers(shared, from, &to, &receiver);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        // The client is gone: so the engine sees it too, unless it only has nothing more to say.
        if requests(shared, &client, &engine, sender).is_err() {
            let _ = engine.shutdown(Shutdown::Both);
        }
    });
}

/// From the client to the engine. Ends well after an upgrade, where the other direction may go on.
fn requests(shared: &Shared, client: &UnixStream, engine: &UnixStream, pending: Sender<Pending>) -> Result<(), ()> {
    let mut from = BufReader::new(client.try_clone().map_err(drop)?);
    let mut to = engine;
    loop {
        let head = head(&mut from)?;
        let mut words = head.first.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default();
        let path = match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
            Some((_, rest)) => format!("/{rest}"),
            None => path.to_owned(),
        };
        let request = Request { method, path };
        if !shared.pass() {
            return Err(());
        }
        shared.asked(&request);
        let upgrade = head.upgrade;
        pending.send(Pending { request, upgrade }).map_err(drop)?;
        to.write_all(&head.bytes).map_err(drop)?;
        body(&mut from, &mut to, &head, true, &mut || shared.pass())?;
        if upgrade {
            drop(pending);
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
            return Ok(());
        }
    }
}

/// From the engine to the client.
fn answers(shared: &Shared, engine: UnixStream, mut to: &UnixStream, pending: &Receiver<Pending>) -> Result<(), ()> {
    let mut from = BufReader::new(engine);
    loop {
        let head = head(&mut from)?;
        let asked = pending.recv().map_err(drop)?;
        shared.answered(&asked.request);
        if !shared.pass() {
            return Err(());
        }
        to.write_all(&head.bytes).map_err(drop)?;
        let status = head.first.split(' ').nth(1).unwrap_or_default().to_owned();
        if status == "101" || (asked.upgrade && status == "200") {
            std::io::copy(&mut from, &mut to).map_err(drop)?;
            return Ok(());
        }
        if asked.request.method != "HEAD" && status != "204" && status != "304" {
            body(&mut from, &mut to, &head, false, &mut || shared.pass())?;
        }
    }
}

/// The first part of a message.
#[derive(Default)]
struct Head {
    first: String,
    bytes: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

fn head(from: &mut impl BufRead) -> Result<Head, ()> {
    let mut head = Head::default();
    loop {
        let start = head.bytes.len();
        if from.read_until(b'\n', &mut head.bytes).map_err(drop)? == 0 {
            return Err(());
        }
        let line = String::from_utf8_lossy(&head.bytes[start..]).trim_end().to_owned();
        if start == 0 {
            head.first = line;
            continue;
        }
        match line.to_ascii_lowercase().split_once(": ") {
            Some(("content-length", length)) => head.length = length.parse().ok(),
            Some(("transfer-encoding", "chunked")) => head.chunked = true,
            Some(("upgrade", _)) => head.upgrade = true,
            None => return Ok(head),
            Some(_) => {}
        }
    }
}

/// Passes a body on. One without length or chunks is empty in a request, and ends with the
/// connection in an answer.
fn body(
    from: &mut impl BufRead,
    to: &mut impl Write,
    head: &Head,
    is_request: bool,
    pass: &mut dyn FnMut() -> bool,
) -> Result<(), ()> {
    if !head.chunked {
        let length = head.length.unwrap_or(if is_request { 0 } else { u64::MAX });
        std::io::copy(&mut from.take(length), to).map_err(drop)?;
        return if head.length.is_none() && !is_request { Err(()) } else { Ok(()) };
    }
    loop {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).map_err(drop)?;
        let text = String::from_utf8_lossy(&line);
        let length = u64::from_str_radix(text.trim().split(';').next().unwrap_or_default(), 16).map_err(drop)?;
        // A chunk goes out in one piece with the line end behind it.
        std::io::copy(&mut from.take(length + 2), &mut line).map_err(drop)?;
        if !pass() {
            return Err(());
        }
        to.write_all(&line).map_err(drop)?;
        if length == 0 {
            return Ok(());
        }
    }
}
