//! The engine's classic builder: a context goes in, lines and an image come out.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use compose_model::project::Ulimit;
use compose_planner::spec::BuildSpec;
use compose_registry::Credentials;
use compose_runtime::RuntimeError;
use compose_runtime::bake::is_remote;
use compose_runtime::error::Result;
use compose_runtime::port::ProgressSink;
use serde_json::json;

use crate::context_archive::ContextArchive;
use crate::error;
use crate::images;
use crate::transport::{Call, Class, Payload, Query, Transport};

/// The label by which images tell who built them.
const BUILDER_LABEL: &str = "com.docker.compose.image.builder";
/// The Dockerfile's name in the archive where it is not a file of the context.
const FOREIGN: &str = ".compose.dockerfile";

/// Builds an image and returns its identity.
pub(crate) async fn build(
    transport: &Transport,
    credentials: &Credentials,
    spec: &BuildSpec,
    platform: &str,
    output: ProgressSink<'_, String>,
) -> Result<String> {
    refuse_what_needs_buildkit(spec)?;
    let build = &spec.build;
    let mut query = Query::new().with("rm", "1").with("forcerm", "1").with("version", "1");
    for tag in build.tags.iter().map(String::as_str).chain([spec.image.as_str()]).filter(|tag| !tag.is_empty()) {
        query = query.with("t", tag);
    }
    let context = if is_remote(&build.context) { Context::remote(spec) } else { Context::local(spec)? };
    query = query.maybe("remote", &context.remote).maybe("dockerfile", &context.dockerfile);
    let arguments: serde_json::Map<_, _> =
        build.args.iter().filter_map(|(key, value)| Some((key.clone(), json!(value.as_ref()?)))).collect();
    // The project's labels are BuildKit's builds' alone: here each would be a step and a layer.
    let mut labels = build.labels.clone();
    labels.insert(BUILDER_LABEL.to_owned(), "classic".to_owned());
    query = query
        .with("labels", &json!(labels).to_string())
        .maybe("target", &build.target)
        .maybe("networkmode", &build.network)
        .maybe("isolation", &build.isolation)
        .maybe("platform", platform)
        .flag("nocache", build.no_cache)
        .flag("pull", build.pull);
    if !arguments.is_empty() {
        query = query.with("buildargs", &json!(arguments).to_string());
    }
    if !build.cache_from.is_empty() {
        query = query.with("cachefrom", &json!(build.cache_from).to_string());
    }
    if !build.extra_hosts.is_empty() {
        let hosts: Vec<String> = build.extra_hosts.iter().map(|host| host.replacen('=', ":", 1)).collect();
        query = query.with("extrahosts", &hosts.join(","));
    }
    if build.shm_size.0 > 0 {
        query = query.with("shmsize", &build.shm_size.0.to_string());
    }
    if spec.memory > 0 {
        query = query.with("memory", &spec.memory.to_string());
    }
    if !build.ulimits.is_empty() {
        let limits: Vec<_> = build
            .ulimits
            .iter()
            .map(|(name, limit)| {
                let (soft, hard) = match *limit {
                    Ulimit::Single(both) => (both, both),
                    Ulimit::Pair { soft, hard } => (soft, hard),
                };
                json!({"Name": name, "Soft": soft, "Hard": hard})
            })
            .collect();
        query = query.with("ulimits", &json!(limits).to_string());
    }
    let registries = serde_json::to_vec(&credentials.all().await.map_err(error::credentials)?).unwrap_or_default();
    let mut call = Call::post(format!("/build{query}"))
        .class(Class::Long)
        .header("x-registry-config", base64::engine::general_purpose::URL_SAFE.encode(registries));
    if let Some(archive) = context.archive {
        call.payload = Payload::Archive(archive.stream());
    }
    let name = call.name();
    let answer = transport.stream(call).await?;
    let mut id = None;
    let mut partial = String::new();
    images::follow(transport, &name, answer, |message| {
        if let Some(found) = message.aux.as_ref().and_then(|aux| aux["ID"].as_str()) {
            id = Some(found.to_owned());
        }
        if spec.quiet {
            return;
        }
        partial.push_str(&message.stream);
        if !message.status.is_empty() {
            let what = if message.id.is_empty() { String::new() } else { format!("{}: ", message.id) };
            partial.push_str(&format!("{what}{}\n", message.status));
        }
        while let Some((line, rest)) = partial.split_once('\n') {
            output(line.trim_end_matches('\r').to_owned());
            partial = rest.to_owned();
        }
    })
    .await
    .map_err(|error| failed(spec, error))?;
    if !partial.is_empty() {
        output(partial);
    }
    id.ok_or_else(|| error::unreadable(&name, &"it names no image"))
}

fn failed(spec: &BuildSpec, cause: RuntimeError) -> RuntimeError {
    match cause {
        RuntimeError::Failed { message } | RuntimeError::NotFound { message } => {
            RuntimeError::Failed { message: format!("failed to build {}: {message}", spec.service) }
        }
        other => other,
    }
}

/// Where the Dockerfile and the files are.
struct Context {
    remote: String,
    dockerfile: String,
    archive: Option<ContextArchive>,
}

impl Context {
    fn remote(spec: &BuildSpec) -> Self {
        Self { remote: spec.build.context.clone(), dockerfile: spec.build.dockerfile.clone(), archive: None }
    }

    fn local(spec: &BuildSpec) -> Result<Self> {
        let build = &spec.build;
        let directory = PathBuf::from(&build.context);
        if !directory.is_dir() {
            let message = format!("unable to prepare context: path \"{}\" not found", directory.display());
            return Err(error::local(message));
        }
        let mut archive = ContextArchive::of(&directory)?;
        if !build.dockerfile_inline.is_empty() {
            archive.extra = Some((FOREIGN.to_owned(), build.dockerfile_inline.clone().into_bytes()));
            return Ok(Self { remote: String::new(), dockerfile: FOREIGN.to_owned(), archive: Some(archive) });
        }
        let named = if build.dockerfile.is_empty() { "Dockerfile" } else { &build.dockerfile };
        let path = directory.join(named);
        let unreadable =
            |cause: std::io::Error| error::local(format!("unable to read the Dockerfile {}: {cause}", path.display()));
        let real = path.canonicalize().map_err(unreadable)?;
        let inside = directory.canonicalize().ok().and_then(|root| real.strip_prefix(root).ok().map(Path::to_owned));
        let dockerfile = match inside.as_deref().and_then(Path::to_str) {
            Some(inside) => {
                archive.always.push(inside.to_owned());
                inside.to_owned()
            }
            None => {
                archive.extra = Some((FOREIGN.to_owned(), std::fs::read(&real).map_err(unreadable)?));
                FOREIGN.to_owned()
            }
        };
        Ok(Self { remote: String::new(), dockerfile, archive: Some(archive) })
    }
}

/// The classic builder would leave these out without a word, or fail in words that do not help.
fn refuse_what_needs_buildkit(spec: &BuildSpec) -> Result<()> {
    let build = &spec.build;
    let on = |text: &str| !text.is_empty() && text != "false";
    let asked = [
        ("secrets", !build.secrets.is_empty() || !spec.secrets.is_empty()),
        ("ssh", !build.ssh.is_empty()),
        ("additional_contexts", !build.additional_contexts.is_empty()),
        ("cache_to", !build.cache_to.is_empty()),
        ("several platforms", build.platforms.len() > 1),
        ("entitlements", !build.entitlements.is_empty()),
        ("privileged", build.privileged),
        ("no_cache_filter", !build.no_cache_filter.is_empty()),
        ("provenance", on(&build.provenance) || on(&spec.provenance)),
        ("sbom", on(&build.sbom) || on(&spec.sbom)),
        ("a builder instance", !spec.builder.is_empty()),
    ];
    let names: Vec<&str> = asked.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(error::unsupported(format!(
        "build service \"{}\" with its classic builder: {} need BuildKit. Install the docker-buildx plugin (package \
         docker-buildx or docker-buildx-plugin) and do not set DOCKER_BUILDKIT=0",
        spec.service,
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use compose_model::project::{FileReference, SshKey};

    #[test]
    fn what_needs_buildkit_is_refused_by_name() {
        let mut spec = BuildSpec { service: "web".into(), ..BuildSpec::default() };
        spec.build.provenance = "false".into();
        assert!(refuse_what_needs_buildkit(&spec).is_ok());
        spec.build.secrets.push(FileReference::default());
        spec.build.ssh.push(SshKey::default());
        let error = refuse_what_needs_buildkit(&spec).expect_err("refused").to_string();
        assert!(error.contains("service \"web\"") && error.contains("secrets, ssh need BuildKit"), "{error}");
    }
}
