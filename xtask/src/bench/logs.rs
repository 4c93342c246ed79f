//! Reading large logs on an engine: of one container, and of four that wrote at the same time.

use super::Bench;
use super::table::{Aim, Row};
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Bytes of all logs together, without what engines put around them.
const BYTES: usize = 200_000_000;
/// What is written again and again: as long as lines of servers are.
const LINE: &str =
    "2026-01-02 03:04:05 INFO request 4711 from 10.0.0.17 served in 12 ms with status 200 and 1,024 bytes";
/// A run takes a minute or so: more of them show nothing new.
const TURNS: usize = 3;
const PROJECT: &str = "bench-logs";

/// A row for each number of containers.
pub(super) fn rows(bench: &Bench) -> Result<()> {
    for count in [1, 4] {
        let file = bench.folder.join(format!("logs-{count}.yaml"));
        fs::write(&file, project(count))?;
        let result = row(bench, &file, count);
        // The logs are large: they go, whatever happened.
        let removed = bench.sample(&bench.ours, PROJECT, Some(&file), &["down", "-t", "0"]);
        result?;
        removed?;
    }
    Ok(())
}

fn project(count: usize) -> String {
    let mut text = String::from("services:\n");
    for index in 0..count {
        text.push_str(&format!(
            "  writer{index}:\n    image: busybox\n    stop_signal: SIGKILL\n\
             \x20   command: [sh, -c, \"yes '{LINE}' | head -c {}\"]\n",
            BYTES / count
        ));
    }
    text
}

fn row(bench: &Bench, file: &Path, count: usize) -> Result<()> {
    bench.sample(&bench.ours, PROJECT, Some(file), &["up", "-d"])?;
    let writers: Vec<String> = (0..count).map(|index| format!("writer{index}")).collect();
    let wait: Vec<&str> = std::iter::once("wait").chain(writers.iter().map(String::as_str)).collect();
    bench.sample(&bench.ours, PROJECT, Some(file), &wait)?;
    let mut row = Row::new(format!("logs, 200 MB of {count}"), &[Aim::OfReference(1.05), Aim::Processor(0.25)]);
    for turn in 0..bench.turns.min(TURNS) {
        for ours in [turn % 2 == 0, turn % 2 != 0] {
            let program = if ours { &bench.ours } else { &bench.reference };
            let sample = bench.sample(program, PROJECT, Some(file), &["logs"])?;
            if ours { row.ours.push(sample) } else { row.reference.push(sample) }
        }
    }
    row.print();
    Ok(())
}
