//! What is said when a dependency or a wait fails, and how long waits last.

use std::time::{Duration, Instant};

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    a_dependency_without_health_check_is_named,
    a_dependency_that_exits_is_named_with_its_code,
    every_replica_of_a_dependency_must_be_healthy,
    wait_ends_at_its_timeout_and_leaves_containers_running,
    wait_names_the_unhealthy_container,
    wait_accepts_a_job_that_others_wait_for,
    start_waits_for_conditions_and_keeps_what_runs,
    a_failed_hook_is_told_with_its_output,
    disabled_health_checks_and_image_tests_are_honoured,
    no_deps_does_not_look_at_health,
}

/// `web` waits for `db`, which runs `command` with the given further attributes.
fn waiting(command: &str, attributes: &str) -> String {
    format!(
        "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on:
      db: {{condition: service_healthy}}
  db:
    image: busybox
    command: {command}
    stop_signal: SIGKILL
{attributes}"
    )
}

const PROBE: &str = "    healthcheck: {test: test -e /ready, interval: 200ms, retries: 100}\n";

fn a_dependency_without_health_check_is_named(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &waiting("sleep 1000", ""))?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    let message = format!("container {}-db-1 has no healthcheck configured", project.name);
    ensure!(run.stderr.contains(&message), "the message: {run}");
    ensure_eq!(project.only("web")?.state, "created", "the dependent");
    Ok(())
}

fn a_dependency_that_exits_is_named_with_its_code(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &waiting("sh -c 'sleep 1; exit 6'", PROBE))?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    let message = format!("dependency failed to start: container {}-db-1 exited (6)", project.name);
    ensure!(run.stderr.contains(&message), "the message: {run}");
    Ok(())
}

fn every_replica_of_a_dependency_must_be_healthy(engine: &Engine) -> CaseResult {
    // Only the first one to take the folder becomes healthy.
    let text = waiting(
        "sh -c 'mkdir /shared/taken && touch /ready; exec sleep 1000'",
        "    scale: 2\n    volumes: ['./shared:/shared']\n    healthcheck: {test: test -e /ready, interval: 200ms, retries: 5}\n",
    );
    let project = Project::with(engine, &text)?;
    project.compose(&["up", "-d"])?.exits(1)?.says("is unhealthy")?;
    ensure_eq!(project.only("web")?.state, "created", "the dependent");
    Ok(())
}

fn wait_ends_at_its_timeout_and_leaves_containers_running(engine: &Engine) -> CaseResult {
    let text = waiting("sleep 1000", PROBE).replace("service_healthy", "service_started");
    let project = Project::with(engine, &text)?;
    let before = Instant::now();
    project.compose(&["up", "--wait", "--wait-timeout", "2"])?.exits(1)?.says("application not healthy after 2s")?;
    ensure!(before.elapsed() < Duration::from_secs(30), "it took {:?}", before.elapsed());
    ensure!(project.states()?.iter().all(|(_, state)| state == "running"), "states: {:?}", project.states()?);
    Ok(())
}

fn wait_names_the_unhealthy_container(engine: &Engine) -> CaseResult {
    let text = "services:\n  db:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    \
                healthcheck: {test: 'exit 1', interval: 200ms, retries: 1}\n";
    let project = Project::with(engine, text)?;
    project.compose(&["up", "--wait"])?.exits(1)?.says(&format!("container {}-db-1 is unhealthy", project.name))?;
    Ok(())
}

fn wait_accepts_a_job_that_others_wait_for(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  job:
    image: busybox
    command: 'true'
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on:
      job: {condition: service_completed_successfully}
",
    )?;
    project.compose(&["up", "--wait"])?.ok()?;
    ensure_eq!(project.only("web")?.state, "running", "the dependent");
    Ok(())
}

fn start_waits_for_conditions_and_keeps_what_runs(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &waiting("sh -c 'touch /ready; exec sleep 1000'", PROBE))?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["stop", "web"])?.ok()?;
    let db = project.only("db")?.started_at;
    project.compose(&["start"])?.ok()?;
    ensure_eq!(project.only("web")?.state, "running", "web");
    ensure_eq!(project.only("db")?.started_at, db, "the start of what ran");
    Ok(())
}

fn a_failed_hook_is_told_with_its_output(engine: &Engine) -> CaseResult {
    let text = "services:\n  one:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    \
                pre_stop:\n      - command: sh -c 'echo not-yet; exit 4'\n";
    let project = Project::with(engine, text)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["stop"])?.exits(1)?.says("hook exited with status 4: not-yet")?;
    project.compose(&["down"])?.exits(1)?.says("hook exited with status 4")?;
    project.write("compose.yaml", &text.replace("exit 4", "exit 0"))?;
    project.compose(&["down"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn disabled_health_checks_and_image_tests_are_honoured(engine: &Engine) -> CaseResult {
    let text = waiting("sleep 1000", PROBE).replace("service_healthy", "service_started");
    let project = Project::with(engine, &text)?;
    project.compose(&["create"])?.ok()?;
    let test = |project: &Project| -> Result<serde_json::Value, String> {
        Ok(project.only("db")?.inspect["Config"]["Healthcheck"]["Test"].clone())
    };
    ensure_eq!(test(&project)?, serde_json::json!(["CMD-SHELL", "test -e /ready"]), "a test as text");
    project.write("compose.yaml", &text.replace("test: test -e /ready", "disable: true"))?;
    project.compose(&["create"])?.ok()?;
    ensure_eq!(test(&project)?, serde_json::json!(["NONE"]), "a disabled test");
    Ok(())
}

fn no_deps_does_not_look_at_health(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &waiting("sleep 1000", ""))?;
    project.compose(&["up", "-d", "--no-deps", "web"])?.ok()?;
    ensure_eq!(project.states()?, vec![("web-1".to_owned(), "running".to_owned())], "containers");
    Ok(())
}
