//! Every developer workflow of this repository, as `cargo xtask JOB`.
//!
//! This crate stands alone: it names no other crate of the workspace and needs no
//! `protoc`, so that it can install what the rest of the build needs.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer tool: it talks to its terminal, reads the environment and waits for processes"
)]

mod bench;
mod cases;
mod check;
mod conformance;
mod demo;
mod docker_api;
mod engines;
mod fuzz;
mod images;
mod install;
mod interrupt;
mod kill_test;
mod leaks;
mod packages;
mod process;
mod reference;
mod shell;
mod test;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
The developer's workflows of this repository.

Usage: cargo xtask JOB [OPTIONS]

Jobs:
  demo [--runtime docker|containerd] [--yes] [--down]
                      run an example application on a real engine, and show it
  test [--no-engine] [--engine NAME]... [--reference] [-- FILTER...]
                      all tests; starts the engines they need and stops them;
                      --reference proves the behaviour suite on the reference
  check               formatting, lints, documentation, house rules
  tidy                the house rules alone: arrows between crates, stray text
  cases               write the list of behaviour cases that make no sense on
                      containerd, which a test compares
  images [--force]    build the example images into target/images
  engines up|down|env|status [NAME...]
                      the test engines: docker20 docker28 containerd1 containerd2
                      buildkit
  install [--prefix DIR]
                      install the program as compose, docker-compose and the
                      Docker CLI plugin, with completions and man pages
  conformance DIR...  compare with the reference on every compose file below DIR
  conformance --record
                      ask the reference anew what the test run compares with
  conformance --recorded
                      that comparison alone, without the reference
  conformance --record-flags
                      ask the reference anew for the flags of every command
  fuzz [TARGET]... [--seconds N]
                      coverage-guided fuzzing: loader, interpolation, dotenv
  kill-test [--supervisor] [--engine NAME]... [--rounds N] [-- FILTER...]
                      kill every command after each of its changes, and N times at
                      random moments; the next one has to put things right;
                      --supervisor kills containerd's supervisor N times under traffic
  leaks [--engine NAME] [--rounds N]
                      rounds of up and down on a containerd of its own, and what they
                      leave: snapshots, devices, rules, mounts, files, processes
  bench [--engine [NAME]] [--turns N] [--only SECTION]... [--soak N]
                      compare speed and memory with the reference, and on an engine
                      with a client that makes only unavoidable calls; sections:
                      reading bombs planner lifecycle chains; on containerd1 or 2, against
                      the reference on Docker: containerd supervisor;
                      --soak N instead makes N rounds of up and down on a busy machine
  help                this text

Environment:
  COMPOSE_XTASK_PROGRAM  a program for demo and bench, instead of building one
  COMPOSE_XTASK_CACHE    where fetched packages are kept (/var/cache/compose-xtask)
  COMPOSE_XTASK_NET      first two bytes of the engines' addresses (10.229)
  COMPOSE_XTASK_SUITE    where the newer engines come from (sid, or devel on Ubuntu)
";

/// What runs a job, given the words after its name.
type Run = fn(&[String]) -> Result<ExitCode>;

/// The jobs that the help text lists.
const JOBS: &[(&str, Run)] = &[
    ("bench", bench::run),
    ("cases", cases::run),
    ("check", check::run),
    ("conformance", conformance::run),
    ("demo", demo::run),
    ("engines", engines::command),
    ("fuzz", fuzz::run),
    ("images", images::command),
    ("install", install::run),
    ("kill-test", kill_test::run),
    ("leaks", leaks::run),
    ("test", test::run),
    ("tidy", tidy::run),
];

/// Not for people: load on a name server and what one run of a program costs, for bench; processes of
/// the test engines.
const INNER: &[(&str, Run)] = &[
    ("ask-names", bench::ask_names),
    ("podman-timers", engines::timers),
    ("relay", engines::relay),
    ("sample", bench::sample_job),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let Some((job, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(ExitCode::from(2));
    };
    // Words after `--` are for the job's own programs.
    if rest.iter().take_while(|word| *word != "--").any(|word| matches!(word.as_str(), "-h" | "--help")) {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(job.as_str(), "help" | "-h" | "--help") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    match JOBS.iter().chain(INNER).find(|(name, _)| name == job) {
        Some((_, run)) => run(rest),
        None => bail!("there is no job `{job}`; `cargo xtask help` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The words that stand after `cargo xtask` in a text.
    fn named(text: &str) -> BTreeSet<&str> {
        let words = text.split("cargo xtask ").skip(1);
        let end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        words.map(|rest| rest.split(end).next().unwrap_or_default()).filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn the_pages_name_jobs_that_exist_and_the_help_lists_all() {
        let known: BTreeSet<&str> = JOBS.iter().map(|(name, _)| *name).collect();
        for page in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs/differences.md", ".ci/run"] {
            let text = std::fs::read_to_string(shell::root().join(page)).unwrap();
            let unknown: Vec<_> = named(&text).into_iter().filter(|word| !known.contains(word)).collect();
            assert_eq!(unknown, Vec::<&str>::new(), "{page}");
        }
        let readme = std::fs::read_to_string(shell::root().join("README.md")).unwrap();
        assert!(named(&readme).is_superset(&BTreeSet::from(["demo", "test", "install"])), "README.md");
        let listed: BTreeSet<&str> = HELP
            .lines()
            .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next())
            .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && *word != "help")
            .collect();
        assert_eq!(listed, known, "the help text");
    }
}
