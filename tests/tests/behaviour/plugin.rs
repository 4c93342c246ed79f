//! `docker compose`: the program as a plugin of the real Docker CLI, and under its standalone name.

use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use compose_tests::engine::setting;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { Any:
    the_docker_cli_drives_the_plugin,
    the_standalone_name_is_the_same_program,
}

/// Runs the Docker CLI with a configuration of its own, in the project's folder.
fn docker(project: &Project, words: &[&str]) -> Result<Output, String> {
    Command::new("docker")
        .arg("--config")
        .arg(project.folder().join("client"))
        .args(words)
        .current_dir(project.folder())
        .envs(project.engine.environment())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("docker: {error}"))
}

fn the_docker_cli_drives_the_plugin(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let plugins = project.folder().join("client/cli-plugins");
    std::fs::create_dir_all(&plugins).map_err(|error| error.to_string())?;
    let binary = setting("BINARY").ok_or("COMPOSE_TEST_BINARY is not set")?;
    symlink(binary, plugins.join("docker-compose")).map_err(|error| error.to_string())?;
    let text =
        |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    let run = |words: &[&str], code: i32, says: &str| -> CaseResult {
        let output = docker(&project, words)?;
        ensure_eq!(output.status.code(), Some(code), "docker {}: {}", words.join(" "), text(&output));
        ensure!(text(&output).contains(says), "docker {}: no {says:?} in {}", words.join(" "), text(&output));
        Ok(())
    };
    run(&["compose", "version", "--short"], 0, "5.")?;
    run(&["info", "--format", "{{range .ClientInfo.Plugins}}{{.Name}} {{end}}"], 0, "compose")?;
    run(&["compose", "up", "-d"], 0, "Started")?;
    run(&["compose", "ps", "--services"], 0, "web")?;
    run(&["compose", "-f", "compose.yaml", "exec", "-T", "web", "sh", "-c", "exit 7"], 7, "")?;
    if engine.is_docker() {
        let host = format!("unix://{}", engine.socket);
        run(&["--host", &host, "compose", "ps", "-q", "web"], 0, &project.only("web")?.id)?;
    }
    run(&["--debug", "compose", "ls", "-q"], 0, &project.name)?;
    run(&["compose", "--no-such-flag"], 1, "no-such-flag")?;
    run(&["compose", "ps", "nobody"], 1, "no such service: nobody")?;
    run(&["compose", "down"], 0, "Removed")?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn the_standalone_name_is_the_same_program(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let binary = setting("BINARY").ok_or("COMPOSE_TEST_BINARY is not set")?;
    let name = project.folder().join("docker-compose");
    symlink(binary, &name).map_err(|error| error.to_string())?;
    let mut command = Command::new(&name);
    if engine.is_docker() {
        command.args(["--host", &format!("unix://{}", engine.socket)]);
    } else {
        command.envs(engine.environment());
    }
    let output = command
        .args(["up", "-d"])
        .current_dir(project.folder())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure_eq!(project.only("web")?.state, "running", "web");
    Ok(())
}
