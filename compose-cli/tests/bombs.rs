//! Input made to exhaust the machine is refused in little memory. The program runs under
//! an address-space limit, so that a mistake here cannot take the machine with it.

#![allow(clippy::unwrap_used)] // Helpers of tests: a panic is how they fail.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Most resident memory of the program, in kilobytes.
const MEMORY: u64 = 100 * 1024;

/// Runs `compose config` in a folder, and gives whether it succeeded and what it said.
fn config(folder: &Path) -> (bool, String) {
    // `ulimit -v` bounds what it may ask for; the peak of what it used is in its last line.
    let script = "ulimit -v 1000000; \"$0\" config --quiet & child=$!; \
                  peak=0; while read -r name value unit < <(grep VmHWM /proc/$child/status 2>/dev/null); do \
                  peak=$value; done; wait $child; code=$?; echo \"peak $peak\" >&2; exit $code";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_compose")])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("PWD", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let peak: u64 = text.lines().rev().find_map(|line| line.strip_prefix("peak ")?.parse().ok()).unwrap();
    let shown: String = text.chars().take(600).collect();
    assert!(output.status.code().is_some_and(|code| code <= 1), "{:?}: {shown}", output.status);
    assert!(peak < MEMORY, "used {peak} kB: {shown}");
    (output.status.success(), text)
}

fn refused(files: &[(&str, &str)], because: &str) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    refused_in(folder.path(), because);
}

fn refused_in(folder: &Path, because: &str) {
    let (accepted, text) = config(folder);
    assert!(!accepted && text.contains(because), "{}", text.chars().take(600).collect::<String>());
}

#[test]
fn aliases_of_aliases_are_refused_as_lists_and_as_mappings() {
    let mut lists = "x-0: &a0 [l, l, l, l, l, l, l, l, l]\n".to_owned();
    let mut mappings = "x-0: &a0 {k: l}\n".to_owned();
    let mut merges = mappings.clone();
    for level in 1..12 {
        let before = level - 1;
        let items: Vec<String> = (0..9).map(|_| format!("*a{before}")).collect();
        lists.push_str(&format!("x-{level}: &a{level} [{}]\n", items.join(", ")));
        let items: Vec<String> = (0..9).map(|key| format!("k{key}: *a{before}")).collect();
        mappings.push_str(&format!("x-{level}: &a{level} {{{}}}\n", items.join(", ")));
        merges.push_str(&format!("x-{level}: &a{level} {{<<: *a{before}, {}}}\n", items.join(", ")));
    }
    for text in [lists, mappings, merges] {
        refused(&[("compose.yaml", &format!("{text}services: {{a: {{image: x}}}}\n"))], "alias");
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, key) in [("[", "x-a: "), ("{a: ", "x-a: "), ("- ", "x-a:\n ")] {
        refused(&[("compose.yaml", &format!("{key}{}", open.repeat(100_000)))], "");
    }
    refused(&[("compose.yaml", &format!("services: {{a: {{image: '{}'}}}}", "${A:-".repeat(100_000)))], "");
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("compose.yaml")).unwrap();
    file.set_len(16 << 20).unwrap();
    refused_in(folder.path(), "larger than 8 MiB");
}

#[test]
fn a_file_as_large_as_the_limit_is_read_or_refused_in_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let line = "# a comment that fills the file up to its limit with nothing of interest in it\n";
    let text = line.repeat((8 << 20) / line.len());
    fs::write(folder.path().join("compose.yaml"), text).unwrap();
    refused_in(folder.path(), "empty compose file");
}

#[test]
fn a_file_of_a_million_values_is_refused() {
    let text = format!("services: {{a: {{image: x}}}}\nx-a:\n{}", "- a\n".repeat(1_000_000));
    refused(&[("compose.yaml", &text)], "more than 610000 keys and values");
}

#[test]
fn port_ranges_that_fill_the_memory_are_refused() {
    let ranges: Vec<String> = (1..100).map(|host| format!("'127.0.0.{host}:1-65535:1-65535'")).collect();
    let text = format!("services: {{a: {{image: x, ports: [{}]}}}}", ranges.join(", "));
    refused(&[("compose.yaml", &text)], "more than 65536 ports");
}

#[test]
fn an_include_cycle_and_an_include_of_many_are_refused() {
    refused(
        &[("compose.yaml", "include: [b.yaml]\nservices: {a: {image: x}}"), ("b.yaml", "include: [compose.yaml]")],
        "include cycle",
    );
    refused(&[("compose.yaml", "include: [compose.yaml]")], "include cycle");
}

#[test]
fn an_extends_cycle_is_refused() {
    let text = "services: {a: {extends: b}, b: {extends: c}, c: {extends: a}}";
    refused(&[("compose.yaml", text)], "Circular reference");
}

#[test]
fn a_huge_env_file_is_refused() {
    for service_file in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let name = if service_file { "big.env" } else { ".env" };
        fs::write(folder.path().join("compose.yaml"), "services: {a: {image: x, env_file: [big.env]}}").unwrap();
        fs::File::create(folder.path().join(name)).unwrap().set_len(1 << 30).unwrap();
        refused_in(folder.path(), "larger than 8 MiB");
    }
}

#[test]
fn a_symlink_loop_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("compose.yaml"), "services: {a: {image: x, env_file: [one.env]}}").unwrap();
    std::os::unix::fs::symlink("two.env", folder.path().join("one.env")).unwrap();
    std::os::unix::fs::symlink("one.env", folder.path().join("two.env")).unwrap();
    refused_in(folder.path(), "one.env");
}

#[test]
fn a_pipe_that_nobody_writes_to_does_not_hang() {
    for name in ["pipe.env", ".env", "compose.yaml"] {
        let folder = tempfile::tempdir().unwrap();
        if name != "compose.yaml" {
            fs::write(folder.path().join("compose.yaml"), "services: {a: {image: x, env_file: [pipe.env]}}").unwrap();
        }
        let made = Command::new("mkfifo").arg(folder.path().join(name)).status().unwrap();
        assert!(made.success());
        refused_in(folder.path(), name);
    }
}
