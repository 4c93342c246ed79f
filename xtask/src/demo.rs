use anyhow::{Result, bail};
use std::process::ExitCode;
pub(crate) fn run(_: &[String]) -> Result<ExitCode> {
    bail!("not yet")
}
