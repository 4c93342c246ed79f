//! Builds on real engines: the classic builder, and the docker-buildx plugin where
//! `COMPOSE_TEST_BUILDX` names it.

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use compose_planner::spec::{BuildSpec, FileContent};
use compose_runtime::Runtime;
use compose_runtime::port::{BuildOutput, Builder, Builds, ContentSource};
use runtime_docker::{DockerRuntime, Endpoint};
use support::Bench;

on_both_engines! {
    the_classic_builder_builds_a_context
    the_plugin_builds_with_secrets
}

struct Contents;

impl ContentSource for Contents {
    fn read(&self, _: &FileContent, _: &str, _: bool) -> Result<Vec<u8>, compose_runtime::RuntimeError> {
        Ok(b"top secret".to_vec())
    }
}

async fn built(builder: &dyn Builder, spec: &BuildSpec) -> (Result<String, compose_runtime::RuntimeError>, String) {
    let lines = Mutex::new(Vec::new());
    let output = |(_, line)| lines.lock().expect("no panic").push(line);
    let builds = Builds { specs: &[spec], secrets: &Contents, form: BuildOutput::Plain, output: &output };
    let built = builder.build(&builds).await;
    let result = built.map(|mut identities| identities.remove(0)).map_err(|failure| failure.error);
    let lines = lines.into_inner().expect("no panic").join("\n");
    (result, lines)
}

fn context(directory: &Path) {
    std::fs::create_dir_all(directory.join("out")).expect("made");
    std::fs::write(directory.join("file"), "from the context\n").expect("written");
    std::fs::write(directory.join("out/big"), "left out").expect("written");
    std::fs::write(directory.join(".dockerignore"), "out\nDockerfile\n").expect("written");
    let text = "FROM busybox AS base\nARG WHO=nobody\nCOPY . /ctx\nRUN echo $WHO > /who; ls /ctx > /list\n\
                FROM base AS last\nRUN echo never > /last\n";
    std::fs::write(directory.join("Dockerfile"), text).expect("written");
}

async fn the_classic_builder_builds_a_context(bench: Arc<Bench>) {
    let directory = tempfile::tempdir().expect("a directory");
    context(directory.path());
    let endpoint = Endpoint { classic_builds: true, ..bench.endpoint() };
    let runtime = DockerRuntime::connect(&endpoint).await.expect("connected");
    let builder = runtime.builder().expect("a builder");
    let mut spec =
        BuildSpec { service: "web".into(), image: bench.name("image").as_str().into(), ..BuildSpec::default() };
    spec.build.context = directory.path().display().to_string();
    spec.build.network = "none".into();
    spec.build.args.insert("WHO".into(), Some("me & you".into()));
    spec.build.target = "base".into();
    spec.build.no_cache = true;
    spec.build.tags = vec![format!("{}:more", bench.name("image"))];
    spec.labels.insert("com.docker.compose.service".into(), "web".into());
    let (id, lines) = built(builder, &spec).await;
    let id = id.expect("built");
    assert!(lines.contains("Step 1/") && lines.contains("COPY . /ctx"), "{lines}");
    for name in [bench.name("image"), spec.build.tags[0].clone()] {
        assert_eq!(runtime.images().inspect(&name).await.expect("looked").expect("there").id, id);
    }
    let mut run = bench.spec("run", "cat /who /ctx/file /list; test ! -e /last");
    run.image = spec.image.clone();
    let container = bench.started(&run).await;
    assert_eq!(bench.runtime.containers().wait(&container).await.expect("ended"), 0);
    let logs = bench.runtime.streams().logs(&container, &Default::default()).await.expect("logs");
    let out = String::from_utf8(support::collect(logs).await.0).expect("text");
    assert!(out.starts_with("me & you\nfrom the context\n"), "{out}");
    assert!(out.contains("\nfile") && !out.contains("\nout"), "{out}");

    let outside = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(outside.path(), "FROM busybox\nCOPY file /f\n").expect("written");
    spec.build.target = String::new();
    spec.build.dockerfile = outside.path().display().to_string();
    built(builder, &spec).await.0.expect("a Dockerfile elsewhere");
    spec.build.dockerfile = String::new();
    spec.build.dockerfile_inline = "FROM busybox\nCOPY file /f\nRUN exit 3\n".into();
    spec.quiet = true;
    let (failed, lines) = built(builder, &spec).await;
    let failed = failed.expect_err("it fails").to_string();
    assert!(failed.contains("failed to build web: ") && failed.contains("returned a non-zero code: 3"), "{failed}");
    assert_eq!(lines, "");
    spec.build.dockerfile_inline = String::new();
    spec.build.dockerfile = "missing".into();
    let failed = built(builder, &spec).await.0.expect_err("no Dockerfile").to_string();
    assert!(failed.contains("missing"), "{failed}");
    spec.secrets.insert("s".into(), FileContent::Environment { variable: "S".into() });
    let failed = built(builder, &spec).await.0.expect_err("no BuildKit").to_string();
    assert!(failed.contains("secrets need BuildKit"), "{failed}");
    for image in [bench.name("image"), format!("{}:more", bench.name("image"))] {
        bench.runtime.images().remove(&image.as_str().into()).await.ok();
    }
}

async fn the_plugin_builds_with_secrets(bench: Arc<Bench>) {
    let Some(plugin) = support::engine("COMPOSE_TEST_BUILDX") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let config = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(config.path().join("cli-plugins")).expect("made");
    std::os::unix::fs::symlink(&plugin, config.path().join("cli-plugins/docker-buildx")).expect("linked");
    context(directory.path());
    let endpoint = Endpoint { config_directory: config.path().to_owned(), ..bench.endpoint() };
    let runtime = DockerRuntime::connect(&endpoint).await.expect("connected");
    let builder = runtime.builder().expect("a builder");
    let mut spec =
        BuildSpec { service: "web".into(), image: bench.name("baked").as_str().into(), ..BuildSpec::default() };
    spec.build.context = directory.path().display().to_string();
    spec.build.network = "none".into();
    spec.build.dockerfile_inline =
        "FROM busybox\nCOPY file /f\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s > /size; echo built\n".into();
    spec.secrets.insert("s".into(), FileContent::Environment { variable: "SOME_SECRET".into() });
    spec.build.no_cache = true;
    let (id, lines) = built(builder, &spec).await;
    let id = id.unwrap_or_else(|error| panic!("{error}\n{lines}"));
    assert_eq!(runtime.images().inspect(spec.image.as_str()).await.expect("looked").expect("there").id, id);
    assert!(lines.contains("built") && !lines.contains("top secret"), "{lines}");
    let mut run = bench.spec("run", "cat /size");
    run.image = spec.image.clone();
    let container = bench.started(&run).await;
    bench.runtime.containers().wait(&container).await.expect("ended");
    let logs = bench.runtime.streams().logs(&container, &Default::default()).await.expect("logs");
    assert_eq!(support::collect(logs).await.0, b"10\n");
    bench.runtime.containers().remove(&container, true, true).await.expect("removed");
    bench.runtime.images().remove(&spec.image).await.expect("removed");
    spec.build.dockerfile_inline = "FROM busybox\nRUN exit 3\n".into();
    let failed = built(builder, &spec).await.0.expect_err("it fails").to_string();
    assert!(failed.contains("failed to build web: ") && failed.contains("exit code: 3"), "{failed}");
}
