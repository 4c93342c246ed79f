//! `start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `wait`.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { Any:
    stop_and_start_keep_the_container,
    start_without_containers_says_so,
    restart_keeps_the_container_and_starts_it_anew,
    kill_ends_with_the_signals_code,
    stop_honours_the_timeout,
    pause_and_unpause_freeze_and_thaw,
    commands_work_by_project_name_alone,
}

fn stop_and_start_keep_the_container(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("web")?.id;
    project.compose(&["stop"])?.ok()?.says("Stopped")?;
    ensure!(project.states()?.iter().all(|(_, state)| state == "exited"), "states: {:?}", project.states()?);
    project.compose(&["stop"])?.ok()?;
    project.compose(&["start"])?.ok()?;
    ensure_eq!(project.only("web")?.id, before, "the container");
    ensure!(project.states()?.iter().all(|(_, state)| state == "running"), "states: {:?}", project.states()?);
    Ok(())
}

fn start_without_containers_says_so(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["start"])?.exits(1)?.says("has no container to start")?;
    Ok(())
}

fn restart_keeps_the_container_and_starts_it_anew(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let (web, db) = (project.only("web")?, project.only("db")?);
    project.compose(&["restart", "web"])?.ok()?;
    let after = project.only("web")?;
    ensure_eq!(after.id, web.id, "the container");
    ensure!(after.started_at != web.started_at, "web was not started anew");
    ensure_eq!(project.only("db")?.started_at, db.started_at, "db's start");
    Ok(())
}

fn kill_ends_with_the_signals_code(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["kill", "web"])?.ok()?;
    ensure_eq!(project.only("web")?.state, "exited", "web");
    ensure_eq!(project.only("db")?.state, "running", "db");
    let run = project.compose(&["ps", "-a", "--format", "json", "web"])?.ok()?;
    ensure!(run.stdout.contains("\"ExitCode\":137"), "exit code: {run}");
    project.compose(&["kill", "web"])?.ok()?;
    Ok(())
}

fn stop_honours_the_timeout(engine: &Engine) -> CaseResult {
    // Its shell ignores SIGTERM, so that only the kill after the timeout ends it.
    let project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let begin = std::time::Instant::now();
    project.compose(&["stop", "-t", "1"])?.ok()?;
    let took = begin.elapsed().as_secs_f64();
    ensure!((0.9..8.0).contains(&took), "it took {took} s");
    let run = project.compose(&["ps", "-a", "--format", "json"])?.ok()?;
    ensure!(run.stdout.contains("\"ExitCode\":137"), "exit code: {run}");
    Ok(())
}

fn pause_and_unpause_freeze_and_thaw(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["pause", "web"])?.ok()?;
    ensure_eq!(project.only("web")?.state, "paused", "web");
    project.compose(&["pause", "web"])?.exits(1)?;
    project.compose(&["unpause", "web"])?.ok()?;
    ensure_eq!(project.only("web")?.state, "running", "web");
    Ok(())
}

fn commands_work_by_project_name_alone(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    std::fs::remove_file(project.folder().join("compose.yaml")).map_err(|error| error.to_string())?;
    project.compose(&["-p", &project.name, "stop"])?.ok()?;
    ensure!(project.states()?.iter().all(|(_, state)| state == "exited"), "states: {:?}", project.states()?);
    project.compose(&["-p", &project.name, "start"])?.ok()?;
    project.compose(&["-p", &project.name, "ps"])?.ok()?.says(&format!("{}-web-1", project.name))?;
    project.compose(&["-p", &project.name, "up", "-d"])?.exits(1)?.says("no configuration file provided")?;
    Ok(())
}
