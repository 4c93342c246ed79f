//! Starting and stopping Podman's Docker-compatible service.

use super::Engine;
use super::network::Net;
use crate::docker_api;
use crate::process::Daemon;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Where what is not in the search path lies on Debian.
const HELPERS: &str = "/usr/lib/podman";

fn settings(engine: Engine) -> PathBuf {
    Path::new(super::STATE).join(format!("{}.toml", engine.name()))
}

/// The hard limit of this process, by its name in `/proc`; a modest one where it has none.
fn hard_limit(name: &str) -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()).unwrap_or(65_536)
}

/// The program, in the engine's network namespace and with everything of its own below the engine's folders.
fn podman(engine: Engine) -> Command {
    let mut command = Command::new(shell::which("nsenter").unwrap_or_else(|| "nsenter".into()));
    command.arg(format!("--net={}", Net::of(engine).path().display())).arg("podman");
    command.arg("--root").arg(engine.data().join("storage"));
    command.arg("--runroot").arg(engine.state().join("storage"));
    command.arg("--tmpdir").arg(engine.state().join("libpod"));
    command.arg("--network-config-dir").arg(engine.data().join("networks"));
    command.args(["--storage-driver", "overlay"]);
    command.env("CONTAINERS_CONF", settings(engine)).current_dir("/");
    command
}

/// Starts the service and waits until it answers.
pub(super) fn start(engine: Engine) -> Result<()> {
    let net = Net::of(engine);
    net.up()?;
    let (base, size) = net.pool_parts();
    // runc as the other engines have. Podman gives containers more than a machine may have to give:
    // here they get what this process has, and as the service itself no more processes than there are numbers.
    let (files, processes) = (hard_limit("Max open files"), hard_limit("Max processes"));
    let numbers = fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|text| text.trim().parse().ok());
    let processes = processes.min(numbers.unwrap_or(32_768));
    let text = format!(
        "[containers]\ndefault_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\nlog_driver = \"k8s-file\"\n\
         [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
         helper_binaries_dir = [\"{HELPERS}\", \"/usr/libexec/podman\"]\n\
         [network]\nnetwork_backend = \"netavark\"\n\
         default_subnet_pools = [{{ base = \"{base}\", size = {size} }}]\n"
    );
    let file = settings(engine);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let socket = format!("unix://{}", engine.socket().display());
    engine.daemon().start(podman(engine).args(["system", "service", "--time", "0", &socket]))?;
    let api = docker_api::Engine::at(&engine.socket());
    engine.daemon().wait_ready(Duration::from_secs(60), || api.version().is_ok())?;
    let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
    timers_of(engine).start(command.arg("podman-timers").arg(engine.socket()).current_dir("/"))
}

fn timers_of(engine: Engine) -> Daemon {
    Daemon::new(Path::new(super::STATE), &format!("{}-timers", engine.name()))
}

/// `podman-timers SOCKET`: runs health checks when they are due, until it is ended. Podman leaves
/// that to timers of systemd, which a machine for tests may not have.
pub(crate) fn timers(arguments: &[String]) -> Result<ExitCode> {
    let [socket] = arguments else { bail!("podman-timers wants a socket") };
    let api = docker_api::Engine::at(Path::new(socket));
    // Of each container that runs: how long to wait between checks, none without a check; when the last ended.
    let mut known: BTreeMap<String, (Option<Duration>, Option<Instant>)> = BTreeMap::new();
    loop {
        // An engine that is busy or about to end is asked again.
        let running = api.running().unwrap_or_default();
        known.retain(|id, _| running.contains(id));
        for id in running {
            let (interval, last) =
                known.entry(id.clone()).or_insert_with(|| (api.health_interval(&id).unwrap_or_default(), None));
            if interval.is_some_and(|interval| last.is_none_or(|last| last.elapsed() >= interval)) {
                // An unhealthy container is no failure here.
                let _ = api.check_health(&id);
                *last = Some(Instant::now());
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Loads the archives. Short names mean this machine to Podman's own programs but Docker's registry
/// to its Docker-compatible socket, where users' images come from: the images get those names.
pub(super) fn load(engine: Engine, archives: &[PathBuf]) -> Result<()> {
    for archive in archives {
        shell::output(podman(engine).args(["load", "--quiet", "--input"]).arg(archive))?;
    }
    let list = shell::output(podman(engine).args(["images", "--format", "{{.Repository}}:{{.Tag}}"]))?;
    for name in list.lines() {
        let Some(short) = name.strip_prefix("localhost/") else { continue };
        let library = if short.contains('/') { "" } else { "library/" };
        shell::output(podman(engine).args(["tag", name, &format!("docker.io/{library}{short}")]))?;
        shell::output(podman(engine).args(["untag", name, name]))?;
    }
    Ok(())
}

/// Removes its containers and ends the service, its name server and its network.
pub(super) fn stop(engine: Engine) {
    if Net::of(engine).path().exists() && engine.data().exists() {
        shell::succeeds(podman(engine).args(["rm", "--all", "--force", "--time", "0"]));
    }
    timers_of(engine).stop(Duration::from_secs(5));
    // A log that is not there is what we want.
    let _ = fs::remove_file(timers_of(engine).log());
    engine.daemon().stop(Duration::from_secs(10));
    for pid in crate::process::naming(&engine.state(), &["conmon"]) {
        crate::process::kill(pid);
    }
    // Its name server keeps its files outside of the engine's folders; one that outlived its network
    // would be taken for the next engine's.
    let net = Net::of(engine);
    let pids = shell::output(Command::new("ip").args(["netns", "pids", &net.name()])).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        crate::process::kill(pid);
    }
    net.down();
}
