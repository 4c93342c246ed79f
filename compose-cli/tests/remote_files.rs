//! Compose files in git repositories: `-f`, `include` and `extends`, without a network.

#![allow(clippy::unwrap_used)] // Helpers of tests: a panic is how they fail.

use std::fs;
use std::path::Path;
use std::process::Command;

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=n", "-c", "user.email=n@example.invalid", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository that git finds under `https://git.invalid/app.git`, and a folder to work in.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("app.git");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::create_dir_all(folder.path().join("work")).unwrap();
    fs::write(source.join("compose.yaml"), "services: {web: {image: one, build: ./app}}").unwrap();
    fs::write(source.join("sub/compose.yml"), "services: {sub: {image: below}}").unwrap();
    git(&source, &["init", "--quiet"]);
    git(&source, &["add", "."]);
    git(&source, &["commit", "--quiet", "-m", "one"]);
    git(&source, &["tag", "v1"]);
    fs::write(source.join("compose.yaml"), "services: {web: {image: two, build: ./app}}").unwrap();
    git(&source, &["commit", "--quiet", "--all", "-m", "two"]);
    let settings = format!("[url \"file://{}/\"]\n\tinsteadOf = https://git.invalid/\n", folder.path().display());
    fs::write(folder.path().join("gitconfig"), settings).unwrap();
    folder
}

fn compose(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_compose"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder)
        .env("GIT_CONFIG_GLOBAL", folder.join("gitconfig"))
        .envs(environment.iter().copied())
        .current_dir(folder.join("work"))
        .output()
        .unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_file_of_a_repository_is_fetched_by_branch_tag_and_folder() {
    let folder = repository();
    let images = |reference: &str| compose(folder.path(), &[], &["-f", reference, "config", "--images"]).1;
    assert_eq!(images("https://git.invalid/app.git"), "two\n");
    assert_eq!(images("https://git.invalid/app.git#v1"), "one\n");
    assert_eq!(images("https://git.invalid/app.git#v1:sub"), "below\n");
    assert_eq!(images("https://git.invalid/app.git?tag=v1&subdir=sub"), "below\n");
    // The name comes from where the user is, paths start in what was fetched.
    let (_, text) = compose(folder.path(), &[], &["-f", "https://git.invalid/app.git#v1", "config"]);
    assert!(text.starts_with("name: work\n"), "{text}");
    let cache = folder.path().join(".cache/docker-compose");
    assert!(text.contains(&format!("context: {}/", cache.display())), "{text}");
}

#[test]
fn repositories_are_included_and_extended() {
    let folder = repository();
    let text = "include: ['https://git.invalid/app.git#v1:sub']\nservices: {a: {extends: {service: web, \
                file: 'https://git.invalid/app.git'}}}";
    fs::write(folder.path().join("work/compose.yaml"), text).unwrap();
    assert_eq!(compose(folder.path(), &[], &["config", "--images"]), (true, "two\nbelow\n".to_owned()));
}

#[test]
fn what_cannot_be_fetched_is_refused_with_its_name() {
    let folder = repository();
    let refusal = |reference: &str, environment: &[(&str, &str)]| {
        let (accepted, text) = compose(folder.path(), environment, &["-f", reference, "config"]);
        assert!(!accepted, "{text}");
        text
    };
    let text = refusal("https://git.invalid/app.git#none", &[]);
    assert!(text.contains("repository does not contain ref https://git.invalid/app.git#none"), "{text}");
    let text = refusal("https://git.invalid/none.git", &[]);
    assert!(text.contains("failed to access repository at https://git.invalid/none.git"), "{text}");
    let text = refusal("https://git.invalid/app.git#:../../x", &[]);
    assert!(text.contains("no such file or directory"), "{text}");
    let text = refusal("https://git.invalid/app.git", &[("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "false")]);
    assert!(text.contains("disabled by \"COMPOSE_EXPERIMENTAL_GIT_REMOTE\""), "{text}");
    // Half a repository is never left behind.
    let left = fs::read_dir(folder.path().join(".cache/docker-compose")).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("part")));
}
