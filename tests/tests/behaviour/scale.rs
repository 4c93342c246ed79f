//! Replica counts.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    replicas_of_the_file_are_made_and_numbered,
    scale_flag_counts_until_the_next_up,
    scale_down_removes_the_highest_numbers,
    scale_command_changes_the_count,
    scale_to_nothing_is_allowed,
    up_to_date_replicas_are_kept,
    container_name_forbids_more_than_one,
}

const APP: &str = "
services:
  app:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    deploy:
      replicas: 3
";

fn numbers(project: &Project) -> Result<Vec<String>, String> {
    Ok(project.states()?.into_iter().map(|(name, _)| name).collect())
}

fn replicas_of_the_file_are_made_and_numbered(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, APP)?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(numbers(&project)?, ["app-1", "app-2", "app-3"], "containers");
    Ok(())
}

fn scale_flag_counts_until_the_next_up(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, APP)?;
    project.compose(&["up", "-d", "--scale", "app=2"])?.ok()?;
    ensure_eq!(numbers(&project)?, ["app-1", "app-2"], "with the flag");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(numbers(&project)?, ["app-1", "app-2", "app-3"], "without the flag");
    Ok(())
}

fn scale_down_removes_the_highest_numbers(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, APP)?;
    project.compose(&["up", "-d"])?.ok()?;
    let first = project.containers()?.remove(0).id;
    project.write("compose.yaml", &APP.replace("replicas: 3", "replicas: 1"))?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(numbers(&project)?, ["app-1"], "containers");
    ensure_eq!(project.only("app")?.id, first, "the one that stays");
    Ok(())
}

fn scale_command_changes_the_count(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, APP)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["scale", "app=1"])?.ok()?;
    ensure_eq!(numbers(&project)?, ["app-1"], "after `scale app=1`");
    project.compose(&["scale", "app"])?.exits(1)?.says("invalid scale specifier")?;
    Ok(())
}

fn scale_to_nothing_is_allowed(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, APP)?;
    project.compose(&["up", "-d", "--scale", "app=0"])?.ok()?;
    ensure_eq!(numbers(&project)?, Vec::<String>::new(), "containers");
    Ok(())
}

fn up_to_date_replicas_are_kept(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &APP.replace("replicas: 3", "replicas: 1"))?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("app")?;
    project.compose(&["up", "-d", "--scale", "app=3"])?.ok()?;
    let containers = project.containers()?;
    ensure_eq!(containers.len(), 3, "containers");
    ensure!(
        containers.iter().any(|container| container.id == before.id && container.started_at == before.started_at),
        "the first replica was touched"
    );
    Ok(())
}

fn container_name_forbids_more_than_one(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let text = APP.replace("image:", &format!("container_name: {}-fixed\n    image:", project.name));
    project.write("compose.yaml", &text.replace("replicas: 3", "replicas: 1"))?;
    project.compose(&["up", "-d", "--scale", "app=2"])?.exits(1)?.says("app")?;
    ensure_eq!(numbers(&project)?, Vec::<String>::new(), "containers");
    Ok(())
}
