//! What the tests on real daemons share: a place of their own, images, and counting what is left.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Helpers of tests: a panic is a failed test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use compose_runtime::Runtime;
use runtime_containerd::{Containerd, Settings};

/// The daemons to test on, from the environment; says so where there are none.
#[allow(clippy::disallowed_methods)] // A test is told where the daemons are by the environment.
pub(crate) fn daemons(test: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in ["COMPOSE_TEST_CONTAINERD1", "COMPOSE_TEST_CONTAINERD2"] {
        match std::env::var(name) {
            Ok(address) if !address.is_empty() => found.push((name.to_owned(), address)),
            _ => println!("{test}: not run on {name}, which is not set to a containerd socket"),
        }
    }
    found
}

/// A variable by which the test job tells where things are.
#[allow(clippy::disallowed_methods)] // As above.
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A namespace and directories of a test's own.
pub(crate) struct Place {
    pub(crate) runtime: Containerd,
    pub(crate) settings: Settings,
    pub(crate) namespace: String,
    directory: PathBuf,
    before: BTreeSet<String>,
}

impl Place {
    pub(crate) async fn new(address: &str, test: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("ctest").tempdir().unwrap().keep();
        let namespace = format!("t-{test}-{}", std::process::id());
        let mut settings = Settings::new(address, &namespace, env!("CARGO_BIN_EXE_containerd-helper").into());
        settings.data_root = directory.join("data");
        settings.volume_root = directory.join("volumes");
        settings.state_root = directory.join("state");
        settings.network_directory = directory.join("networks");
        let runtime = Containerd::connect(settings.clone()).await.unwrap();
        let mut place = Self { runtime, settings, namespace, directory, before: BTreeSet::new() };
        place.before = place.host_state();
        let names = place.load(&place.image("shop/web:1")).await;
        assert_eq!(names, ["shop/web:1"]);
        place
    }

    #[allow(dead_code)] // Not every test program makes files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) async fn load(&self, archive: &Path) -> Vec<String> {
        let file = tokio::fs::File::open(archive).await.unwrap();
        self.runtime.images().load(Box::pin(file)).await.unwrap()
    }

    /// An archive in the form of an old `docker save` with one layer: a static busybox.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        let busybox = setting("COMPOSE_TEST_BUSYBOX").map_or_else(|| PathBuf::from("/bin/busybox"), PathBuf::from);
        assert!(busybox.exists(), "COMPOSE_TEST_BUSYBOX names no static busybox");
        let mut layer = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8], link: Option<&str>| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            match link {
                Some(link) => layer.append_link(&mut header, path, link).unwrap(),
                None => layer.append_data(&mut header, path, content).unwrap(),
            }
        };
        for directory in ["bin/", "etc/", "root/", "data/", "proc/", "sys/", "dev/"] {
            add(directory, tar::EntryType::Directory, 0o755, &[], None);
        }
        add("tmp/", tar::EntryType::Directory, 0o1777, &[], None);
        add("bin/busybox", tar::EntryType::Regular, 0o755, &std::fs::read(busybox).unwrap(), None);
        for applet in [
            "sh", "cat", "echo", "sleep", "id", "env", "ls", "nc", "httpd", "wget", "ip", "kill", "true", "false",
            "stat", "seq", "hostname", "head", "grep", "mount", "ulimit", "readlink", "tty", "stty", "printf",
            "nslookup",
        ] {
            add(&format!("bin/{applet}"), tar::EntryType::Symlink, 0o777, &[], Some("busybox"));
        }
        add(
            "etc/passwd",
            tar::EntryType::Regular,
            0o644,
            b"root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n",
            None,
        );
        add("etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\nweb:x:33:\nlog:x:4:web\n", None);
        add("data/seed", tar::EntryType::Regular, 0o640, b"seed\n", None);
        let layer = layer.into_inner().unwrap();
        use sha2::{Digest, Sha256};
        let digest: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": { "Env": ["PATH=/bin", "FROM_IMAGE=1"], "Cmd": ["sleep", "1000"], "WorkingDir": "/root",
                        "Volumes": { "/data": {} } },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        let manifest = serde_json::json!([{
            "Config": "config.json", "RepoTags": [name], "Layers": [format!("{digest}/layer.tar")]
        }]);
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in [
            ("config.json", config.to_string().into_bytes()),
            (&*format!("{digest}/layer.tar"), layer),
            ("manifest.json", manifest.to_string().into_bytes()),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_slice()).unwrap();
        }
        let path = self.directory.join("image.tar");
        std::fs::write(&path, archive.into_inner().unwrap()).unwrap();
        path
    }

    /// Everything on the host that a container could leave behind.
    fn host_state(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mine = self.directory.display().to_string();
        for line in std::fs::read_to_string("/proc/self/mounts").unwrap().lines() {
            if line.contains(&mine) {
                all.insert(format!("mount {line}"));
            }
        }
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            if command.contains(&self.namespace) || (command.contains(&mine) && command.contains("__containerd")) {
                all.insert(format!("process {command}"));
            }
        }
        for below in ["state", "data", "networks"] {
            files_below(&self.directory.join(below), &mut all);
        }
        // The rules of other tests that run now are theirs: ours are known by our bridges.
        let rules = Command::new("iptables-save").output().unwrap();
        for line in String::from_utf8_lossy(&rules.stdout).lines() {
            if self.bridges().iter().any(|bridge| line.contains(bridge.as_str())) || line.contains(&self.namespace) {
                all.insert(format!("rule {line}"));
            }
        }
        all
    }

    /// What is on the host that was not there before.
    #[allow(dead_code)] // Not every test program looks meanwhile.
    pub(crate) fn left(&self) -> Vec<String> {
        self.host_state().difference(&self.before).cloned().collect()
    }

    /// The rules that let containers through.
    #[allow(dead_code)] // Not every test program makes networks.
    pub(crate) fn forward_rules(&self) -> String {
        let rules = Command::new("iptables").args(["-w", "10", "-S", "CNI-FORWARD"]).output().unwrap();
        String::from_utf8(rules.stdout).unwrap()
    }

    /// `ctr` on this daemon and namespace; what it prints.
    pub(crate) fn ctr(&self, words: &[&str]) -> String {
        let output = Command::new("ctr")
            .args(["-a", &self.settings.address, "-n", &self.namespace])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Bridges of networks that this test made, removed ones included.
    pub(crate) fn bridges(&self) -> Vec<String> {
        use sha2::{Digest, Sha256};
        ["shop_default", "shop_back"]
            .map(|name| Sha256::digest(format!("{}/{name}", self.namespace).as_bytes()))
            .map(|digest| digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>())
            .map(|hex| format!("br-{hex}"))
            .into()
    }

    /// Ends the supervisor and waits until it is gone: it holds its lock as long as it lives.
    pub(crate) async fn stop_supervisor(&self) {
        if self.runtime.stop_supervisor().await.unwrap() {
            while self.runtime.supervisor_status().await.is_ok_and(|status| status.is_some()) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Removes the image and checks that the daemon and the host are as before.
    pub(crate) async fn finish(self) {
        self.stop_supervisor().await;
        self.runtime.images().remove(&"shop/web:1".into()).await.unwrap();
        let ctr = |words: &[&str]| self.ctr(words);
        assert_eq!(ctr(&["containers", "ls", "-q"]), "", "containers are left");
        assert_eq!(ctr(&["tasks", "ls", "-q"]), "", "tasks are left");
        assert_eq!(ctr(&["leases", "ls", "-q"]), "", "leases are left");
        let after = self.host_state();
        let left: Vec<&String> = after.difference(&self.before).collect();
        assert!(left.is_empty(), "left behind: {left:#?}");
        for bridge in self.bridges() {
            assert!(!Path::new("/sys/class/net").join(&bridge).exists(), "{bridge} is left");
        }
        // The collector runs on its own schedule; a synchronous deletion of a lease makes it run.
        ctr(&["leases", "create", "--id", "collect"]);
        ctr(&["leases", "delete", "--sync", "collect"]);
        assert_eq!(ctr(&["snapshots", "ls"]).lines().count(), 1, "snapshots are left: {}", ctr(&["snapshots", "ls"]));
        assert_eq!(ctr(&["content", "ls", "-q"]), "", "blobs are left");
        ctr(&["namespaces", "rm", &self.namespace]);
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// A test that fails leaves nothing mounted and nothing running.
impl Drop for Place {
    fn drop(&mut self) {
        if !self.directory.exists() {
            return;
        }
        let mine = self.directory.display().to_string();
        // The supervisor first: it would start containers again.
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            if command.contains("__containerd-supervisor") && command.contains(&mine) {
                let _ = Command::new("kill").arg("-9").arg(entry.file_name()).status();
            }
        }
        for id in self.ctr(&["tasks", "ls", "-q"]).lines() {
            self.ctr(&["tasks", "rm", "--force", id]);
        }
        for id in self.ctr(&["containers", "ls", "-q"]).lines() {
            self.ctr(&["containers", "rm", id]);
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for point in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|point| point.starts_with(&mine)) {
            let _ = Command::new("umount").args(["--lazy", point]).status();
        }
        for bridge in self.bridges() {
            let _ = Command::new("ip").args(["link", "del", &bridge]).stderr(std::process::Stdio::null()).status();
        }
        println!("what is left of the test is in {mine}");
    }
}

/// Lock files that are made once.
const STAYING: [&str; 5] = ["names", "creation", "volumes", "cni.lock", "ports.lock"];

fn files_below(directory: &Path, all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            // The supervisor's own few files stay.
            if path.file_name().is_some_and(|name| name != "supervisor") {
                files_below(&path, all);
            }
        } else if path.file_name().is_some_and(|name| !STAYING.iter().any(|stays| name == *stays)) {
            all.insert(format!("file {}", path.display()));
        }
    }
}
