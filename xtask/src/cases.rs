//! `cargo xtask cases`: writes the lists of the behaviour cases that make no sense on containerd, and of
//! those that do not pass on Podman.

use crate::shell;
use anyhow::{Result, bail};
use std::process::ExitCode;

/// The suite itself knows its cases; it is asked for the lists alone.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if !arguments.is_empty() {
        bail!("`cargo xtask cases` takes no arguments");
    }
    let suite = ["test", "--quiet", "--package", "compose-tests", "--test", "behaviour", "--", "--exact"];
    shell::run(shell::cargo().args(suite).arg("the_list_of_cases_is_kept").env("COMPOSE_TEST_RECORD", "1"))?;
    Ok(ExitCode::SUCCESS)
}
