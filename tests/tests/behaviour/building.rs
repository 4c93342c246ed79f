//! `build`: `--print` and `--check`, the definition of a build; several services; the classic builder.

use compose_tests::engine::setting;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};
use serde_json::{Value, json};

crate::cases! { Builds:
    build_prints_the_definition_as_the_reference_does,
    several_services_are_built_and_a_failure_names_its_own,
    check_without_buildkit_says_what_it_needs;
    (Docker("BuildKit is the only builder")): the_classic_builder_labels_as_the_reference_does,
}

const FILE: &str = r#"
services:
  base: {build: .}
  full:
    image: reg/full:2
    privileged: true
    build:
      context: ./sub
      dockerfile: ../Dockerfile
      target: stage
      args: {A: "1", B: , C: ""}
      labels: {l1: v1}
      tags: [t1]
      cache_from: ["type=local,src=/tmp/c"]
      network: host
      shm_size: 128m
      ulimits: {nofile: 10, nproc: {soft: 1, hard: 2}}
      extra_hosts: ["h1=192.0.2.1", "h1=192.0.2.2"]
      entitlements: [security.insecure]
      privileged: true
      platforms: [linux/amd64, linux/arm64]
      provenance: mode=max
      sbom: false
      ssh: [default, k=/tmp/key]
      secrets: [{source: token, target: aim}, file]
      additional_contexts: {base: "service:base", alpine: "docker-image://alpine"}
secrets:
  file: {file: ./file}
  token: {environment: TOKEN}
"#;

fn build_prints_the_definition_as_the_reference_does(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, FILE)?;
    project.set("TOKEN", "sesame");
    let run = project.compose(&["build", "--print", "full"])?.ok()?;
    ensure!(!run.stdout.contains("sesame"), "the secret is printed: {run}");
    let printed: Value = serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))?;
    let folder = project.folder().display();
    let labels = |service: &str| {
        json!({
            "com.docker.compose.project": project.name,
            "com.docker.compose.service": service,
            "com.docker.compose.version": "5.6.1",
        })
    };
    let mut full_labels = labels("full");
    full_labels["l1"] = json!("v1");
    // As Docker Compose v5.6.1 prints it.
    let expected = json!({
        "base": {
            "context": format!("{folder}"),
            "dockerfile": format!("{folder}/Dockerfile"),
            "labels": labels("base"),
            "tags": [format!("{}-base", project.name)],
            "output": ["type=docker"],
        },
        "full": {
            "context": format!("{folder}/sub"),
            "contexts": {"alpine": "docker-image://alpine", "base": "target:base"},
            "dockerfile": format!("{folder}/Dockerfile"),
            "args": {"A": "1", "C": ""},
            "labels": full_labels,
            "tags": ["t1", "reg/full:2"],
            "cache-from": ["type=local,src=/tmp/c"],
            "target": "stage",
            "secret": ["id=aim,type=env,env=TOKEN", format!("id=file,type=file,src={folder}/file")],
            "ssh": ["default=", "k=/tmp/key"],
            "platforms": ["linux/amd64", "linux/arm64"],
            "network": "host",
            "shm-size": "134217728",
            "ulimits": ["nofile=10", "nproc=1:2"],
            "entitlements": ["security.insecure", "security.insecure"],
            "extra-hosts": {"h1": "192.0.2.1,192.0.2.2"},
            "output": ["type=image,push=false"],
            "attest": ["type=provenance,mode=max", "type=sbom,disabled=true"],
        },
    });
    ensure_eq!(printed["target"], expected, "the targets");
    Ok(())
}

fn check_without_buildkit_says_what_it_needs(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, "services: {base: {build: .}}\n")?;
    project.write("Dockerfile", "FROM busybox\n")?;
    let needed = if engine.is_docker() {
        // The classic builder.
        project.set("DOCKER_BUILDKIT", "0");
        "needs the docker-buildx plugin"
    } else {
        project.set("BUILDKIT_HOST", "unix:///nowhere/buildkitd.sock");
        "/nowhere/buildkitd.sock"
    };
    project.compose(&["build", "--check"])?.exits(1)?.says(needed)?;
    Ok(())
}

/// Each label is a step of the classic builder, and so a layer.
fn the_classic_builder_labels_as_the_reference_does(engine: &Engine) -> CaseResult {
    let file = r#"services: {base: {build: {dockerfile_inline: "FROM busybox:1", context: ., labels: {own: x}}}}"#;
    let mut project = Project::with(engine, file)?;
    project.set("DOCKER_BUILDKIT", "0");
    let run = project.compose(&["build"])?.ok()?;
    ensure!(run.stdout.contains("Step 3/3 : LABEL own=x"), "{run}");
    let image = format!("{}-base", project.name);
    let labels = engine.docker(&["image", "inspect", &image, "--format", "{{json .Config.Labels}}"])?;
    engine.docker(&["image", "rm", &image])?;
    ensure_eq!(labels.trim(), r#"{"com.docker.compose.image.builder":"classic","own":"x"}"#, "the labels");
    Ok(())
}

/// One of them is made from another, one fails: the error and what is shown are about that one.
fn several_services_are_built_and_a_failure_names_its_own(engine: &Engine) -> CaseResult {
    // The BuildKit within Engine 20.10 knows no further contexts.
    let (from, contexts) = match engine.name.as_str() {
        "docker20" => ("busybox:1", ""),
        _ => ("foundation", ", additional_contexts: {foundation: service:ba.se}"),
    };
    let mut project = Project::new(engine)?;
    // Steps of this run alone: two engines share one BuildKit, and a build that is broken off
    // in one run must not take a layer from under the other.
    let own = &project.name;
    project.write(
        "compose.yaml",
        &format!(
            r#"services:
  top: {{build: {{dockerfile_inline: "FROM {from}\nRUN touch /base && cp /base /top && echo {own}"{contexts}}}}}
  ba.se: {{build: {{dockerfile_inline: "FROM busybox:1\nRUN echo {own} > /base"}}}}
  bad: {{profiles: [bad], build: {{dockerfile_inline: "FROM busybox:1\nRUN echo words of the step && exit 3"}}}}
"#
        ),
    )?;
    // On containerd the plugin is found beside BuildKit.
    if let Some(programs) = setting("BUILDKIT_PROGRAMS") {
        let configuration = project.folder().join("configuration");
        std::fs::create_dir_all(&configuration).map_err(|error| error.to_string())?;
        std::os::unix::fs::symlink(programs, configuration.join("cli-plugins")).map_err(|error| error.to_string())?;
        project.set("DOCKER_CONFIG", &configuration.display().to_string());
    }
    let run = project.compose(&["build"])?.ok()?;
    for image in ["top", "ba.se"] {
        ensure!(run.stderr.contains(&format!("Image {}-{image} Built", project.name)), "{run}");
    }
    let run = project.compose(&["run", "--rm", "top", "cat", "/top"])?.ok()?;
    ensure_eq!(run.stdout, if contexts.is_empty() { String::new() } else { format!("{}\n", project.name) }, "{run}");
    for quiet in [&[][..], &["-q"]] {
        let run = project.compose(&[&["--profile", "bad", "build", "--no-cache"], quiet].concat())?;
        ensure_eq!(run.code, 1, "{run}");
        ensure!(run.stderr.contains("failed to build bad"), "{run}");
        ensure!(format!("{}{}", run.stdout, run.stderr).contains("words of the step"), "{run}");
        ensure!(run.stderr.contains(&format!("Image {}-bad Building", project.name)), "{run}");
    }
    Ok(())
}
