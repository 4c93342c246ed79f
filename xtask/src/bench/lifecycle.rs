//! On an engine: making, leaving alone and removing many containers, and chains of dependencies.
//! Beside the reference stands a bare client, which makes only the calls that nobody can avoid.

use super::bare::Bare;
use super::table::{Aim, Row};
use super::{Bench, projects};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What the bare client does for a step.
type BareCall = fn(&Bare) -> Result<()>;
/// The same step by a program's arguments and by the bare client.
type Step<'a> = (&'a [&'a str], BareCall);

/// Containers of the large project.
const MANY: usize = 50;

/// One of the three that are compared.
#[derive(Clone, Copy)]
enum Who {
    Ours,
    Bare,
    Reference,
}

/// Three rows: `up`, `up` again, `down`.
pub(super) fn rows(bench: &Bench) -> Result<()> {
    for count in [1, MANY] {
        let file = bench.folder.join(format!("up-{count}.yaml"));
        fs::write(&file, projects::running(count))?;
        let aim = |aims: &[Aim]| if count == MANY { aims.to_vec() } else { Vec::new() };
        let mut rows = [
            Row::new(format!("up, {count} services"), &aim(&[Aim::OfBare(1.10), Aim::Memory(0.5)])),
            Row::new(format!("up again, {count} services"), &aim(&[Aim::OfReference(0.2), Aim::Memory(0.5)])),
            Row::new(format!("down, {count} services"), &aim(&[Aim::OfBare(1.10), Aim::Memory(0.5)])),
        ];
        let calls: [Step<'_>; 3] =
            [(&["up", "-d"], Bare::up), (&["up", "-d"], Bare::look), (&["down", "-t", "0"], Bare::down)];
        turns(bench, &file, count, &mut rows, &calls)?;
    }
    Ok(())
}

/// Two rows: dependencies that become healthy, and jobs that complete, one after the other.
pub(super) fn chains(bench: &Bench) -> Result<()> {
    let aims = [Aim::OfBare(1.05), Aim::Memory(0.5)];
    let chains: [(&str, usize, String, BareCall); 2] = [
        ("healthy", 8, projects::healthy_chain(8), Bare::healthy_chain),
        ("jobs", 10, projects::job_chain(10), Bare::job_chain),
    ];
    for (name, count, text, bare) in chains {
        let file = bench.folder.join(format!("chain-{name}.yaml"));
        fs::write(&file, text)?;
        let mut rows = [Row::new(format!("up, chain of {count} {name}"), &aims), Row::new("", &[])];
        turns(bench, &file, count, &mut rows, &[(&["up", "-d"], bare), (&["down", "-t", "0"], Bare::down)])?;
    }
    Ok(())
}

/// The steps by each of the three on a project of its own, in turns. Rows without a title are not shown.
fn turns(bench: &Bench, file: &Path, count: usize, rows: &mut [Row], steps: &[Step<'_>]) -> Result<()> {
    let socket = bench.engine.context("no engine")?.socket();
    let mut order = [Who::Ours, Who::Bare, Who::Reference];
    for _ in 0..bench.turns {
        for who in order {
            let bare = Bare::new(&socket, count);
            for ((arguments, call), row) in steps.iter().zip(&mut *rows) {
                match who {
                    Who::Ours => row.ours.push(bench.sample(&bench.ours, "bench-ours", Some(file), arguments)?),
                    Who::Reference => {
                        row.reference.push(bench.sample(&bench.reference, "bench-reference", Some(file), arguments)?);
                    }
                    Who::Bare => row.bare.push(timed(|| call(&bare))?),
                }
            }
        }
        order.rotate_left(1);
    }
    rows.iter().filter(|row| row.has_title()).for_each(Row::print);
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = std::time::Instant::now();
    work()?;
    Ok(start.elapsed())
}
