//! `cargo xtask check`: what a change must pass before it is looked at.

use crate::{shell, tidy};
use anyhow::{Result, bail};
use std::process::{Command, ExitCode};

/// Runs every check, also after one failed, and names those that failed.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if let Some(first) = arguments.first() {
        bail!("check takes no arguments, got `{first}`");
    }
    crate::packages::ensure_build_tools()?;
    let mut failed = Vec::new();
    for (name, mut command) in commands() {
        eprintln!("== {name}: {}", shell::shown(&command));
        if shell::run(&mut command).is_err() {
            failed.push(name);
        }
    }
    eprintln!("== tidy");
    if !tidy::report()? {
        failed.push("tidy");
    }
    if failed.is_empty() {
        eprintln!("all checks passed");
        return Ok(ExitCode::SUCCESS);
    }
    bail!("failed: {}", failed.join(", "))
}

fn commands() -> Vec<(&'static str, Command)> {
    let images = "images/Cargo.toml";
    let mut commands = Vec::new();
    let mut add = |name, arguments: &[&str]| {
        let mut command = shell::cargo();
        command.args(arguments);
        commands.push((name, command));
    };
    add("format", &["fmt", "--check"]);
    add("format of images", &["fmt", "--check", "--manifest-path", images]);
    add("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    add(
        "lints of images",
        &["clippy", "--quiet", "--manifest-path", images, "--target-dir", "target/static", "--", "-D", "warnings"],
    );
    let mut docs = shell::cargo();
    docs.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    commands.push(("documentation", docs));
    commands
}
