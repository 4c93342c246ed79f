//! `down`, `rm`, orphans.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { Any:
    down_removes_containers_and_networks,
    down_works_twice,
    down_needs_no_file,
    down_leaves_orphans_unless_asked,
    up_warns_of_orphans_and_removes_them_when_asked,
    disabled_profiles_are_no_orphans,
    rm_removes_stopped_containers_only,
    rm_stops_first_when_asked,
}

fn down_removes_containers_and_networks(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["down"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "containers");
    if engine.is_docker() {
        ensure_eq!(engine.networks(&project.name)?, Vec::<String>::new(), "networks");
    }
    Ok(())
}

fn down_works_twice(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["down"])?.ok()?;
    project.compose(&["down"])?.ok()?;
    Ok(())
}

fn down_needs_no_file(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    std::fs::remove_file(project.folder().join("compose.yaml")).map_err(|error| error.to_string())?;
    project.compose(&["-p", &project.name, "down"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn without_web(project: &Project) -> Result<(), String> {
    project.write(
        "compose.yaml",
        "services:\n  db:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n",
    )
}

fn down_leaves_orphans_unless_asked(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    without_web(&project)?;
    project.compose(&["down"])?.ok()?;
    ensure_eq!(project.states()?, vec![("web-1".to_owned(), "running".to_owned())], "what `down` leaves");
    project.compose(&["down", "--remove-orphans"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "what `down --remove-orphans` leaves");
    Ok(())
}

fn up_warns_of_orphans_and_removes_them_when_asked(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    without_web(&project)?;
    project.compose(&["up", "-d"])?.ok()?.says("Found orphan containers")?.says(&format!("{}-web-1", project.name))?;
    ensure_eq!(project.only("web")?.state, "running", "the orphan");
    project.compose(&["up", "-d", "--remove-orphans"])?.ok()?;
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(names, ["db-1"], "containers");
    Ok(())
}

fn disabled_profiles_are_no_orphans(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        &format!(
            "{TWO}  debug:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    profiles: [debug]\n"
        ),
    )?;
    project.compose(&["--profile", "debug", "up", "-d"])?.ok()?;
    ensure_eq!(project.containers()?.len(), 3, "containers with the profile");
    let run = project.compose(&["up", "-d", "--remove-orphans"])?.ok()?;
    ensure!(!run.stderr.contains("orphan"), "speaks of orphans: {run}");
    ensure_eq!(project.only("debug")?.state, "running", "the container of the disabled service");
    project.compose(&["--profile", "debug", "down"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "containers after `down` with the profile");
    Ok(())
}

fn rm_removes_stopped_containers_only(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["stop", "web"])?.ok()?;
    project.compose(&["rm", "-f"])?.ok()?;
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(names, ["db-1"], "containers");
    Ok(())
}

fn rm_stops_first_when_asked(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["rm", "-s", "-f", "web"])?.ok()?;
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(names, ["db-1"], "containers");
    Ok(())
}
