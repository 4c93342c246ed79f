//! `cargo xtask conformance DIR...`: what both programs make of the same compose files.

use crate::{packages, reference, shell};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

/// The views that are compared, each an argument list after `config`.
const VIEWS: [&[&str]; 5] = [&[], &["--format", "json"], &["--services"], &["--hash", "*"], &["--volumes"]];

/// `cargo xtask conformance DIR...`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if arguments.is_empty() {
        bail!("conformance wants folders with compose files");
    }
    packages::ensure_build_tools()?;
    shell::run(shell::cargo().args(["build", "--quiet", "--package", "compose-cli"]))?;
    let ours = shell::target().join("debug/compose");
    let reference = reference::program()?;
    let mut files = Vec::new();
    for folder in arguments {
        let folder = shell::absolute(Path::new(folder))?;
        if folder.is_file() {
            files.push(folder);
        } else {
            collect(&folder, &mut files)?;
        }
    }
    files.sort();
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        for view in VIEWS {
            let (one, two) = (config(&ours, file, view)?, config(&reference, file, view)?);
            match difference(&one, &two) {
                None => passed += 1,
                Some(what) => {
                    failed += 1;
                    println!("{} config {}: {what}", file.display(), view.join(" "));
                }
            }
        }
    }
    println!("{} files", files.len());
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compose files by their names: every `.yaml` or `.yml` that is not an override of another.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            into.push(path);
        }
    }
    Ok(())
}

fn config(program: &Path, file: &Path, view: &[&str]) -> Result<Output> {
    let mut command = Command::new(program);
    command.arg("-f").arg(file).arg("config").args(view).stdin(Stdio::null());
    if let Some(folder) = file.parent() {
        command.current_dir(folder);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COMPOSE_") {
            command.env_remove(&name);
        }
    }
    command.output().with_context(|| format!("cannot run {}", program.display()))
}

/// What differs: the exit code, or the first line of the output that is not the same.
///
/// Wording of errors is not compared: ours show the place and the cure.
fn difference(ours: &Output, reference: &Output) -> Option<String> {
    if ours.status.code() != reference.status.code() {
        let said = |output: &Output| {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            text.lines()
                .find(|line| !line.trim().is_empty() && !line.contains("level=warning"))
                .unwrap_or("")
                .to_owned()
        };
        return Some(format!(
            "exit {:?} instead of {:?}\n  ours:      {}\n  reference: {}",
            ours.status.code(),
            reference.status.code(),
            said(ours),
            said(reference)
        ));
    }
    if !reference.status.success() {
        return None;
    }
    let (one, two) = (String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&reference.stdout));
    let (mut left, mut right) = (one.lines(), two.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (left.next(), right.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => {
                let show = |line: Option<&str>| line.unwrap_or("(end)").to_owned();
                return Some(format!("line {number}\n  ours:      {}\n  reference: {}", show(a), show(b)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn output(code: i32, text: &str) -> Output {
        let status = std::process::ExitStatus::from_raw(code << 8);
        Output { status, stdout: text.as_bytes().to_vec(), stderr: Vec::new() }
    }

    #[test]
    fn the_first_line_that_differs_is_shown() {
        let found = difference(&output(0, "a\nb\n"), &output(0, "a\nc\n")).unwrap();
        assert_eq!(found, "line 2\n  ours:      b\n  reference: c");
        assert!(difference(&output(0, "a\n"), &output(0, "a\n")).is_none());
    }

    #[test]
    fn two_refusals_are_the_same_and_one_is_not() {
        assert!(difference(&output(15, "x"), &output(15, "y")).is_none());
        assert!(difference(&output(0, ""), &output(1, "")).is_some());
    }
}
