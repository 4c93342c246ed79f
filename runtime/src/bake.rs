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
use crate::port::{ContentSource, ProgressSink};

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
    /// Where the image goes, in the plugin's words; empty: to the engine or its registry.
    pub output: String,
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

/// Builds an image and returns its identity as the plugin tells it, empty where it does not.
///
/// # Errors
/// [`RuntimeError::Local`] when the plugin or a secret cannot be read, [`RuntimeError::Failed`] when the
/// build fails.
pub async fn build(
    plugin: &Path,
    connection: &Connection,
    spec: &BuildSpec,
    platform: &str,
    secrets: &(dyn ContentSource + Sync),
    output: ProgressSink<'_, String>,
) -> Result<String> {
    let bake = bake(spec, platform, secrets, &connection.output)?;
    let metadata = Scratch::new()?;
    let mut command = tokio::process::Command::new(plugin);
    command.args(["bake", "--file", "-", "--progress", "plain", "--metadata-file"]).arg(&metadata.0);
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
    let program = plugin.display();
    let failed = |cause: std::io::Error| local(format!("cannot run {program}: {cause}"));
    let mut child = command
        .env("USER_AGENT", concat!("compose/", env!("CARGO_PKG_VERSION")))
        .stdin(Stdio::piped())
        .stdout(if spec.check { Stdio::piped() } else { Stdio::null() })
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (Some(mut input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
        return Err(local(format!("{program} was started without streams")));
    };
    let text = bake.file.to_string();
    let write = async move {
        input.write_all(text.as_bytes()).await?;
        input.shutdown().await
    };
    let read = async {
        let mut lines = BufReader::new(errors).split(b'\n');
        let mut last = String::new();
        let mut kept = VecDeque::new();
        while let Some(line) = lines.next_segment().await? {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if let Some(error) = line.strip_prefix("ERROR: ") {
                last = error.to_owned();
            }
            if is_about_the_plugin(&line) {
                continue;
            }
            if !spec.quiet {
                output(line);
                continue;
            }
            if kept.len() >= KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
        Ok::<_, std::io::Error>((last, kept))
    };
    let results = child.stdout.take();
    let check = async {
        let Some(results) = results else { return Ok(()) };
        let mut lines = BufReader::new(results).lines();
        while let Some(line) = lines.next_line().await? {
            output(line);
        }
        Ok::<_, std::io::Error>(())
    };
    let (written, read, checked) = tokio::join!(write, read, check);
    checked.map_err(failed)?;
    let (said, kept) = read.map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        // A failure is never quiet: what the step said is why it failed.
        kept.into_iter().for_each(output);
        let said = match said {
            said if !said.is_empty() => said,
            _ if spec.check => "its check has found what is told above".to_owned(),
            _ => format!("{program} ended with {status}"),
        };
        return Err(RuntimeError::Failed { message: format!("failed to build {}: {said}", spec.service) });
    }
    written.map_err(failed)?;
    Ok(metadata.digest(&target_name(spec)))
}

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

    fn digest(&self, target: &str) -> String {
        let text = std::fs::read(&self.0).unwrap_or_default();
        let metadata: Value = serde_json::from_slice(&text).unwrap_or_default();
        metadata[target]["containerimage.digest"].as_str().unwrap_or_default().to_owned()
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

/// What several builds look like in one bake file, in which images of each other are targets.
///
/// # Errors
/// A build cannot be described.
pub fn definition(specs: &[BuildSpec], default_platform: &str) -> Result<String> {
    let mut names = Vec::new();
    let mut targets = Map::new();
    for spec in specs {
        let platform = if spec.platform.is_empty() { default_platform } else { &spec.platform };
        let mut file = bake(spec, platform, &Unread, "")?.file;
        let name = target_name(spec);
        let target = file["target"][&name].take();
        let mut target = target;
        for (context, service) in &spec.service_contexts {
            if let Some(other) = specs.iter().find(|other| other.service == *service) {
                target["contexts"][context] = json!(format!("target:{}", target_name(other)));
            }
        }
        names.push(name.clone());
        targets.insert(name, target);
    }
    let file = json!({"group": {"default": {"targets": names}}, "target": targets});
    Ok(format!("{file:#}"))
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

fn bake(spec: &BuildSpec, platform: &str, source: &dyn ContentSource, output: &str) -> Result<Bake> {
    let build = &spec.build;
    let mut bake = Bake::default();
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
    bake.entitlements = build.entitlements.clone();
    if build.privileged {
        bake.entitlements.push("security.insecure".to_owned());
    }
    put("entitlements", json!(bake.entitlements));
    if build.network == "host" {
        bake.entitlements.push("network.host".to_owned());
    }
    bake.entitlements.sort();
    bake.entitlements.dedup();
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
    for (index, (id, content)) in found.enumerate() {
        let variable = match content {
            FileContent::File { path } => {
                bake.readable.push(path.clone());
                secrets.push(format!("id={id},type=file,src={path}"));
                continue;
            }
            FileContent::Environment { variable } => variable.clone(),
            FileContent::Inline { .. } => format!("COMPOSE_BUILD_SECRET_{index}"),
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
    let name = target_name(spec);
    bake.file = json!({"group": {"default": {"targets": [name]}}, "target": {name: target}});
    bake.readable.sort();
    bake.readable.dedup();
    Ok(bake)
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
        let bake = bake(&spec, "linux/amd64", &Contents, "").expect("a bake file");
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
