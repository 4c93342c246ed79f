//! Which engine, and connecting to it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use compose_model::names::ProjectName;
use compose_runtime::Runtime;
use runtime_containerd::{BuildSettings, Containerd, Settings};
use runtime_docker::context::{Selection, resolve};
use runtime_docker::{DockerRuntime, Endpoint, TlsFiles};

use crate::context::Context;

/// The backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Docker,
    Containerd,
}

fn backend(context: &Context<'_>) -> anyhow::Result<(Backend, String)> {
    let by = if context.options.runtime.is_some() { "--runtime" } else { "COMPOSE_RUNTIME" };
    match context.setting(context.options.runtime.as_deref(), "COMPOSE_RUNTIME") {
        Some("docker") => Ok((Backend::Docker, format!("{by} says so"))),
        Some("containerd") => Ok((Backend::Containerd, format!("{by} says so"))),
        Some(other) => bail!("unknown engine {other:?}: use --runtime docker or --runtime containerd"),
        None => Ok(without_a_word(context)),
    }
}

/// Nobody says which engine: Docker, unless nothing is said of it either, its socket does not
/// answer, and containerd's does.
fn without_a_word(context: &Context<'_>) -> (Backend, String) {
    let said = context.options.host.is_some()
        || context.options.context.is_some()
        || ["DOCKER_HOST", "DOCKER_CONTEXT"].iter().any(|name| context.environment.get(name).is_some());
    let answers = |path: &str| std::os::unix::net::UnixStream::connect(path).is_ok();
    let docker = endpoint(context).ok().map(|endpoint| endpoint.host);
    let docker = docker.as_deref().and_then(|host| host.strip_prefix("unix://"));
    let address = context.environment.get("CONTAINERD_ADDRESS").unwrap_or("/run/containerd/containerd.sock");
    match docker {
        Some(docker) if !said && !answers(docker) && answers(address.trim_start_matches("unix://")) => {
            (Backend::Containerd, format!("no Docker engine answers at {docker}"))
        }
        _ => (Backend::Docker, String::new()),
    }
}

/// Docker's configuration directory.
pub(crate) fn config_directory(context: &Context<'_>) -> PathBuf {
    context.environment.docker_configuration()
}

fn endpoint(context: &Context<'_>) -> anyhow::Result<Endpoint> {
    let options = context.options;
    let environment = context.environment;
    let get = |name: &str| environment.get(name).map(str::to_owned);
    let selection = Selection {
        host_flag: options.host.clone(),
        context_flag: options.context.clone(),
        host: get("DOCKER_HOST"),
        context: get("DOCKER_CONTEXT"),
        tls_verify: environment.get("DOCKER_TLS_VERIFY").is_some() || options.tlsverify,
        tls: environment.get("DOCKER_TLS").is_some() || options.tls,
        certificates: get("DOCKER_CERT_PATH").map(PathBuf::from),
        config_directory: config_directory(context),
    };
    let mut endpoint = resolve(&selection)?;
    if options.tlscacert.is_some() || options.tlscert.is_some() {
        let path = |text: &Option<String>| text.as_ref().map(PathBuf::from);
        endpoint.tls = Some(TlsFiles {
            authority: path(&options.tlscacert),
            certificate: path(&options.tlscert),
            key: path(&options.tlskey),
            skip_verification: !selection.tls_verify,
        });
    }
    endpoint.api_version = get("DOCKER_API_VERSION");
    endpoint.auth_config = get("DOCKER_AUTH_CONFIG");
    endpoint.default_platform = get("DOCKER_DEFAULT_PLATFORM").unwrap_or_default();
    endpoint.classic_builds = environment.get("DOCKER_BUILDKIT") == Some("0");
    if let Some(headers) = environment.get("DOCKER_CUSTOM_HEADERS") {
        let pairs = headers.split(',').filter_map(|pair| pair.split_once('='));
        endpoint.headers.extend(pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())));
    }
    Ok(endpoint)
}

/// The engine's address without connecting, to tell engines apart.
pub(crate) fn address(context: &Context<'_>) -> String {
    match backend(context) {
        Ok((Backend::Docker, _)) => endpoint(context).map(|endpoint| endpoint.host).unwrap_or_default(),
        _ => format!("containerd {}", context.environment.get("CONTAINERD_ADDRESS").unwrap_or_default()),
    }
}

/// Where containerd and its network plug-ins are, by the variables that nerdctl reads too.
pub(crate) fn containerd_settings(context: &Context<'_>) -> anyhow::Result<Settings> {
    let get = |name: &str| context.environment.get(name).unwrap_or_default();
    let program = std::env::current_exe().context("the path of this program, which also writes container logs")?;
    let mut settings = Settings::new(get("CONTAINERD_ADDRESS"), get("CONTAINERD_NAMESPACE"), program);
    let own = get("CNI_PATH").split(':').filter(|path| !path.is_empty()).map(PathBuf::from);
    settings.plugin_directories.splice(0..0, own);
    if !get("NETCONFPATH").is_empty() {
        settings.network_directory = PathBuf::from(get("NETCONFPATH"));
    }
    Ok(settings)
}

/// Connects. With a project the first call is the list of its containers, which is needed anyway.
pub(crate) async fn connect(context: &Context<'_>, project: Option<&ProjectName>) -> anyhow::Result<Arc<dyn Runtime>> {
    let (backend, why) = backend(context)?;
    match backend {
        Backend::Docker => {
            let endpoint = endpoint(context)?;
            let runtime = match project {
                Some(project) => DockerRuntime::connect_observing(&endpoint, project).await?,
                None => DockerRuntime::connect(&endpoint).await?,
            };
            Ok(Arc::new(runtime))
        }
        Backend::Containerd => {
            let containerd = Containerd::connect(containerd_settings(context)?).await?;
            let get = |name: &str| context.environment.get(name).unwrap_or_default().to_owned();
            let builds = BuildSettings {
                host: get("BUILDKIT_HOST"),
                config_directory: config_directory(context),
                search_path: get("PATH"),
                default_platform: get("DOCKER_DEFAULT_PLATFORM"),
            };
            Ok(Arc::new(
                containerd.because(&why).with_builder(&builds).with_registry(crate::registries::registry(
                    context.environment,
                    &context.options.insecure_registry,
                )),
            ))
        }
    }
}
