//! `depends_on`, health checks, hooks, `--wait`, restart policies.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

crate::cases! { Any:
    healthy_dependency_is_waited_for,
    unhealthy_dependency_fails_with_evidence,
    completed_dependency_is_waited_for,
    failed_job_stops_its_dependents,
    optional_dependency_may_fail,
    wait_returns_when_everything_is_healthy,
    wait_fails_when_a_container_exits,
    wait_fails_without_waiting_for_others,
    dependents_with_restart_are_restarted,
    hooks_run_at_their_moments,
    pre_start_hooks_run_once_before_the_first_start,
    pre_start_hooks_run_again_when_up_starts_what_was_stopped,
    env_files_of_pre_start_hooks_are_read,
    crashed_container_comes_back_by_policy,
}

const HEALTHY: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on:
      db: {condition: service_healthy}
  db:
    image: busybox
    command: sh -c 'sleep 1; touch /ready; exec sleep 1000'
    stop_signal: SIGKILL
    healthcheck:
      test: test -e /ready
      interval: 300ms
      retries: 30
";

fn healthy_dependency_is_waited_for(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, HEALTHY)?;
    project.compose(&["up", "-d"])?.ok()?.says("Healthy")?;
    let (web, db) = (project.only("web")?, project.only("db")?);
    ensure_eq!(db.inspect["State"]["Health"]["Status"], "healthy", "db's health");
    ensure!(web.started_at > db.started_at, "web was started before db");
    Ok(())
}

fn unhealthy_dependency_fails_with_evidence(engine: &Engine) -> CaseResult {
    let text = HEALTHY.replace("test -e /ready", "echo probe-says-no; exit 1").replace("retries: 30", "retries: 1");
    let project = Project::with(engine, &text)?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains(&format!("container {}-db-1 is unhealthy", project.name)), "the message: {run}");
    ensure!(run.stderr.contains("probe-says-no"), "the last probe's output: {run}");
    ensure_eq!(project.only("web")?.state, "created", "the dependent");
    Ok(())
}

const JOB: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on:
      job: {condition: service_completed_successfully}
  job:
    image: busybox
    command: sh -c 'sleep 1; echo job-ran; exit 0'
";

fn completed_dependency_is_waited_for(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, JOB)?;
    project.compose(&["up", "-d"])?.ok()?;
    let states = project.states()?;
    ensure_eq!(
        states,
        vec![("job-1".to_owned(), "exited".to_owned()), ("web-1".to_owned(), "running".to_owned())],
        "states"
    );
    Ok(())
}

fn failed_job_stops_its_dependents(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &JOB.replace("exit 0", "exit 3"))?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("service \"job\" didn't complete successfully: exit 3"), "the message: {run}");
    ensure!(run.stderr.contains("job-ran"), "the job's last lines: {run}");
    ensure_eq!(project.only("web")?.state, "created", "the dependent");
    Ok(())
}

fn optional_dependency_may_fail(engine: &Engine) -> CaseResult {
    let text = JOB.replace("exit 0", "exit 3").replace("successfully}", "successfully, required: false}");
    let project = Project::with(engine, &text)?;
    project.compose(&["up", "-d"])?.ok()?.says("optional dependency \"job\"")?;
    ensure_eq!(project.only("web")?.state, "running", "the dependent");
    Ok(())
}

fn wait_returns_when_everything_is_healthy(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &HEALTHY.replace("condition: service_healthy", "condition: service_started"))?;
    project.compose(&["up", "--wait"])?.ok()?;
    ensure_eq!(project.only("db")?.inspect["State"]["Health"]["Status"], "healthy", "db's health");
    Ok(())
}

fn wait_fails_without_waiting_for_others(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  bad: {image: busybox, command: sh -c 'exit 3'}
  slow:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'false', interval: 300s}
",
    )?;
    let before = std::time::Instant::now();
    let run = project.compose(&["up", "--wait"])?.exits(1)?.says("bad-1 exited (3)")?;
    ensure!(!run.stderr.contains("slow-1 is unhealthy"), "{run}");
    ensure!(before.elapsed() < Duration::from_secs(60), "it took {:?}", before.elapsed());
    project.compose(&["stop"])?.ok()?;
    project.compose(&["start", "--wait"])?.exits(1)?.says("bad-1 exited (3)")?;
    Ok(())
}

fn wait_fails_when_a_container_exits(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "services:\n  one:\n    image: busybox\n    command: sh -c 'exit 4'\n")?;
    project.compose(&["up", "--wait"])?.exits(1)?.says("exited (4)")?;
    Ok(())
}

fn dependents_with_restart_are_restarted(engine: &Engine) -> CaseResult {
    let text =
        crate::up::TWO.replace("depends_on: [db]", "depends_on: {db: {condition: service_started, restart: true}}");
    let project = Project::with(engine, &text)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("web")?;
    project.compose(&["restart", "db"])?.ok()?;
    let after = project.only("web")?;
    ensure_eq!(after.id, before.id, "the dependent");
    ensure!(after.started_at != before.started_at, "the dependent was not restarted");
    project.compose(&["restart", "--no-deps", "db"])?.ok()?;
    ensure_eq!(project.only("web")?.started_at, after.started_at, "the dependent after `--no-deps`");
    Ok(())
}

fn hooks_run_at_their_moments(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: [./shared:/shared]
    post_start:
      - command: sh -c 'echo post-start >> /shared/said'
    pre_stop:
      - command: sh -c 'echo pre-stop >> /shared/said'
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["stop"])?.ok()?;
    let said = std::fs::read_to_string(project.folder().join("shared/said")).map_err(|error| error.to_string())?;
    ensure_eq!(said, "post-start\npre-stop\n", "what the hooks wrote");
    project.write("compose.yaml", "services:\n  one:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    post_start:\n      - command: sh -c 'exit 9'\n")?;
    project.compose(&["up", "-d"])?.exits(1)?.says("hook exited with status 9")?;
    Ok(())
}

fn pre_start_hooks_run_once_before_the_first_start(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: sh -c 'cat /shared/said; exec sleep 1000'
    stop_signal: SIGKILL
    scale: 2
    volumes: [./shared:/shared]
    pre_start:
      - command: sh -c 'echo first >> /shared/said'
      - command: sh -c 'echo second >> /shared/said'
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["up", "-d"])?.ok()?;
    let said = std::fs::read_to_string(project.folder().join("shared/said")).map_err(|error| error.to_string())?;
    ensure_eq!(said, "first\nsecond\n", "what the hooks wrote");
    ensure_eq!(project.containers()?.len(), 2, "containers that are left");
    Ok(())
}

fn pre_start_hooks_run_again_when_up_starts_what_was_stopped(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: [./shared:/shared]
    pre_start:
      - command: sh -c 'echo ran >> /shared/said'
",
    )?;
    let said = || std::fs::read_to_string(project.folder().join("shared/said")).map_err(|error| error.to_string());
    project.compose(&["create"])?.ok()?;
    ensure!(said().is_err(), "a hook ran before anything was started");
    project.compose(&["start"])?.ok()?;
    ensure_eq!(said()?, "ran\n", "after the first start");
    project.compose(&["stop"])?.ok()?;
    project.compose(&["start"])?.exits(1)?.says("pre_start[0]")?.says("docker compose up")?;
    ensure_eq!(project.only("one")?.state, "exited", "after `start`, which cannot tell whether they have to run");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(said()?, "ran\nran\n", "after `up`");
    Ok(())
}

/// Releases of the reference after v5.6.1 read it.
fn env_files_of_pre_start_hooks_are_read(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    env_file: service.env
    environment: {FROM: service}
    volumes: [./shared:/shared]
    pre_start:
      - command: sh -c 'echo $$A $$B $$C $$FROM > /shared/said'
        env_file: [hook.env, {path: absent.env, required: false}]
        environment: {C: own}
",
    )?;
    project.write("service.env", "A=service\nB=service\nC=service\n")?;
    project.write("hook.env", "B=hook\nC=hook\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    let said = std::fs::read_to_string(project.folder().join("shared/said")).map_err(|error| error.to_string())?;
    ensure_eq!(said, "service hook own service\n", "what the hook saw");
    Ok(())
}

fn crashed_container_comes_back_by_policy(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    command: sleep 1000\n    restart: always\n    stop_signal: SIGKILL\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("one")?;
    let pid = before.inspect["State"]["Pid"].as_i64().unwrap_or_default();
    let status = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    ensure!(status.is_ok_and(|status| status.success()), "process {pid} could not be killed");
    eventually(Duration::from_secs(20), || {
        let after = project.only("one")?;
        if after.state == "running" && after.started_at != before.started_at && after.id == before.id {
            Ok(())
        } else {
            Err(format!("state {}", after.state))
        }
    })
}
