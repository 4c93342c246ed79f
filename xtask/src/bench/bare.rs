//! A client that makes only the calls that nobody can avoid: the measure of what an engine needs
//! by itself. As many workers as the product has connections, each on a kept one.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::projects;

/// Calls at the same time, as the product makes them.
const WORKERS: usize = 8;
/// Longest silence of an engine.
const LIMIT: Duration = Duration::from_secs(120);
const NETWORK: &str = "bench-bare_default";

/// The client, for a project of so many containers.
pub(super) struct Bare {
    socket: PathBuf,
    count: usize,
}

impl Bare {
    pub(super) fn new(socket: &Path, count: usize) -> Self {
        Self { socket: socket.to_owned(), count }
    }

    /// Creates the network, creates and starts every container.
    pub(super) fn up(&self) -> Result<()> {
        self.network()?;
        self.each(|connection, index| {
            create(connection, index, &json!({"Image": projects::IMAGE}))?;
            start(connection, index)
        })
    }

    /// The lists without which nobody knows that there is nothing to do.
    pub(super) fn look(&self) -> Result<()> {
        let mut connection = Connection::open(&self.socket)?;
        let filter = "%7B%22label%22%3A%5B%22bench%3Dbare%22%5D%7D";
        for path in [&format!("/containers/json?all=1&filters={filter}"), "/networks", "/volumes", "/images/json"] {
            connection.call("GET", path, None)?;
        }
        Ok(())
    }

    /// Stops and removes every container, and the network.
    pub(super) fn down(&self) -> Result<()> {
        self.each(|connection, index| {
            let name = name(index);
            connection.call("POST", &format!("/containers/{name}/stop?t=0"), None)?;
            connection.call("DELETE", &format!("/containers/{name}?force=1"), None)
        })?;
        Connection::open(&self.socket)?.call("DELETE", &format!("/networks/{NETWORK}"), None)
    }

    /// Starts each when the one before is healthy.
    pub(super) fn healthy_chain(&self) -> Result<()> {
        let interval = projects::PROBE_INTERVAL * 1_000_000;
        let body = json!({
            "Image": "busybox", "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL",
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": interval},
        });
        // Nobody waits for the last one.
        self.chain(&body, &["health_status: healthy"], self.count - 1)
    }

    /// Starts each when the one before has ended.
    pub(super) fn job_chain(&self) -> Result<()> {
        self.chain(&json!({"Image": "busybox", "Cmd": ["true"]}), &["die"], self.count - 1)
    }

    fn chain(&self, body: &Value, until: &[&str], awaited: usize) -> Result<()> {
        self.network()?;
        let filter = "%7B%22label%22%3A%5B%22bench%3Dbare%22%5D%7D";
        let mut events = Connection::open(&self.socket)?;
        events.send("GET", &format!("/events?filters={filter}"), None)?;
        let mut events = events.stream()?;
        self.each(|connection, index| create(connection, index, body))?;
        let mut connection = Connection::open(&self.socket)?;
        for index in 0..self.count {
            start(&mut connection, index)?;
            if index >= awaited {
                break;
            }
            loop {
                let event = events.next().context("the engine's events ended")??;
                let own = event["Actor"]["Attributes"]["name"].as_str() == Some(&name(index));
                if own && event["Action"].as_str().is_some_and(|action| until.contains(&action)) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn network(&self) -> Result<()> {
        let body = json!({"Name": NETWORK, "CheckDuplicate": true, "Labels": {"bench": "bare"}});
        Connection::open(&self.socket)?.call("POST", "/networks/create", Some(&body))
    }

    /// The work for every container, by a few workers.
    fn each(&self, work: impl Fn(&mut Connection, usize) -> Result<()> + Sync) -> Result<()> {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS.min(self.count))
                .map(|_| {
                    scope.spawn(|| {
                        let mut connection = Connection::open(&self.socket)?;
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            if index >= self.count {
                                return Ok(());
                            }
                            work(&mut connection, index)?;
                        }
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(_) => bail!("a worker of the bare client panicked"),
            })
        })
    }
}

fn name(index: usize) -> String {
    format!("bench-bare-service{index}-1")
}

fn create(connection: &mut Connection, index: usize, body: &Value) -> Result<()> {
    let mut body = body.clone();
    body["Labels"] = json!({"bench": "bare"});
    body["HostConfig"] = json!({"NetworkMode": NETWORK});
    body["NetworkingConfig"] = json!({"EndpointsConfig": {NETWORK: {"Aliases": [format!("service{index}")]}}});
    connection.call("POST", &format!("/containers/create?name={}", name(index)), Some(&body))
}

fn start(connection: &mut Connection, index: usize) -> Result<()> {
    connection.call("POST", &format!("/containers/{}/start", name(index)), None)
}

/// A kept HTTP/1.1 connection.
struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("no engine at {}", socket.display()))?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// A call whose answer only has to be a success.
    fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<()> {
        self.send(method, path, body)?;
        let head = self.head()?;
        let body = self.body(&head)?;
        if (200..400).contains(&head.status) {
            return Ok(());
        }
        bail!("{method} {path}: {} {}", head.status, String::from_utf8_lossy(&body).trim())
    }

    fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<()> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: engine\r\n{kind}Content-Length: {}\r\n\r\n{body}", body.len());
        self.stream.get_mut().write_all(request.as_bytes()).context("the engine does not read")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).context("the engine does not answer")? == 0 {
            bail!("the engine closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    fn head(&mut self) -> Result<Head> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut head =
            Head { status: status.with_context(|| format!("no status: {line}"))?, length: 0, chunked: false };
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", length)) => head.length = length.parse()?,
                Some(("transfer-encoding", "chunked")) => head.chunked = true,
                None => return Ok(head),
                Some(_) => {}
            }
        }
    }

    fn body(&mut self, head: &Head) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        if head.chunked {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else {
            body.resize(head.length, 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(body)
    }

    fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let length = usize::from_str_radix(&self.line()?, 16).context("no length of a chunk")?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok((length > 0).then_some(chunk))
    }

    /// The answer as JSON values one by one, once its head is there.
    fn stream(mut self) -> Result<impl Iterator<Item = Result<Value>>> {
        let head = self.head()?;
        if head.status != 200 {
            bail!("the engine answered {}", head.status);
        }
        let mut pending = Vec::new();
        Ok(std::iter::from_fn(move || {
            loop {
                if let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    return Some(serde_json::from_slice(&line).map_err(Into::into));
                }
                match self.chunk() {
                    Ok(Some(chunk)) => pending.extend(chunk),
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
        }))
    }
}

struct Head {
    status: u16,
    length: usize,
    chunked: bool,
}
