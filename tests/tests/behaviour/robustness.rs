//! Readers that go, disks that are full, containers that vanish while they are followed, and
//! output that is no text: clear words, the right exit code, and never a panic.

use std::time::Duration;

use compose_tests::private::Private;
use compose_tests::project::Running;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! {
    Any:
    a_reader_that_goes_ends_the_program_quietly,
    a_full_disk_is_named_and_leaves_no_half_export,
    containers_may_vanish_while_they_are_followed,
    long_lines_and_bytes_that_are_no_text_come_through;
    Private:
    an_engine_that_goes_while_it_is_followed_is_told,
}

const NOISY: &str = "
services:
  noisy:
    image: busybox
    command: sh -c 'i=0; while [ $$i -lt 2000 ]; do echo line-$$i; i=$$((i+1)); done; echo rea\"\"dy; exec sleep 1000'
    stop_signal: SIGKILL
    network_mode: none
";

/// Exit code of the program when the reader of its standard output has gone: as if SIGPIPE had
/// ended it.
const READER_GONE: i32 = 141;

fn noisy(engine: &Engine) -> Result<Project, String> {
    let project = Project::with(engine, NOISY)?;
    project.compose(&["up", "-d"])?.ok()?;
    let following = project.spawn(&["logs", "-f"])?;
    following.says("ready", Duration::from_secs(60))?;
    following.signal("INT")?;
    following.finish(Duration::from_secs(30))?;
    Ok(project)
}

fn a_reader_that_goes_ends_the_program_quietly(engine: &Engine) -> CaseResult {
    let project = noisy(engine)?;
    let program = project.program().path().ok_or("the environment does not name the program")?;
    let cases = [
        ("exec -T noisy yes", "head -n 1", &[READER_GONE][..]),
        // As the reference, which says so too.
        ("run --rm -T --no-deps noisy seq 100000", "head -n 1", &[1]),
        ("logs", "head -n 1", &[0, READER_GONE]),
        ("export noisy", "head -c 10", &[READER_GONE]),
        ("cp noisy:/bin -", "head -c 10", &[READER_GONE]),
        // Little output may have been written before the reader goes.
        ("ps", "true", &[0, READER_GONE]),
        ("config", "head -n 1", &[0, READER_GONE]),
        ("images", "true", &[0, READER_GONE]),
        ("ls", "true", &[0, READER_GONE]),
        ("--help", "head -n 1", &[0, READER_GONE]),
    ];
    for (command, reader, codes) in cases {
        let script = format!("timeout 60 {program} {command} | {reader} >/dev/null; exit ${{PIPESTATUS[0]}}");
        let run = project.other("bash", &["-c", &script])?;
        ensure!(codes.contains(&run.code), "`{command} | {reader}` ends with {}: {run}", run.code);
        for word in ["panic", "Broken pipe", "os error"] {
            ensure!(!run.stderr.contains(word), "`{command} | {reader}` says {word:?}: {run}");
        }
    }
    Ok(())
}

fn a_full_disk_is_named_and_leaves_no_half_export(engine: &Engine) -> CaseResult {
    let project = noisy(engine)?;
    let program = project.program().path().ok_or("the environment does not name the program")?;
    for command in ["logs", "ps", "config", "export noisy", "exec -T noisy cat /bin/busybox"] {
        let run = project.other("bash", &["-c", &format!("exec {program} {command} >/dev/full")])?.exits(1)?;
        ensure!(run.stderr.contains("cannot write standard output: No space left"), "`{command}`: {run}");
    }
    // A file system of its own, which goes with the shell.
    let small = "mkdir small && mount -t tmpfs -o size=1m none small";
    let script = format!(
        "{small} || exit 99; {program} export -o small/all.tar noisy; echo \"code $?\"; ls -A small; \
         {program} cp noisy:/bin small/bin; echo \"code $?\""
    );
    let run = project.other("unshare", &["--mount", "bash", "-c", &script])?.ok()?;
    ensure_eq!(run.stdout.as_str(), "code 1\ncode 1\n", "codes, and what lies there");
    ensure_eq!(run.stderr.matches("No space left").count(), 2, "words of {run}");
    ensure!(run.stderr.contains("small/all.tar") && run.stderr.contains("small/bin"), "no place: {run}");
    Ok(())
}

fn containers_may_vanish_while_they_are_followed(engine: &Engine) -> CaseResult {
    let ticking = "
services:
  web:
    image: busybox
    command: sh -c 'while true; do echo tick; sleep 0.1; done'
    network_mode: none
";
    let project = Project::with(engine, ticking)?;
    let cases: [(&[&str], i32); 4] = [
        (&["logs", "-f"], 0),
        (&["up"], 0),
        (&["attach", "web"], 137),
        (&["exec", "-T", "web", "sh", "-c", "echo tick; exec sleep 1000"], 137),
    ];
    for (command, code) in cases {
        project.compose(&["up", "-d"])?.ok()?;
        let running = project.spawn(command)?;
        running.says("tick", Duration::from_secs(60))?;
        engine.docker(&["rm", "-f", &project.only("web")?.id])?;
        let run = running.finish(Duration::from_secs(60))?.exits(code)?;
        ensure!(!run.stderr.contains("panic"), "{run}");
    }
    Ok(())
}

fn long_lines_and_bytes_that_are_no_text_come_through(engine: &Engine) -> CaseResult {
    let odd = "
services:
  odd:
    image: busybox
    command: sh -c \"printf 'red \\\\033[31mred\\\\033[0m nul \\\\000 back\\\\rover\\\\n'; head -c 10000 /dev/zero | tr '\\\\000' x; echo\"
    network_mode: none
";
    let project = Project::with(engine, odd)?;
    let attached = project.compose(&["up"])?.ok()?;
    let finished = project.compose(&["logs"])?.ok()?;
    for run in [attached, finished] {
        ensure!(run.stdout.contains("odd-1  | red \u{1b}[31mred\u{1b}[0m nul \0 back\rover\n"), "bytes: {run}");
        let long = format!("odd-1  | {}\n", "x".repeat(10_000));
        ensure!(run.stdout.contains(&long), "the long line is cut: {run}");
    }
    Ok(())
}

fn an_engine_that_goes_while_it_is_followed_is_told(engine: &Engine) -> CaseResult {
    let mut private = Private::start(engine)?;
    let project = Project::with(private.engine(), NOISY)?;
    project.compose(&["up", "-d"])?.ok()?;
    let commands: [&[&str]; 4] =
        [&["logs", "-f"], &["events"], &["exec", "-T", "noisy", "sh", "-c", "echo ready; exec sleep 1000"], &["stats"]];
    let mut running = Vec::new();
    for command in commands {
        running.push(project.spawn(command)?);
    }
    running[0].says("ready", Duration::from_secs(60))?;
    running[2].says("ready", Duration::from_secs(60))?;
    running[3].says("noisy", Duration::from_secs(60))?;
    private.down()?;
    if !engine.is_docker() {
        return without_containerd(&project, private, running);
    }
    for (one, command) in running.into_iter().zip(commands) {
        let run = one.finish(Duration::from_secs(90)).map_err(|error| format!("{command:?}: {error}"))?;
        ensure!(run.code != 0 || command[0] == "logs", "{command:?} ends as if nothing were wrong: {run}");
        ensure!(!run.stderr.contains("panic"), "{run}");
    }
    private.up()?;
    project.compose(&["up", "-d"])?.ok()?;
    Ok(())
}

/// Containers go on without containerd, and so does what hangs on them; the rest is told.
fn without_containerd(project: &Project, mut private: Private, running: Vec<Running>) -> CaseResult {
    let limit = Duration::from_secs(60);
    let ended = |run: Running, code: i32| -> CaseResult {
        let run = run.finish(limit)?.exits(code)?;
        ensure!(!run.stderr.contains("panic"), "{run}");
        Ok(())
    };
    let [logs, events, exec, stats] = running.try_into().map_err(|_| "four commands")?;
    ended(events, 1)?;
    ended(stats, 1)?;
    project.compose(&["ps"])?.exits(1)?.says(&private.engine().socket)?;
    private.up()?;
    // Both are there with containerd again, or were never away.
    project.compose(&["kill"])?.ok()?;
    ended(exec, 137)?;
    ended(logs, 0)?;
    project.compose(&["up", "-d"])?.ok()?;
    Ok(())
}
