//! Completion in real shells, and the progress display in real windows of every size.

use std::os::unix::fs::symlink;

use compose_tests::engine::{SEARCH_PATH, setting};
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    every_shell_completes_services_of_the_file_and_of_the_engine,
    hundreds_of_steps_fit_into_any_window,
    a_window_may_change_while_progress_is_shown,
    progress_is_whole_in_tmux,
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

/// A server of tmux for one case, ended with it.
struct Tmux<'p>(&'p Project);

impl Tmux<'_> {
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let words = ["-L", &self.0.name, "-f", "/dev/null"].into_iter().chain(arguments.iter().copied());
        Ok(self.0.other("tmux", &words.collect::<Vec<_>>())?.ok()?.stdout)
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        // It ends by itself with its last window.
        let _ = self.run(&["kill-server"]);
    }
}

/// What is on the screen of a terminal that people use, when the program has ended.
fn progress_is_whole_in_tmux(engine: &Engine) -> CaseResult {
    let text = "
services:
  a-service-whose-name-takes-room: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: [db]}
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'true', interval: 500ms}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
";
    let mut project = Project::with(engine, text)?;
    project.set("TERM", "xterm-256color");
    project.set("SHELL", "/bin/sh");
    let program = project.program().path().ok_or("the environment does not name the program")?;
    let tmux = Tmux(&project);
    for (columns, rows) in [("80", "24"), ("200", "50")] {
        let line = format!("{program} up -d; echo code $?; tmux -L {} wait-for -S done; exec cat", project.name);
        tmux.run(&["new-session", "-d", "-s", columns, "-x", columns, "-y", rows, &line])?;
        tmux.run(&["wait-for", "done"])?;
        let screen = tmux.run(&["capture-pane", "-p", "-t", columns])?;
        let shown: Vec<&str> = screen.lines().filter(|line| !line.trim().is_empty()).collect();
        let (first, last) = (shown.first().copied().unwrap_or_default(), shown.last().copied().unwrap_or_default());
        ensure!(first.starts_with("[+] up 4/4"), "the first line at {columns} columns:\n{screen}");
        ensure_eq!(last, "code 0", "the last line at {columns} columns:\n{screen}");
        let rows = &shown[1..shown.len() - 1];
        ensure_eq!(rows.len(), 4, "rows at {columns} columns:\n{screen}");
        for (row, (what, end)) in rows.iter().zip([
            (format!("Network {}_default", project.name), "Created"),
            (format!("Container {}-a-service-whose", project.name), "Started"),
            (format!("Container {}-db-1", project.name), "Healthy"),
            (format!("Container {}-web-1", project.name), "Started"),
        ]) {
            let whole = row.contains(&what) && row.contains(end) && row.trim_end().ends_with('s');
            ensure!(whole, "{what} {end} at {columns} columns:\n{screen}");
        }
        // A name gives way to what is told about it, where the window is narrow.
        ensure_eq!(screen.contains("takes-room-1"), columns == "200", "the long name:\n{screen}");
        tmux.run(&["kill-session", "-t", columns]).or_else(|_| Ok::<_, String>(String::new()))?;
        project.compose(&["down"])?.ok()?;
    }
    Ok(())
}
