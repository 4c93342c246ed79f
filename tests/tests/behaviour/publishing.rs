//! `publish`, and running what was published: here, and by the reference, in both directions.

use compose_tests::registry::{Access, Registry};
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Registry:
    a_published_project_runs_from_the_registry,
    what_should_not_leave_the_machine_is_asked_about,
    images_are_pinned_and_published_beside_the_project;
    ReferenceAlone:
    the_reference_runs_what_we_publish_and_the_other_way_round,
}

const FILE: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    env_file:
      - vars.env
    extends:
      file: parts/base.yaml
      service: base
  extra:
    image: busybox
    profiles: [more]
";

const BASE: &str = "
services:
  base:
    labels: {from: 'the base'}
    env_file:
      - base.env
";

fn shop(engine: &Engine) -> Result<Project, String> {
    let project = Project::with(engine, FILE)?;
    project.write("vars.env", "A=from-the-env-file\n")?;
    project.write("parts/base.yaml", BASE)?;
    project.write("parts/base.env", "B=from-the-base\n")?;
    Ok(project)
}

fn a_published_project_runs_from_the_registry(engine: &Engine) -> CaseResult {
    let registry = Registry::start_on_host(Access::Open)?;
    let project = shop(engine)?;
    let name = registry.image("shop:1");
    project.compose(&["publish", "--dry-run", "--with-env", &name])?.ok()?.says("published")?;
    ensure_eq!(registry.tags("shop")?, Vec::<String>::new(), "tags after a dry run");
    project.compose(&["publish", "--with-env", &name])?.ok()?.says(&format!(" {name} published"))?;
    ensure_eq!(registry.tags("shop")?, ["1"], "tags");
    let older = registry.image("shop:older");
    project.compose(&["publish", "-y", "--with-env", "--oci-version", "1.0", "--insecure-registry", &older])?.ok()?;
    project.compose(&["publish", "-y", "--oci-version", "3", &older])?.exits(1)?.says("unsupported OCI version: 3")?;
    project.compose(&["publish", "-y"])?.exits(1)?.says("requires 1 argument")?;
    project.compose(&["publish", "-y", "--with-env", "No:Name:1"])?.exits(1)?.says("No:Name:1")?;
    // In a folder that has none of the files.
    project.write("elsewhere/file", "")?;
    for name in [name, older] {
        let from = format!("oci://{name}");
        project.compose_in("elsewhere", &["-f", &from, "up", "-d"])?.ok()?;
        let environment = project.compose_in("elsewhere", &["-f", &from, "exec", "-T", "web", "env"])?.ok()?;
        environment.says("A=from-the-env-file")?.says("B=from-the-base")?;
        project.compose_in("elsewhere", &["-f", &from, "config"])?.ok()?.says("from: the base")?;
        project.compose_in("elsewhere", &["-f", &from, "--profile", "more", "config", "--services"])?.says("extra")?;
        project.compose_in("elsewhere", &["-f", &from, "down"])?.ok()?;
    }
    Ok(())
}

fn what_should_not_leave_the_machine_is_asked_about(engine: &Engine) -> CaseResult {
    let registry = Registry::start_on_host(Access::Open)?;
    let name = registry.image("shop:1");
    let project = Project::new(engine)?;
    let refused = |file: &str, code: i32, says: &str| -> CaseResult {
        project.write("compose.yaml", file)?;
        project.compose(&["publish", &name])?.exits(code)?.says(says)?;
        ensure_eq!(registry.tags("shop")?, Vec::<String>::new(), "tags after {says}");
        Ok(())
    };
    refused("services: {web: {build: .}}", 1, "only contains a build section for service(s):\n- \"web\"")?;
    project.write("part.yaml", "services: {part: {image: busybox}}")?;
    refused("include: [part.yaml]\nservices: {web: {image: busybox}}", 1, "local includes")?;
    refused("services: {web: {image: busybox, env_file: '${X:-vars}.env'}}", 1, "vars}.env")?;
    refused("services: {web: {image: busybox, volumes: ['/tmp:/x']}}", 130, "web: /tmp:/x:rw")?;
    refused("services: {web: {image: busybox, environment: {PASSWORD: x}}}", 130, "literal value for \"PASSWORD\"")?;
    refused("services: {web: {image: busybox, configs: [c]}}\nconfigs: {c: {content: text}}", 130, "config \"c\"")?;
    let token = format!("ghp_{}", "1234567890".repeat(4));
    let file = format!("services: {{web: {{image: busybox, environment: {{X: {token}}}}}}}");
    refused(&file, 130, "services.web.environment.X")?;
    let run = project.compose(&["publish", &name])?;
    ensure!(!run.stdout.contains(&token) && !run.stderr.contains(&token), "the secret is shown");
    // A variable is published as a variable.
    project.write("compose.yaml", "services: {web: {image: busybox, environment: {PASSWORD: '${PASSWORD:-}'}}}")?;
    project.compose(&["publish", &name])?.ok()?;
    project.write("compose.yaml", &file)?;
    project.compose(&["publish", "-y", &name])?.ok()?;
    Ok(())
}

fn images_are_pinned_and_published_beside_the_project(engine: &Engine) -> CaseResult {
    let registry = Registry::start_on_host(Access::Open)?;
    let project = Project::with(engine, "services: {web: {image: busybox}}")?;
    // Anything that a registry holds under a name can be pinned and copied.
    let image = registry.image("image:1");
    project.compose(&["publish", &image])?.ok()?;
    project.write("compose.yaml", &format!("services: {{web: {{image: '{image}'}}}}"))?;
    let (pinned, app) = (registry.image("pinned:1"), registry.image("app:1"));
    project.compose(&["publish", "--resolve-image-digests", &pinned])?.ok()?;
    project.compose(&["publish", "--app", &app])?.ok()?;
    for name in [&pinned, &app] {
        let run = project.compose(&["-f", &format!("oci://{name}"), "config", "--images"])?.ok()?;
        ensure!(run.stdout.starts_with(&format!("{image}@sha256:")), "the image is not pinned: {run}");
        if name == &app {
            // The copy is an artifact too, which can be read where it lies now.
            let digest = run.stdout.trim().rsplit('@').next().unwrap_or_default().to_owned();
            let copy = format!("oci://{}@{digest}", registry.image("app"));
            project.compose(&["-f", &copy, "config", "--images"])?.ok()?.says("busybox")?;
        }
    }
    project.write("compose.yaml", &format!("services: {{web: {{image: '{}'}}}}", registry.image("nothing:1")))?;
    project.compose(&["publish", "--app", &app])?.exits(1)?.says("failed to resolve digest")?;
    Ok(())
}

fn the_reference_runs_what_we_publish_and_the_other_way_round(engine: &Engine) -> CaseResult {
    let registry = Registry::start_on_host(Access::Open)?;
    let mut project = shop(engine)?;
    // The reference leaves out the env files of what is extended, and then cannot run what it has published.
    project.write("parts/base.yaml", "services:\n  base:\n    labels: {from: 'the base'}\n")?;
    let (ours, theirs) = (registry.image("ours:1"), registry.image("theirs:1"));
    project.compose(&["publish", "-y", "--with-env", &ours])?.ok()?;
    project.reference(&["publish", "-y", "--with-env", "--insecure-registry", &theirs])?.ok()?;
    let address = registry.address();
    // Fetched files are kept: not those that the other program has kept.
    for (place, name) in [("one", &ours), ("two", &theirs)] {
        let from = format!("oci://{name}");
        project.set("XDG_CACHE_HOME", &project.folder().join(place).join("ours").display().to_string());
        let read_by_us = project.compose(&["-f", &from, "config"])?.ok()?;
        project.set("XDG_CACHE_HOME", &project.folder().join(place).join("theirs").display().to_string());
        let read_by_them = project.reference(&["--insecure-registry", &address, "-f", &from, "config"])?.ok()?;
        ensure_eq!(read_by_us.stdout, read_by_them.stdout, "the model of {name}");
        read_by_us.says("from-the-env-file")?.says("from: the base")?;
    }
    Ok(())
}
