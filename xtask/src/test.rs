//! `cargo xtask test`: every test, with the engines that it needs.

use crate::engines::{self, Engine, StopAtEnd};
use crate::interrupt::Interrupt;
use crate::shell::{self, say};
use crate::{conformance, images, packages, reference, tidy};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

/// What came out, added up over all runners.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

struct Options {
    engines: Vec<Engine>,
    filters: Vec<String>,
    /// Whether the behaviour suite is to be proven on the reference program too.
    reference: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let (mut engines, mut no_engine, mut filters) = (Vec::new(), false, Vec::new());
        let mut reference = false;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--no-engine" => no_engine = true,
                "--reference" => reference = true,
                "--engine" => {
                    let name = rest.next().context("--engine wants a name")?;
                    engines.push(Engine::parse(name)?);
                }
                "--" => filters.extend(rest.by_ref().cloned()),
                other => bail!(
                    "test does not know `{other}`; it takes --no-engine, --engine NAME, --reference, -- FILTER..."
                ),
            }
        }
        if no_engine && !engines.is_empty() {
            bail!("--no-engine and --engine exclude each other");
        }
        if !no_engine && engines.is_empty() {
            engines = engines::ALL.to_vec();
        }
        Ok(Self { engines, filters, reference })
    }
}

/// `cargo xtask test [--no-engine] [--engine NAME]... [--reference] [-- FILTER...]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    if !options.engines.is_empty() && !shell::is_root() {
        bail!("the engines are started by root: use sudo, or leave them out with --no-engine");
    }
    let interrupt = Interrupt::catch()?;
    packages::ensure_build_tools()?;
    let mut count = Count::default();
    if tidy::report()? {
        count.passed += 1;
    } else {
        count.failed += 1;
    }
    say("building");
    shell::run(shell::cargo().args(["build", "--quiet", "--package", "compose-cli"]))?;

    if options.filters.is_empty() {
        say("comparing with what the reference was recorded to say");
        let (equal, differing) = conformance::recorded::compare(&shell::target().join("debug/compose"))?;
        count.add(Count { passed: equal, failed: differing, skipped: 0 });
    }

    let mut started = StopAtEnd(Vec::new());
    let mut environment =
        vec![("COMPOSE_TEST_BINARY".to_owned(), shell::target().join("debug/compose").display().to_string())];
    if options.reference {
        environment.push(("COMPOSE_TEST_REFERENCE".to_owned(), reference::program()?.display().to_string()));
    }
    if options.engines.is_empty() {
        say("engines are left out: tests that need one are not run");
    } else {
        packages::ensure_test_programs()?;
        environment.push(("COMPOSE_TEST_IMAGES".to_owned(), images::folder().display().to_string()));
        match reference::clients() {
            Ok(python) => environment.push(("COMPOSE_TEST_CLIENTS".to_owned(), python.display().to_string())),
            Err(error) => say(&format!("cases that need Python clients are not run: {error:#}")),
        }
        environment.push(("COMPOSE_TEST_BUSYBOX".to_owned(), packages::static_busybox()?.display().to_string()));
        let mut wanted = options.engines.clone();
        if wanted.iter().any(|engine| matches!(engine, Engine::Containerd1 | Engine::Containerd2)) {
            wanted.push(Engine::BuildKit);
        }
        for engine in &wanted {
            if interrupt.came() {
                bail!("interrupted");
            }
            if engine.up()? {
                started.0.push(*engine);
            } else {
                say(&format!("{} was running before, and is left running", engine.name()));
            }
            environment.extend(engine.environment());
        }
    }

    let mut failed_run = false;
    for mut command in runners(&options) {
        if interrupt.came() {
            break;
        }
        clear_engine_settings(&mut command);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        say(&shell::shown(&command));
        let (success, found) = watch(&mut command, &interrupt)?;
        // A runner that fails without a failed test did not get as far: it did not build.
        if !success && found.failed == 0 {
            failed_run = true;
        }
        count.add(found);
    }
    drop(started);
    if interrupt.came() {
        say("interrupted");
    }
    if failed_run {
        count.failed += 1;
    }
    let skipped = if count.skipped > 0 { format!(", {} skipped", count.skipped) } else { String::new() };
    println!("{} passed, {} failed{skipped}", count.passed, count.failed);
    let good = count.failed == 0 && !interrupt.came();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A test sees the engines that it is told of, and nothing of the person's own settings.
fn clear_engine_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let foreign = ["COMPOSE_", "DOCKER_", "CONTAINERD_", "BUILDX_"].iter().any(|prefix| text.starts_with(prefix));
        if foreign && !text.starts_with("COMPOSE_XTASK_") {
            command.env_remove(&name);
        }
    }
}

fn runners(options: &Options) -> Vec<Command> {
    let mut runners = Vec::new();
    let has_nextest = shell::succeeds(shell::cargo().args(["nextest", "--version"]));
    let mut main = shell::cargo();
    if has_nextest {
        main.args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
        main.args(["--cargo-quiet", "--status-level", "slow", "--final-status-level", "fail", "--color", "never"]);
        // Most cases wait for an engine, not for a processor.
        main.args(["--test-threads", "5"]);
        // Engine 20.10 loses a line or locks up now and then: once more, and the summary says "flaky".
        main.args(["--retries", "1"]);
    } else {
        main.args(["test", "--workspace", "--all-targets", "--no-fail-fast", "--quiet"]);
    }
    main.args(&options.filters);
    runners.push(main);
    if options.filters.is_empty() {
        let mut documentation = shell::cargo();
        documentation.args(["test", "--workspace", "--doc", "--quiet"]);
        runners.push(documentation);
        let mut program = shell::cargo();
        program.args(["test", "--quiet", "--manifest-path", "images/Cargo.toml", "--target-dir", "target/static"]);
        runners.push(program);
    }
    runners
}

/// Runs the command, passes its output on, and reads the closing lines of the runners in it.
fn watch(command: &mut Command, interrupt: &Interrupt) -> Result<(bool, Count)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", shell::shown(command)))?;
    let out = child.stdout.take().map(|pipe| thread::spawn(|| pass_on(pipe, std::io::stdout())));
    let err = child.stderr.take().map(|pipe| thread::spawn(|| pass_on(pipe, std::io::stderr())));
    let status = interrupt.wait(&mut child)?;
    let mut count = Count::default();
    for reader in [out, err].into_iter().flatten() {
        if let Ok(found) = reader.join() {
            count.add(found);
        }
    }
    Ok((status.success(), count))
}

fn pass_on(pipe: impl Read, mut to: impl Write + IsTerminal) -> Count {
    let mut count = Count::default();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        if let Some(found) = closing_line(text.trim_end()) {
            count.add(found);
        }
        // A terminal that is gone must not stop the tests half-way.
        let _ = to.write_all(&line);
        line.clear();
    }
    let _ = to.flush();
    count
}

/// The numbers of a closing line of nextest or of cargo's own runner.
fn closing_line(line: &str) -> Option<Count> {
    // Summary [   0.112s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped
    // test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.08s
    // An indented `test result:` is the output of one case that nextest quotes.
    let rest = if line.trim_start().starts_with("Summary [") {
        line.split_once(" run: ")?.1
    } else {
        line.strip_prefix("test result: ")?.split_once(". ")?.1
    };
    let mut count = Count::default();
    for part in rest.split([',', ';']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match what {
            "passed" => count.passed += number,
            "failed" | "timed" | "exec" => count.failed += number,
            "skipped" | "ignored" => count.skipped += number,
            _ => {}
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_both_runners_are_read() {
        let nextest = "Summary [   0.112s] 14 tests run: 11 passed (1 slow), 2 failed, 1 timed out, 2 skipped";
        assert_eq!(closing_line(nextest), Some(Count { passed: 11, failed: 3, skipped: 2 }));
        let cargo = "test result: FAILED. 7 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.08s";
        assert_eq!(closing_line(cargo), Some(Count { passed: 7, failed: 1, skipped: 1 }));
        assert_eq!(closing_line("test model::reads ... ok"), None);
    }

    #[test]
    fn engines_are_all_unless_some_or_none_are_named() {
        let parse = |words: &[&str]| Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]).unwrap().engines.len(), 4);
        assert!(parse(&["--no-engine"]).unwrap().engines.is_empty());
        assert_eq!(parse(&["--engine", "docker28", "--", "up"]).unwrap().filters, ["up"]);
        assert!(parse(&["--no-engine", "--engine", "docker28"]).is_err());
        assert!(parse(&["--colour"]).is_err());
    }
}
