//! Further flags of `run`, `exec` and `cp`.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

use crate::up::TWO;

crate::cases! { Any:
    run_publishes_ports_only_when_asked,
    run_takes_name_labels_volumes_and_user,
    run_entrypoint_drops_the_command,
    run_with_quick_output_loses_nothing,
    detached_run_with_rm_removes_itself,
    exec_chooses_the_replica,
    cp_reaches_every_replica,
    cp_copies_folders_and_into_created_containers,
    run_is_ended_by_signals,
    jobs_run_once_after_what_they_depend_on,
}

fn run_publishes_ports_only_when_asked(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    ports: ['80']\n",
    )?;
    let published = |arguments: &[&str]| -> Result<bool, String> {
        let mut all = vec!["run", "-d"];
        all.extend(arguments);
        all.push("web");
        let id = project.compose(&all)?.ok()?.stdout.trim().to_owned();
        let found = project.containers()?.into_iter().find(|container| container.id == id);
        Ok(found.is_some_and(|container| container.published("80/tcp").is_some()))
    };
    ensure!(!published(&[])?, "published without a flag");
    ensure!(published(&["--service-ports"])?, "not published with `--service-ports`");
    ensure!(published(&["-p", "80"])?, "not published with `-p`");
    Ok(())
}

fn run_takes_name_labels_volumes_and_user(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.write("given/file", "given\n")?;
    let name = format!("{}-mine", project.name);
    let volume = format!("{}/given:/given", project.folder().display());
    let run = project.compose(&[
        "run",
        "-T",
        "--no-deps",
        "--name",
        &name,
        "-l",
        "owner=me",
        "-v",
        &volume,
        "-u",
        "65534",
        "web",
        "sh",
        "-c",
        "id -u; cat /given/file",
    ])?;
    ensure_eq!(run.ok()?.stdout, "65534\ngiven\n", "standard output");
    let container = project.only("web")?;
    ensure_eq!(container.name, name, "name");
    ensure_eq!(container.label("owner"), "me", "label");
    Ok(())
}

fn run_entrypoint_drops_the_command(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "services:\n  one:\n    image: busybox\n    command: echo from-the-file\n")?;
    let run = project.compose(&["run", "--rm", "-T", "--entrypoint", "echo", "one"])?.ok()?;
    ensure_eq!(run.stdout, "\n", "the entrypoint alone");
    let run = project.compose(&["run", "--rm", "-T", "--entrypoint", "echo", "one", "said"])?.ok()?;
    ensure_eq!(run.stdout, "said\n", "with a command");
    Ok(())
}

fn run_is_ended_by_signals(engine: &Engine) -> CaseResult {
    let text = "services:\n  one:\n    image: busybox\n    init: true\n";
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let project = Project::with(engine, text)?;
        let run = project.spawn(&["run", "-T", "one", "sleep", "1000"])?;
        eventually(Duration::from_secs(30), || match project.only("one") {
            Ok(container) if container.state == "running" => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        run.signal(signal)?;
        run.finish(Duration::from_secs(30))?.exits(code).map_err(|error| format!("SIG{signal}: {error}"))?;
        eventually(Duration::from_secs(15), || match project.only("one")?.state.as_str() {
            "exited" => Ok(()),
            state => Err(format!("the container is {state} after SIG{signal}")),
        })?;
    }
    Ok(())
}

fn run_with_quick_output_loses_nothing(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "services:\n  one:\n    image: busybox\n")?;
    for round in 0..5 {
        let run = project.compose(&["run", "--rm", "-T", "one", "sh", "-c", "seq 1000"])?.ok()?;
        ensure_eq!(run.stdout.lines().count(), 1000, "lines in round {round}");
    }
    Ok(())
}

fn detached_run_with_rm_removes_itself(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let run = project.compose(&["run", "-d", "--rm", "--no-deps", "web", "true"])?.ok()?;
    ensure_eq!(run.stdout.trim().len(), 64, "length of the identity: {run}");
    eventually(Duration::from_secs(15), || match project.service("web")?.len() {
        0 => Ok(()),
        count => Err(format!("{count} containers are left")),
    })
}

fn scaled(engine: &Engine) -> Result<Project, String> {
    let project = Project::with(
        engine,
        "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    scale: 3\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    Ok(project)
}

fn exec_chooses_the_replica(engine: &Engine) -> CaseResult {
    let project = scaled(engine)?;
    let names: Vec<String> = project.containers()?.into_iter().map(|container| container.id).collect();
    let host = |arguments: &[&str]| -> Result<String, String> {
        let mut all = vec!["exec", "-T"];
        all.extend(arguments);
        all.extend(["app", "hostname"]);
        Ok(project.compose(&all)?.ok()?.stdout.trim().to_owned())
    };
    ensure!(names[0].starts_with(&host(&[])?), "not the first replica by default");
    ensure!(names[2].starts_with(&host(&["--index", "3"])?), "not the third replica");
    project
        .compose(&["exec", "-T", "--index", "9", "app", "true"])?
        .exits(1)?
        .says("service \"app\" is not running container #9")?;
    Ok(())
}

fn cp_reaches_every_replica(engine: &Engine) -> CaseResult {
    let project = scaled(engine)?;
    project.write("given", "all\n")?;
    project.compose(&["cp", "given", "app:/tmp/given"])?.ok()?;
    for index in ["1", "2", "3"] {
        let run = project.compose(&["exec", "-T", "--index", index, "app", "cat", "/tmp/given"])?.ok()?;
        ensure_eq!(run.stdout, "all\n", "replica {index}");
    }
    project.write("given", "one\n")?;
    project.compose(&["cp", "--index", "2", "given", "app:/tmp/given"])?.ok()?;
    let run = project.compose(&["exec", "-T", "--index", "1", "app", "cat", "/tmp/given"])?.ok()?;
    ensure_eq!(run.stdout, "all\n", "another replica than the chosen one");
    Ok(())
}

fn cp_copies_folders_and_into_created_containers(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["create"])?.ok()?;
    project.write("folder/deep/file", "deep\n")?;
    project.compose(&["cp", "folder", "web:/tmp/there"])?.ok()?;
    project.compose(&["cp", "web:/tmp/there", "back"])?.ok()?;
    let back = std::fs::read_to_string(project.folder().join("back/deep/file")).map_err(|error| error.to_string())?;
    ensure_eq!(back, "deep\n", "what came back");
    let run = project.compose(&["cp", "one", "two"])?;
    ensure!(run.code != 0, "neither side is a service, and it is accepted: {run}");
    Ok(())
}

const JOBS: &str = "
services:
  db: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: none}
jobs:
  migrate:
    image: busybox
    command: sh -c 'echo migrated with $$MODE'
    network_mode: none
    env_file: job.env
    depends_on: [db]
    triggers: {manual: true}
";

fn jobs_run_once_after_what_they_depend_on(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, JOBS)?;
    project.write("job.env", "MODE=care\n")?;
    let run = project.compose(&["up", "-d"])?.ok()?;
    ensure!(run.stderr.contains("jobs are not started by up"), "the warning: {run}");
    ensure_eq!(project.states()?, [("db-1".to_owned(), "running".to_owned())], "after `up`");
    project.compose(&["down"])?.ok()?;
    let run = project.compose(&["run", "--rm", "-T", "migrate"])?.ok()?;
    ensure_eq!(run.stdout, "migrated with care\n", "the job's output");
    ensure_eq!(project.states()?, [("db-1".to_owned(), "running".to_owned())], "after `run`");
    project.compose(&["up", "-d", "migrate"])?.exits(1)?.says("no such service: migrate")?;
    project.write("compose.yaml", &JOBS.replace("manual: true", "schedule: ['* * * * *']"))?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    run.says("scheduled jobs are not supported in this version: migrate")?;
    Ok(())
}
