//! What the tests of the command line share.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program in a directory with an environment of its own.
pub(crate) fn compose(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compose"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .env("XDG_RUNTIME_DIR", directory)
        .env("DOCKER_HOST", format!("unix://{}/no-engine.sock", directory.display()))
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}
