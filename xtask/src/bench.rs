//! `cargo xtask bench`: our release build against the reference, in turns, on the same machine.
//!
//! Medians with their ratio. Turns alternate, so that foreign load meets both alike.

use crate::engines::{Engine, StopAtEnd};
use crate::{packages, reference, shell};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

struct Bench {
    ours: PathBuf,
    reference: PathBuf,
    folder: PathBuf,
    turns: usize,
    engine: Option<Engine>,
}

/// `cargo xtask bench [--engine] [--turns N]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (mut engine, mut turns) = (None, 5);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--engine" => engine = Some(Engine::Docker28),
            "--turns" => turns = rest.next().context("--turns wants a number")?.parse().context("--turns")?,
            other => bail!("bench does not know `{other}`; it takes --engine, --turns N"),
        }
    }
    let ours = match shell::other_program() {
        Some(program) => program,
        None => {
            packages::ensure_build_tools()?;
            shell::say("building the release (this takes some minutes)");
            shell::run(shell::cargo().args(["build", "--quiet", "--release", "--locked", "--package", "compose-cli"]))?;
            shell::target().join("release/compose")
        }
    };
    let folder = shell::target().join("bench");
    fs::create_dir_all(&folder)?;
    let bench = Bench { ours, reference: reference::program()?, folder, turns: turns.max(1), engine };
    println!("{:<28} {:>12} {:>12} {:>8}", "", "ours", "reference", "ratio");
    bench.pair("version", None, &["version"], bench.turns)?;
    for count in [2, 100, 1000, 5000] {
        let file = bench.folder.join(format!("{count}.yaml"));
        fs::write(&file, configured(count))?;
        // The reference takes minutes for the largest: one turn shows enough.
        let turns = if count > 1000 { 1 } else { bench.turns };
        bench.pair(&format!("config, {count} services"), Some(&file), &["config"], turns)?;
    }
    if let Some(engine) = engine {
        let mut stop = StopAtEnd(Vec::new());
        if engine.up()? {
            stop.0.push(engine);
        }
        for count in [1, 10] {
            bench.lifecycle(count)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    /// Both programs with the same arguments, in turns.
    fn pair(&self, what: &str, file: Option<&Path>, arguments: &[&str], turns: usize) -> Result<()> {
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            ours.push(self.time(&self.ours, "bench", file, arguments)?);
            reference.push(self.time(&self.reference, "bench", file, arguments)?);
        }
        row(what, &mut ours, &mut reference);
        Ok(())
    }

    /// Creating, doing nothing, removing, by each program on its own project.
    fn lifecycle(&self, count: usize) -> Result<()> {
        let file = self.folder.join(format!("up-{count}.yaml"));
        fs::write(&file, running(count))?;
        let steps: [(&str, &[&str]); 3] =
            [("up", &["up", "-d"]), ("up again", &["up", "-d"]), ("down", &["down", "-t", "0"])];
        let mut times = [const { (Vec::new(), Vec::new()) }; 3];
        for _ in 0..self.turns {
            for (program, first) in [(&self.ours, true), (&self.reference, false)] {
                let project = if first { "bench-ours" } else { "bench-reference" };
                for ((_, arguments), (ours, reference)) in steps.iter().zip(&mut times) {
                    let time = self.time(program, project, Some(&file), arguments)?;
                    if first { ours.push(time) } else { reference.push(time) }
                }
            }
        }
        for ((what, _), (ours, reference)) in steps.iter().zip(&mut times) {
            row(&format!("{what}, {count} services"), ours, reference);
        }
        Ok(())
    }

    fn time(&self, program: &Path, project: &str, file: Option<&Path>, arguments: &[&str]) -> Result<Duration> {
        let mut command = Command::new(program);
        if let Some(file) = file {
            command.args(["-p", project, "-f"]).arg(file);
        }
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        if let Some(engine) = self.engine {
            command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
        }
        let start = Instant::now();
        let done = command.output().with_context(|| format!("cannot run {}", program.display()))?;
        let time = start.elapsed();
        if !done.status.success() {
            bail!("`{}` failed: {}", shell::shown(&command), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(time)
    }
}

fn row(what: &str, ours: &mut [Duration], reference: &mut [Duration]) {
    let (one, two) = (median(ours), median(reference));
    let ratio = one.as_secs_f64() / two.as_secs_f64().max(f64::EPSILON);
    println!("{what:<28} {:>9.1} ms {:>9.1} ms {ratio:>7.2}x", one.as_secs_f64() * 1e3, two.as_secs_f64() * 1e3);
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A project to be read: each service with the attributes that most have.
fn configured(count: usize) -> String {
    let mut text = String::from("services:\n");
    for index in 0..count {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  service{index}:\n    image: example/app:1\n    environment:\n      LOG: info\n      NUMBER: \"{index}\"\n\
             \x20   ports:\n      - \"{}:80\"\n    volumes:\n      - data:/data\n    networks:\n      - net\n    restart: always\n",
            10_000 + index
        );
        // Groups of ten: one chain through all is no project that anybody has.
        if index % 10 > 0 {
            let _ = write!(text, "    depends_on:\n      - service{}\n", index - 1);
        }
    }
    text.push_str("networks:\n  net:\nvolumes:\n  data:\n");
    text
}

/// A project to be run.
fn running(count: usize) -> String {
    let mut text = String::from("services:\n");
    for index in 0..count {
        let _ = write!(text, "  service{index}:\n    image: example/app:1\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let mut times = [9, 1, 5].map(Duration::from_millis);
        assert_eq!(median(&mut times), Duration::from_millis(5));
    }
}
