//! `supervisor install` and `uninstall`, away from the system's own units.

use std::path::Path;
use std::process::{Command, Output};

fn compose(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compose"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("CONTAINERD_NAMESPACE", "50% shop")
        .env("CNI_PATH", "/opt/my plugins")
        .output()
        .expect("the program runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_unit_is_printed_written_and_removed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().display().to_string();
    let printed = compose(&["supervisor", "install", "--print", "--directory", &directory]);
    let unit = String::from_utf8_lossy(&printed.stdout).into_owned();
    for line in [
        "Type=notify",
        "Restart=always",
        "KillMode=process",
        "After=containerd.service network.target",
        "Environment=\"CONTAINERD_NAMESPACE=50%% shop\"",
        "Environment=\"CNI_PATH=/opt/my plugins\"",
        "WantedBy=multi-user.target",
    ] {
        assert!(unit.lines().any(|other| other == line), "no line {line:?} in\n{unit}");
    }
    assert!(unit.contains(" supervisor run\n"), "{unit}");
    let entries = |folder: &Path| std::fs::read_dir(folder).expect("readable").count();
    let dry = compose(&["supervisor", "install", "--dry-run", "--directory", &directory]);
    assert_eq!(String::from_utf8_lossy(&dry.stdout), unit);
    assert_eq!(entries(folder.path()), 0, "--print wrote something");

    let installed = compose(&["supervisor", "install", "--directory", &directory]);
    assert!(
        text(&installed).contains("systemctl enable --now compose-supervisor-50__shop.service"),
        "{}",
        text(&installed)
    );
    let path = folder.path().join("compose-supervisor-50__shop.service");
    assert_eq!(std::fs::read_to_string(&path).expect("the unit"), unit);
    assert_eq!(path.metadata().expect("the unit").permissions().mode() & 0o777, 0o644);
    let again = compose(&["supervisor", "install", "--directory", &directory]);
    assert!(text(&again).contains("is as it should be"), "{}", text(&again));

    for look in [
        compose(&["supervisor", "uninstall", "--print", "--directory", &directory]),
        compose(&["supervisor", "uninstall", "--dry-run", "--directory", &directory]),
    ] {
        assert_eq!(text(&look).trim(), path.display().to_string());
    }
    assert_eq!(entries(folder.path()), 1, "a look has removed the unit");
    let removed = compose(&["supervisor", "uninstall", "--directory", &directory]);
    assert!(removed.status.success() && text(&removed).contains("removed"), "{}", text(&removed));
    assert_eq!(entries(folder.path()), 0, "something is left");
    let again = compose(&["supervisor", "uninstall", "--directory", &directory]);
    assert!(again.status.success() && text(&again).contains("is not there"), "{}", text(&again));
}

#[test]
fn a_dry_run_of_the_supervisor_ends_at_once() {
    let run = compose(&["supervisor", "run", "--dry-run"]);
    assert!(run.status.success() && text(&run).contains("in namespace 50% shop"), "{}", text(&run));
    let adopted = compose(&["supervisor", "stop", "--adopt"]);
    assert!(!adopted.status.success() && text(&adopted).contains("--adopt"), "{}", text(&adopted));
}
