//! When containers are replaced, and how.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { Any:
    changed_environment_replaces_that_service_alone,
    force_recreate_replaces_everything,
    force_recreate_without_dependencies_replaces_one,
    no_recreate_keeps_what_differs,
    both_recreate_flags_are_refused,
    plan_names_the_changed_variable,
    replicas_keep_their_names,
}

fn ids(project: &Project) -> Result<(String, String), String> {
    Ok((project.only("web")?.id, project.only("db")?.id))
}

fn changed(project: &Project) -> Result<(), String> {
    project.write("compose.yaml", &TWO.replacen("command:", "environment: {LOG: debug}\n    command:", 1))
}

fn changed_environment_replaces_that_service_alone(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = ids(&project)?;
    changed(&project)?;
    project.compose(&["up", "-d"])?.ok()?.says("Recreated")?;
    let after = ids(&project)?;
    ensure!(after.0 != before.0, "web was not replaced");
    ensure_eq!(after.1, before.1, "db");
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(names, ["db-1", "web-1"], "names");
    Ok(())
}

fn force_recreate_replaces_everything(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = ids(&project)?;
    project.compose(&["up", "-d", "--force-recreate"])?.ok()?;
    let after = ids(&project)?;
    ensure!(after.0 != before.0 && after.1 != before.1, "not all were replaced");
    let states = project.states()?;
    ensure!(states.len() == 2 && states.iter().all(|(_, state)| state == "running"), "states: {states:?}");
    Ok(())
}

fn force_recreate_without_dependencies_replaces_one(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = ids(&project)?;
    project.compose(&["up", "-d", "--force-recreate", "--no-deps", "web"])?.ok()?;
    let after = ids(&project)?;
    ensure!(after.0 != before.0, "web was not replaced");
    ensure_eq!(after.1, before.1, "db");
    Ok(())
}

fn no_recreate_keeps_what_differs(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = ids(&project)?;
    changed(&project)?;
    project.compose(&["up", "-d", "--no-recreate"])?.ok()?;
    ensure_eq!(ids(&project)?, before, "containers");
    Ok(())
}

fn both_recreate_flags_are_refused(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d", "--force-recreate", "--no-recreate"])?.exits(1)?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn plan_names_the_changed_variable(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &TWO.replacen("command:", "environment: {LOG: info}\n    command:", 1))?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["plan", "--exit-code"])?.exits(0)?;
    changed(&project)?;
    let run = project.compose(&["plan", "--exit-code"])?.exits(2)?;
    ensure!(run.stdout.contains("environment LOG \"info\" -> \"debug\" (compose.yaml:"), "the reason: {run}");
    ensure!(run.stdout.contains("rename:web.1"), "the plan: {run}");
    Ok(())
}

fn replicas_keep_their_names(engine: &Engine) -> CaseResult {
    let text = TWO.replacen("image: busybox", "image: busybox\n    scale: 3", 1);
    let project = Project::with(engine, &text)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    project.compose(&["up", "-d", "--force-recreate"])?.ok()?;
    let after: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(after, before, "names");
    Ok(())
}
