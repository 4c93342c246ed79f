//! The applications of the book chapter, with the chapter's commands: the examples of this
//! repository, and the chapter's own files word by word.

use std::collections::BTreeSet;
use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually, http};

crate::cases! { Any:
    every_command_of_the_chapter_works_on_one_project,
    a_single_service_joins_an_external_network_written_the_old_way,
    the_gallery_runs_with_an_ephemeral_and_a_fixed_port,
    three_replicas_answer_behind_one_rotating_name,
    the_todo_list_keeps_its_items_in_postgres,
    rows_outlive_down_and_end_with_down_volumes,
    the_chapters_files_run_word_by_word,
}

/// The examples publish fixed ports and share the network `nat`: one at a time on each engine.
fn alone(engine: &Engine) -> Result<std::fs::File, String> {
    engine.alone_at_a_port(8080)
}

/// Runs `act` while the network `nat` exists.
fn with_network_nat(engine: &Engine, act: impl FnOnce() -> CaseResult) -> CaseResult {
    // One that an interrupted run has left serves as well.
    engine.docker(&["network", "create", "nat"]).or_else(|_| engine.docker(&["network", "inspect", "nat"]))?;
    let outcome = act();
    let removed = engine.docker(&["network", "rm", "nat"]);
    outcome.and(removed.map(drop))
}

fn page(engine: &Engine, port: u16, path: &str) -> Result<String, String> {
    eventually(Duration::from_secs(60), || {
        let response = http::get(&engine.ports_host, port, path)?;
        if response.status < 400 { Ok(response.body) } else { Err(format!("{port}{path}: {response:?}")) }
    })
}

const APP: &str = "
version: '3.7'
services:
  app:
    image: busybox
    command: sh -c 'echo app-here; exec sleep 1000'
    stop_signal: SIGKILL
    deploy:
      replicas: 3
  web:
    image: busybox
    command: sh -c \"mkdir -p /www; echo $$GREETING > /www/index.html; exec httpd -f -p 80 -h /www\"
    stop_signal: SIGKILL
    environment:
      - GREETING=${GREETING:-hello}
    ports: ['80']
    depends_on: [app]
";

fn every_command_of_the_chapter_works_on_one_project(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, APP)?;
    project.write("other.env", "GREETING=from-env-file\n")?;
    project.write("other.yaml", &APP.replace("replicas: 3", "replicas: 1"))?;
    let all_run = |count: usize| -> CaseResult {
        let states = project.states()?;
        ensure!(states.len() == count && states.iter().all(|(_, state)| state == "running"), "states: {states:?}");
        Ok(())
    };
    project.compose(&["up", "-d"])?.ok()?;
    all_run(4)?;
    project.compose(&["ps"])?.ok()?.says("app-3")?;
    project.compose(&["logs"])?.ok()?.says("app-here")?;
    project.compose(&["logs", "app"])?.ok()?.says("app-2")?;
    project.compose(&["stop"])?.ok()?;
    project.compose(&["start"])?.ok()?;
    all_run(4)?;
    project.compose(&["restart"])?.ok()?;
    all_run(4)?;
    project.compose(&["kill"])?.ok()?;
    project.compose(&["up", "-d", "web"])?.ok()?;
    all_run(4)?;
    project.compose(&["--env-file", "other.env", "up", "-d"])?.ok()?;
    let page = project.compose(&["exec", "-T", "web", "cat", "/www/index.html"])?.ok()?;
    ensure_eq!(page.stdout, "from-env-file\n", "what the env file changed");
    project.compose(&["-f", "other.yaml", "up", "-d"])?.ok()?;
    all_run(2)?;
    ensure_eq!(project.compose(&["run", "-T", "--rm", "web", "echo", "hi"])?.ok()?.stdout, "hi\n", "`run`");
    project.compose(&["up", "-d", "--force-recreate"])?.ok()?;
    all_run(4)?;
    project.compose(&["up", "-d", "--no-deps", "web"])?.ok()?;
    project.compose(&["down", "--remove-orphans"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "after `down --remove-orphans`");
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["down", "--volumes"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "after `down --volumes`");
    Ok(())
}

fn a_single_service_joins_an_external_network_written_the_old_way(engine: &Engine) -> CaseResult {
    let _alone = alone(engine)?;
    let project = Project::copy_of(engine, "examples/1-external-network")?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("network nat declared as external, but could not be found"), "the message: {run}");
    ensure_eq!(project.states()?, vec![], "containers");
    with_network_nat(engine, || {
        let run = project.compose(&["up", "-d"])?.ok()?;
        ensure!(run.stderr.contains("the attribute `version` is obsolete"), "the warning: {run}");
        ensure!(page(engine, 8020, "/")?.contains("To do"), "the page");
        project.compose(&["down"])?.ok()?;
        engine.docker(&["network", "inspect", "nat"])?;
        Ok(())
    })
}

fn the_gallery_runs_with_an_ephemeral_and_a_fixed_port(engine: &Engine) -> CaseResult {
    let _alone = alone(engine)?;
    let project = Project::copy_of(engine, "examples/2-image-gallery")?;
    project.compose(&["up", "-d"])?.ok()?;
    let ephemeral = project.only("iotd")?.published("80/tcp").ok_or("iotd publishes no port")?;
    ensure!(page(engine, ephemeral, "/image")?.contains("caption"), "the picture service's answer");
    page(engine, 8010, "/")?;
    eventually(Duration::from_secs(20), || project.compose(&["logs", "accesslog"])?.ok()?.says("visit").map(drop))?;
    let starts = [project.only("accesslog")?, project.only("iotd")?, project.only("image-gallery")?];
    ensure!(starts[2].started_at > starts[0].started_at, "the gallery was started before the access log");
    ensure!(starts[2].started_at > starts[1].started_at, "the gallery was started before the picture service");
    project.compose(&["down"])?.ok()?;
    Ok(())
}

fn three_replicas_answer_behind_one_rotating_name(engine: &Engine) -> CaseResult {
    let _alone = alone(engine)?;
    let project = Project::copy_of(engine, "examples/3-replicas")?;
    project.compose(&["up", "-d", "--wait"])?.ok()?;
    let (mut orders, mut answered) = (BTreeSet::new(), BTreeSet::new());
    eventually(Duration::from_secs(60), || {
        let order = page(engine, 8080, "/addresses")?;
        let distinct: BTreeSet<&str> = order.lines().collect();
        ensure_eq!(distinct.len(), 3, "addresses in {order:?}");
        orders.insert(order);
        answered.insert(page(engine, 8080, "/hostname")?);
        if orders.len() > 1 && answered.len() == 3 {
            Ok(())
        } else {
            Err(format!("{} orders, answers from {answered:?}", orders.len()))
        }
    })?;
    project.compose(&["up", "-d", "--scale", "app=1"])?.ok()?;
    ensure_eq!(page(engine, 8080, "/addresses")?.lines().count(), 1, "addresses after `--scale app=1`");
    project.compose(&["down"])?.ok()?;
    Ok(())
}

fn the_todo_list_keeps_its_items_in_postgres(engine: &Engine) -> CaseResult {
    let _alone = alone(engine)?;
    let project = Project::copy_of(engine, "examples/4-todo-list")?;
    project.compose(&["up", "-d", "--wait"])?.ok()?;
    page(engine, 8030, "/ready")?;
    let added = http::post(&engine.ports_host, 8030, "/", "item=buy+milk")?;
    ensure_eq!(added.status, 200, "adding an item: {}", added.body);
    ensure_eq!(page(engine, 8030, "/list")?.trim(), "buy milk", "the list");
    let arguments = ["exec", "-T", "todo-db", "psql", "-U", "todo", "-tAc", "select item from todo"];
    ensure_eq!(project.compose(&arguments)?.ok()?.stdout.trim(), "buy milk", "the row in PostgreSQL");
    let secret = project.compose(&["exec", "-T", "todo-web", "cat", "/app/config/secrets.json"])?.ok()?;
    ensure!(secret.stdout.contains("ConnectionStrings"), "the secret file: {secret}");
    ensure_eq!(project.only("todo-db")?.published("5432/tcp"), Some(5433), "the database's host port");
    let variable = project.compose(&["exec", "-T", "todo-web", "env"])?.ok()?;
    ensure!(variable.stdout.lines().any(|line| line == "Database:Provider=Postgres"), "the variable: {variable}");
    project.compose(&["down", "-v"])?.ok()?;
    Ok(())
}

fn rows_outlive_down_and_end_with_down_volumes(engine: &Engine) -> CaseResult {
    let _alone = alone(engine)?;
    let project = Project::copy_of(engine, "examples/5-restart-and-data")?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(page(engine, 8050, "/list")?.trim().to_owned(), "", "the list at first");
    http::post(&engine.ports_host, 8050, "/", "item=stay")?;
    project.compose(&["down"])?.ok()?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(page(engine, 8050, "/list")?.trim(), "stay", "the list after `down` and `up`");
    project.compose(&["down", "--volumes"])?.ok()?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(page(engine, 8050, "/list")?.trim().to_owned(), "", "the list after `down --volumes` and `up`");
    for service in ["web", "db"] {
        let policy = project.only(service)?.inspect["HostConfig"]["RestartPolicy"]["Name"].clone();
        ensure_eq!(policy, "always", "restart policy of {service}");
    }
    project.compose(&["down", "--volumes"])?.ok()?;
    Ok(())
}

fn the_chapters_files_run_word_by_word(engine: &Engine) -> CaseResult {
    let _alone = alone(engine)?;
    let project = Project::copy_of(engine, "examples/chapter")?;
    let run = project.compose(&["-f", "01-tab.yaml", "up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("01-tab.yaml:") && run.stderr.contains('^'), "position and caret: {run}");
    ensure!(run.stderr.contains("tab") && run.stderr.contains("spaces"), "the cure: {run}");
    with_network_nat(engine, || {
        let table = [
            ("01-repaired.yaml", 8020, "/"),
            ("02-image-gallery.yaml", 8010, "/"),
            ("03-replicas.yaml", 80, "/"),
            ("04-todo-list.yaml", 8030, "/ready"),
            ("05-restart-and-data.yaml", 80, "/ready"),
        ];
        for (file, port, path) in table {
            let outcome = (|| {
                project.compose(&["-f", file, "up", "-d"])?.ok()?;
                page(engine, port, path)?;
                project.compose(&["-f", file, "ps"])?.ok()?;
                project.compose(&["-f", file, "down", "--volumes"])?.ok()?;
                ensure_eq!(project.states()?, vec![], "containers after `down`");
                Ok(())
            })();
            outcome.map_err(|error: String| format!("{file}: {error}"))?;
        }
        Ok(())
    })
}
