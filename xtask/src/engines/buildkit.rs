//! BuildKit for tests: distributions have no package of its daemon, but every newer dockerd has it
//! inside and gives it away at `/grpc`, after an upgrade of the connection. A relay does that
//! upgrade, so that clients find a plain BuildKit socket.

use super::{Engine, STATE};
use crate::process::Daemon;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

const UPGRADE: &str = "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// The socket that speaks BuildKit's protocol.
pub(super) fn socket() -> PathBuf {
    Path::new(STATE).join("buildkitd.sock")
}

fn daemon() -> Daemon {
    Daemon::new(Path::new(STATE), "buildkitd")
}

/// Starts the relay before an engine that runs.
pub(super) fn start() -> Result<()> {
    let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
    command.arg("relay").arg(socket()).arg(Engine::BuildKit.socket()).current_dir("/");
    daemon().start(&mut command)?;
    daemon().wait_ready(Duration::from_secs(10), || UnixStream::connect(socket()).is_ok())
}

/// Ends the relay.
pub(super) fn stop() {
    daemon().stop(Duration::from_secs(5));
    for file in [socket(), daemon().log()] {
        // One that is not there is what we want.
        let _ = std::fs::remove_file(file);
    }
}

/// `relay FROM TO`: serves until it is ended.
pub(crate) fn relay(arguments: &[String]) -> Result<ExitCode> {
    let [from, to] = arguments else { bail!("relay wants two sockets") };
    // What an earlier one left.
    let _ = std::fs::remove_file(from);
    let listener = UnixListener::bind(from).with_context(|| format!("cannot listen at {from}"))?;
    loop {
        let (client, _) = listener.accept()?;
        let to = to.clone();
        std::thread::spawn(move || {
            if let Err(error) = serve(&client, &to) {
                eprintln!("relay: {error:#}");
            }
        });
    }
}

fn serve(client: &UnixStream, to: &str) -> Result<()> {
    let mut server = UnixStream::connect(to).with_context(|| format!("cannot reach {to}"))?;
    server.write_all(UPGRADE.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte).context("no answer to the upgrade")?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        bail!("the engine does not upgrade: {}", String::from_utf8_lossy(&head));
    }
    let copy = |mut from: UnixStream, mut to: UnixStream| {
        // Either end may go at any time.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    let (from_client, to_client) = (client.try_clone()?, client.try_clone()?);
    let (from_server, to_server) = (server.try_clone()?, server);
    let up = std::thread::spawn(move || copy(from_client, to_server));
    copy(from_server, to_client);
    let _ = up.join();
    Ok(())
}
