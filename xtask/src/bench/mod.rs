//! `cargo xtask bench`: our release build against the reference and against a bare client, in
//! turns, on the same machine.
//!
//! `--only bombs` shows what hostile input costs. Medians with their ratios. Turns alternate, so that foreign load meets all alike. One theme of
//! rows is one [`Section`] in a module of its own.

mod bare;
mod bombs;
mod containerd;
mod lifecycle;
mod logs;
mod planner;
mod projects;
mod reading;
mod sample;
mod soak;
mod table;
mod watch;

use crate::engines::{Engine, StopAtEnd};
use crate::{packages, reference, shell};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

pub(crate) use containerd::ask_names;
use sample::Sample;
pub(crate) use sample::job as sample_job;
use table::Row;

/// What the rows are measured with.
struct Bench {
    ours: PathBuf,
    reference: PathBuf,
    /// Generated files.
    folder: PathBuf,
    turns: usize,
    /// The Docker engine.
    engine: Option<Engine>,
    containerd: Option<Engine>,
}

/// What a section runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Docker,
    /// A containerd, and a Docker engine to compare with.
    Containerd,
}

/// A theme of rows.
struct Section {
    /// For `--only`.
    name: &'static str,
    needs: Needs,
    run: fn(&Bench) -> Result<()>,
}

const SECTIONS: &[Section] = &[
    Section { name: "reading", needs: Needs::Nothing, run: reading::rows },
    Section { name: "bombs", needs: Needs::Nothing, run: bombs::rows },
    Section { name: "planner", needs: Needs::Nothing, run: planner::rows },
    Section { name: "lifecycle", needs: Needs::Docker, run: lifecycle::rows },
    Section { name: "chains", needs: Needs::Docker, run: lifecycle::chains },
    Section { name: "logs", needs: Needs::Docker, run: logs::rows },
    Section { name: "watch", needs: Needs::Docker, run: watch::rows },
    Section { name: "containerd", needs: Needs::Containerd, run: containerd::lifecycle },
    Section { name: "supervisor", needs: Needs::Containerd, run: containerd::supervisor },
];

/// `cargo xtask bench [--engine [NAME]] [--turns N] [--only SECTION]... [--soak ROUNDS]`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (mut engine, mut turns, mut only, mut soak) = (None, 5, Vec::new(), None);
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--engine" => {
                let name = rest.next_if(|next| !next.starts_with("--"));
                engine = Some(name.map_or(Ok(Engine::Docker28), |name| Engine::parse(name))?);
            }
            "--turns" => turns = rest.next().context("--turns wants a number")?.parse().context("--turns")?,
            "--soak" => {
                let rounds = rest.next().context("--soak wants a number of rounds")?;
                soak = Some(rounds.parse::<usize>().context("--soak")?);
            }
            "--only" => only.push(rest.next().context("--only wants a name")?.clone()),
            other => bail!(
                "bench does not know `{other}`; it takes --engine [NAME], --turns N, --only SECTION, --soak ROUNDS"
            ),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !SECTIONS.iter().any(|section| section.name == **name)) {
        let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        bail!("bench has no section `{unknown}`: {}", known.join(", "));
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
    let containerd = engine.filter(|engine| matches!(engine, Engine::Containerd1 | Engine::Containerd2));
    let engine = if containerd.is_some() { Some(Engine::Docker28) } else { engine };
    let bench = Bench { ours, reference: reference::program()?, folder, turns: turns.max(1), engine, containerd };
    let mut stop = StopAtEnd(Vec::new());
    for engine in engine.into_iter().chain(containerd) {
        if engine.up()? {
            stop.0.push(engine);
        }
    }
    if let Some(rounds) = soak {
        soak::run(&bench, rounds)?;
        return Ok(ExitCode::SUCCESS);
    }
    table::head();
    for section in SECTIONS {
        let chosen = only.is_empty() || only.iter().any(|name| name == section.name);
        let possible = match section.needs {
            Needs::Nothing => true,
            Needs::Docker => engine.is_some() && containerd.is_none(),
            Needs::Containerd => containerd.is_some(),
        };
        if chosen && possible {
            (section.run)(&bench)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    /// Ours and the reference with the same arguments, in turns.
    fn pair(&self, row: Row, file: Option<&Path>, arguments: &[&str], turns: usize) -> Result<()> {
        let mut row = row;
        for turn in 0..turns {
            // Who comes first pays for a cold cache: that changes from turn to turn.
            for ours in [turn % 2 == 0, turn % 2 != 0] {
                let program = if ours { &self.ours } else { &self.reference };
                let sample = self.sample(program, "bench", file, arguments)?;
                if ours { row.ours.push(sample) } else { row.reference.push(sample) }
            }
        }
        row.print();
        Ok(())
    }

    /// One run of a program on a project.
    fn sample(&self, program: &Path, project: &str, file: Option<&Path>, arguments: &[&str]) -> Result<Sample> {
        sample::take(&self.command(program, project, file, arguments), &self.folder)
    }

    /// A program on a project.
    fn command(&self, program: &Path, project: &str, file: Option<&Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        if let Some(file) = file {
            command.args(["-p", project, "-f"]).arg(file);
        }
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        if let Some(engine) = self.engine {
            command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
        }
        command
    }
}
