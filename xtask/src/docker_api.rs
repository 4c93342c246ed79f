//! The few calls on a Docker Engine that this tool needs, spoken directly to its unix socket.
//!
//! HTTP/1.0 on purpose: the answer then comes unchunked and ends with the connection.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One engine, by its socket.
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    /// Names the engine; nothing is sent.
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Its version, or why it does not answer.
    pub(crate) fn version(&self) -> Result<String> {
        let answer = self.call("GET", "/version", Duration::from_secs(10))?;
        answer.get("Version").and_then(Value::as_str).map(str::to_owned).context("the engine told no version")
    }

    /// Whether it has the image.
    pub(crate) fn has_image(&self, reference: &str) -> bool {
        self.call("GET", &format!("/images/{reference}/json"), Duration::from_secs(30)).is_ok()
    }

    /// The ids of the running containers.
    pub(crate) fn running(&self) -> Result<Vec<String>> {
        let answer = self.call("GET", "/containers/json", Duration::from_secs(20))?;
        let list = answer.as_array().cloned().unwrap_or_default();
        Ok(list.iter().filter_map(|item| item.get("Id")?.as_str().map(str::to_owned)).collect())
    }

    /// Ends a container at once.
    pub(crate) fn kill(&self, id: &str) -> Result<()> {
        self.call("POST", &format!("/containers/{id}/kill"), Duration::from_secs(20)).map(drop)
    }

    /// How long a container waits between health checks; none without one.
    pub(crate) fn health_interval(&self, id: &str) -> Result<Option<Duration>> {
        let answer = self.call("GET", &format!("/containers/{id}/json"), Duration::from_secs(20))?;
        let check = &answer["Config"]["Healthcheck"];
        let has_test = check["Test"].as_array().is_some_and(|test| test.first().is_some_and(|word| word != "NONE"));
        Ok(has_test.then(|| Duration::from_nanos(check["Interval"].as_u64().unwrap_or(30_000_000_000))))
    }

    /// Runs a container's health check (Podman).
    pub(crate) fn check_health(&self, id: &str) -> Result<()> {
        let path = format!("/v4.0.0/libpod/containers/{id}/healthcheck");
        self.call("GET", &path, Duration::from_secs(60)).map(drop)
    }

    /// Takes a name from an image, and the image with its last name.
    pub(crate) fn remove_image(&self, reference: &str) -> Result<()> {
        self.call("DELETE", &format!("/images/{reference}"), Duration::from_secs(60)).map(drop)
    }

    /// Gives it every image of an archive.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        let mut file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
        let length = file.metadata()?.len();
        let mut stream = self.connect(Duration::from_secs(300))?;
        write!(
            stream,
            "POST /images/load?quiet=1 HTTP/1.0\r\nHost: engine\r\nContent-Type: application/x-tar\r\nContent-Length: {length}\r\n\r\n"
        )?;
        std::io::copy(&mut file, &mut stream).context("the engine stopped reading the image archive")?;
        // Errors come as lines of the body, after a status of success.
        let body = read_answer(stream)?;
        for line in body.lines() {
            if let Ok(Value::Object(message)) = serde_json::from_str(line)
                && let Some(error) = message.get("error").and_then(Value::as_str)
            {
                bail!("the engine cannot load {}: {error}", archive.display());
            }
        }
        Ok(())
    }

    fn connect(&self, limit: Duration) -> Result<UnixStream> {
        let stream =
            UnixStream::connect(&self.socket).with_context(|| format!("no engine at {}", self.socket.display()))?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(stream)
    }

    fn call(&self, method: &str, path: &str, limit: Duration) -> Result<Value> {
        let mut stream = self.connect(limit)?;
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Length: 0\r\n\r\n")?;
        let body = read_answer(stream).with_context(|| format!("{method} {path}"))?;
        Ok(if body.trim().is_empty() { Value::Null } else { serde_json::from_str(&body)? })
    }
}

fn read_answer(mut stream: UnixStream) -> Result<String> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("the engine's answer is cut off")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("the engine answered {status}: {}", body.trim());
    }
    Ok(body.to_owned())
}
