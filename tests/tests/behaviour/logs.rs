//! `logs`.

use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    logs_of_all_services_carry_prefixes,
    logs_of_one_service_hold_only_its_lines,
    tail_limits_each_container,
    follow_ends_when_the_last_container_ends,
    interrupted_follow_exits_with_130,
    long_lines_and_a_last_line_without_newline_arrive_whole,
}

const TALKERS: &str = "
services:
  one:
    image: busybox
    command: sh -c 'for i in 1 2 3; do echo one $$i; done; echo late >&2'
  two:
    image: busybox
    command: sh -c 'echo two 1; sleep 1; echo two 2'
";

fn finished(engine: &Engine) -> Result<Project, String> {
    let project = Project::with(engine, TALKERS)?;
    project.compose(&["up"])?.ok()?;
    Ok(project)
}

fn logs_of_all_services_carry_prefixes(engine: &Engine) -> CaseResult {
    let project = finished(engine)?;
    let run = project.compose(&["logs"])?.ok()?;
    for line in ["one-1  | one 1", "one-1  | one 3", "one-1  | late", "two-1  | two 1", "two-1  | two 2"] {
        ensure!(run.stdout.lines().any(|found| found == line), "lacks {line:?}: {run}");
    }
    let run = project.compose(&["logs", "--no-log-prefix"])?.ok()?;
    ensure!(run.stdout.lines().any(|line| line == "two 2"), "without prefix: {run}");
    let run = project.compose(&["logs", "-t", "two"])?.ok()?;
    let line = run.stdout.lines().next().unwrap_or_default();
    let time = line.strip_prefix("two-1  | ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    ensure!(time.contains('T') && time.ends_with('Z'), "timestamp: {run}");
    Ok(())
}

fn logs_of_one_service_hold_only_its_lines(engine: &Engine) -> CaseResult {
    let project = finished(engine)?;
    let run = project.compose(&["logs", "two"])?.ok()?;
    ensure_eq!(run.stdout, "two-1  | two 1\ntwo-1  | two 2\n", "standard output");
    project.compose(&["logs", "nobody"])?.exits(1)?.says("no such service: nobody")?;
    Ok(())
}

fn tail_limits_each_container(engine: &Engine) -> CaseResult {
    let project = finished(engine)?;
    let run = project.compose(&["logs", "--tail", "1", "two"])?.ok()?;
    ensure_eq!(run.stdout, "two-1  | two 2\n", "standard output");
    Ok(())
}

fn follow_ends_when_the_last_container_ends(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TALKERS)?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["logs", "-f"])?.ok()?;
    ensure!(run.stdout.lines().any(|line| line == "two-1  | two 2"), "the last line: {run}");
    Ok(())
}

fn interrupted_follow_exits_with_130(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let running = project.spawn(&["logs", "-f"])?;
    let (_keep, pace) = std::sync::mpsc::channel::<()>();
    let _ = pace.recv_timeout(Duration::from_millis(700));
    running.signal("INT")?;
    running.finish(Duration::from_secs(10))?.exits(130)?;
    Ok(())
}

fn long_lines_and_a_last_line_without_newline_arrive_whole(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  one:\n    image: busybox\n    command: sh -c \"head -c 40000 /dev/zero | tr '\\\\0' x; printf '\\nend'\"\n",
    )?;
    let run = project.compose(&["up", "--no-log-prefix"])?.ok()?;
    ensure!(run.stdout.lines().any(|line| line.len() == 40_000), "no line of 40,000 characters");
    ensure!(run.stdout.contains("end"), "the last line");
    let run = project.compose(&["logs", "--no-log-prefix"])?.ok()?;
    ensure!(run.stdout.lines().any(|line| line.len() == 40_000), "no line of 40,000 characters in `logs`");
    ensure!(run.stdout.contains("end"), "the last line in `logs`");
    Ok(())
}
