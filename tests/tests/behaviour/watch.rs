//! `watch` and `up --watch`.

use std::time::Duration;

use compose_tests::project::Running;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

crate::cases!(Builds:
    changes_are_copied_into_every_replica_and_removed_again,
    a_burst_of_five_thousand_changes_arrives_whole,
    containers_are_restarted_told_and_rebuilt_as_the_rules_say,
    a_sync_that_fails_is_tried_again,
    a_rebuild_that_fails_is_told_and_the_next_one_works,
    up_watches_while_attached_and_follows_rebuilt_containers,
    without_rules_nothing_is_started,
);

/// As long as anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

const REPLICAS: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    scale: 2
    develop:
      watch:
        - {path: ./src, action: sync, target: /app, ignore: ['*.tmp'], initial_sync: true}
";

/// Starts to watch and waits until it does.
fn watching(project: &Project, arguments: &[&str]) -> Result<Running, String> {
    let running = project.spawn(arguments)?;
    running.says("Watch enabled", LIMIT)?;
    Ok(running)
}

/// Waits until a command in every container of a service says what it should.
fn settles(project: &Project, service: &str, command: &[&str], expected: &str) -> CaseResult {
    for container in project.service(service)? {
        let number = container.label("com.docker.compose.container-number");
        let arguments = [&["exec", "-T", "--index", number, service], command].concat();
        eventually(LIMIT, || {
            let run = project.compose(&arguments)?;
            if run.stdout.trim() == expected { Ok(()) } else { Err(format!("{}: {run}", container.name)) }
        })?;
    }
    Ok(())
}

fn end(running: Running) -> CaseResult {
    running.signal("INT")?;
    running.finish(LIMIT)?.exits(130)?;
    Ok(())
}

fn changes_are_copied_into_every_replica_and_removed_again(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, REPLICAS)?;
    project.write("src/before", "1")?;
    let running = watching(&project, &["watch"])?;
    settles(&project, "web", &["cat", "/app/before"], "1")?;
    project.write("src/new/deep/file", "2")?;
    project.write("src/left.tmp", "3")?;
    settles(&project, "web", &["cat", "/app/new/deep/file"], "2")?;
    std::fs::rename(project.folder().join("src/new"), project.folder().join("src/other")).map_err(|e| e.to_string())?;
    std::fs::remove_file(project.folder().join("src/before")).map_err(|e| e.to_string())?;
    let listing = ["sh", "-c", "cd /app && find . -type f | sort | tr '\\n' ' '"];
    settles(&project, "web", &listing, "./other/deep/file")?;
    end(running)
}

fn a_burst_of_five_thousand_changes_arrives_whole(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &REPLICAS.replace("scale: 2", "scale: 1"))?;
    project.write("src/first", "")?;
    let running = watching(&project, &["watch"])?;
    for number in 0..5000 {
        project.write(&format!("src/{}/f{number}", number % 40), "x")?;
    }
    let count = ["sh", "-c", "find /app -type f | wc -l"];
    settles(&project, "web", &count, "5001")?;
    for number in 0..40 {
        std::fs::remove_dir_all(project.folder().join(format!("src/{number}"))).map_err(|e| e.to_string())?;
    }
    settles(&project, "web", &count, "1")?;
    end(running)
}

const ACTIONS: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    develop:
      watch:
        - {path: ./restart, action: restart}
        - {path: ./conf, action: sync+restart, target: /conf}
        - {path: ./told, action: sync+exec, target: /told, exec: {command: sh -c 'cat /told/file >> /heard'}}
  built:
    build: ./image
    command: sleep 1000
    stop_signal: SIGKILL
    develop:
      watch:
        - {path: ./image, action: rebuild, ignore: [left]}
";

fn containers_are_restarted_told_and_rebuilt_as_the_rules_say(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, ACTIONS)?;
    project.set("DOCKER_BUILDKIT", "0");
    for file in ["restart/file", "conf/file", "told/file", "image/file"] {
        project.write(file, "1")?;
    }
    project.write("image/Dockerfile", "FROM busybox\nCOPY file /file\n")?;
    let running = watching(&project, &["watch"])?;
    let (web, built) = (project.only("web")?, project.only("built")?);
    project.write("told/file", "2")?;
    settles(&project, "web", &["cat", "/heard"], "2")?;
    project.write("conf/file", "3")?;
    running.says("service(s) [\"web\"] restarted", LIMIT)?;
    settles(&project, "web", &["cat", "/conf/file"], "3")?;
    let again = project.only("web")?;
    ensure_eq!(again.id, web.id, "the container of a restart");
    ensure!(again.started_at != web.started_at, "it was not restarted");
    project.write("image/file", "4")?;
    eventually(LIMIT, || match project.only("built") {
        Ok(container) if container.id != built.id && container.state == "running" => Ok(()),
        other => Err(format!("still {other:?}")),
    })?;
    settles(&project, "built", &["cat", "/file"], "4")?;
    ensure_eq!(project.only("web")?.id, web.id, "a service that was not rebuilt");
    end(running)
}

fn a_sync_that_fails_is_tried_again(engine: &Engine) -> CaseResult {
    let text = REPLICAS
        .replace("scale: 2", "scale: 1")
        .replace(", initial_sync: true", "")
        .replace("command: sleep 1000", "command: sh -c 'echo in the way > /app; sleep 1000'");
    let project = Project::with(engine, &text)?;
    project.write("src/before", "")?;
    let running = watching(&project, &["watch"])?;
    settles(&project, "web", &["cat", "/app"], "in the way")?;
    project.write("src/file", "1")?;
    running.says("it is tried again", LIMIT)?;
    project.compose(&["exec", "-T", "web", "rm", "/app"])?.ok()?;
    settles(&project, "web", &["cat", "/app/file"], "1")?;
    end(running)
}

fn a_rebuild_that_fails_is_told_and_the_next_one_works(engine: &Engine) -> CaseResult {
    let mut project = Project::with(
        engine,
        "
services:
  built:
    build: image
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    develop: {watch: [{path: ./image, action: rebuild}]}
",
    )?;
    project.set("DOCKER_BUILDKIT", "0");
    project.write("image/Dockerfile", "FROM busybox\nCOPY . /files\nRUN test ! -e /files/bad\n")?;
    let running = watching(&project, &["watch"])?;
    let before = project.only("built")?;
    project.write("image/bad", "x")?;
    running.says("Error handling changed files: failed to build built", LIMIT)?;
    let after = project.only("built")?;
    ensure_eq!((after.id.as_str(), after.state.as_str()), (before.id.as_str(), "running"), "the container");
    std::fs::remove_file(project.folder().join("image/bad")).map_err(|error| error.to_string())?;
    project.write("image/good", "y")?;
    eventually(LIMIT, || match project.only("built") {
        Ok(container) if container.id != before.id && container.state == "running" => Ok(()),
        other => Err(format!("still {other:?}")),
    })?;
    settles(&project, "built", &["cat", "/files/good"], "y")?;
    end(running)
}

fn up_watches_while_attached_and_follows_rebuilt_containers(engine: &Engine) -> CaseResult {
    let text = ACTIONS.replace("command: sleep 1000", "command: sh -c 'cat /file; sleep 1000'");
    let mut project = Project::with(engine, &text)?;
    project.set("DOCKER_BUILDKIT", "0");
    for file in ["restart/file", "conf/file", "told/file"] {
        project.write(file, "1")?;
    }
    project.write("image/file", "first-words\n")?;
    project.write("image/Dockerfile", "FROM busybox\nCOPY file /file\n")?;
    let running = watching(&project, &["up", "--watch", "built"])?;
    running.says("first-words", LIMIT)?;
    project.write("image/file", "second-words\n")?;
    running.says("| second-words", LIMIT)?;
    running.signal("INT")?;
    running.finish(LIMIT)?.exits(130)?;
    ensure!(project.states()?.iter().all(|(_, state)| state == "exited"), "states: {:?}", project.states()?);
    Ok(())
}

fn without_rules_nothing_is_started(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    for arguments in [&["watch"][..], &["watch", "--no-up"], &["up", "--watch"]] {
        let run = project.compose(arguments)?.exits(1)?;
        run.says("none of the selected services is configured for watch, consider setting a 'develop' section")?;
    }
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}
