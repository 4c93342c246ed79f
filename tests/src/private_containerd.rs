//! A containerd of a case's own, for what cannot be done to one that others use: stopping it, and
//! playing a start of the machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engine::{Engine, Kind};
use crate::{Proxy, eventually};

/// Longest time for the daemon to start or to stop.
const LIMIT: Duration = Duration::from_secs(60);
/// The daemon's socket where a proxy has the engine's.
const BEHIND: &str = "d.sock";

/// The daemon. Dropping it stops it and removes all that it had.
pub struct PrivateContainerd {
    folder: tempfile::TempDir,
    program: PathBuf,
    search_path: String,
    daemon: Option<Child>,
    proxy: Option<Proxy>,
    /// As other engines are described.
    pub engine: Engine,
}

impl PrivateContainerd {
    /// Starts one of the version of a test engine, with the example images.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(like: &Engine) -> Result<Self, String> {
        Self::start_as(like, false)
    }

    /// The same with a proxy at the engine's socket.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_behind_a_proxy(like: &Engine) -> Result<Self, String> {
        Self::start_as(like, true)
    }

    fn start_as(like: &Engine, behind_proxy: bool) -> Result<Self, String> {
        let failed = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new().prefix("compose-containerd-").tempdir().map_err(failed)?;
        // The programs of the engine that runs, wherever they come from.
        let pid = std::fs::read_to_string(Path::new(&like.socket).with_extension("pid")).map_err(failed)?;
        let pid = pid.split_whitespace().next().unwrap_or_default();
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).map_err(failed)?;
        let environment = std::fs::read(format!("/proc/{pid}/environ")).map_err(failed)?;
        let environment = String::from_utf8_lossy(&environment);
        let search_path = environment.split('\0').find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
        let socket = folder.path().join("c.sock").display().to_string();
        // runc keeps its state by namespace alone: the name must be nobody else's.
        let name = format!("{}-{}", like.name, folder.path().file_name().unwrap_or_default().to_string_lossy());
        let engine = Engine { name, kind: Kind::Containerd, socket, ports_host: "127.0.0.1".to_owned() };
        let mut private =
            Self { folder, program, search_path: search_path.to_owned(), daemon: None, proxy: None, engine };
        if behind_proxy {
            let upstream = private.folder.path().join(BEHIND).display().to_string();
            private.proxy = Some(Proxy::at(Path::new(&private.engine.socket), &upstream, Kind::Containerd)?);
        }
        private.up()?;
        private.engine.import("examples.tar")?;
        Ok(private)
    }

    /// The proxy before it.
    ///
    /// # Panics
    /// When it was started without one.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("started behind a proxy")
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn up(&mut self) -> Result<(), String> {
        let folder = self.folder.path().display().to_string();
        let socket = if self.proxy.is_some() { BEHIND } else { "c.sock" };
        let config = format!(
            "version = 2\nroot = \"{folder}/root\"\nstate = \"{folder}/state\"\ndisabled_plugins = \
             [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \
             \"io.containerd.nri.v1.nri\"]\n[grpc]\n  address = \"{folder}/{socket}\"\n[ttrpc]\n  address = \
             \"{folder}/{socket}.ttrpc\"\n[plugins.\"io.containerd.internal.v1.opt\"]\n  path = \"{folder}/opt\"\n"
        );
        let path = self.folder.path().join("config.toml");
        std::fs::write(&path, config).map_err(|error| error.to_string())?;
        let log = std::fs::File::create(self.folder.path().join("log")).map_err(|error| error.to_string())?;
        let daemon = Command::new(&self.program)
            .arg("--config")
            .arg(&path)
            .env("PATH", &self.search_path)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        self.daemon = Some(daemon);
        eventually(LIMIT, || self.engine.ctr(&["version"]).map(drop)).map_err(|error| {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            format!("the private containerd does not come up: {error}\n{}", tail.join("\n"))
        })
    }

    /// Ends it with a signal; containers go on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn down(&mut self, signal: &str) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        kill(signal, &daemon.id().to_string());
        eventually(LIMIT, || match daemon.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the private containerd does not stop".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// First digits of the digest of the socket's path: where the program keeps things.
    fn hash(&self) -> String {
        let script = format!("printf %s '{}' | sha256sum", self.engine.socket);
        let output = Command::new("sh").args(["-c", &script]).output();
        output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).chars().take(8).collect())
    }

    fn run_directory(&self) -> PathBuf {
        Path::new("/run/compose").join(self.hash())
    }

    fn networks(&self) -> PathBuf {
        Path::new("/etc/cni/net.d").join(self.engine.namespace())
    }

    /// What the program has of containers on this machine: a line for each snapshot of a container,
    /// directory, leased address and bridge.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub fn traces(&self) -> Result<Vec<String>, String> {
        let snapshots = self.engine.ctr(&["snapshots", "ls"])?;
        // Those of containers can be written; those of images are committed.
        let active = snapshots.lines().filter(|line| line.contains("Active") || line.contains("View"));
        let mut found: Vec<String> = active.map(|line| format!("snapshot {line}")).collect();
        for root in ["/var/lib/compose", "/run/compose"] {
            let root = Path::new(root).join(self.hash());
            for kind in ["containers", "addresses"] {
                let folder = root.join(kind).join(self.engine.namespace());
                let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                found.extend(entries.map(|entry| entry.path().display().to_string()));
            }
        }
        found.extend(self.bridges().into_iter().map(|(name, bridge)| format!("network {name} {bridge}")));
        Ok(found)
    }

    /// The networks that are defined here, with their devices.
    fn bridges(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.networks()).into_iter().flatten().flatten() {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            let network: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            let bridge = network["plugins"][0]["bridge"].as_str();
            found.extend(
                network["name"].as_str().zip(bridge).map(|(name, bridge)| (name.to_owned(), bridge.to_owned())),
            );
        }
        found
    }

    /// Processes that belong to the daemon or its containers, by what their command lines name.
    fn processes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let hash = self.hash();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let ours = command.contains("containerd-shim") && command.contains(&self.engine.namespace());
            let folder = self.folder.path().display().to_string();
            let ours = ours || command.contains(&folder) || command.contains(&hash);
            if ours && pid.bytes().all(|byte| byte.is_ascii_digit()) && pid != std::process::id().to_string() {
                found.push(pid);
            }
        }
        found
    }

    /// Process of the supervisor.
    #[must_use]
    pub fn supervisor(&self) -> Option<String> {
        self.processes().into_iter().find(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains("__containerd-supervisor")
        })
    }

    /// Kills the supervisor and waits until it is gone.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_supervisor(&self) -> Result<(), String> {
        let pid = self.supervisor().ok_or("there is no supervisor")?;
        kill("KILL", &pid);
        eventually(LIMIT, || match self.supervisor() {
            Some(now) if now == pid => Err(format!("process {pid} is still there")),
            _ => Ok(()),
        })
    }

    /// Takes away what a machine loses when it goes down without warning: all processes, network
    /// namespaces, mounts, and everything below `/run`. The daemon is not started again.
    ///
    /// # Errors
    /// When something stays.
    pub fn lose_power(&mut self) -> Result<(), String> {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let processes: Vec<String> = Command::new("sh")
            .args(["-c", &format!("cat /run/containerd/runc/{}/*/state.json", self.engine.namespace())])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
            .split("\"init_process_pid\":")
            .skip(1)
            .filter_map(|rest| rest.split(|character: char| !character.is_ascii_digit()).next().map(str::to_owned))
            .collect();
        for pid in self.processes().into_iter().chain(processes) {
            kill("KILL", &pid);
        }
        eventually(LIMIT, || match self.processes().as_slice() {
            [] => Ok(()),
            left => Err(format!("processes are left: {left:?}")),
        })?;
        self.unmount();
        let _ = std::fs::remove_dir_all(self.folder.path().join("state"));
        let _ = std::fs::remove_dir_all(Path::new("/run/containerd/runc").join(self.engine.namespace()));
        std::fs::remove_dir_all(self.run_directory()).map_err(|error| error.to_string())
    }

    fn unmount(&self) {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let prefixes = [format!("{}/", self.folder.path().display()), format!("{}/", self.run_directory().display())];
        for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if prefixes.iter().any(|prefix| mount.starts_with(prefix.as_str())) {
                let _ = Command::new("umount").args(["-l", mount]).status();
            }
        }
    }
}

/// Removes a network's bridge, and the rules that name either, with the chains that only they lead to.
fn forget_network(name: &str, bridge: &str) {
    let _ = Command::new("ip").args(["link", "delete", bridge]).stderr(Stdio::null()).status();
    let rules = Command::new("iptables-save").output();
    let rules = rules.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let iptables = |table: &str, rest: &str| {
        // Through the shell, which knows the quotation marks of comments.
        let command = format!("iptables -w 10 -t {table} {rest}");
        let _ = Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status();
    };
    let comment = format!("name: \\\"{name}\\\" ");
    let (mut table, mut chains) = ("filter", Vec::new());
    for line in rules.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with("-A ") && (words.contains(&bridge) || line.contains(&comment)) {
            iptables(table, &format!("-D {}", line.trim_start_matches("-A ")));
            // A container's own chain has digits of a digest in its name.
            let target = words.iter().position(|word| *word == "-j").and_then(|at| words.get(at + 1)).copied();
            chains.extend(target.filter(|chain| chain.starts_with("CNI-") && chain.len() > 20).map(|one| (table, one)));
        }
    }
    for (table, chain) in chains {
        iptables(table, &format!("-F {chain}"));
        iptables(table, &format!("-X {chain}"));
    }
}

fn kill(signal: &str, pid: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), pid]).stderr(Stdio::null()).status();
}

impl Drop for PrivateContainerd {
    fn drop(&mut self) {
        if self.run_directory().exists() {
            let _ = self.lose_power();
        }
        let _ = self.down("KILL");
        // A machine that starts again has none of them; this one goes on.
        for (name, bridge) in self.bridges() {
            forget_network(&name, &bridge);
        }
        for root in ["/var/lib/compose", "/var/lib/nerdctl", "/run/compose"] {
            let _ = std::fs::remove_dir_all(Path::new(root).join(self.hash()));
        }
        let _ = std::fs::remove_dir_all(self.networks());
    }
}
