//! `compose check` as users and code hosts run it.

#![allow(clippy::unwrap_used)] // Helpers of tests: a panic is how they fail.

use std::process::{Command, Output};

fn check(file: &str, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yaml"), file).unwrap();
    Command::new(env!("CARGO_BIN_EXE_compose"))
        .arg("check")
        .args(words)
        .env_clear()
        .env("PWD", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap()
}

const HURTS: &str = "services:\n  web:\n    image: nginx\n";

#[test]
fn findings_do_not_fail_unless_asked_to() {
    let output = check(HURTS, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("warning[C004]") && text.contains("compose.yaml:3:12"), "{text}");
    assert_eq!(check(HURTS, &["--strict"]).status.code(), Some(1));
    assert_eq!(check(HURTS, &["--strict", "--ignore", "C004"]).status.code(), Some(0));
    assert_eq!(check(HURTS, &["--strict", "--ignore=unpinned-image"]).status.code(), Some(0));
}

#[test]
fn a_code_that_does_not_exist_is_refused() {
    let output = check(HURTS, &["--ignore", "unpined-image"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `unpinned-image`?"));
}

#[test]
fn sarif_names_the_rule_and_a_place_below_the_working_directory() {
    let output = check(HURTS, &["--format", "sarif"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &report["runs"][0];
    let result = &run["results"][0];
    let index = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(report["version"], "2.1.0");
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "compose.yaml");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&3.into(), &12.into()));
}

#[test]
fn a_project_that_does_not_load_fails_in_every_format() {
    for format in ["text", "json", "sarif"] {
        let output = check("services: {web: {imgae: x}}", &["--format", format]);
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("unknown-attribute"), "{format}");
    }
}
