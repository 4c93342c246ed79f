//! Without an engine: starting at all, and reading files of every size.

use super::table::{Aim, Row};
use super::{Bench, projects};
use anyhow::Result;
use std::fs;

pub(super) fn rows(bench: &Bench) -> Result<()> {
    bench.pair(Row::new("version", &[Aim::Memory(0.5)]), None, &["version"], bench.turns)?;
    for count in [2, 100, 1000, 5000] {
        let file = bench.folder.join(format!("{count}.yaml"));
        fs::write(&file, projects::configured(count))?;
        // The reference takes minutes for the largest: one turn shows enough.
        let turns = if count > 1000 { 1 } else { bench.turns };
        let row = Row::new(format!("config, {count} services"), &[Aim::Memory(0.5)]);
        bench.pair(row, Some(&file), &["config"], turns)?;
    }
    Ok(())
}
