//! `compose config --origin` as users run it.

#![allow(clippy::unwrap_used)] // Helpers of tests: a panic is how they fail.

#[test]
fn every_value_names_its_file_and_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        (
            "compose.yaml",
            "services:\n  web:\n    image: \"x:$TAG\"\n    environment: [LOG=info, A=1]\n    ports: ['80:81']\n",
        ),
        ("compose.override.yaml", "services:\n  web:\n    environment:\n      LOG: $LEVEL\n"),
        (".env", "TAG=7\nLEVEL=debug\n"),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_compose"))
        .args(["-p", "shop", "config", "--origin"])
        .env_clear()
        .env("PWD", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}
