//! Builds through the `docker-buildx` plugin: a bake file as JSON on its standard input. Which
//! builder the plugin speaks to, and where the image goes, is the backend's to say.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use compose_model::project::Ulimit;
use compose_planner::spec::{BuildSpec, FileContent};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::error::{Result, RuntimeError};
use crate::plugins;
use crate::port::{BuildFailure, BuildOutput, Builds, ContentSource};

fn local(message: impl Into<String>) -> RuntimeError {
    RuntimeError::Local { message: message.into() }
}

/// Whether a context is fetched by the builder.
#[must_use]
pub fn is_remote(context: &str) -> bool {
    context.contains("://") || context.starts_with("git@") || context.starts_with("github.com/")
}

/// The builder that the plugin speaks to.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Variables for the plugin; `None` takes one away.
    pub environment: Vec<(String, Option<OsString>)>,
    /// The plugin's name of the builder; empty: the one of the specification, or its default.
    pub builder: String,
    /// The platform of images that name none; empty: the builder's.
    pub default_platform: String,
    /// Where each image goes, in the plugin's words; none: to the engine or its registry.
    pub outputs: Vec<String>,
    /// Directory that the plugin writes to.
    pub writable: Option<PathBuf>,
}

/// The plugin, if it is installed.
#[must_use]
pub fn plugin(config_directory: &Path) -> Option<PathBuf> {
    plugins::find(&plugins::directories(config_directory), "buildx")
}

/// A bake file with what the plugin needs beside it.
#[derive(Debug, Default, PartialEq)]
struct Bake {
    file: Value,
    /// Paths that the build may read.
    readable: Vec<String>,
    /// Secrets that reach the plugin through its environment: variable to content.
    variables: BTreeMap<String, Vec<u8>>,
    /// `network.host`, `security.insecure`.
    entitlements: Vec<String>,
}

/// Builds images and returns their identities as the plugin tells them, empty where it does not.
///
/// # Errors
/// [`RuntimeError::Local`] when the plugin or a secret cannot be read, [`RuntimeError::Failed`] when a
/// build fails.
pub async fn build(
    plugin: &Path,
    connection: &Connection,
    builds: &Builds<'_>,
) -> std::result::Result<Vec<String>, BuildFailure> {
    let Some(first) = builds.specs.first() else { return Ok(Vec::new()) };
    let bake = bake(builds.specs, connection, builds.secrets)?;
    let metadata = Scratch::new()?;
    let mut command = command(plugin, connection, first, &bake, builds.form)?;
    command.arg("--metadata-file").arg(&metadata.0);
    let program = plugin.display();
    let failed = |cause: std::io::Error| local(format!("cannot run {program}: {cause}"));
    let mut child = command.spawn().map_err(failed)?;
    let (Some(mut input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
        return Err(local(format!("{program} was started without streams")).into());
    };
    let text = bake.file.to_string();
    let write = async move {
        input.write_all(text.as_bytes()).await?;
        input.shutdown().await
    };
    let mut lines = Lines::new(builds);
    let read = async {
        let mut segments = BufReader::new(errors).split(b'\n');
        while let Some(line) = segments.next_segment().await? {
            lines.take(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
        }
        Ok::<_, std::io::Error>(())
    };
    let results = child.stdout.take();
    let check = async {
        let Some(results) = results else { return Ok(()) };
        let mut lines = BufReader::new(results).lines();
        while let Some(line) = lines.next_line().await? {
            (builds.output)((0, line));
        }
        Ok::<_, std::io::Error>(())
    };
    let (written, read, checked) = tokio::join!(write, read, check);
    checked.map_err(failed)?;
    read.map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        let (position, said) = lines.failure();
        // A check is one for all.
        let failing =
            if first.check { builds.specs } else { builds.specs.get(position..=position).unwrap_or_default() };
        let service = failing.iter().map(|spec| spec.service.as_str()).collect::<Vec<_>>().join(", ");
        let said = match said {
            said if !said.is_empty() => said,
            _ if first.check => "its check has found what is told above".to_owned(),
            _ => format!("{program} ended with {status}"),
        };
        return Err(BuildFailure {
            position,
            error: RuntimeError::Failed { message: format!("failed to build {service}: {said}") },
        });
    }
    written.map_err(failed)?;
    Ok(metadata.digests(builds.specs))
}

/// The plugin's command line, all but where it writes what it has made.
fn command(
    plugin: &Path,
    connection: &Connection,
    spec: &BuildSpec,
    bake: &Bake,
    form: BuildOutput,
) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(plugin);
    let form = match form {
        BuildOutput::Plain => "plain",
        BuildOutput::Json => "rawjson",
    };
    command.args(["bake", "--file", "-", "--progress", form]);
    for path in &bake.readable {
        command.arg("--allow").arg(format!("fs.read={path}"));
    }
    for entitlement in &bake.entitlements {
        command.arg("--allow").arg(entitlement);
    }
    for (flag, value) in [("--provenance", &spec.provenance), ("--sbom", &spec.sbom)] {
        if !value.is_empty() {
            command.arg(format!("{flag}={value}"));
        }
    }
    if let Some(directory) = &connection.writable {
        command.arg("--allow").arg(format!("fs.write={}", directory.display()));
    }
    let builder = if connection.builder.is_empty() { &spec.builder } else { &connection.builder };
    if !builder.is_empty() {
        command.args(["--builder", builder]);
    }
    for (name, value) in &connection.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    for (name, content) in &bake.variables {
        use std::os::unix::ffi::OsStrExt;
        if content.contains(&0) {
            return Err(local(format!("the secret in `{name}` holds a zero byte and cannot be passed on")));
        }
        command.env(name, std::ffi::OsStr::from_bytes(content));
    }
    command
        .env("USER_AGENT", concat!("compose/", env!("CARGO_PKG_VERSION")))
        .stdin(Stdio::piped())
        .stdout(if spec.check { Stdio::piped() } else { Stdio::null() })
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// The plugin's lines on their way out: which build each is about, and what they say of a failure.
struct Lines<'a> {
    builds: &'a Builds<'a>,
    names: BTreeMap<String, usize>,
    /// Numbers of steps that are known to be of a build.
    steps: BTreeMap<u32, usize>,
    /// The build that the last line was about.
    current: usize,
    /// A rule that belongs to what comes next.
    rule: Option<String>,
    /// The last lines of a quiet build.
    kept: VecDeque<String>,
    /// What was said to be wrong.
    error: String,
}

impl<'a> Lines<'a> {
    fn new(builds: &'a Builds<'a>) -> Self {
        Self {
            builds,
            names: builds.specs.iter().enumerate().map(|(position, spec)| (target_name(spec), position)).collect(),
            steps: BTreeMap::new(),
            current: 0,
            rule: None,
            kept: VecDeque::new(),
            error: String::new(),
        }
    }

    fn take(&mut self, line: String) {
        if is_about_the_plugin(&line) {
            return;
        }
        if let Some(error) = line.strip_prefix("ERROR: ") {
            error.clone_into(&mut self.error);
        }
        if self.builds.form == BuildOutput::Json && !line.starts_with('{') {
            return;
        }
        if line == RULE && self.rule.is_none() {
            self.rule = Some(line);
            return;
        }
        self.current = self.about(&line).unwrap_or(self.current);
        if let Some(rule) = self.rule.take() {
            self.tell(rule);
        }
        self.tell(line);
    }

    /// The build that a line names: `#7 [web 2/2] RUN make` and ` > [web 2/2] RUN make:`, and what has
    /// the number of such a line.
    fn about(&mut self, line: &str) -> Option<usize> {
        let named = |text: &str| {
            let (name, _) = text.strip_prefix('[')?.split_once([' ', ']'])?;
            self.names.get(name).copied()
        };
        if let Some(rest) = line.strip_prefix(" > ") {
            return named(rest);
        }
        let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
        let number = number.parse().ok()?;
        match named(rest) {
            Some(position) => {
                self.steps.insert(number, position);
                Some(position)
            }
            None => self.steps.get(&number).copied(),
        }
    }

    fn tell(&mut self, line: String) {
        if !self.builds.specs.iter().any(|spec| spec.quiet) {
            (self.builds.output)((self.current, line));
            return;
        }
        if self.kept.len() >= KEPT_LINES {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }

    /// Which build has failed, and why as far as it was said. A failure is never quiet: what the step
    /// said is why it failed.
    fn failure(mut self) -> (usize, String) {
        let named = self.error.strip_prefix("target ").and_then(|rest| rest.split_once(": "));
        let position = named.and_then(|(name, _)| self.names.get(name)).copied().unwrap_or(0);
        for line in std::mem::take(&mut self.kept).into_iter().chain(self.rule.take()) {
            (self.builds.output)((position, line));
        }
        (position, self.error)
    }
}

/// What stands around the last lines of a failed step.
const RULE: &str = "------";

/// Lines of a quiet build that are kept for the case that it fails.
const KEPT_LINES: usize = 40;

/// What the plugin says of itself: which builder it has taken, and what it makes of a bake file that it
/// also tries to read as a Compose file, in which a dollar sign begins a variable.
fn is_about_the_plugin(line: &str) -> bool {
    line.starts_with("#0 building with ")
        || line.starts_with("WARNING: The \"") && line.ends_with("variable is not set. Defaulting to a blank string.")
}

/// Where the plugin writes what it has made.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let directory = std::env::temp_dir();
        for number in 0..100 {
            let path = directory.join(format!("compose-build-{}-{number}.json", std::process::id()));
            match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Self(path)),
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(local(format!("cannot write {}: {cause}", path.display()))),
            }
        }
        Err(local(format!("cannot find a free name in {}", directory.display())))
    }

    fn digests(&self, specs: &[&BuildSpec]) -> Vec<String> {
        let text = std::fs::read(&self.0).unwrap_or_default();
        let metadata: Value = serde_json::from_slice(&text).unwrap_or_default();
        let digest = |spec: &&BuildSpec| metadata[target_name(spec)]["containerimage.digest"].as_str();
        specs.iter().map(|spec| digest(spec).unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_file(&self.0) {
            tracing::debug!(%cause, "a build's metadata file was not removed");
        }
    }
}

/// Bake's names have no dots.
fn target_name(spec: &BuildSpec) -> String {
    spec.service.as_str().replace('.', "_")
}

/// What builds look like in one bake file.
///
/// # Errors
/// A build cannot be described.
pub fn definition(specs: &[BuildSpec], default_platform: &str) -> Result<String> {
    let specs: Vec<&BuildSpec> = specs.iter().collect();
    let connection = Connection { default_platform: default_platform.to_owned(), ..Connection::default() };
    Ok(format!("{:#}", bake(&specs, &connection, &Unread)?.file))
}

/// Contents that are not needed.
struct Unread;

impl ContentSource for Unread {
    fn read(&self, _: &FileContent, _: &str, _: bool) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// A path without `.` and `..`, as text.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

/// One file for all: images of each other are targets in it.
fn bake(specs: &[&BuildSpec], connection: &Connection, source: &dyn ContentSource) -> Result<Bake> {
    let mut bake = Bake::default();
    let names: Vec<String> = specs.iter().map(|spec| target_name(spec)).collect();
    let mut targets = Map::new();
    for (position, spec) in specs.iter().enumerate() {
        let output = connection.outputs.get(position).map_or("", String::as_str);
        let platform = spec.single_platform(&connection.default_platform);
        let mut target = target(&mut bake, spec, platform, source, output)?;
        for (context, service) in &spec.service_contexts {
            if let Some(other) = specs.iter().find(|other| other.service == *service) {
                target["contexts"][context] = json!(format!("target:{}", target_name(other)));
            }
        }
        targets.insert(names[position].clone(), target);
    }
    for list in [&mut bake.readable, &mut bake.entitlements] {
        list.sort();
        list.dedup();
    }
    bake.file = json!({"group": {"default": {"targets": names}}, "target": targets});
    Ok(bake)
}

/// A build, and what it needs beside the file.
fn target(
    bake: &mut Bake,
    spec: &BuildSpec,
    platform: &str,
    source: &dyn ContentSource,
    output: &str,
) -> Result<Value> {
    let build = &spec.build;
    let mut target = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(set) => !set,
            other => other.is_null(),
        };
        if !empty {
            target.insert(key.to_owned(), value);
        }
    };
    put("context", json!(build.context));
    if build.dockerfile_inline.is_empty() {
        let named = if build.dockerfile.is_empty() { "Dockerfile" } else { &build.dockerfile };
        if is_remote(&build.context) {
            put("dockerfile", json!(named));
        } else {
            let path = clean(&Path::new(&build.context).join(named)).display().to_string();
            put("dockerfile", json!(path));
            bake.readable.push(path);
        }
    }
    if !is_remote(&build.context) {
        bake.readable.push(build.context.clone());
    }
    put("dockerfile-inline", json!(build.dockerfile_inline));
    bake.readable.extend(build.additional_contexts.values().filter(|path| path.starts_with('/')).cloned());
    put("contexts", json!(build.additional_contexts));
    let arguments: BTreeMap<&String, &String> =
        build.args.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    put("args", json!(arguments));
    let mut labels = build.labels.clone();
    labels.extend(spec.labels.clone());
    put("labels", json!(labels));
    let tags: Vec<&str> =
        build.tags.iter().map(String::as_str).chain([spec.image.as_str()]).filter(|tag| !tag.is_empty()).collect();
    put("tags", json!(tags));
    put("cache-from", json!(build.cache_from));
    put("cache-to", json!(build.cache_to));
    put("target", json!(build.target));
    put("network", json!(build.network));
    put("no-cache", json!(build.no_cache));
    put("no-cache-filter", json!(build.no_cache_filter));
    put("pull", json!(build.pull));
    if build.shm_size.0 > 0 {
        put("shm-size", json!(build.shm_size.0.to_string()));
    }
    let ulimits: Vec<String> = build
        .ulimits
        .iter()
        .map(|(name, limit)| match *limit {
            Ulimit::Single(both) => format!("{name}={both}"),
            Ulimit::Pair { soft, hard } => format!("{name}={soft}:{hard}"),
        })
        .collect();
    put("ulimits", json!(ulimits));
    let mut hosts: BTreeMap<&str, String> = BTreeMap::new();
    for (host, address) in build.extra_hosts.iter().filter_map(|host| host.split_once(['=', ':'])) {
        let addresses = hosts.entry(host).or_default();
        if !addresses.is_empty() {
            addresses.push(',');
        }
        addresses.push_str(address);
    }
    put("extra-hosts", json!(hosts));
    let mut entitlements = build.entitlements.clone();
    if build.privileged {
        entitlements.push("security.insecure".to_owned());
    }
    put("entitlements", json!(entitlements));
    bake.entitlements.append(&mut entitlements);
    if build.network == "host" {
        bake.entitlements.push("network.host".to_owned());
    }
    let platforms: Vec<&str> = match build.platforms.as_slice() {
        [] => Some(platform).filter(|platform| !platform.is_empty()).into_iter().collect(),
        several => several.iter().map(String::as_str).collect(),
    };
    let several = platforms.len() > 1;
    put("platforms", json!(platforms));
    let attest: Vec<String> = [("provenance", &build.provenance), ("sbom", &build.sbom)]
        .into_iter()
        .filter_map(|(kind, value)| match value.as_str() {
            "" => None,
            "false" => Some(format!("type={kind},disabled=true")),
            "true" => Some(format!("type={kind}")),
            attributes => Some(format!("type={kind},{attributes}")),
        })
        .collect();
    put("attest", json!(attest));
    let ssh: Vec<String> = build.ssh.iter().map(|key| format!("{}={}", key.id, key.path)).collect();
    bake.readable.extend(build.ssh.iter().filter(|key| !key.path.is_empty()).map(|key| key.path.clone()));
    put("ssh", json!(ssh));
    let mut secrets = Vec::new();
    // In the order of the file.
    let ids = spec
        .secret_references
        .iter()
        .map(|secret| if secret.target.is_empty() { &secret.source } else { &secret.target });
    let mut ids: Vec<&String> = ids.collect();
    ids.extend(spec.secrets.keys());
    let mut seen = std::collections::BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    let found = ids.into_iter().filter_map(|id| Some((id, spec.secrets.get(id)?)));
    for (id, content) in found {
        let variable = match content {
            FileContent::File { path } => {
                bake.readable.push(path.clone());
                secrets.push(format!("id={id},type=file,src={path}"));
                continue;
            }
            FileContent::Environment { variable } => variable.clone(),
            FileContent::Inline { .. } => format!("COMPOSE_BUILD_SECRET_{}", bake.variables.len()),
        };
        // The content goes through the plugin's environment: `.env` files are ours to read.
        bake.variables.insert(variable.clone(), source.read(content, id, true)?);
        secrets.push(format!("id={id},type=env,env={variable}"));
    }
    put("secret", json!(secrets));
    let output = match (several, spec.push) {
        _ if !output.is_empty() => output.to_owned(),
        (true, push) => format!("type=image,push={push}"),
        (false, true) => "type=registry".to_owned(),
        (false, false) => "type=docker".to_owned(),
    };
    if spec.check {
        put("call", json!("lint"));
    } else {
        put("output", json!([output]));
    }
    Ok(Value::Object(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Contents;

    impl ContentSource for Contents {
        fn read(&self, _: &FileContent, name: &str, _: bool) -> Result<Vec<u8>> {
            Ok(format!("content of {name}").into_bytes())
        }
    }

    #[test]
    fn a_build_becomes_a_bake_file_without_the_secrets_content() {
        let mut spec = BuildSpec { service: "we.b".into(), image: "shop-web".into(), ..BuildSpec::default() };
        spec.build.context = "/src".into();
        spec.build.args.insert("A".into(), Some("1".into()));
        spec.build.args.insert("B".into(), None);
        spec.build.tags.push("extra:1".into());
        spec.build.provenance = "false".into();
        spec.build.extra_hosts = vec!["far=192.0.2.1".to_owned()].into();
        spec.build.ulimits.insert("nofile".into(), Ulimit::Pair { soft: 1, hard: 2 });
        spec.labels.insert("l".into(), "v".into());
        spec.secrets.insert("s".into(), FileContent::Environment { variable: "TOKEN".into() });
        spec.secrets.insert("f".into(), FileContent::File { path: "/key".into() });
        let connection = Connection { default_platform: "linux/amd64".to_owned(), ..Connection::default() };
        let bake = bake(&[&spec], &connection, &Contents).expect("a bake file");
        assert_eq!(
            bake.file,
            json!({"group": {"default": {"targets": ["we_b"]}}, "target": {"we_b": {
                "context": "/src", "dockerfile": "/src/Dockerfile", "args": {"A": "1"}, "labels": {"l": "v"},
                "tags": ["extra:1", "shop-web"], "ulimits": ["nofile=1:2"], "extra-hosts": {"far": "192.0.2.1"},
                "platforms": ["linux/amd64"], "attest": ["type=provenance,disabled=true"],
                "secret": ["id=f,type=file,src=/key", "id=s,type=env,env=TOKEN"], "output": ["type=docker"],
            }}})
        );
        assert!(!bake.file.to_string().contains("content of"));
        assert_eq!(bake.variables["TOKEN"], b"content of s");
        assert_eq!(bake.readable, ["/key", "/src", "/src/Dockerfile"]);
    }

    #[test]
    fn the_plugin_is_found_in_the_users_directory_first() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("cli-plugins")).expect("made");
        let path = directory.path().join("cli-plugins/docker-buildx");
        std::fs::write(&path, "").expect("written");
        assert_eq!(plugin(directory.path()), Some(path));
    }
}
