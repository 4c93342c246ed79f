//! A containerd that is nobody else's: its daemon, its socket and everything that it makes are gone
//! when it goes out of scope.

use super::{Engine, containerd};
use crate::process::Daemon;
use crate::{images, shell};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// See the module's head.
pub(crate) struct Private {
    engine: Engine,
    folder: PathBuf,
    daemon: Daemon,
}

impl Private {
    /// Starts one of the version of an engine, with the example images.
    pub(crate) fn start(engine: Engine) -> Result<Self> {
        let folder = PathBuf::from(format!("/var/lib/compose-xtask-private-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot write {}", folder.display()))?;
        let daemon = Daemon::new(&folder, "containerd");
        let private = Self { engine, folder, daemon };
        let toml = private.folder.join("config.toml");
        let (root, state) = (private.folder.join("root"), private.folder.join("state"));
        containerd::write_config(engine, &toml, &root, &state, &private.socket())?;
        let mut command = Command::new(engine.program("containerd")?);
        command.arg("--config").arg(&toml).env("PATH", engine.search_path()?).current_dir("/");
        private.daemon.start(&mut command)?;
        private.daemon.wait_ready(Duration::from_secs(60), || private.ctr(&["version"]).is_ok())?;
        for archive in images::ensure()? {
            private.ctr(&["images", "import", &archive.display().to_string()])?;
        }
        Ok(private)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("c.sock")
    }

    /// runc keeps its state by namespace alone, so the name is nobody else's.
    fn namespace(&self) -> String {
        format!("xtask-private-{}", std::process::id())
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Variables that make the program use it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COMPOSE_RUNTIME", "containerd".to_owned()),
            ("CONTAINERD_ADDRESS", self.socket().display().to_string()),
            ("CONTAINERD_NAMESPACE", self.namespace()),
        ]
    }

    /// Runs `ctr` in its namespace.
    pub(crate) fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.engine.program("ctr")?);
        command.arg("--address").arg(self.socket()).args(["--namespace", &self.namespace()]).args(arguments);
        shell::output(&mut command)
    }

    /// First digits of the digest of the socket's path, by which the program's folders are named.
    pub(crate) fn hash(&self) -> String {
        let script = format!("printf %s '{}' | sha256sum", self.socket().display());
        let text = shell::output(Command::new("sh").args(["-c", &script])).unwrap_or_default();
        text.chars().take(8).collect()
    }

    /// Folders of the program that belong to it.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let roots = ["/run/compose", "/var/lib/compose", "/var/lib/nerdctl"];
        let mut all: Vec<PathBuf> = roots.iter().map(|root| Path::new(root).join(self.hash())).collect();
        all.push(Path::new("/etc/cni/net.d").join(self.namespace()));
        all
    }

    /// Processes that name its socket, its namespace or its folders, beside its daemon.
    pub(crate) fn processes(&self) -> Vec<String> {
        let marks = [self.socket().display().to_string(), self.namespace(), self.hash()];
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            if marks.iter().any(|mark| command.contains(mark)) {
                found.push(format!("{} {command}", entry.file_name().to_string_lossy()));
            }
        }
        found
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        for task in self.ctr(&["tasks", "ls", "-q"]).unwrap_or_default().lines() {
            // One that ended meanwhile is what we want.
            let _ = self.ctr(&["tasks", "rm", "-f", task]);
        }
        self.daemon.stop(Duration::from_secs(15));
        for process in self.processes() {
            if let Some(pid) = process.split(' ').next().and_then(|pid| pid.parse().ok()) {
                crate::process::kill(pid);
            }
        }
        for place in self.places().iter().chain([&self.folder]) {
            super::unmount_below(place);
            let _ = fs::remove_dir_all(place);
        }
    }
}
