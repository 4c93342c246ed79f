//! Mistakes: what is said, where it points, and that nothing is made.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    every_mistake_has_a_position_and_makes_nothing,
    missing_variable_is_named,
    missing_file_is_named,
    unreachable_engine_is_named,
    unknown_flags_and_commands_are_refused,
}

fn every_mistake_has_a_position_and_makes_nothing(engine: &Engine) -> CaseResult {
    // What is wrong, the file, where it points, what is said.
    let table = [
        ("unknown key", "services:\n  a:\n    image: busybox\n    prots: ['80']\n", "compose.yaml:4:5", "prots"),
        ("wrong type", "services:\n  a:\n    image: [busybox]\n", "compose.yaml:3:", "must be a string"),
        (
            "undefined network",
            "services:\n  a:\n    image: busybox\n    networks: [n]\n",
            "compose.yaml:4:",
            "undefined network n",
        ),
        (
            "undefined volume",
            "services:\n  a:\n    image: busybox\n    volumes: ['vol:/v']\n",
            "compose.yaml:4:",
            "undefined volume vol",
        ),
        (
            "cycle",
            "services:\n  a:\n    image: busybox\n    depends_on: [b]\n  b:\n    image: busybox\n    depends_on: [a]\n",
            "compose.yaml:",
            "dependency cycle detected: a -> b -> a",
        ),
        ("tab", "services:\n  a:\n    image: busybox\n    ports:\n    \t- '80'\n", "compose.yaml:5:", "tab"),
        (
            "neither image nor build",
            "services:\n  a:\n    command: x\n",
            "compose.yaml:",
            "neither an image nor a build context",
        ),
        ("duplicate key", "services:\n  a:\n    image: b\n    image: c\n", "compose.yaml:4:", "already defined"),
    ];
    for (what, text, place, said) in table {
        let project = Project::with(engine, text)?;
        let run = project.compose(&["up", "-d"])?.exits(1).map_err(|error| format!("{what}: {error}"))?;
        ensure!(run.stderr.contains(place), "{what}: no position {place}: {run}");
        ensure!(run.stderr.contains(said), "{what}: does not say {said:?}: {run}");
        ensure!(run.stderr.contains('^'), "{what}: no caret: {run}");
        ensure_eq!(project.states()?, vec![], "{what}: containers");
    }
    Ok(())
}

fn missing_variable_is_named(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, "services:\n  a:\n    image: busybox:${TAG:?choose a tag}\n")?;
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("required variable TAG is missing a value: choose a tag"), "the message: {run}");
    ensure!(run.stderr.contains("compose.yaml:3:"), "the position: {run}");
    Ok(())
}

fn missing_file_is_named(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    project.compose(&["up", "-d"])?.exits(1)?.says("no configuration file provided: not found")?;
    project.compose(&["-f", "other.yaml", "up", "-d"])?.exits(1)?.says("other.yaml")?;
    Ok(())
}

fn unreachable_engine_is_named(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, crate::up::TWO)?;
    if engine.is_docker() {
        project.set("DOCKER_HOST", "unix:///surely/not/there.sock");
    } else {
        project.set("CONTAINERD_ADDRESS", "/surely/not/there.sock");
    }
    let run = project.compose(&["up", "-d"])?.exits(1)?;
    ensure!(run.stderr.contains("/surely/not/there.sock"), "the socket: {run}");
    ensure!(run.stderr.contains("start"), "how to start one: {run}");
    Ok(())
}

fn unknown_flags_and_commands_are_refused(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    project.compose(&["up", "--surely-not"])?.exits(1)?.says("unknown flag: --surely-not")?;
    project.compose(&["surely-not"])?.exits(1)?.says("unknown docker command")?;
    Ok(())
}
