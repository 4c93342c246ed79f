//! `up` in the foreground: whose output is shown and how it ends.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};

crate::cases! { Any:
    output_is_chosen_by_attach_flags,
    timestamps_follow_the_prefix,
    only_named_services_are_shown,
    abort_on_failure_ignores_clean_exits,
    detach_contradicts_the_abort_flags,
    terminate_stops_what_was_attached,
    containers_outlive_the_terminal_of_an_attached_up,
    named_dependency_keeps_running_after_an_interrupt,
    no_start_creates_only,
}

const THREE: &str = "
services:
  loud:
    image: busybox
    command: echo from-loud
  quiet:
    image: busybox
    command: echo from-quiet
    attach: false
  base:
    image: busybox
    command: echo from-base
";

fn output_is_chosen_by_attach_flags(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, THREE)?;
    let run = project.compose(&["up"])?.ok()?;
    ensure!(run.stdout.contains("from-loud") && run.stdout.contains("from-base"), "all but one: {run}");
    ensure!(!run.stdout.contains("from-quiet"), "`attach: false`: {run}");
    ensure!(run.stdout.starts_with("Attaching to "), "the first line: {run}");
    let run = project.compose(&["up", "--attach", "base"])?.ok()?;
    ensure!(run.stdout.contains("from-base") && !run.stdout.contains("from-loud"), "`--attach`: {run}");
    // That ended with `base`; another one may still run, whose output is past.
    let run = project.compose(&["up", "--force-recreate", "--no-attach", "base"])?.ok()?;
    ensure!(!run.stdout.contains("from-base") && run.stdout.contains("from-loud"), "`--no-attach`: {run}");
    Ok(())
}

fn timestamps_follow_the_prefix(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, THREE)?;
    let run = project.compose(&["up", "--timestamps", "loud"])?.ok()?;
    let line = run.stdout.lines().find(|line| line.contains("from-loud")).unwrap_or_default();
    let time = line.strip_prefix("loud-1  | ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    ensure!(time.contains('T') && time.ends_with('Z'), "the time: {run}");
    Ok(())
}

fn only_named_services_are_shown(engine: &Engine) -> CaseResult {
    let text = THREE.replace("command: echo from-loud", "command: echo from-loud\n    depends_on: [base]");
    let project = Project::with(engine, &text)?;
    let run = project.compose(&["up", "loud"])?.ok()?;
    ensure!(run.stdout.contains("from-loud") && !run.stdout.contains("from-base"), "the dependency is shown: {run}");
    let run = project.compose(&["up", "--attach-dependencies", "loud"])?.ok()?;
    ensure!(run.stdout.contains("from-base"), "`--attach-dependencies`: {run}");
    Ok(())
}

fn abort_on_failure_ignores_clean_exits(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "
services:
  clean:
    image: busybox
    command: 'true'
  failing:
    image: busybox
    command: sh -c 'sleep 1; exit 5'
  long:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
",
    )?;
    project.compose(&["up", "--abort-on-container-failure"])?.exits(5)?;
    ensure!(project.states()?.iter().all(|(_, state)| state == "exited"), "states: {:?}", project.states()?);
    Ok(())
}

fn detach_contradicts_the_abort_flags(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, THREE)?;
    for flag in ["--abort-on-container-exit", "--abort-on-container-failure"] {
        let run = project.compose(&["up", "-d", flag])?;
        ensure!(run.code != 0, "`-d` with `{flag}` is accepted: {run}");
    }
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn terminate_stops_what_was_attached(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    let up = project.spawn(&["up"])?;
    all_run(&project, 2)?;
    up.signal("TERM")?;
    up.finish(Duration::from_secs(30))?.exits(130)?;
    ensure!(project.states()?.iter().all(|(_, state)| state == "exited"), "states: {:?}", project.states()?);
    Ok(())
}

fn containers_outlive_the_terminal_of_an_attached_up(engine: &Engine) -> CaseResult {
    let file =
        "services: {web: {image: busybox, command: 'sh -c \"echo ready; exec sleep 1000\"', stop_signal: SIGKILL}}";
    let project = Project::with(engine, file)?;
    let up = project.spawn(&["up"])?;
    up.says("| ready", Duration::from_secs(60))?;
    up.signal("HUP")?;
    up.finish(Duration::from_secs(30))?.exits(129)?;
    ensure_eq!(project.only("web")?.state, "running", "what was attached");
    Ok(())
}

fn named_dependency_keeps_running_after_an_interrupt(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    let up = project.spawn(&["up", "web"])?;
    all_run(&project, 2)?;
    up.signal("INT")?;
    up.finish(Duration::from_secs(30))?.exits(130)?;
    ensure_eq!(project.only("web")?.state, "exited", "what was attached");
    ensure_eq!(project.only("db")?.state, "running", "the dependency, which was not");
    Ok(())
}

fn all_run(project: &Project, count: usize) -> CaseResult {
    eventually(Duration::from_secs(30), || {
        let states = project.states()?;
        let up = states.iter().filter(|(_, state)| state == "running").count();
        if up == count { Ok(()) } else { Err(format!("states: {states:?}")) }
    })
}

fn no_start_creates_only(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    project.compose(&["up", "--no-start"])?.ok()?;
    let states = project.states()?;
    ensure!(states.len() == 2 && states.iter().all(|(_, state)| state == "created"), "states: {states:?}");
    Ok(())
}
