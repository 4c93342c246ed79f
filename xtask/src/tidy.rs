//! `cargo xtask tidy`: rules of the house that no compiler checks.
//!
//! Arrows between crates, who may name which dependency, and text that must not be
//! in the tree. Everything is read from the manifests and from git's list of files.

use crate::shell;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};

/// Which crates of the workspace a crate may use, by package name.
const ARROWS: &[(&str, &[&str])] = &[
    ("compose-model", &[]),
    ("compose-planner", &["compose-model"]),
    ("compose-runtime", &["compose-model", "compose-planner"]),
    ("compose-registry", &[]),
    ("runtime-docker", &["compose-model", "compose-planner", "compose-registry", "compose-runtime"]),
    ("runtime-containerd", &["compose-model", "compose-planner", "compose-registry", "compose-runtime"]),
    (
        "compose-cli",
        &[
            "compose-model",
            "compose-planner",
            "compose-registry",
            "compose-runtime",
            "runtime-docker",
            "runtime-containerd",
        ],
    ),
    (
        "compose-tests",
        &[
            "compose-model",
            "compose-planner",
            "compose-registry",
            "compose-runtime",
            "runtime-docker",
            "runtime-containerd",
            "compose-cli",
        ],
    ),
    ("xtask", &[]),
];

/// Dependencies that only the named crates may have (normal and build dependencies).
const ONLY_IN: &[(&str, &[&str])] = &[
    ("bollard", &["runtime-docker"]),
    ("containerd-client", &["runtime-containerd"]),
    ("tonic", &["runtime-containerd"]),
    ("prost", &["runtime-containerd"]),
    (
        "tokio",
        &[
            "compose-registry",
            "compose-runtime",
            "runtime-docker",
            "runtime-containerd",
            "compose-cli",
            "compose-tests",
        ],
    ),
    ("tokio-util", &["compose-runtime", "runtime-docker", "runtime-containerd", "compose-cli", "compose-tests"]),
    ("clap", &["compose-cli"]),
    ("anyhow", &["compose-cli", "compose-tests", "xtask"]),
];

/// Files that are not ours to reformat: texts whose very faults are what they show.
const VERBATIM: &[&str] = &["LICENSE", ".snap", "examples/chapter/", "/cases/", "/fixtures/", "fuzz/corpus/"];

/// `cargo xtask tidy`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if let Some(first) = arguments.first() {
        bail!("tidy takes no arguments, got `{first}`");
    }
    Ok(if report()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints every fault found; true when there is none.
pub(crate) fn report() -> Result<bool> {
    let mut faults = manifest_faults(&metadata()?);
    faults.extend(text_faults()?);
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    if faults.is_empty() {
        eprintln!("tidy: nothing to say");
    }
    Ok(faults.is_empty())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

fn metadata() -> Result<Metadata> {
    let mut command = shell::cargo();
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    serde_json::from_str(&shell::output(&mut command)?).context("cannot read cargo's metadata")
}

fn manifest_faults(metadata: &Metadata) -> Vec<String> {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut faults = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(allowed) = arrows.get(name) else {
            faults.push(format!("{name}: a new crate needs its place among the arrows of xtask/src/tidy.rs"));
            continue;
        };
        for dependency in &package.dependencies {
            let target = dependency.name.as_str();
            let for_tests = dependency.kind.as_deref() == Some("dev");
            // A crate names itself among its development dependencies to switch on a feature.
            if members.contains(target) && !allowed.contains(&target) && !(for_tests && target == name) {
                faults.push(format!("{name} must not depend on {target}: the arrow points the other way"));
            }
            for (restricted, owners) in ONLY_IN {
                let pure = matches!(name, "compose-model" | "compose-planner");
                if target == *restricted && !owners.contains(&name) && (!for_tests || pure) {
                    faults.push(format!("{name} must not name {target}: only {} may", owners.join(", ")));
                }
            }
        }
    }
    faults
}

fn text_faults() -> Result<Vec<String>> {
    let root = shell::root();
    let mut list = Command::new("git");
    list.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut faults = Vec::new();
    for name in shell::output(&mut list)?.split('\0').filter(|name| !name.is_empty()) {
        let Ok(bytes) = std::fs::read(root.join(name)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        faults.extend(faults_in(name, &text));
    }
    if !root.join("Cargo.lock").is_file() {
        faults.push("Cargo.lock is missing".to_owned());
    }
    Ok(faults)
}

/// The faults of one text file.
fn faults_in(name: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not contain what it looks for.
    let machine_paths = [["/ho", "me/"].concat(), ["/Use", "rs/"].concat(), ["/wo", "rk/"].concat()];
    let markers = ["<<<<<<< ", ">>>>>>> "];
    let unfinished = [["FIX", "ME"].concat(), ["XX", "X:"].concat(), ["TO", "DO:"].concat()];
    let verbatim = VERBATIM.iter().any(|part| name.contains(part));
    let source = name.ends_with(".rs") || name.ends_with(".toml") || name.ends_with(".sh");
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut fault = |what: &str| faults.push(format!("{name}:{}: {what}", index + 1));
        if !verbatim && line.ends_with([' ', '\t']) {
            fault("space at the end of the line");
        }
        if markers.iter().any(|marker| line.starts_with(marker)) {
            fault("a merge marker");
        }
        if source && unfinished.iter().any(|marker| line.contains(marker.as_str())) {
            fault("a marker of unfinished work: finish it, or open an issue");
        }
        if !verbatim && machine_paths.iter().any(|path| has_machine_path(line, path)) {
            fault("a path of one machine");
        }
    }
    if !verbatim && !text.is_empty() && !text.ends_with('\n') {
        faults.push(format!("{name}: no newline at the end"));
    }
    faults
}

/// A home of somebody in particular; `/home/user` and the like are examples.
fn has_machine_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let rest = &line[at + prefix.len()..];
        let starts_path = before.is_none_or(|c| !(c.is_alphanumeric() || "._-/".contains(c)));
        let named = rest.chars().next().is_some_and(char::is_alphanumeric);
        let example =
            ["user", "me", "alice", "bob", "you", "u/", "app", "node", "x"].iter().any(|name| rest.starts_with(name));
        starts_path && named && !example
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Metadata {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
            .collect();
        let others = ARROWS
            .iter()
            .filter(|(other, _)| *other != name)
            .map(|(other, _)| Package { name: (*other).to_owned(), dependencies: Vec::new() });
        Metadata { packages: others.chain([Package { name: name.to_owned(), dependencies }]).collect() }
    }

    #[test]
    fn an_arrow_against_the_direction_is_a_fault() {
        let faults = manifest_faults(&package("compose-model", &[("compose-planner", None)]));
        assert_eq!(faults, ["compose-model must not depend on compose-planner: the arrow points the other way"]);
    }

    #[test]
    fn the_pure_crates_may_not_have_tokio_even_in_tests() {
        assert_eq!(manifest_faults(&package("compose-planner", &[("tokio", Some("dev"))])).len(), 1);
        assert_eq!(manifest_faults(&package("compose-runtime", &[("tokio", None)])).len(), 0);
    }

    #[test]
    fn only_its_backend_may_name_an_engine_kit() {
        assert_eq!(manifest_faults(&package("compose-cli", &[("bollard", None)])).len(), 1);
        assert_eq!(manifest_faults(&package("runtime-docker", &[("bollard", None)])).len(), 0);
    }

    #[test]
    fn a_crate_without_a_place_is_a_fault() {
        assert_eq!(manifest_faults(&package("compose-extra", &[])).len(), 1);
    }

    #[test]
    fn stray_text_is_named_with_its_line() {
        let text = format!("fine\nspace \n{}\nlet path = \"{}\";\n", "<<<<<<< mine", ["/ho", "me/carol/x"].concat());
        assert_eq!(
            faults_in("a.rs", &text),
            ["a.rs:2: space at the end of the line", "a.rs:3: a merge marker", "a.rs:4: a path of one machine"]
        );
    }

    #[test]
    fn an_example_home_is_no_machine_path() {
        assert!(faults_in("a.rs", "// /home/user/.docker\n").is_empty());
    }
}
