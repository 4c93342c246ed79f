//! `ps`, `ls`, `images`, `top`, `events`, `cp`.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { Any:
    ps_lists_running_containers_and_all_when_asked,
    ps_prints_json_and_templates,
    ps_without_containers_prints_the_header,
    ls_lists_the_project,
    top_shows_processes,
    cp_copies_in_both_directions,
    a_file_is_made_of_containers_and_runs,
}

const MADE: &str = "
services:
  web:
    image: busybox
    command: [sh, -c, 'echo $$X; sleep 1000']
    environment: {X: a b}
    labels: {of.mine: '1'}
    restart: on-failure:3
    stop_signal: SIGKILL
    mem_limit: 64m
    cap_add: [NET_ADMIN]
    volumes: ['data:/data:ro']
    healthcheck: {test: [CMD, 'true'], interval: 90s}
volumes:
  data: {}
";

fn a_file_is_made_of_containers_and_runs(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, MADE)?;
    project.compose(&["up", "-d"])?.ok()?;
    let web = project.only("web")?;
    project.compose(&["alpha", "generate"])?.exits(1)?.says("at least one container must be specified")?;
    project.compose(&["alpha", "generate", "nobody"])?.exits(1)?.says("no container(s) found")?;
    let made = project.compose(&["alpha", "generate", "--name", "made", &web.name])?.ok()?.stdout;
    project.write("made.yaml", &made)?;
    let config = |file: &str, service: &str| -> Result<serde_json::Value, String> {
        let run = project.compose(&["-f", file, "config", "--format", "json"])?.ok()?;
        let model: serde_json::Value = serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))?;
        Ok(model["services"][service].clone())
    };
    let (asked, found) = (config("compose.yaml", "web")?, config("made.yaml", "web")?);
    for key in
        ["image", "command", "environment", "labels", "restart", "stop_signal", "mem_limit", "cap_add", "healthcheck"]
    {
        ensure_eq!(found[key], asked[key], "{key}");
    }
    ensure_eq!(found["volumes"][0]["read_only"], true, "the mount");
    // It finds the networks and volumes of the containers that it was made of.
    project.compose(&["-f", "made.yaml", "-p", &format!("{}made", project.name), "up", "-d"])?.ok()?;
    project.compose(&["-f", "made.yaml", "-p", &format!("{}made", project.name), "down"])?.ok()?;
    Ok(())
}

fn ps_lists_running_containers_and_all_when_asked(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["stop", "web"])?.ok()?;
    let run = project.compose(&["ps"])?.ok()?;
    let header: Vec<&str> = run.stdout.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure_eq!(header, ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"], "header");
    ensure!(run.stdout.contains("-db-1") && !run.stdout.contains("-web-1"), "running ones: {run}");
    let run = project.compose(&["ps", "-a"])?.ok()?;
    ensure!(run.stdout.contains("-db-1") && run.stdout.contains("-web-1"), "all: {run}");
    let run = project.compose(&["ps", "--services"])?.ok()?;
    ensure_eq!(run.stdout, "db\n", "services");
    let run = project.compose(&["ps", "-a", "--status", "exited", "-q"])?.ok()?;
    ensure_eq!(run.stdout.trim(), project.only("web")?.id, "identities");
    project.compose(&["ps", "nobody"])?.exits(1)?.says("no such service: nobody")?;
    Ok(())
}

fn ps_prints_json_and_templates(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["ps", "--format", "json"])?.ok()?;
    let mut services = Vec::new();
    for line in run.stdout.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("{error}: {run}"))?;
        ensure_eq!(entry["Project"], project.name, "project");
        ensure_eq!(entry["State"], "running", "state");
        services.push(entry["Service"].as_str().unwrap_or_default().to_owned());
    }
    ensure_eq!(services, ["db", "web"], "services");
    let run = project.compose(&["ps", "--format", "{{.Service}}={{.State}}"])?.ok()?;
    ensure_eq!(run.stdout, "db=running\nweb=running\n", "template");
    Ok(())
}

fn ps_without_containers_prints_the_header(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let run = project.compose(&["ps"])?.ok()?;
    ensure_eq!(run.stdout.lines().count(), 1, "lines");
    Ok(())
}

fn ls_lists_the_project(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["ls"])?.ok()?;
    let line = run.stdout.lines().find(|line| line.starts_with(&project.name)).unwrap_or_default();
    ensure!(line.contains("running(2)") && line.contains("compose.yaml"), "its line: {run}");
    Ok(())
}

fn top_shows_processes(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["top"])?.ok()?.says("sleep 1000")?;
    Ok(())
}

fn cp_copies_in_both_directions(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.write("given", "over\n")?;
    project.compose(&["cp", "given", "web:/tmp/taken"])?.ok()?;
    ensure_eq!(
        project.compose(&["exec", "-T", "web", "cat", "/tmp/taken"])?.ok()?.stdout,
        "over\n",
        "in the container"
    );
    project.compose(&["cp", "web:/tmp/taken", "back"])?.ok()?;
    let back = std::fs::read_to_string(project.folder().join("back")).map_err(|error| error.to_string())?;
    ensure_eq!(back, "over\n", "back on the host");
    Ok(())
}
