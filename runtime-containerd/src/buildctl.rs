//! Builds through `buildctl`, which comes with BuildKit.
//!
//! <https://github.com/moby/buildkit/blob/master/docs/reference/buildctl.md>, the options of the
//! frontend: <https://github.com/moby/buildkit/blob/master/frontend/dockerfile/docs/reference.md>

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use compose_model::project::Ulimit;
use compose_planner::spec::{BuildSpec, FileContent};
use compose_runtime::RuntimeError;
use compose_runtime::bake::is_remote;
use compose_runtime::error::Result;
use compose_runtime::port::{BuildOutput, Builds};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::client::local;

/// What is to be made.
pub(crate) struct Target<'a> {
    /// The exporter: `docker` or `oci`.
    pub(crate) kind: &'a str,
    /// The archive that it writes.
    pub(crate) archive: &'a Path,
    /// A directory of this build.
    pub(crate) scratch: &'a Path,
}

/// A command line, and the variables that hold secrets.
#[derive(Debug, Default, PartialEq)]
struct Call {
    arguments: Vec<String>,
    variables: BTreeMap<String, Vec<u8>>,
}

impl Call {
    fn flag(&mut self, name: &str, value: impl Into<String>) {
        self.arguments.extend([name.to_owned(), value.into()]);
    }

    fn option(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.flag("--opt", format!("{key}={value}"));
        }
    }
}

/// Builds; the image is in the target's archive afterwards.
pub(crate) async fn build(
    program: &Path,
    address: &str,
    spec: &BuildSpec,
    platform: &str,
    target: &Target<'_>,
    position: usize,
    builds: &Builds<'_>,
) -> Result<()> {
    let call = call(address, spec, platform, target, builds)?;
    let output = |line| (builds.output)((position, line));
    let mut command = tokio::process::Command::new(program);
    command.args(&call.arguments).stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.stdout(if spec.check { Stdio::piped() } else { Stdio::null() });
    for (name, content) in call.variables {
        if content.contains(&0) {
            return Err(local("a secret of the build", "it holds a zero byte and cannot be passed on"));
        }
        command.env(name, OsString::from_vec(content));
    }
    let failed = |error: std::io::Error| local(program.display(), error);
    let mut child = command.spawn().map_err(failed)?;
    let (results, errors) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let mut last = String::new();
        let Some(errors) = errors else { return Ok(last) };
        let mut lines = BufReader::new(errors).split(b'\n');
        while let Some(line) = lines.next_segment().await? {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if let Some(error) = line.strip_prefix("error: ") {
                last = error.to_owned();
            }
            if !spec.quiet && (builds.form == BuildOutput::Plain || line.starts_with('{')) {
                output(line);
            }
        }
        Ok::<_, std::io::Error>(last)
    };
    let check = async {
        let Some(results) = results else { return Ok(()) };
        let mut lines = BufReader::new(results).lines();
        while let Some(line) = lines.next_line().await? {
            output(line);
        }
        Ok::<_, std::io::Error>(())
    };
    let (said, checked) = tokio::join!(read, check);
    checked.map_err(failed)?;
    let said = said.map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let said = if said.is_empty() { format!("{} ended with {status}", program.display()) } else { said };
    Err(RuntimeError::Failed { message: format!("failed to build {}: {said}", spec.service) })
}

fn call(address: &str, spec: &BuildSpec, platform: &str, target: &Target<'_>, builds: &Builds<'_>) -> Result<Call> {
    let build = &spec.build;
    let mut call = Call::default();
    call.flag("--addr", address);
    call.arguments.push("build".to_owned());
    let json = builds.form == BuildOutput::Json;
    call.flag("--progress", if json { "rawjson" } else { "plain" });
    call.flag("--frontend", "dockerfile.v0");
    sources(&mut call, spec, target.scratch)?;
    call.option("target", &build.target);
    for (name, value) in &build.args {
        if let Some(value) = value {
            call.flag("--opt", format!("build-arg:{name}={value}"));
        }
    }
    let mut labels = build.labels.clone();
    labels.extend(spec.labels.clone());
    for (name, value) in &labels {
        call.flag("--opt", format!("label:{name}={value}"));
    }
    let platforms = if build.platforms.is_empty() { platform.to_owned() } else { build.platforms.join(",") };
    call.option("platform", &platforms);
    if build.no_cache {
        call.arguments.push("--no-cache".to_owned());
    }
    call.option("no-cache", &build.no_cache_filter.join(","));
    call.option("image-resolve-mode", if build.pull { "pull" } else { "" });
    if !matches!(build.network.as_str(), "" | "default") {
        call.option("force-network-mode", &build.network);
    }
    if build.shm_size.0 > 0 {
        call.option("shm-size", &build.shm_size.0.to_string());
    }
    let ulimits: Vec<String> = build.ulimits.iter().map(|(name, limit)| ulimit(name, limit)).collect();
    call.option("ulimit", &ulimits.join(","));
    let hosts: Vec<String> = build.extra_hosts.iter().map(|host| host.replacen(':', "=", 1)).collect();
    let hosts: Vec<&String> = hosts.iter().collect();
    call.option("add-hosts", &hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>().join(","));
    for (kind, value) in [("provenance", &build.provenance), ("sbom", &build.sbom)] {
        let given = if kind == "provenance" { &spec.provenance } else { &spec.sbom };
        match if value.is_empty() { given.as_str() } else { value.as_str() } {
            "" | "false" => {}
            "true" => call.flag("--opt", format!("attest:{kind}=")),
            attributes => call.flag("--opt", format!("attest:{kind}={attributes}")),
        }
    }
    entitlements(&mut call, spec);
    for cache in &build.cache_from {
        let registry = format!("type=registry,ref={cache}");
        call.flag("--import-cache", if cache.contains('=') { cache.clone() } else { registry });
    }
    for cache in &build.cache_to {
        let registry = format!("type=registry,ref={cache}");
        call.flag("--export-cache", if cache.contains('=') { cache.clone() } else { registry });
    }
    for key in &build.ssh {
        call.flag("--ssh", if key.path.is_empty() { key.id.clone() } else { format!("{}={}", key.id, key.path) });
    }
    for (index, (id, content)) in spec.secrets.iter().enumerate() {
        match content {
            FileContent::File { path } => call.flag("--secret", format!("id={id},src={path}")),
            FileContent::Environment { .. } | FileContent::Inline { .. } => {
                let variable = format!("COMPOSE_BUILD_SECRET_{index}");
                call.variables.insert(variable.clone(), builds.secrets.read(content, id, true)?);
                call.flag("--secret", format!("id={id},env={variable}"));
            }
        }
    }
    if spec.check {
        call.option("requestid", "frontend.lint");
    } else {
        let names = build.tags.iter().map(String::as_str).chain([spec.image.as_str()]);
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        // A field of comma-separated values, of which the names are one.
        call.flag(
            "--output",
            format!("type={},\"name={}\",dest={}", target.kind, names.join(","), target.archive.display()),
        );
    }
    Ok(call)
}

/// The context, the Dockerfile, and further contexts.
fn sources(call: &mut Call, spec: &BuildSpec, scratch: &Path) -> Result<()> {
    let build = &spec.build;
    let named = if build.dockerfile.is_empty() { "Dockerfile" } else { &build.dockerfile };
    if is_remote(&build.context) {
        call.option("context", &build.context);
        call.option("filename", named);
    } else {
        call.flag("--local", format!("context={}", build.context));
        let path = if build.dockerfile_inline.is_empty() {
            Path::new(&build.context).join(named)
        } else {
            let path = scratch.join("Dockerfile");
            std::fs::write(&path, &build.dockerfile_inline).map_err(|error| local(path.display(), error))?;
            path
        };
        let directory = path.parent().map(PathBuf::from).unwrap_or_default();
        call.flag("--local", format!("dockerfile={}", directory.display()));
        call.option("filename", &path.file_name().unwrap_or_default().to_string_lossy());
    }
    for (index, (name, context)) in build.additional_contexts.iter().enumerate() {
        if let Some(place) = context.strip_prefix("oci-layout://") {
            let (directory, digest) = place.split_once('@').unwrap_or((place, ""));
            let store = format!("layout{index}");
            call.flag("--oci-layout", format!("{store}={directory}"));
            call.flag("--opt", format!("context:{name}=oci-layout://{store}@{digest}"));
        } else if is_remote(context) {
            call.flag("--opt", format!("context:{name}={context}"));
        } else {
            let local = format!("further{index}");
            call.flag("--local", format!("{local}={context}"));
            call.flag("--opt", format!("context:{name}=local:{local}"));
        }
    }
    Ok(())
}

fn entitlements(call: &mut Call, spec: &BuildSpec) {
    let mut all = spec.build.entitlements.clone();
    if spec.build.privileged {
        all.push("security.insecure".to_owned());
    }
    if spec.build.network == "host" {
        all.push("network.host".to_owned());
    }
    all.sort();
    all.dedup();
    for one in all {
        call.flag("--allow", one);
    }
}

fn ulimit(name: &str, limit: &Ulimit) -> String {
    match *limit {
        Ulimit::Single(both) => format!("{name}={both}:{both}"),
        Ulimit::Pair { soft, hard } => format!("{name}={soft}:{hard}"),
    }
}

#[cfg(test)]
mod tests {
    use compose_runtime::port::ContentSource;

    use super::*;

    struct Contents;

    impl ContentSource for Contents {
        fn read(&self, _: &FileContent, name: &str, _: bool) -> Result<Vec<u8>> {
            Ok(format!("content of {name}").into_bytes())
        }
    }

    #[test]
    fn a_build_becomes_a_command_line_without_the_secrets_content() {
        let mut spec = BuildSpec { service: "web".into(), image: "shop-web".into(), ..BuildSpec::default() };
        spec.build.context = "/src".into();
        spec.build.dockerfile = "sub/File".into();
        spec.build.args.insert("A".into(), Some("1".into()));
        spec.build.args.insert("B".into(), None);
        spec.build.tags.push("extra:1".into());
        spec.build.network = "host".into();
        spec.build.extra_hosts = vec!["far:192.0.2.1".to_owned()].into();
        spec.build.ulimits.insert("nofile".into(), Ulimit::Single(5));
        spec.build.additional_contexts.insert("base".into(), "oci-layout:///tmp/x@sha256:aa".into());
        spec.build.additional_contexts.insert("files".into(), "/files".into());
        spec.labels.insert("l".into(), "v".into());
        spec.secrets.insert("s".into(), FileContent::Environment { variable: "TOKEN".into() });
        spec.secrets.insert("f".into(), FileContent::File { path: "/key".into() });
        let target = Target { kind: "docker", archive: Path::new("/tmp/i.tar"), scratch: Path::new("/tmp") };
        let builds = Builds { specs: &[&spec], secrets: &Contents, form: BuildOutput::Plain, output: &|_| {} };
        let got = call("unix:///b.sock", &spec, "linux/amd64", &target, &builds).expect("a call");
        let wanted = "--addr unix:///b.sock build --progress plain --frontend dockerfile.v0 --local context=/src --local \
                      dockerfile=/src/sub --opt filename=File --oci-layout layout0=/tmp/x --opt \
                      context:base=oci-layout://layout0@sha256:aa --local further1=/files --opt context:files=local:further1 \
                      --opt build-arg:A=1 --opt label:l=v --opt platform=linux/amd64 --opt force-network-mode=host --opt \
                      ulimit=nofile=5:5 --opt add-hosts=far=192.0.2.1 --allow network.host --secret id=f,src=/key --secret \
                      id=s,env=COMPOSE_BUILD_SECRET_1 --output type=docker,\"name=extra:1,shop-web\",dest=/tmp/i.tar";
        assert_eq!(got.arguments.join(" "), wanted);
        assert_eq!(got.variables["COMPOSE_BUILD_SECRET_1"], b"content of s");
    }
}
