//! `exec` and `run`.

use compose_tests::project::Program;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { Any:
    exec_passes_output_and_code,
    exec_reads_standard_input,
    exec_sets_environment_user_and_directory,
    exec_of_a_stopped_service_says_so,
    exec_of_a_missing_program_exits_with_127,
    run_starts_dependencies_and_passes_the_code,
    run_overrides_command_and_environment,
    run_keeps_the_container_unless_told_otherwise,
    detached_run_prints_the_identity,
    one_offs_are_no_replicas,
}

fn exec_passes_output_and_code(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["exec", "-T", "web", "sh", "-c", "echo to-out; echo to-err >&2; exit 7"])?.exits(7)?;
    ensure_eq!(run.stdout, "to-out\n", "standard output");
    ensure!(run.stderr.contains("to-err"), "standard error: {run}");
    Ok(())
}

fn exec_reads_standard_input(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose_with(Program::Ours, &["exec", "-T", "web", "wc", "-c"], &"x".repeat(100_000))?.ok()?;
    ensure_eq!(run.stdout.trim(), "100000", "bytes that arrived");
    Ok(())
}

fn exec_sets_environment_user_and_directory(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let arguments =
        ["exec", "-T", "-e", "A=b c", "-u", "65534", "-w", "/tmp", "web", "sh", "-c", "echo $A; id -u; pwd"];
    let run = project.compose(&arguments)?.ok()?;
    ensure_eq!(run.stdout, "b c\n65534\n/tmp\n", "standard output");
    Ok(())
}

fn exec_of_a_stopped_service_says_so(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["create"])?.ok()?;
    project.compose(&["exec", "-T", "web", "true"])?.exits(1)?.says("service \"web\" is not running")?;
    Ok(())
}

fn exec_of_a_missing_program_exits_with_127(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["up", "-d"])?.ok()?;
    let run = project.compose(&["exec", "-T", "web", "surely-not-there"])?;
    // Engine 20.10 gives 126 where later ones give 127.
    ensure!(run.code == 126 || run.code == 127, "exit code {}: {run}", run.code);
    Ok(())
}

fn run_starts_dependencies_and_passes_the_code(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let run = project.compose(&["run", "--rm", "-T", "web", "sh", "-c", "echo from-run; exit 3"])?.exits(3)?;
    ensure_eq!(run.stdout, "from-run\n", "standard output");
    ensure_eq!(project.only("db")?.state, "running", "the dependency");
    ensure_eq!(project.service("web")?.len(), 0, "containers of web");
    Ok(())
}

fn run_overrides_command_and_environment(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let arguments = ["run", "--rm", "-T", "--no-deps", "-e", "A=b", "-w", "/tmp", "web", "sh", "-c", "echo $A; pwd"];
    let run = project.compose(&arguments)?.ok()?;
    ensure_eq!(run.stdout, "b\n/tmp\n", "standard output");
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn run_keeps_the_container_unless_told_otherwise(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["run", "-T", "--no-deps", "web", "true"])?.ok()?;
    let kept = project.only("web")?;
    ensure!(kept.name.starts_with(&format!("{}-web-run-", project.name)), "name: {}", kept.name);
    ensure_eq!(kept.label("com.docker.compose.oneoff"), "True", "the one-off label");
    Ok(())
}

fn detached_run_prints_the_identity(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    let run = project.compose(&["run", "-d", "--no-deps", "web"])?.ok()?;
    ensure_eq!(run.stdout.trim(), project.only("web")?.id, "standard output");
    Ok(())
}

fn one_offs_are_no_replicas(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, TWO)?;
    project.compose(&["run", "-d", "--no-deps", "web"])?.ok()?;
    project.compose(&["up", "-d"])?.ok()?;
    let names: Vec<String> = project.states()?.into_iter().map(|(name, _)| name).collect();
    ensure!(names.contains(&"web-1".to_owned()), "names: {names:?}");
    let run = project.compose(&["ps"])?.ok()?;
    ensure!(!run.stdout.contains("-run-"), "`ps` shows the one-off: {run}");
    Ok(())
}
