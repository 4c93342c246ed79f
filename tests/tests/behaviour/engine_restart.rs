//! The engine goes away and comes back.

use std::time::Duration;

use compose_tests::private::Private;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

crate::cases! { Private:
    containers_with_restart_always_are_back_after_the_engine,
    an_engine_that_stops_during_up_is_told_and_the_next_up_converges,
}

fn containers_with_restart_always_are_back_after_the_engine(engine: &Engine) -> CaseResult {
    let mut private = Private::start(engine)?;
    let project = Project::with(
        private.engine(),
        "
services:
  back:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    restart: always
  away:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("back")?;
    private.down()?;
    private.up()?;
    eventually(Duration::from_secs(30), || {
        let back = project.only("back")?;
        if back.state == "running" { Ok(()) } else { Err(format!("it is {}", back.state)) }
    })?;
    ensure_eq!(project.only("back")?.id, before.id, "the container");
    // A Docker engine takes its containers with it.
    let away = if engine.is_docker() { "exited" } else { "running" };
    ensure_eq!(project.only("away")?.state, away, "the one without a policy");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(project.only("away")?.state, "running", "the one without a policy after `up`");
    Ok(())
}

fn an_engine_that_stops_during_up_is_told_and_the_next_up_converges(engine: &Engine) -> CaseResult {
    let mut private = Private::start(engine)?;
    let project = Project::with(
        private.engine(),
        "
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    healthcheck: {test: test -e /ready, interval: 200ms, retries: 1000}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    depends_on: {db: {condition: service_healthy}}
",
    )?;
    let up = project.spawn(&["up", "-d"])?;
    eventually(Duration::from_secs(30), || match project.only("db") {
        Ok(db) if db.state == "running" => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    private.down()?;
    let run = up.finish(Duration::from_secs(30))?.exits(1)?;
    ensure!(!run.stderr.contains("panicked"), "a panic: {run}");
    // The engine stops its containers before it goes itself; either may be seen first.
    let told = run.stderr.contains(&private.engine().socket) || run.stderr.contains("-db-1 exited (137)");
    ensure!(told, "the message names neither the socket nor the container that went: {run}");
    private.up()?;
    project.compose(&["start", "db"])?.ok()?;
    project.compose(&["exec", "-T", "db", "touch", "/ready"])?.ok()?;
    project.compose(&["up", "-d"])?.ok()?;
    let expected = vec![("db-1".to_owned(), "running".to_owned()), ("web-1".to_owned(), "running".to_owned())];
    ensure_eq!(project.states()?, expected, "containers");
    Ok(())
}
