//! The program as a user calls it, without an engine: streams, exit codes, words.

use std::process::{Command, Output, Stdio};

mod support;
use support::compose;

fn directory(file: &str) -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("shop").rand_bytes(4).tempdir().expect("a directory");
    if !file.is_empty() {
        std::fs::write(directory.path().join("compose.yaml"), file).expect("a file");
    }
    directory
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

const SHOP: &str = "services:\n  web:\n    image: busybox\n    ports: [\"80\"]\n";

#[test]
fn without_a_command_the_help_goes_to_standard_output() {
    let output = compose(directory("").path(), &[]);
    assert_eq!(code(&output), 0);
    assert!(out(&output).contains("Usage: compose [OPTIONS] COMMAND"));
    assert_eq!(err(&output), "");
}

#[test]
fn every_command_has_help_with_examples_and_dry_run() {
    let commands = [
        "up",
        "down",
        "plan",
        "apply",
        "why",
        "ps",
        "logs",
        "exec",
        "run",
        "start",
        "stop",
        "restart",
        "kill",
        "rm",
        "create",
        "scale",
        "pause",
        "unpause",
        "build",
        "pull",
        "push",
        "config",
        "ls",
        "images",
        "volumes",
        "port",
        "top",
        "stats",
        "events",
        "wait",
        "cp",
        "attach",
        "export",
        "commit",
        "watch",
        "publish",
        "version",
        "completion",
        "man",
    ];
    let directory = directory("");
    for command in commands {
        let output = compose(directory.path(), &[command, "--help"]);
        assert_eq!(code(&output), 0, "{command}: {}", err(&output));
        let help = out(&output);
        assert!(help.contains("Usage: compose"), "{command}: {help}");
        assert!(help.contains("--dry-run"), "{command}: {help}");
        assert!(command == "publish" || help.contains("Examples:"), "{command}: {help}");
    }
}

#[test]
fn mistakes_on_the_command_line_are_told_in_one_line_with_exit_code_1() {
    let directory = directory(SHOP);
    let cases: [(&[&str], &str); 12] = [
        (&["foo"], "unknown docker command: \"compose foo\"\n"),
        (&["--foo"], "unknown flag: --foo\n"),
        (&["up", "--wiat"], "unknown flag: --wiat\ndid you mean `--wait`?\n"),
        (&["up", "-Q"], "unknown shorthand flag: 'Q' in -Q\n"),
        (&["up", "--scale"], "flag needs an argument: --scale\n"),
        (
            &["up", "-t", "x"],
            "invalid argument \"x\" for \"-t, --timeout\" flag: strconv.ParseInt: parsing \"x\": invalid syntax\n",
        ),
        (
            &["up", "-d=maybe"],
            "invalid argument \"maybe\" for \"-d, --detach\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax\n",
        ),
        (&["run"], "requires at least 1 arg(s), only received 0\n"),
        (&["exec", "web"], "requires at least 2 arg(s), only received 1\n"),
        (&["up", "--build", "--no-build"], "--build and --no-build are incompatible\n"),
        (&["--progress", "x", "ps"], "unsupported --progress value \"x\"\n"),
        (&["down", "--rmi", "x"], "invalid value for --rmi: \"x\"\n"),
    ];
    for (arguments, expected) in cases {
        let output = compose(directory.path(), arguments);
        assert_eq!(err(&output), expected, "{arguments:?}");
        assert_eq!(code(&output), 1, "{arguments:?}");
    }
}

#[test]
fn the_version_is_printed_without_an_engine() {
    let directory = directory("");
    assert_eq!(out(&compose(directory.path(), &["version", "--short"])), "5.6.1\n");
    assert_eq!(out(&compose(directory.path(), &["version", "--format", "json"])), "{\"version\":\"v5.6.1\"}\n");
    assert!(out(&compose(directory.path(), &["-v"])).starts_with("Docker Compose version v5.6.1\n"));
}

#[test]
fn the_docker_cli_can_use_the_program_as_its_plugin() {
    let directory = directory("");
    let metadata = out(&compose(directory.path(), &["docker-cli-plugin-metadata"]));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
    assert_eq!(metadata["SchemaVersion"], "0.1.0");
    assert_eq!(out(&compose(directory.path(), &["compose", "version", "--short"])), "5.6.1\n");
    assert_eq!(out(&compose(directory.path(), &["-H", "unix:///x", "compose", "version", "--short"])), "5.6.1\n");
}

#[test]
fn a_bad_file_is_told_with_its_place_and_nothing_is_done() {
    let directory = directory("services:\n  web:\n    imgae: busybox\n");
    let output = compose(directory.path(), &["up", "-d"]);
    assert_eq!(code(&output), 1);
    assert_eq!(out(&output), "");
    assert!(err(&output).contains("compose.yaml:3:5"), "{}", err(&output));
    assert!(err(&output).contains("did you mean `image`?"), "{}", err(&output));
}

#[test]
fn a_missing_file_and_a_missing_engine_are_told_with_what_to_do() {
    let empty = directory("");
    let output = compose(empty.path(), &["up"]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("no configuration file provided: not found"), "{}", err(&output));
    let shop = directory(SHOP);
    let output = compose(shop.path(), &["up", "-d"]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("no-engine.sock"), "{}", err(&output));
    assert!(err(&output).contains("DOCKER_HOST"), "{}", err(&output));
}

#[test]
fn warnings_and_errors_are_objects_with_json_progress() {
    let shop = directory("version: '3.8'\nservices:\n  web:\n    image: busybox\n");
    let output = compose(shop.path(), &["--progress", "json", "up", "-d"]);
    assert_eq!(code(&output), 1);
    for line in err(&output).lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(object.get("message").is_some() || object.get("msg").is_some(), "{line}");
    }
    assert!(err(&output).contains("obsolete"));
    assert!(err(&output).contains("\"error\":true"));
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let shop = directory(SHOP);
    let mut child = Command::new(env!("CARGO_BIN_EXE_compose"))
        .args(["completion", "bash"])
        .current_dir(shop.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(matches!(code(&output), 0 | 141), "{output:?}");
    assert_eq!(err(&output), "");
}

#[test]
fn man_pages_and_completions_are_written() {
    let directory = directory("");
    let pages = directory.path().join("man");
    let output = compose(directory.path(), &["man", pages.to_str().expect("text")]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(pages.join("compose.1").is_file());
    assert!(pages.join("compose-up.1").is_file());
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&compose(directory.path(), &["completion", shell])).contains("compose"));
    }
}

#[test]
fn the_docker_clis_own_options_stand_before_the_plugins_name() {
    let directory = directory(SHOP);
    let output = compose(directory.path(), &["--config", "docker", "compose", "config", "--environment"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    // The directory is used, and is no variable of the project.
    assert!(!out(&output).contains("DOCKER_CONFIG"), "{}", out(&output));
    let output = compose(directory.path(), &["--config", "docker", "--context", "away", "compose", "ps"]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("away"), "{}", err(&output));
}

#[test]
fn completion_offers_the_services_of_the_project() {
    let shop = directory(SHOP);
    let output = compose(shop.path(), &["__complete", "logs", "-f", ""]);
    assert_eq!(out(&output), "web\n:4\n", "{}", err(&output));
    let output = compose(shop.path(), &["__complete", "compose", "versio"]);
    assert_eq!(out(&output), "version\tShow the version\n:4\n");
    // As bash runs it.
    let script = out(&compose(shop.path(), &["completion", "bash"]));
    let program = env!("CARGO_BIN_EXE_compose");
    let line = format!("{script}\nCOMP_WORDS=({program} up -d w); COMP_CWORD=3; _compose; echo \"${{COMPREPLY[@]}}\"");
    let output = Command::new("bash").args(["-c", &line]).current_dir(shop.path()).output().expect("bash");
    assert_eq!(out(&output), "web\n", "{}", err(&output));
}
