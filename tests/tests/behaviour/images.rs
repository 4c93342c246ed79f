//! Building, changed images, pull policies, `down --rmi`.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Builds:
    up_builds_a_missing_image_and_not_an_existing_one,
    build_replaces_containers_only_when_the_image_changed,
    a_tag_that_moved_replaces_the_container,
    no_build_with_a_missing_image_fails,
    build_arguments_come_from_file_flag_and_environment,
    down_removes_images_when_asked,
    pull_skips_what_is_present_or_built,
    images_lists_what_containers_run,
}

const BUILT: &str = "
services:
  app:
    build:
      context: app
      args: {WORD: from-file}
    command: sleep 1000
    stop_signal: SIGKILL
";

/// Its own for each project, since cases that share layers would take each other's cache away.
fn dockerfile(project: &Project, word: &str) -> String {
    format!("FROM busybox\nENV OF {}\nARG WORD\nRUN echo {word} > /word\n", project.name)
}

/// A project whose image goes with it.
struct Built(Project);

impl Built {
    fn new(engine: &Engine) -> Result<Self, String> {
        let project = Project::with(engine, BUILT)?;
        project.write("app/Dockerfile", &dockerfile(&project, "$WORD"))?;
        Ok(Self(project))
    }

    fn image(&self) -> String {
        format!("{}-app", self.0.name)
    }

    fn word(&self) -> Result<String, String> {
        Ok(self.0.compose(&["exec", "-T", "app", "cat", "/word"])?.ok()?.stdout.trim().to_owned())
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        self.0.engine.wipe(&self.0.name);
        let _ = self.0.engine.docker(&["image", "rm", "-f", &self.image()]);
    }
}

fn up_builds_a_missing_image_and_not_an_existing_one(engine: &Engine) -> CaseResult {
    let built = Built::new(engine)?;
    built.0.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(built.word()?, "from-file", "what was built");
    built.0.write("app/Dockerfile", "FROM surely.invalid/not-there\n")?;
    built.0.compose(&["up", "-d"])?.ok()?;
    built.0.compose(&["up", "-d", "--build"])?.exits(1)?.says("surely.invalid/not-there")?;
    ensure_eq!(built.0.only("app")?.state, "running", "the container after a failed build");
    Ok(())
}

fn build_replaces_containers_only_when_the_image_changed(engine: &Engine) -> CaseResult {
    let built = Built::new(engine)?;
    built.0.compose(&["up", "-d"])?.ok()?;
    let first = built.0.only("app")?.id;
    built.0.compose(&["up", "-d", "--build"])?.ok()?;
    ensure_eq!(built.0.only("app")?.id, first, "the container after a build that changed nothing");
    built.0.write("app/Dockerfile", &dockerfile(&built.0, "changed"))?;
    built.0.compose(&["up", "-d", "--build"])?.ok()?;
    ensure!(built.0.only("app")?.id != first, "the container was not replaced");
    ensure_eq!(built.word()?, "changed", "what runs now");
    Ok(())
}

fn a_tag_that_moved_replaces_the_container(engine: &Engine) -> CaseResult {
    let built = Built::new(engine)?;
    built.0.compose(&["up", "-d"])?.ok()?;
    let first = built.0.only("app")?.id;
    engine.docker(&["tag", "busybox:latest", &built.image()])?;
    built.0.compose(&["up", "-d"])?.ok()?.says("Recreated")?;
    let second = built.0.only("app")?;
    ensure!(second.id != first, "the container was not replaced");
    ensure_eq!(second.name, format!("{}-app-1", built.0.name), "its name");
    Ok(())
}

fn no_build_with_a_missing_image_fails(engine: &Engine) -> CaseResult {
    let built = Built::new(engine)?;
    built.0.compose(&["up", "-d", "--no-build"])?.exits(1)?;
    ensure_eq!(built.0.states()?, vec![], "containers");
    Ok(())
}

fn build_arguments_come_from_file_flag_and_environment(engine: &Engine) -> CaseResult {
    let mut built = Built::new(engine)?;
    built.0.compose(&["build", "--build-arg", "WORD=from-flag"])?.ok()?;
    built.0.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(built.word()?, "from-flag", "the flag beats the file");
    built.0.write("compose.yaml", &BUILT.replace("{WORD: from-file}", "[WORD]"))?;
    built.0.set("WORD", "from-environment");
    built.0.compose(&["build", "--no-cache"])?.ok()?;
    built.0.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(built.word()?, "from-environment", "an argument without value");
    built.0.write("app/Dockerfile", "FROM busybox\nRUN echo it-breaks-here; exit 7\n")?;
    let run = built.0.compose(&["build"])?.says("it-breaks-here")?;
    ensure!(run.code != 0, "the build did not fail: {run}");
    Ok(())
}

fn down_removes_images_when_asked(engine: &Engine) -> CaseResult {
    let built = Built::new(engine)?;
    built.0.compose(&["up", "-d"])?.ok()?;
    built.0.compose(&["down", "--rmi", "some"])?.exits(1)?;
    ensure_eq!(built.0.only("app")?.state, "running", "after a wrong value");
    built.0.compose(&["down", "--rmi", "local"])?.ok()?;
    ensure!(engine.docker(&["image", "inspect", &built.image()]).is_err(), "the image is still there");
    Ok(())
}

fn pull_skips_what_is_present_or_built(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    // A tag other than `latest`, which is always asked for.
    let image = format!("{}-there:1", project.name);
    engine.docker(&["tag", "busybox:latest", &image])?;
    project.write(
        "compose.yaml",
        &format!("services:\n  there:\n    image: {image}\n    pull_policy: missing\n  built:\n    build: app\n"),
    )?;
    let run = project.compose(&["pull"]);
    engine.docker(&["image", "rm", &image])?;
    run?.ok()?.says("Skipped")?;
    project.write("compose.yaml", "services:\n  none:\n    image: surely.invalid/not-there:1\n")?;
    project.compose(&["pull"])?.exits(1)?.says("surely.invalid/not-there")?;
    project.compose(&["pull", "--ignore-pull-failures"])?.ok()?;
    project
        .write("compose.yaml", "services:\n  none:\n    image: surely.invalid/not-there:1\n    pull_policy: never\n")?;
    project.compose(&["up", "-d"])?.exits(1)?.says("surely.invalid/not-there")?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn images_lists_what_containers_run(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, crate::up::TWO)?;
    project.compose(&["create"])?.ok()?;
    let run = project.compose(&["images"])?.ok()?;
    let header: Vec<&str> = run.stdout.lines().next().unwrap_or_default().split_whitespace().take(4).collect();
    ensure_eq!(header, ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM"], "header");
    ensure_eq!(run.stdout.lines().count(), 3, "lines");
    let run = project.compose(&["images", "--format", "json"])?.ok()?;
    let read: serde_json::Value = serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))?;
    let mut names: Vec<&str> =
        read.as_array().into_iter().flatten().filter_map(|entry| entry["ContainerName"].as_str()).collect();
    names.sort_unstable();
    ensure_eq!(names, [format!("{}-db-1", project.name), format!("{}-web-1", project.name)], "containers");
    Ok(())
}
