//! Starting and stopping a containerd.

use super::Engine;
use crate::shell;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Starts the daemon and waits until it answers.
pub(super) fn start(engine: Engine) -> Result<()> {
    let toml = Path::new(super::STATE).join(format!("{}.toml", engine.name()));
    write_config(engine, &toml, &engine.data(), &engine.state(), &engine.socket())?;
    let mut command = Command::new(engine.program("containerd")?);
    command.arg("--config").arg(&toml).env("PATH", engine.search_path()?).current_dir("/");
    engine.daemon().start(&mut command)?;
    engine
        .daemon()
        .wait_ready(Duration::from_secs(60), || ctr(engine).is_ok_and(|mut ctr| shell::succeeds(ctr.arg("version"))))
}

/// Writes a configuration without the Kubernetes parts, which would want networks and ports of their own.
pub(super) fn write_config(engine: Engine, file: &Path, root: &Path, state: &Path, socket: &Path) -> Result<()> {
    let containerd = engine.program("containerd")?;
    let version = shell::output(Command::new(containerd).arg("--version"))?;
    // containerd github.com/containerd/containerd/v2 2.1.4 ...
    let is_two = version.split_whitespace().any(|word| word.trim_start_matches('v').starts_with("2."));
    let (number, disabled) = if is_two {
        (
            3,
            "\"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \"io.containerd.grpc.v1.cri\", \"io.containerd.nri.v1.nri\"",
        )
    } else {
        (2, "\"io.containerd.grpc.v1.cri\"")
    };
    let text = format!(
        "version = {number}\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [{disabled}]\n\
         [grpc]\n  address = \"{socket}\"\n[ttrpc]\n  address = \"{socket}.ttrpc\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\n  path = \"{}\"\n",
        root.display(),
        state.display(),
        root.join("opt").display(),
        socket = socket.display(),
    );
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn ctr(engine: Engine) -> Result<Command> {
    let mut command = Command::new(engine.program("ctr")?);
    command.arg("--address").arg(engine.socket()).env_remove("CONTAINERD_NAMESPACE");
    Ok(command)
}

/// Imports the images of the archives into the namespace `default`.
pub(super) fn load(engine: Engine, archives: &[PathBuf]) -> Result<()> {
    for archive in archives {
        shell::output(ctr(engine)?.args(["images", "import"]).arg(archive))?;
    }
    Ok(())
}

/// Ends every task of every namespace, then the daemon.
pub(super) fn stop(engine: Engine) {
    if engine.is_up() {
        let lines = |arguments: &[&str]| -> Vec<String> {
            let Ok(mut command) = ctr(engine) else { return Vec::new() };
            let text = shell::output(command.args(arguments)).unwrap_or_default();
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
        };
        for namespace in lines(&["namespaces", "ls", "-q"]) {
            for task in lines(&["-n", &namespace, "tasks", "ls", "-q"]) {
                if let Ok(mut command) = ctr(engine) {
                    shell::succeeds(command.args(["-n", &namespace, "tasks", "rm", "-f", &task]));
                }
            }
        }
    }
    engine.daemon().stop(Duration::from_secs(15));
}
