//! Starting and stopping a Docker engine.

use super::Engine;
use super::network::Net;
use crate::docker_api;
use crate::process::Daemon;
use crate::shell;
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// dockerd takes a containerd that it finds in the system's place for its own and shares it
/// with the system's engine. So each engine gets a containerd that belongs to it alone.
fn containerd_of(engine: Engine) -> Daemon {
    Daemon::new(Path::new(super::STATE), &format!("{}-containerd", engine.name()))
}

/// Starts the engine and waits until it answers.
pub(super) fn start(engine: Engine) -> Result<()> {
    let net = Net::of(engine);
    net.up()?;
    let (state, data, path) = (engine.state(), engine.data(), engine.search_path()?);
    let inner = state.join("containerd.sock");
    let toml = state.join("containerd.toml");
    super::containerd::write_config(engine, &toml, &data.join("containerd"), &state.join("containerd"), &inner)?;
    let containerd = containerd_of(engine);
    // `ip netns exec` would mount a new /sys that lacks the cgroups; nsenter does not.
    let inside = |program: &Path| {
        let mut command = Command::new(shell::which("nsenter").unwrap_or_else(|| "nsenter".into()));
        command.arg(format!("--net={}", net.path().display())).arg(program).env("PATH", &path).current_dir("/");
        command
    };
    containerd.start(inside(&engine.program("containerd")?).arg("--config").arg(&toml))?;
    containerd.wait_ready(Duration::from_secs(30), || std::os::unix::net::UnixStream::connect(&inner).is_ok())?;

    let config = Path::new(super::STATE).join(format!("{}.json", engine.name()));
    // With containerd's image store BuildKit exports whole images, as its own daemon does.
    let features = if engine == Engine::BuildKit { r#""features": {"containerd-snapshotter": true}"# } else { "" };
    fs::write(&config, format!("{{{features}}}\n"))?;
    let mut command = inside(&engine.program("dockerd")?);
    command
        .arg("--config-file")
        .arg(&config)
        .arg("--host")
        .arg(format!("unix://{}", engine.socket().display()))
        .arg("--containerd")
        .arg(&inner)
        .arg("--data-root")
        .arg(data.join("docker"))
        .arg("--exec-root")
        .arg(state.join("docker"))
        .arg("--pidfile")
        .arg(state.join("dockerd.pid"))
        .args(["--bip", &net.bridge(), "--default-address-pool", &net.pool()])
        // Without systemd's driver: these engines are no services of the system.
        .args(["--exec-opt", "native.cgroupdriver=cgroupfs"]);
    if engine.is_newest() {
        command.arg("--userland-proxy-path").arg(engine.program("docker-proxy")?);
        command.arg("--init-path").arg(engine.program("docker-init")?);
    }
    // The person behind sudo may use the engine too.
    if let (Engine::Demo, Ok(group)) = (engine, std::env::var("SUDO_GID")) {
        command.args(["--group", &group]);
    }
    engine.daemon().start(&mut command)?;
    let api = docker_api::Engine::at(&engine.socket());
    engine.daemon().wait_ready(Duration::from_secs(90), || api.version().is_ok())
}

/// Gives the engine the images of the archives.
pub(super) fn load(engine: Engine, archives: &[PathBuf]) -> Result<()> {
    let api = docker_api::Engine::at(&engine.socket());
    for archive in archives {
        api.load(archive)?;
    }
    Ok(())
}

/// Ends the containers, the engine, its containerd and its network.
pub(super) fn stop(engine: Engine) {
    if engine.is_up() {
        // Else the engine waits for the grace period of each container.
        let api = docker_api::Engine::at(&engine.socket());
        for id in api.running().unwrap_or_default() {
            // One that ended meanwhile is what we want.
            let _ = api.kill(&id);
        }
    }
    engine.daemon().stop(Duration::from_secs(30));
    containerd_of(engine).stop(Duration::from_secs(15));
    let log = containerd_of(engine).log();
    if log.exists() {
        let _ = fs::remove_file(log);
    }
    Net::of(engine).down();
}
