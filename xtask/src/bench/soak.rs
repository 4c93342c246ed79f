//! Many rounds of `up` and `down` in a row, while the processors are busy otherwise: an engine must
//! not be driven into a stall (Engine 20.10 was seen to lock up when ten containers of one network
//! were stopped at once).

use super::sample::median;
use super::{Bench, projects};
use anyhow::{Context, Result, bail};
use std::fs;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Containers of a round.
const CONTAINERS: usize = 10;
/// A step that takes longer is a stall, on any machine that gets on at all.
const STALL: Duration = Duration::from_secs(60);
/// Rounds between two lines.
const PACE: usize = 20;

/// Runs the rounds and prints what they took.
pub(super) fn run(bench: &Bench, rounds: usize) -> Result<()> {
    let engine = bench.engine.context("--soak needs --engine")?;
    let file = bench.folder.join("soak.yaml");
    fs::write(&file, projects::running(CONTAINERS))?;
    let busy = AtomicBool::new(true);
    let (ups, downs) = thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let done = all_rounds(bench, &file, rounds);
        busy.store(false, Ordering::Relaxed);
        done
    })?;
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let told = |times: &[Duration]| {
        let slowest = times.iter().copied().max().unwrap_or_default();
        format!("median {}, slowest {}", seconds(median(times.iter().copied())), seconds(slowest))
    };
    println!("soak on {}: {rounds} rounds of {CONTAINERS} containers without a stall", engine.name());
    println!("  up:   {}", told(&ups));
    println!("  down: {}", told(&downs));
    Ok(())
}

fn all_rounds(bench: &Bench, file: &std::path::Path, rounds: usize) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let (mut ups, mut downs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        for (arguments, times) in [(&["up", "-d"][..], &mut ups), (&["down", "-t", "0"][..], &mut downs)] {
            let time = bench
                .sample(&bench.ours, "bench-soak", Some(file), arguments)
                .with_context(|| format!("round {round} of {rounds}"))?
                .time;
            if time > STALL {
                bail!("round {round} of {rounds}: `{}` took {} s: a stall", arguments.join(" "), time.as_secs());
            }
            times.push(time);
        }
        if round % PACE == 0 {
            println!("  {round} rounds");
        }
    }
    Ok((ups, downs))
}
