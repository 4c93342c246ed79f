//! Smaller things that the suites of the reference and its peers look at, beside those that have a
//! file of their own.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    hooks_speak_among_the_lines_of_an_attached_up,
    a_failing_pre_stop_hook_does_not_keep_a_container_from_being_replaced,
    a_dependency_is_waited_for_no_longer_than_the_wait_timeout,
    a_restart_waits_until_a_dependency_is_healthy_again,
    a_failed_dependency_leaves_no_one_off_behind,
    names_of_one_offs,
    resources_without_services_are_made_on_demand,
    fresh_anonymous_volumes_replace_only_who_has_some,
    shared_volumes_and_namespaces_follow_their_giver,
    a_service_that_is_not_there_is_no_error_for_a_project_that_was_named,
    a_crash_loop_is_told_with_its_last_words,
    an_unset_variable_of_a_secret_leaves_alone_what_runs,
    two_ups_at_once_wait_for_each_other,
    labels_of_host_directories_reach_the_engine,
    a_dry_run_in_front_ends_where_attaching_would_begin,
    commands_on_one_container_say_what_is_missing,
    what_only_a_swarm_honours_is_told_where_something_is_made,
}

const LIMIT: Duration = Duration::from_secs(60);

/// Which container of `web` there is, and since when it runs.
fn run_of(project: &Project) -> Result<(String, String, String), String> {
    let web = project.only("web")?;
    Ok((web.id, web.state, web.started_at))
}

fn hooks_speak_among_the_lines_of_an_attached_up(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  short:
    image: busybox
    command: sleep 1
    depends_on: [long]
  long:
    image: busybox
    command: sh -c 'echo at work; sleep 1000'
    stop_signal: SIGKILL
    post_start: [{command: echo just started}]
    pre_stop: [{command: echo about to stop}]
",
    )?;
    let run = project.compose(&["up", "--abort-on-container-exit"])?.ok()?;
    for line in ["long-1 ->  | just started", "long-1 ->  | about to stop"] {
        ensure!(run.stdout.contains(line), "{line:?} on standard output: {run}");
    }
    let stopped = format!("Container {}-short-1 Stopped", project.name);
    ensure!(run.stderr.contains(&stopped), "what has ended is told as stopped: {run}");
    Ok(())
}

fn a_failing_pre_stop_hook_does_not_keep_a_container_from_being_replaced(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    pre_stop: \
         [{command: sh -c 'exit 3'}]\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = project.only("web")?.id;
    project.compose(&["up", "-d", "--force-recreate"])?.ok()?;
    let web = project.only("web")?;
    ensure!(web.id != before && web.state == "running", "the replacement: {web:?}");
    project.compose(&["stop"])?.exits(1)?.says("web hook exited with status 3")?;
    Ok(())
}

fn a_dependency_is_waited_for_no_longer_than_the_wait_timeout(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  web: {image: busybox, command: echo web started, depends_on: {db: {condition: service_healthy}}}
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'false', interval: 1s, retries: 1000}
",
    )?;
    let run = project.compose(&["up", "--wait-timeout", "2"])?.exits(1)?;
    ensure!(run.stderr.contains("timeout waiting for dependencies"), "the message: {run}");
    ensure!(run.stdout.contains("Attaching to") && !run.stdout.contains("web started"), "it is attached: {run}");
    ensure_eq!(project.only("web")?.state, "created", "the dependent");
    ensure_eq!(project.only("db")?.state, "running", "the dependency");
    Ok(())
}

fn a_restart_waits_until_a_dependency_is_healthy_again(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy, restart: true}}
  other: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: [db]}
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'true', interval: 300ms, retries: 100}
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["-p", &project.name, "restart", "db"])?.ok()?;
    for text in ["db-1 Restarting", "db-1 Healthy", "web-1 Started"] {
        ensure!(run.stderr.contains(text), "{text:?}: {run}");
    }
    ensure!(!run.stderr.contains("other-1"), "dependents that do not ask for it are left alone: {run}");
    Ok(())
}

fn a_failed_dependency_leaves_no_one_off_behind(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  app: {image: busybox, command: echo hi, depends_on: {job: {condition: service_completed_successfully}}}
  job: {image: busybox, command: sh -c 'exit 3'}
",
    )?;
    project.compose(&["run", "--rm", "app"])?.exits(1)?.says("service \"job\" didn't complete successfully: exit 3")?;
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(names, vec!["job-1".to_owned()], "what is there");
    Ok(())
}

fn names_of_one_offs(engine: &Engine) -> CaseResult {
    let text = "services:\n  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, container_name: NAME}\n";
    let project = Project::new(engine)?;
    let name = format!("{}-own-name", project.name);
    project.write("compose.yaml", &text.replace("NAME", &name))?;
    project.compose(&["up", "-d"])?.ok()?;
    // The name of the service's container stays that container's.
    project.compose(&["run", "--rm", "-T", "web", "true"])?.ok()?;
    let taken = format!("The container name \"/{name}\" is already in use");
    project.compose(&["run", "--name", &name, "-T", "web", "true"])?.exits(1)?.says(&taken)?;
    project.compose(&["--compatibility", "run", "-d", "web"])?.ok()?;
    let prefix = format!("{}_web_run_", project.name);
    let there = project.containers()?;
    ensure!(there.iter().any(|one| one.name.starts_with(&prefix)), "{prefix}...: {there:?}");
    Ok(())
}

fn resources_without_services_are_made_on_demand(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "volumes:\n  data: {}\nnetworks:\n  inner: {}\n")?;
    let run = project.compose(&["--all-resources", "up"])?.ok()?;
    for text in [format!("Volume {}_data Created", project.name), format!("Network {}_inner Created", project.name)] {
        ensure!(run.stderr.contains(&text), "{text:?}: {run}");
    }
    project.compose(&["up"])?.exits(1)?.says("no service selected")?;
    project.compose(&["-p", &project.name, "down", "-v"])?.ok()?.says("_data Removed")?;
    let run = project.compose(&["-p", &project.name, "down"])?.ok()?;
    ensure!(run.stderr.contains("Warning: No resource found to remove for project"), "nothing is left: {run}");
    Ok(())
}

fn fresh_anonymous_volumes_replace_only_who_has_some(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  cache: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: [/cache]}
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["exec", "-T", "cache", "touch", "/cache/old"])?.ok()?;
    let web = project.only("web")?.id;
    project.compose(&["up", "-d", "-V"])?.ok()?.says("cache-1 Recreated")?;
    project.compose(&["exec", "-T", "cache", "test", "-e", "/cache/old"])?.exits(1)?;
    ensure_eq!(project.only("web")?.id, web, "a container without such volumes");
    Ok(())
}

fn shared_volumes_and_namespaces_follow_their_giver(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  files: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes_from: [db]}
  net: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: 'service:db'}
  ipc: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, ipc: 'service:db'}
  db: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: [/data], ipc: shareable}
",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let db = format!("{}-db-1", project.name);
    engine.docker(&["rm", "-f", &db])?;
    for (service, what) in [("files", "volume"), ("net", "network namespace"), ("ipc", "IPC namespace")] {
        let text = format!("cannot share {what} with service db: container missing");
        project.compose(&["up", "--no-deps", "-d", service])?.exits(1)?.says(&text)?;
    }
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["exec", "-T", "db", "touch", "/data/new"])?.ok()?;
    // Not the volume of the database that is gone.
    project.compose(&["exec", "-T", "files", "test", "-e", "/data/new"])?.ok()?;
    Ok(())
}

fn a_service_that_is_not_there_is_no_error_for_a_project_that_was_named(engine: &Engine) -> CaseResult {
    let mut project =
        Project::with(engine, "services:\n  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = run_of(&project)?;
    let name = project.name.clone();
    let lines = ["ps", "logs", "stop", "kill", "rm -f", "pause", "unpause", "down", "volumes"];
    for line in lines {
        let words: Vec<&str> = line.split(' ').chain(["nobody"]).collect();
        project.compose(&[&["-p", &name], words.as_slice()].concat())?.ok()?;
        project.compose(&words)?.exits(1)?.says("no such service: nobody")?;
    }
    project.set("COMPOSE_PROJECT_NAME", &name);
    for line in lines {
        let words: Vec<&str> = line.split(' ').chain(["nobody"]).collect();
        project.compose(&words)?.ok()?;
    }
    ensure_eq!(run_of(&project)?, before, "what is there");
    Ok(())
}

fn a_crash_loop_is_told_with_its_last_words(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web: {image: busybox, command: sh -c 'echo no database; exit 4', restart: always}\n",
    )?;
    let run = project.compose(&["up", "-d", "--wait"])?.exits(1)?;
    for text in ["web-1 keeps restarting: exited (4)", "no database"] {
        ensure!(run.stderr.contains(text), "{text:?}: {run}");
    }
    Ok(())
}

fn an_unset_variable_of_a_secret_leaves_alone_what_runs(engine: &Engine) -> CaseResult {
    let mut project = Project::with(
        engine,
        "
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, secrets: [token], configs: [text]}
secrets: {token: {environment: A_TOKEN}}
configs: {text: {content: 'token ${A_TOKEN}'}}
",
    )?;
    project.set("A_TOKEN", "one");
    project.compose(&["up", "-d"])?.ok()?;
    let before = run_of(&project)?;
    project.unset("A_TOKEN");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(run_of(&project)?, before, "the container");
    project.set("A_TOKEN", "two");
    project.compose(&["up", "-d"])?.ok()?;
    ensure!(run_of(&project)?.0 != before.0, "a changed secret replaces its container");
    Ok(())
}

fn two_ups_at_once_wait_for_each_other(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: {db: {condition: service_healthy}}}
  db:
    image: busybox
    command: sh -c 'sleep 2; touch /ready; sleep 1000'
    stop_signal: SIGKILL
    healthcheck: {test: test -e /ready, interval: 200ms, retries: 100}
",
    )?;
    let first = project.spawn(&["up", "-d"])?;
    first.says("Creating", LIMIT)?;
    let second = project.spawn(&["up", "-d"])?;
    second.says(&format!("which is changing project \"{}\"", project.name), LIMIT)?;
    first.finish(LIMIT)?.ok()?;
    let run = second.finish(LIMIT)?.ok()?;
    for service in ["web", "db"] {
        let running = format!("{}-{service}-1 Running", project.name);
        ensure!(run.stderr.contains(&running), "the second finds all done: {run}");
        ensure_eq!(project.only(service)?.state, "running", "{service}");
    }
    ensure_eq!(engine.networks(&project.name)?.len(), 1, "networks");
    Ok(())
}

fn labels_of_host_directories_reach_the_engine(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    volumes: ['data:/a:z', \
         'data:/b:ro,z', './here:/c:Z']\nvolumes: {data: {}}\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["exec", "-T", "web", "touch", "/a/there", "/c/there"])?.ok()?;
    project.compose(&["exec", "-T", "web", "touch", "/b/not"])?.exits(1)?.says("Read-only")?;
    ensure!(project.folder().join("here/there").exists(), "the host does not see it");
    if !engine.is_docker() {
        // There labels are the business of SELinux alone, which these machines do not have.
        return Ok(());
    }
    let name = format!("{}-web-1", project.name);
    let binds = engine.docker(&["inspect", &name, "--format", "{{json .HostConfig.Binds}}"])?;
    for text in ["_data:/a:rw,z", "_data:/b:ro,z", "/here:/c:rw,Z"] {
        ensure!(binds.contains(text), "{text:?} in {binds}");
    }
    Ok(())
}

fn a_dry_run_in_front_ends_where_attaching_would_begin(engine: &Engine) -> CaseResult {
    let project =
        Project::with(engine, "services:\n  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}\n")?;
    let run = project.compose(&["up", "--dry-run"])?.ok()?.says("interactive run is not supported in dry-run mode")?;
    ensure!(run.stderr.contains("web-1 Created") && !run.stderr.contains("Start"), "the steps: {run}");
    project.compose(&["up", "-d", "--dry-run"])?.ok()?.says("web-1 Started")?;
    ensure_eq!(project.states()?, Vec::new(), "containers");
    Ok(())
}

fn commands_on_one_container_say_what_is_missing(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "services:\n  web: {image: busybox, command: sleep 1000}\n")?;
    for words in
        [&["exec", "nobody", "true"][..], &["export", "nobody"], &["attach", "nobody"], &["port", "nobody", "80"]]
    {
        project.compose(words)?.exits(1)?.says("service \"nobody\" is not running: no such service: nobody")?;
    }
    for words in [&["exec", "web", "true"][..], &["attach", "web"], &["port", "web", "80"]] {
        let run = project.compose(words)?.exits(1)?.says("service \"web\" is not running")?;
        ensure!(!run.stderr.contains("no such service"), "the file has it: {run}");
    }
    project.compose(&["cp", "nobody:/x", "."])?.exits(1)?.says("no container found for service \"nobody\"")?;
    project.compose(&["wait", "nobody"])?.exits(1)?.says("no containers for project")?;
    Ok(())
}

fn what_only_a_swarm_honours_is_told_where_something_is_made(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web: {image: busybox, command: 'true', deploy: {endpoint_mode: vip, labels: {a: b}}}\n",
    )?;
    for words in [&["config", "-q"][..], &["up", "-d"]] {
        project.compose(words)?.ok()?.says("deploy.endpoint_mode only applies to Swarm")?;
    }
    for words in [&["ps"][..], &["logs"], &["stop"], &["down"]] {
        let run = project.compose(words)?.ok()?;
        ensure!(!run.stderr.contains("Swarm"), "only what makes something tells: {run}");
    }
    Ok(())
}
