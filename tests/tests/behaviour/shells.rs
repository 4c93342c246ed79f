//! Completion in real shells, and the progress display in real windows of every size.

use std::os::unix::fs::symlink;

use compose_tests::engine::{SEARCH_PATH, setting};
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    every_shell_completes_services_of_the_file_and_of_the_engine,
    hundreds_of_steps_fit_into_any_window,
    a_window_may_change_while_progress_is_shown,
}

const FILE: &str = "
services:
  web-store:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
";

fn every_shell_completes_services_of_the_file_and_of_the_engine(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, FILE)?;
    project.compose(&["up", "-d"])?.ok()?;
    let bin = project.folder().join("bin");
    for folder in [&bin, &project.folder().join("empty")] {
        std::fs::create_dir(folder).map_err(|error| error.to_string())?;
    }
    let binary = setting("BINARY").ok_or("COMPOSE_TEST_BINARY is not set")?;
    symlink(binary, bin.join("compose")).map_err(|error| error.to_string())?;
    project.set("PATH", &format!("{}:{SEARCH_PATH}", bin.display()));
    project.set("PS1", "> ");
    let shells: [(&str, &[&str], &str); 3] = [
        ("bash", &["--norc", "--noprofile", "-i"], "eval \"$(compose completion bash)\""),
        ("zsh", &["-f", "-i"], "autoload -U compinit; compinit -u; eval \"$(compose completion zsh)\""),
        ("fish", &["--no-config", "-i"], "compose completion fish | source"),
    ];
    for (shell, arguments, load) in shells {
        let mut terminal = project.other_in_terminal(shell, arguments, (100, 30))?;
        let failed = |error: String| format!("{shell}: {error}");
        // Answers only when it reads: what is typed before would be lost.
        terminal.types(&format!("{load}; echo loa''ded\n"))?;
        terminal.shows("loaded").map_err(failed)?;
        for (typed, expected) in [
            ("compose sto\t", "compose stop"),
            ("compose stop we\t", "compose stop web-store"),
            ("compose up --det\t", "compose up --detach"),
        ] {
            terminal.types(typed)?;
            terminal.shows(expected).map_err(failed)?;
            // The line is given up, and the next one begins below.
            terminal.types("\u{15}")?;
        }
        // Without a file the engine knows the names.
        terminal.types("cd empty; echo in''side\n")?;
        terminal.shows("inside").map_err(failed)?;
        terminal.types(&format!("compose -p {} logs we\t", project.name))?;
        terminal.shows("logs web-store").map_err(failed)?;
        terminal.types("\u{15}")?;
        terminal.types("exit\n")?;
        terminal.ends()?;
    }
    Ok(())
}

fn hundreds_of_steps_fit_into_any_window(engine: &Engine) -> CaseResult {
    let mut file = String::from("services:\n");
    for number in 0..300 {
        file.push_str(&format!("  service-with-a-long-name-{number}: {{image: busybox, network_mode: none}}\n"));
    }
    let project = Project::with(engine, &file)?;
    for (columns, rows) in [(80, 24), (200, 50), (20, 5)] {
        let program = project.program().path().ok_or("the environment does not name the program")?;
        let mut terminal = project.other_in_terminal(&program, &["--dry-run", "up", "-d"], (columns, rows))?;
        ensure_eq!(terminal.ends()?, 0, "exit code");
        let screen = terminal.screen();
        let shown: Vec<&str> = screen.lines().filter(|line| !line.trim().is_empty()).collect();
        ensure!(shown.len() <= usize::from(rows), "more lines than the window has:\n{screen}");
        // A row that is wider than the window would go on in the next line.
        for line in &shown {
            let begins = ["[+] ", " ", "Container t"].iter().any(|start| line.starts_with(start));
            ensure!(begins, "a line in {columns}x{rows} that is the rest of another: {line:?}\n{screen}");
        }
    }
    Ok(())
}

fn a_window_may_change_while_progress_is_shown(engine: &Engine) -> CaseResult {
    let waiting = "
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    healthcheck: {test: test -e /ready, interval: 200ms, retries: 1000}
";
    let project = Project::with(engine, waiting)?;
    let mut terminal = project.in_terminal(&["up", "-d", "--wait"])?;
    terminal.shows("Waiting")?;
    // How long it may take at most: 1000 probes.
    terminal.shows("left")?;
    for (columns, rows) in [(20, 5), (200, 50), (7, 2), (80, 24)] {
        terminal.resize(columns, rows)?;
        terminal.shows("[+]")?;
    }
    project.compose(&["exec", "-T", "db", "touch", "/ready"])?.ok()?;
    ensure_eq!(terminal.ends()?, 0, "exit code");
    let screen = terminal.screen();
    ensure!(screen.contains("Healthy"), "how it ended is not shown:\n{screen}");
    ensure_eq!(screen.matches("[+] up").count(), 1, "headers on the screen:\n{screen}");
    Ok(())
}
