//! The planner alone, by its own example program.

use super::Bench;
use crate::shell;
use anyhow::Result;

pub(super) fn rows(_bench: &Bench) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["run", "--quiet", "--release", "--locked", "-p", "compose-planner", "--example", "ten_thousand"]);
    let text = shell::output(&mut command)?;
    for line in text.lines() {
        println!("planner: {line}");
    }
    Ok(())
}
