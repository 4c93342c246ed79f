//! `port`, `events`, `wait`, `volumes`, `stats`, `version`, and further flags of `kill`, `stop`, `scale`.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

use crate::up::TWO;

crate::cases! { Any:
    port_tells_where_a_port_is_published,
    events_tell_what_happens,
    wait_blocks_and_returns_the_code,
    wait_can_take_the_project_down,
    volumes_are_listed,
    version_is_text_and_data,
    kill_sends_the_signal,
    kill_reaches_one_offs_too,
    stop_uses_the_stop_signal,
    pausing_twice_is_an_error,
    scaling_down_removes_stale_replicas_first,
    progress_is_plain_quiet_or_data,
    ps_shows_orphans_unless_told_otherwise,
}

fn port_tells_where_a_port_is_published(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    ports: ['80', '53/udp']\n    scale: 2\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    for (index, container) in project.containers()?.iter().enumerate() {
        let run = project.compose(&["port", "--index", &(index + 1).to_string(), "web", "80"])?.ok()?;
        let port = container.published("80/tcp").unwrap_or_default();
        ensure!(run.stdout.trim().ends_with(&format!(":{port}")), "port of replica {}: {run}", index + 1);
        let run =
            project.compose(&["port", "--index", &(index + 1).to_string(), "--protocol", "udp", "web", "53"])?.ok()?;
        let port = container.published("53/udp").unwrap_or_default();
        ensure!(run.stdout.trim().ends_with(&format!(":{port}")), "udp port of replica {}: {run}", index + 1);
    }
    let run = project.compose(&["port", "web", "81"])?;
    ensure!(run.code != 0, "a port that is not published: {run}");
    Ok(())
}

fn events_tell_what_happens(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["create"])?.ok()?;
    let events = project.spawn(&["events", "--json"])?;
    // The subscription is there when something that happens is told; before, it happens again.
    let (_keep, pace) = std::sync::mpsc::channel::<()>();
    let _ = pace.recv_timeout(Duration::from_millis(1500));
    project.compose(&["start", "web"])?.ok()?;
    project.compose(&["kill", "web"])?.ok()?;
    let _ = pace.recv_timeout(Duration::from_millis(500));
    events.signal("INT")?;
    let run = events.finish(Duration::from_secs(20))?;
    let mut actions = Vec::new();
    for line in run.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("{error}: {run}"))?;
        ensure_eq!(event["type"], "container", "type");
        if event["service"] == "web" {
            ensure_eq!(event["id"], project.only("web")?.id, "identity");
            actions.push(event["action"].as_str().unwrap_or_default().to_owned());
        }
    }
    ensure!(
        actions.iter().any(|action| action == "start") && actions.iter().any(|action| action == "die"),
        "actions: {actions:?}"
    );
    Ok(())
}

fn wait_blocks_and_returns_the_code(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let wait = project.spawn(&["wait", "web"])?;
    let (_keep, pace) = std::sync::mpsc::channel::<()>();
    let _ = pace.recv_timeout(Duration::from_millis(700));
    project.compose(&["kill", "web"])?.ok()?;
    wait.finish(Duration::from_secs(20))?.exits(137)?;
    Ok(())
}

fn wait_can_take_the_project_down(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &TWO.replacen("sleep 1000", "sh -c 'sleep 1; exit 3'", 1))?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["wait", "--down-project", "web"])?;
    ensure_eq!(run.code, 3, "exit code: {run}");
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn volumes_are_listed(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &format!("{TWO}    volumes: ['data:/data']\nvolumes:\n  data: {{}}\n"))?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["volumes", "-q"])?.ok()?;
    ensure_eq!(run.stdout, format!("{}_data\n", project.name), "names");
    Ok(())
}

fn version_is_text_and_data(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let short = project.compose(&["version", "--short"])?.ok()?.stdout;
    ensure!(short.trim().split('.').count() == 3, "short: {short:?}");
    let run = project.compose(&["version", "--format", "json"])?.ok()?;
    let read: serde_json::Value = serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))?;
    ensure!(read["version"].as_str().is_some_and(|version| version.contains(short.trim())), "json: {run}");
    Ok(())
}

fn kill_sends_the_signal(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    command: [sh, -c, \"trap 'exit 42' USR1; while :; do sleep 0.1; done\"]\n    stop_signal: SIGKILL\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let (_keep, pace) = std::sync::mpsc::channel::<()>();
    let _ = pace.recv_timeout(Duration::from_millis(300));
    project.compose(&["kill", "-s", "USR1"])?.ok()?;
    eventually(Duration::from_secs(10), || {
        let one = project.only("one")?;
        let code = one.inspect["State"]["ExitCode"].as_i64().unwrap_or(-1);
        if one.state == "exited" && code == 42 { Ok(()) } else { Err(format!("{} with {code}", one.state)) }
    })
}

fn kill_reaches_one_offs_too(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  one: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}\n  two: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}\n",
    )?;
    for service in ["one", "two"] {
        project.compose(&["run", "-d", service])?.ok()?;
    }
    let running = |service: &str| -> Result<usize, String> {
        Ok(project.service(service)?.iter().filter(|container| container.state == "running").count())
    };
    project.compose(&["stop"])?.ok()?;
    ensure_eq!((running("one")?, running("two")?), (1, 1), "`stop` is about replicas");
    project.compose(&["kill", "one"])?.ok()?;
    ensure_eq!((running("one")?, running("two")?), (0, 1), "after `kill one`");
    Ok(())
}

fn stop_uses_the_stop_signal(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    command: [sh, -c, \"trap 'exit 43' USR2; touch /ready; while :; do sleep 0.1; done\"]\n    stop_signal: SIGUSR2\n    healthcheck: {test: test -e /ready, interval: 100ms, retries: 100}\n",
    )?;
    project.compose(&["up", "--wait"])?.ok()?;
    project.compose(&["stop"])?.ok()?;
    ensure_eq!(project.only("one")?.inspect["State"]["ExitCode"], 43, "exit code");
    Ok(())
}

fn pausing_twice_is_an_error(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["pause", "web"])?.ok()?;
    project.compose(&["pause", "web"])?.exits(1)?.says("already paused")?;
    project.compose(&["unpause", "web"])?.ok()?;
    let run = project.compose(&["unpause", "web"])?;
    ensure!(run.code != 0, "unpausing what is not paused: {run}");
    project.compose(&["pause", "nobody"])?.exits(1)?.says("no such service: nobody")?;
    Ok(())
}

fn scaling_down_removes_stale_replicas_first(engine: &Engine) -> CaseResult {
    let text = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    environment: {V: old}\n";
    let project = Project::with(engine, text)?;
    project.compose(&["up", "-d", "--scale", "app=2"])?.ok()?;
    project.write("compose.yaml", &text.replace("old", "new"))?;
    project.compose(&["up", "-d", "--no-recreate", "--scale", "app=4"])?.ok()?;
    let names = |project: &Project| -> Result<Vec<String>, String> {
        Ok(project.states()?.into_iter().map(|(name, _)| name).collect())
    };
    ensure_eq!(names(&project)?, ["app-1", "app-2", "app-3", "app-4"], "two old and two new ones");
    project.compose(&["scale", "app=2"])?.ok()?;
    ensure_eq!(names(&project)?, ["app-3", "app-4"], "after scaling down");
    Ok(())
}

fn progress_is_plain_quiet_or_data(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let run = project.compose(&["--progress", "plain", "up", "-d"])?.ok()?;
    ensure!(run.stderr.contains(&format!("Container {}-web-1 Started", project.name)), "plain: {run}");
    let run = project.compose(&["--progress", "quiet", "up", "-d", "--force-recreate"])?.ok()?;
    ensure_eq!(run.stderr, "", "quiet");
    let run = project.compose(&["--progress", "json", "up", "-d", "--force-recreate"])?.ok()?;
    for line in run.stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("{error}: {run}"))?;
        ensure!(event["id"].is_string() || event["message"].is_string() || event["msg"].is_string(), "json: {line}");
    }
    project.compose(&["--progress", "loud", "up", "-d"])?.exits(1)?;
    Ok(())
}

fn ps_shows_orphans_unless_told_otherwise(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.write(
        "compose.yaml",
        "services:\n  db:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n",
    )?;
    ensure!(project.compose(&["ps"])?.ok()?.stdout.contains("-web-1"), "the orphan is not listed");
    ensure!(!project.compose(&["ps", "--orphans=false"])?.ok()?.stdout.contains("-web-1"), "the orphan is listed");
    Ok(())
}
