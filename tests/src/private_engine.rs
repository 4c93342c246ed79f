//! A Docker engine of a case's own, for what cannot be done to one that others use: stopping it.
//!
//! It has no networks and touches no firewall, so several may run beside each other. Services on
//! it say `network_mode: none`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engine::{Engine, Kind};
use crate::eventually;

/// Longest time for the engine to start or to stop.
const LIMIT: Duration = Duration::from_secs(60);

/// The engine. Dropping it stops it and removes all that it had.
pub struct PrivateEngine {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
    /// As other engines are described.
    pub engine: Engine,
}

impl PrivateEngine {
    /// Whether one can be started here.
    #[must_use]
    pub fn is_possible() -> bool {
        Path::new("/usr/sbin/dockerd").exists() || Path::new("/usr/bin/dockerd").exists()
    }

    /// Starts one, with the `busybox` image of another engine.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(like: &Engine) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("compose-engine-").tempdir().map_err(|error| error.to_string())?;
        let socket = folder.path().join("docker.sock").display().to_string();
        let engine =
            Engine { name: "private".to_owned(), kind: Kind::Docker, socket, ports_host: "127.0.0.1".to_owned() };
        let mut private = Self { folder, daemon: None, engine };
        private.up()?;
        let archive = private.folder.path().join("busybox.tar").display().to_string();
        like.docker(&["save", "-o", &archive, "busybox:latest"])?;
        private.engine.docker(&["load", "-q", "-i", &archive])?;
        Ok(private)
    }

    /// Starts it again after [`PrivateEngine::down`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn up(&mut self) -> Result<(), String> {
        let folder = self.folder.path();
        std::fs::write(folder.join("config.json"), "{}").map_err(|error| error.to_string())?;
        let log = std::fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let path = |name: &str| folder.join(name).display().to_string();
        let daemon = Command::new("dockerd")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["--config-file", &path("config.json"), "--host", &format!("unix://{}", path("docker.sock"))])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("dockerd: {error}"))?;
        self.daemon = Some(daemon);
        eventually(LIMIT, || self.engine.docker(&["version"]).map(drop)).map_err(|error| {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            format!("the private engine does not come up: {error}\n{}", tail.join("\n"))
        })
    }

    /// Stops it as a system does; containers are stopped with it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn down(&mut self) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        Command::new("kill").arg(daemon.id().to_string()).status().map_err(|error| error.to_string())?;
        let ended = eventually(LIMIT, || match daemon.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the private engine does not stop".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        if ended.is_err() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        ended
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if self.daemon.is_some()
            && let Ok(list) = self.engine.docker(&["ps", "-aq"])
        {
            for id in list.lines() {
                let _ = self.engine.docker(&["rm", "-f", "-v", id]);
            }
        }
        let _ = self.down();
        // What it mounted below its folder would keep the folder from being removed.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let prefix = format!("{}/", self.folder.path().display());
        for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if mount.starts_with(&prefix) {
                let _ = Command::new("umount").args(["-l", mount]).status();
            }
        }
    }
}
