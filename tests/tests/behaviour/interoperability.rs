//! Docker Compose and this program take over each other's projects.

use std::collections::BTreeSet;
use std::path::PathBuf;

use compose_tests::project::repository;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};
use serde_json::{Map, Value, json};

crate::cases! { Reference:
    projects_of_the_reference_are_left_alone_and_removed,
    our_projects_are_left_alone_by_the_reference_and_removed,
    containers_of_every_kind_change_hands_without_a_recreation,
    mounts_of_every_kind_change_hands_without_a_recreation,
    networks_of_every_kind_change_hands_without_a_recreation,
    the_applications_of_the_chapter_change_hands_without_a_recreation,
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

/// What the containers of the project were made with, by name: without what differs from one
/// making to the next, and without what only one of the programs writes.
fn makings(project: &Project) -> Result<Value, String> {
    let mut found = Map::new();
    for container in project.containers()? {
        let mut config = container.inspect["Config"].clone();
        if let Some(labels) = config["Labels"].as_object_mut() {
            labels.retain(|name, _| !name.starts_with("dev.compose."));
            // The reference writes them in an order of chance.
            if let Some(Value::String(text)) = labels.get_mut("com.docker.compose.depends_on") {
                let mut dependencies: Vec<&str> = text.split(',').collect();
                dependencies.sort_unstable();
                *text = dependencies.join(",");
            }
        }
        let mut networks = container.inspect["NetworkSettings"]["Networks"].clone();
        for endpoint in networks.as_object_mut().into_iter().flat_map(|networks| networks.values_mut()) {
            let kept = ["Aliases", "Links", "DriverOpts", "IPAMConfig", "GwPriority"];
            *endpoint = kept.into_iter().map(|name| (name.to_owned(), endpoint[name].clone())).collect();
        }
        let mut making =
            json!({ "Config": config, "HostConfig": container.inspect["HostConfig"], "Networks": networks });
        settle(&mut making);
        found.insert(container.name, making);
    }
    Ok(Value::Object(found))
}

/// Takes identities out, and what says nothing: the order of lists of settings, empty values, and
/// the mode that is meant anyway.
fn settle(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(settle);
            if items.iter().any(|item| item.is_object() || item.as_str().is_some_and(|text| text.contains([':', '='])))
            {
                items.sort_by_key(ToString::to_string);
            }
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(settle);
            fields.retain(|_, field| match field {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
                Value::String(text) => !text.is_empty() && text != "no",
                _ => true,
            });
        }
        Value::String(text) => {
            let hex = |part: &str| matches!(part.len(), 12 | 64) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let parts: Vec<&str> = text.split(':').map(|part| if hex(part) { "ID" } else { part }).collect();
            let whole = parts.join(":");
            whole.strip_suffix(":rw").unwrap_or(&whole).clone_into(text);
        }
        _ => {}
    }
}

/// Where two values differ, as `/HostConfig/Binds: ...`.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    if let (Some(one), Some(other)) = (theirs.as_object(), ours.as_object()) {
        let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for key in keys {
            differences(&format!("{path}/{key}"), &theirs[key], &ours[key], found);
        }
    } else if theirs != ours {
        found.push(format!("{path}: {theirs} by the reference, {ours} by us"));
    }
}

/// The same project made by one program, looked at, left alone and removed by the other; both ways.
/// Unless it is told otherwise, both make the containers alike.
fn changes_hands(project: &Project, what: &str, compared: bool) -> CaseResult {
    let containers = || identities(project);
    project.reference(&["up", "-d"])?.ok().map_err(|error| format!("{what}: {error}"))?;
    let theirs = containers()?;
    let their_making = makings(project)?;
    ensure!(!theirs.is_empty(), "{what}: the reference made nothing");
    let listed = |run: &compose_tests::Run| {
        let mut names: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let names = ["ps", "-a", "--format", "{{.Name}} {{.State}} {{.Service}} {{.Image}} {{.Ports}}"];
    ensure_eq!(
        listed(&project.compose(&names)?.ok()?),
        listed(&project.reference(&names)?.ok()?),
        "{what}: containers in both lists"
    );
    project.compose(&["plan", "--exit-code"])?.ok().map_err(|error| format!("{what}: our plan: {error}"))?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(containers()?, theirs, "{what}: after our `up`");
    project.compose(&["stop", "-t", "0"])?.ok()?;
    project.compose(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "{what}: after our `down`");
    project.compose(&["up", "-d"])?.ok()?;
    let ours = containers()?;
    let our_making = makings(project)?;
    let mut found = Vec::new();
    differences("", &their_making, &our_making, &mut found);
    ensure!(!compared || found.is_empty(), "{what}: containers are made in another way:\n{}", found.join("\n"));
    let made: Vec<&String> = theirs.iter().map(|(name, ..)| name).collect();
    ensure_eq!(ours.iter().map(|(name, ..)| name).collect::<Vec<_>>(), made, "{what}: names");
    let run = project.reference(&["up", "-d"])?.ok()?;
    ensure_eq!(containers()?, ours, "{what}: after the reference's `up`: {run}");
    project.reference(&["stop", "-t", "0"])?.ok()?;
    project.reference(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "{what}: after the reference's `down`");
    ensure_eq!(project.engine.networks(&project.name)?, Vec::<String>::new(), "{what}: networks");
    ensure_eq!(project.engine.volumes(&project.name)?, Vec::<String>::new(), "{what}: volumes");
    Ok(())
}

/// Every file of a folder of `tests/interoperability`.
fn files_change_hands(engine: &Engine, folder: &str) -> CaseResult {
    let folder = repository("tests/interoperability").join(folder);
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.sort();
    ensure!(files.len() > 5, "files below {}", folder.display());
    let mut project = Project::copy_of(engine, "tests/interoperability/files")?;
    let name = project.name.clone();
    project.set("COMPOSE_PROJECT_NAME", &name);
    let old = engine.name == "docker20";
    let mut failed = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        if text.starts_with("# needs a new engine") && old {
            continue;
        }
        let told = if old { "# not compared" } else { "# not compared:" };
        let compared = !text.starts_with(told);
        project.write("compose.yaml", &text)?;
        let what = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Err(error) = changes_hands(&project, &what, compared) {
            failed.push(error);
            project.engine.wipe(&project.name);
        }
    }
    ensure!(failed.is_empty(), "{} files failed:\n{}", failed.len(), failed.join("\n"));
    Ok(())
}

fn containers_of_every_kind_change_hands_without_a_recreation(engine: &Engine) -> CaseResult {
    files_change_hands(engine, "containers")
}

fn mounts_of_every_kind_change_hands_without_a_recreation(engine: &Engine) -> CaseResult {
    files_change_hands(engine, "mounts")
}

fn networks_of_every_kind_change_hands_without_a_recreation(engine: &Engine) -> CaseResult {
    files_change_hands(engine, "networks")
}

fn the_applications_of_the_chapter_change_hands_without_a_recreation(engine: &Engine) -> CaseResult {
    let _alone = engine.alone_at_a_port(8080)?;
    // One that another case has left serves as well.
    engine.docker(&["network", "create", "nat"]).or_else(|_| engine.docker(&["network", "inspect", "nat"]))?;
    let folders = ["1-external-network", "3-replicas", "5-restart-and-data"];
    let outcome = folders.into_iter().try_for_each(|folder| {
        let project = Project::copy_of(engine, &format!("examples/{folder}"))?;
        changes_hands(&project, folder, true)
    });
    let removed = engine.docker(&["network", "rm", "nat"]);
    outcome.and(removed.map(drop))
}
