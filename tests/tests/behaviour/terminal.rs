//! In a terminal: the menu, Ctrl-C once and twice, sessions with size and keys.

use compose_tests::wait::eventually;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};
use std::time::Duration;

crate::cases! {
    Any:
    the_menu_detaches_and_leaves_everything_running,
    the_menu_turns_watch_on_and_off,
    ctrl_c_stops_and_a_second_one_kills,
    a_session_has_the_size_of_the_window,
    attach_detaches_by_keys_and_gives_the_exit_code;
}

const SLEEPER: &str = "
services:
  web:
    image: busybox
    command: sh -c 'echo web-is-up; exec sleep 1000'
    stop_signal: SIGKILL
";

/// Ignores SIGTERM, and says that it got it.
const STUBBORN: &str = "
services:
  web:
    image: busybox
    command: sh -c 'trap \"echo not-yet\" TERM; echo web-is-up; while true; do sleep 0.1; done'
    stop_grace_period: 100s
";

fn the_menu_detaches_and_leaves_everything_running(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, SLEEPER)?;
    project.set("COMPOSE_MENU", "1");
    let mut terminal = project.in_terminal(&["up"])?;
    terminal.shows("web-is-up")?;
    terminal.shows("d Detach")?;
    terminal.types("d")?;
    ensure_eq!(terminal.ends()?, 0, "exit code");
    ensure!(!terminal.screen().contains("d Detach"), "the menu stays:\n{}", terminal.screen());
    ensure_eq!(project.only("web")?.state, "running", "state");
    Ok(())
}

fn the_menu_turns_watch_on_and_off(engine: &Engine) -> CaseResult {
    let watched = format!("{SLEEPER}    develop: {{watch: [{{action: sync, path: ./src, target: /src}}]}}\n");
    let project = Project::with(engine, &watched)?;
    project.write("src/file", "old")?;
    let mut terminal = project.in_terminal(&["up", "--menu"])?;
    terminal.shows("w Enable Watch")?;
    terminal.types("w")?;
    terminal.shows("w Disable Watch")?;
    project.write("src/file", "new")?;
    eventually(Duration::from_secs(30), || {
        project.compose(&["exec", "-T", "web", "cat", "/src/file"])?.exits(0)?.says("new")
    })?;
    terminal.types("w")?;
    terminal.shows("Watch disabled")?;
    terminal.shows("w Enable Watch")?;
    terminal.types("d")?;
    ensure_eq!(terminal.ends()?, 0, "exit code");
    Ok(())
}

fn ctrl_c_stops_and_a_second_one_kills(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, STUBBORN)?;
    let mut terminal = project.in_terminal(&["up", "--menu"])?;
    terminal.shows("web-is-up")?;
    terminal.shows("d Detach")?;
    terminal.types("\u{3}")?;
    terminal.shows("press Ctrl+C again to force")?;
    terminal.shows("not-yet")?;
    terminal.types("\u{3}")?;
    ensure_eq!(terminal.ends()?, 130, "exit code");
    ensure_eq!(project.only("web")?.state, "exited", "state");
    Ok(())
}

fn a_session_has_the_size_of_the_window(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, SLEEPER)?;
    project.compose(&["up", "-d"])?.ok()?;
    for words in [&["exec", "web", "sh"][..], &["run", "--rm", "web", "sh"]] {
        let mut terminal = project.in_terminal(words)?;
        // The shell answers only when it reads.
        terminal.types("stty size; tty; echo re''ady\n")?;
        terminal.shows("ready")?;
        terminal.shows("30 100")?;
        terminal.resize(123, 45)?;
        eventually(Duration::from_secs(30), || {
            terminal.types("stty size\n")?;
            terminal.shows_soon("45 123")
        })?;
        // Ctrl-C is the shell's business, and so is its exit code.
        terminal.types("\u{3}")?;
        terminal.types("exit 7\n")?;
        ensure_eq!(terminal.ends()?, 7, "exit code of {words:?}");
    }
    Ok(())
}

fn attach_detaches_by_keys_and_gives_the_exit_code(engine: &Engine) -> CaseResult {
    let shell = "
services:
  web:
    image: busybox
    command: sh
    tty: true
    stdin_open: true
    stop_signal: SIGKILL
";
    let project = Project::with(engine, shell)?;
    project.compose(&["up", "-d"])?.ok()?;
    let mut terminal = project.in_terminal(&["attach", "--detach-keys", "ctrl-x,q", "web"])?;
    terminal.types("echo he''re\n")?;
    terminal.shows("here")?;
    terminal.types("\u{18}q")?;
    ensure_eq!(terminal.ends()?, 0, "exit code of a detached `attach`");
    ensure_eq!(project.only("web")?.state, "running", "state");
    let mut terminal = project.in_terminal(&["attach", "web"])?;
    terminal.types("exit 5\n")?;
    ensure_eq!(terminal.ends()?, 5, "exit code of `attach`");
    Ok(())
}
