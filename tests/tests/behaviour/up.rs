//! `up`, `up -d`, `create`: what is made, left alone, started.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

crate::cases! { Any:
    up_makes_and_starts_every_service,
    second_up_changes_nothing,
    stopped_container_is_started_not_recreated,
    up_of_one_service_brings_its_dependencies,
    up_without_dependencies_brings_one_service,
    create_makes_everything_and_starts_nothing,
    containers_carry_the_contract_labels,
    attached_up_prints_prefixed_output_and_exit_lines,
    attached_up_ends_with_zero_when_all_containers_end,
    exit_code_from_returns_that_services_code,
    abort_on_container_exit_stops_the_rest,
    environment_reaches_the_container,
    missing_image_fails_and_makes_no_container,
    unknown_service_is_refused,
    dry_run_changes_nothing,
}

/// Two services that end at once when stopped.
pub(crate) const TWO: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [db]
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
";

fn up_makes_and_starts_every_service(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let run = project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(run.stdout, "", "`up -d` prints nothing on standard output");
    let states = project.states()?;
    ensure_eq!(
        states,
        vec![("db-1".to_owned(), "running".to_owned()), ("web-1".to_owned(), "running".to_owned())],
        "containers"
    );
    Ok(())
}

fn second_up_changes_nothing(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let identity = |project: &Project| -> Result<Vec<(String, String)>, String> {
        Ok(project.containers()?.into_iter().map(|container| (container.id, container.started_at)).collect())
    };
    let before = identity(&project)?;
    project.compose(&["up", "-d"])?.ok()?.says("Running")?;
    ensure_eq!(identity(&project)?, before, "identities and start times");
    Ok(())
}

fn stopped_container_is_started_not_recreated(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("web")?.id;
    project.compose(&["stop", "web"])?.ok()?;
    ensure!(project.only("web")?.state != "running", "web runs after `stop`");
    project.compose(&["up", "-d"])?.ok()?;
    let after = project.only("web")?;
    ensure_eq!(after.id, before, "the container");
    ensure_eq!(after.state, "running", "its state");
    Ok(())
}

fn up_of_one_service_brings_its_dependencies(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &format!("{TWO}  other:\n    image: busybox\n    command: sleep 1000\n"))?;
    project.compose(&["up", "-d", "web"])?.ok()?;
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(names, ["db-1", "web-1"], "containers");
    Ok(())
}

fn up_without_dependencies_brings_one_service(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d", "--no-deps", "web"])?.ok()?;
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(names, ["web-1"], "containers");
    Ok(())
}

fn create_makes_everything_and_starts_nothing(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["create"])?.ok()?;
    let states = project.states()?;
    ensure!(states.len() == 2 && states.iter().all(|(_, state)| state == "created"), "states: {states:?}");
    project.compose(&["start"])?.ok()?;
    let states = project.states()?;
    ensure!(states.iter().all(|(_, state)| state == "running"), "states after `start`: {states:?}");
    Ok(())
}

fn containers_carry_the_contract_labels(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let web = project.only("web")?;
    let label = |key: &str| web.label(&format!("com.docker.compose.{key}")).to_owned();
    ensure_eq!(label("project"), project.name, "project");
    ensure_eq!(label("service"), "web", "service");
    ensure_eq!(label("container-number"), "1", "container-number");
    ensure_eq!(label("oneoff"), "False", "oneoff");
    ensure_eq!(label("depends_on"), "db:service_started:false", "depends_on");
    ensure_eq!(label("config-hash").len(), 64, "length of config-hash");
    ensure!(label("image").starts_with("sha256:"), "image: {}", label("image"));
    ensure!(
        label("project.config_files").ends_with("/compose.yaml"),
        "config_files: {}",
        label("project.config_files")
    );
    let printed = project.compose(&["config", "--hash", "web"])?.ok()?.stdout;
    ensure_eq!(printed.trim(), format!("web {}", label("config-hash")), "`config --hash` and the label");
    Ok(())
}

const ENDING: &str = "
services:
  one:
    image: busybox
    command: sh -c 'echo out-of-one; echo err-of-one >&2; exit 3'
  two:
    image: busybox
    command: sh -c 'echo out-of-two'
";

fn attached_up_prints_prefixed_output_and_exit_lines(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, ENDING)?;
    let run = project.compose(&["up"])?.ok()?;
    for line in ["one-1  | out-of-one", "two-1  | out-of-two", "one-1 exited with code 3", "two-1 exited with code 0"] {
        ensure!(run.stdout.contains(line), "standard output lacks {line:?}: {run}");
    }
    ensure!(run.stderr.contains("one-1  | err-of-one"), "standard error lacks the container's: {run}");
    Ok(())
}

fn attached_up_ends_with_zero_when_all_containers_end(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, ENDING)?;
    project.compose(&["up"])?.ok()?;
    let states = project.states()?;
    ensure!(states.iter().all(|(_, state)| state == "exited"), "states: {states:?}");
    Ok(())
}

fn exit_code_from_returns_that_services_code(engine: &Engine) -> CaseResult {
    let text = format!("{ENDING}  three:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n");
    let project = Project::with(engine, &text)?;
    // `two` may end first; the code is `one`'s in any case.
    project.write("compose.yaml", &text.replace("echo out-of-two", "sleep 5; echo out-of-two"))?;
    project.compose(&["up", "--exit-code-from", "one"])?.exits(3)?;
    eventually(Duration::from_secs(10), || {
        let states = project.states()?;
        if states.iter().all(|(_, state)| state != "running") { Ok(()) } else { Err(format!("states: {states:?}")) }
    })
}

fn abort_on_container_exit_stops_the_rest(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &ENDING.replace("echo out-of-two", "exec sleep 1000"))?;
    project.compose(&["up", "-t", "0", "--abort-on-container-exit"])?.exits(3)?;
    let states = project.states()?;
    ensure!(states.iter().all(|(_, state)| state == "exited"), "states: {states:?}");
    Ok(())
}

fn environment_reaches_the_container(engine: &Engine) -> CaseResult {
    let mut project = Project::with(
        engine,
        "
services:
  one:
    image: busybox
    command: env
    environment:
      - Database:Provider=Postgres
      - FROM_SHELL
      - FROM_DOTENV=${WORD}
    env_file: [extra.env]
",
    )?;
    project.write(".env", "WORD=from-dotenv\n")?;
    project.write("extra.env", "EXTRA='with blank'\n")?;
    project.set("FROM_SHELL", "from-shell");
    let run = project.compose(&["up", "--no-log-prefix"])?.ok()?;
    for line in ["Database:Provider=Postgres", "FROM_SHELL=from-shell", "FROM_DOTENV=from-dotenv", "EXTRA=with blank"] {
        ensure!(run.stdout.lines().any(|found| found == line), "lacks {line:?}: {run}");
    }
    Ok(())
}

fn missing_image_fails_and_makes_no_container(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "services:\n  one:\n    image: surely.invalid/not-there:1\n")?;
    project.compose(&["up", "-d", "--pull", "never"])?.exits(1)?.says("surely.invalid/not-there:1")?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn unknown_service_is_refused(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d", "nobody"])?.exits(1)?.says("no such service: nobody")?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn dry_run_changes_nothing(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["--dry-run", "up", "-d"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "containers after `--dry-run up`");
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.states()?;
    project.compose(&["down", "--dry-run"])?.ok()?;
    ensure_eq!(project.states()?, before, "containers after `down --dry-run`");
    Ok(())
}
