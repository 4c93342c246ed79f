//! `bridge`: the project handed to images that convert it, with an image made here.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};
use serde_json::Value;

crate::cases! { Builds:
    bridge_converts_with_images_of_ones_own,
    bridge_lists_transformations_and_copies_their_templates,
}

const FILE: &str = "
services:
  web:
    image: busybox
    ports: ['8080:80']
    expose: ['90']
    environment: {PRICE: '$$5'}
    secrets: [token]
    configs: [page]
secrets: {token: {file: ./token}, spare: {file: ./token}}
configs: {page: {content: hello}}
";

const DOCKERFILE: &str = "
FROM busybox
LABEL com.docker.compose.bridge=transformation
COPY templates /templates
COPY convert.sh /convert.sh
CMD [\"sh\", \"/convert.sh\"]
";

const CONVERT: &str = "
echo converted as user $(id -u), license $LICENSE_AGREEMENT
cp /in/compose.yaml /out/model.yaml
cat /templates/* >/out/templates
echo a-remark >&2
test ! -e /templates/fail || exit 3
";

/// The project, with an engine that has a transformation of this name.
fn bridged(engine: &Engine) -> Result<(Project, String), String> {
    let project = Project::with(engine, FILE)?;
    let image = format!("bridge-{}", project.name);
    for (path, text) in [
        ("token", "s3cret\n"),
        ("own/Dockerfile", DOCKERFILE),
        ("own/convert.sh", CONVERT),
        ("own/templates/a.tmpl", "of the image\n"),
        ("other/b.tmpl", "of the project\n"),
        ("failing/fail", "x\n"),
    ] {
        project.write(path, text)?;
    }
    project.write("own.yaml", &format!("services: {{own: {{build: own, image: {image}}}}}\n"))?;
    project.compose(&["-f", "own.yaml", "build", "-q"])?.ok()?;
    Ok((project, image))
}

/// Removes the image, and sees that no container is left.
fn cleared(engine: &Engine, project: &Project) -> CaseResult {
    if engine.is_docker() {
        let left = engine.docker(&["ps", "-aq", "--filter", &format!("name={}-bridge-", project.name)])?;
        ensure_eq!(left.trim(), "", "containers of transformations that are left");
    }
    project.compose(&["-f", "own.yaml", "down", "--rmi", "all"])?.ok().map(drop)
}

fn bridge_converts_with_images_of_ones_own(engine: &Engine) -> CaseResult {
    let (project, image) = bridged(engine)?;
    let file = |path: &str| std::fs::read_to_string(project.folder().join(path)).unwrap_or_default();
    let dry = project.compose(&["bridge", "convert", "--dry-run", "--transformation", &image])?.ok()?;
    ensure!(!project.folder().join("out").exists(), "a dry run makes something: {dry}");

    let run = project.compose(&["bridge", "convert", "-t", &image])?.ok()?;
    ensure!(run.stdout.contains("license true"), "no output: {run}");
    ensure!(run.stderr.contains("a-remark"), "no error output: {run}");
    let model = file("out/model.yaml");
    for part in ["content: hello", "s3cret", "PRICE: $5", "- \"80\"", "- \"90\"", "image: busybox"] {
        ensure!(model.contains(part), "no {part:?} in the model:\n{model}");
    }
    ensure!(!model.contains("spare"), "what no service uses is in the model:\n{model}");
    ensure_eq!(file("out/templates").as_str(), "of the image\n", "templates");

    // What is in the directory goes only with consent.
    project.write("out/own-work", "x")?;
    project.compose(&["bridge", "convert", "-t", &image])?.exits(1)?.says("was not confirmed")?;
    ensure!(project.folder().join("out/own-work").exists(), "the directory is emptied without consent");
    project.compose(&["bridge", "convert", "-t", &image, "--yes", "--templates", "other"])?.ok()?;
    ensure!(!project.folder().join("out/own-work").exists(), "the directory is not emptied");
    ensure_eq!(file("out/templates").as_str(), "of the project\n", "templates of the project");

    let failing = ["bridge", "convert", "-t", &image, "--output", "made/here", "--templates", "failing"];
    project.compose(&failing)?.exits(3)?;
    ensure!(project.folder().join("made/here/model.yaml").exists(), "what was made before the failure is not there");
    cleared(engine, &project)
}

fn bridge_lists_transformations_and_copies_their_templates(engine: &Engine) -> CaseResult {
    let (project, image) = bridged(engine)?;
    let table = project.compose(&["bridge", "transformations", "list"])?.ok()?;
    ensure!(table.stdout.starts_with("IMAGE ID"), "titles: {table}");
    let listed = table.stdout.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [_, name, "latest", _] if *name == image)
    });
    ensure!(listed, "the image is not listed: {table}");
    let names = project.compose(&["bridge", "transformations", "list", "-q"])?.ok()?;
    ensure!(names.stdout.lines().any(|line| line == format!("{image}:latest")), "names: {names}");
    let run = project.compose(&["bridge", "transformations", "list", "--format", "json"])?.ok()?;
    let all: Vec<Value> = serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))?;
    let found = all.iter().find(|one| one["RepoTags"][0] == format!("{image}:latest"));
    let label = found.map(|one| one["Labels"]["com.docker.compose.bridge"].clone());
    ensure_eq!(label, Some(Value::from("transformation")), "the label");

    let create = ["bridge", "transformations", "create", "--from", &image, "mine"];
    project.compose(&create)?.ok()?.says("Transformer created in")?;
    let file = |path: &str| std::fs::read_to_string(project.folder().join(path)).unwrap_or_default();
    ensure_eq!(file("mine/templates/a.tmpl").as_str(), "of the image\n", "the copied template");
    ensure!(file("mine/Dockerfile").contains("COPY templates /templates"), "the Dockerfile");
    project.compose(&create)?.exits(1)?.says("already exists")?;
    // An image without templates leaves nothing behind.
    let without = ["bridge", "transformations", "create", "-f", "busybox", "none"];
    project.compose(&without)?.exits(1)?.says("/templates")?;
    ensure!(!project.folder().join("none").exists(), "a directory for nothing");
    cleared(engine, &project)
}
