//! Docker Compose and this program take over each other's projects.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Reference:
    projects_of_the_reference_are_left_alone_and_removed,
    our_projects_are_left_alone_by_the_reference_and_removed,
}

const MIXED: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: {LOG: info}
    ports: ['80']
    depends_on: {db: {condition: service_healthy, restart: true}}
    labels: {owner: me}
    networks: {front: {aliases: [site]}, back: {}}
    scale: 2
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'true', interval: 200ms}
    volumes: ['data:/data', './conf:/conf:ro', '/scratch']
    networks: [back]
    deploy: {resources: {limits: {memory: 64m}}}
    secrets: [token]
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
secrets:
  token: {file: ./token}
";

fn identities(project: &Project) -> Result<Vec<(String, String, String)>, String> {
    Ok(project.containers()?.into_iter().map(|found| (found.name, found.id, found.started_at)).collect())
}

fn mixed(engine: &Engine) -> Result<Project, String> {
    let project = Project::with(engine, MIXED)?;
    project.write("token", "t")?;
    project.write("conf/file", "c")?;
    Ok(project)
}

fn projects_of_the_reference_are_left_alone_and_removed(engine: &Engine) -> CaseResult {
    let project = mixed(engine)?;
    project.reference(&["up", "-d"])?.ok()?;
    let before = identities(&project)?;
    ensure_eq!(before.len(), 3, "containers");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(identities(&project)?, before, "after our `up`");
    let run = project.compose(&["ps", "--format", "json"])?.ok()?;
    ensure_eq!(run.stdout.lines().count(), 3, "lines of our `ps`");
    project.compose(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "after our `down`");
    ensure_eq!(engine.networks(&project.name)?, Vec::<String>::new(), "networks");
    ensure_eq!(engine.volumes(&project.name)?, Vec::<String>::new(), "volumes");
    Ok(())
}

fn our_projects_are_left_alone_by_the_reference_and_removed(engine: &Engine) -> CaseResult {
    let project = mixed(engine)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = identities(&project)?;
    let run = project.reference(&["up", "-d"])?.ok()?;
    ensure_eq!(identities(&project)?, before, "after the reference's `up`");
    ensure!(!run.stderr.contains("Recreate"), "the reference recreates: {run}");
    project.reference(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "after the reference's `down`");
    Ok(())
}
