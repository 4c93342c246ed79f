//! Without an engine: starting at all, and reading files of every size.

use super::table::{Aim, Row};
use super::{Bench, projects};
use anyhow::Result;
use std::fs;

/// What the program may weigh, in megabytes.
const LARGEST: f64 = 20.0;

pub(super) fn rows(bench: &Bench) -> Result<()> {
    let size = fs::metadata(&bench.ours)?.len() as f64 / 1e6;
    let verdict = if size <= LARGEST { "holds" } else { "MISSED" };
    println!("{:<28} {size:>8.1} MB  <= {LARGEST:.0} MB {verdict}", "program");
    let aims = [Aim::OfReference(0.34), Aim::Memory(0.5)];
    bench.pair(Row::new("version", &aims), None, &["version"], bench.turns)?;
    for count in [2, 100, 1000, 5000] {
        let file = bench.folder.join(format!("{count}.yaml"));
        fs::write(&file, projects::configured(count))?;
        // The reference takes minutes for the largest: one turn shows enough.
        let turns = if count > 1000 { 1 } else { bench.turns };
        let aims: &[Aim] = match count {
            2 => &[Aim::OfReference(0.2), Aim::Memory(0.34)],
            _ => &[Aim::OfReference(0.05)],
        };
        let row = Row::new(format!("config, {count} services"), aims);
        bench.pair(row, Some(&file), &["config"], turns)?;
    }
    Ok(())
}
