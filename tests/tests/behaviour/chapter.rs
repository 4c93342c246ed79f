//! The applications of the book chapter, with the chapter's commands.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Docker:
    every_command_of_the_chapter_works_on_one_project,
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
