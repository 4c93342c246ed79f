//! One run of a program: how long, how much memory at most, how much work of processors.
//!
//! The kernel adds up the children of a process, so each run gets a parent of its own: this
//! program again, as the job `sample`, which runs one child and writes down what it cost.

use crate::shell;
use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// From start to end.
    pub(crate) time: Duration,
    /// Most memory it had resident, in KiB.
    pub(crate) memory: u64,
    /// What processors worked for it, in the program and in the kernel.
    pub(crate) processor: Duration,
}

/// Runs the command, which has to succeed.
pub(crate) fn take(command: &Command, folder: &Path) -> Result<Sample> {
    let (done, sample) = measured(command, folder)?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("`{}` failed: {}", shell::shown(command), shell::last_lines(said.trim(), 8));
    }
    Ok(sample)
}

/// Runs the command, and says whether it failed.
pub(super) fn take_either(command: &Command, folder: &Path) -> Result<(bool, Sample)> {
    let (done, sample) = measured(command, folder)?;
    Ok((!done.status.success(), sample))
}

fn measured(command: &Command, folder: &Path) -> Result<(Output, Sample)> {
    let note = folder.join("sample");
    let own = std::env::current_exe().context("cannot find this program itself")?;
    let mut outer = Command::new(own);
    outer.arg("sample").arg(&note).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let done = outer.output().with_context(|| format!("cannot run `{}`", shell::shown(command)))?;
    let sample = parse(&fs::read_to_string(&note)?).context("a run was not written down")?;
    Ok((done, sample))
}

/// `xtask sample FILE PROGRAM ARGUMENT...`: runs the program and writes its cost to the file.
pub(crate) fn job(arguments: &[String]) -> Result<ExitCode> {
    let [note, program, rest @ ..] = arguments else { bail!("sample wants a file and a program") };
    let start = Instant::now();
    let status = Command::new(program).args(rest).status().with_context(|| format!("cannot run {program}"))?;
    let time = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("the kernel does not tell what children use")?;
    let processor = (usage.user_time() + usage.system_time()).num_microseconds();
    fs::write(note, format!("{} {} {processor}", time.as_nanos(), usage.max_rss()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(text: &str) -> Option<Sample> {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    Some(Sample { time: Duration::from_nanos(next()?), memory: next()?, processor: Duration::from_micros(next()?) })
}

/// The one in the middle.
pub(crate) fn median<T: Ord + Copy + Default>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median([9, 1, 5].map(Duration::from_millis)), Duration::from_millis(5));
        assert_eq!(median([0_u64; 0]), 0);
    }

    #[test]
    fn a_note_is_read_back() {
        let sample = parse("1500000 2048 70").unwrap();
        assert_eq!((sample.time, sample.memory), (Duration::from_micros(1500), 2048));
        assert_eq!(sample.processor, Duration::from_micros(70));
        assert!(parse("").is_none());
    }
}
