//! Docker contexts: which engine a user has chosen, from plain data and given paths.

use std::path::{Path, PathBuf};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::endpoint::{DEFAULT_HOST, Endpoint, TlsFiles};
use crate::error;

/// What the command line and the environment say about the engine. Empty texts count as unset.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `--host`.
    pub host_flag: Option<String>,
    /// `--context`.
    pub context_flag: Option<String>,
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// Whether `DOCKER_TLS_VERIFY` is set to something.
    pub tls_verify: bool,
    /// `DOCKER_TLS` is set to something: TLS without verification.
    pub tls: bool,
    /// `DOCKER_CERT_PATH`.
    pub certificates: Option<PathBuf>,
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub config_directory: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Configuration {
    #[serde(rename = "currentContext")]
    current_context: String,
    #[serde(rename = "HttpHeaders")]
    headers: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints", default)]
    endpoints: std::collections::BTreeMap<String, MetaEndpoint>,
}

#[derive(Deserialize)]
struct MetaEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_verification: bool,
}

fn configuration(directory: &Path) -> Result<Configuration> {
    let path = directory.join("config.json");
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|cause| {
            error::local(format!("{}:{}:{}: not valid JSON", path.display(), cause.line(), cause.column()))
        }),
        // Without a configuration there is none to obey; an unreadable one is like none, as the
        // engine can be reached without it.
        Err(_) => Ok(Configuration::default()),
    }
}

/// The context that `docker context use` has chosen.
///
/// # Errors
/// When the configuration is not JSON.
pub fn current(config_directory: &Path) -> Result<Option<String>> {
    Ok(Some(configuration(config_directory)?.current_context).filter(|name| !name.is_empty() && name != "default"))
}

/// Reads a context: its host and its certificates.
///
/// # Errors
/// [`RuntimeError::NotFound`] where there is no such context, with those that there are.
pub fn load(config_directory: &Path, name: &str) -> Result<Endpoint> {
    let folder: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let contexts = config_directory.join("contexts");
    let path = contexts.join("meta").join(&folder).join("meta.json");
    let text = std::fs::read(&path).map_err(|_| RuntimeError::NotFound {
        message: format!(
            "context \"{name}\": context not found (looked for {}; `docker context ls` shows those that there are)",
            path.display()
        ),
    })?;
    let meta: Meta =
        serde_json::from_slice(&text).map_err(|cause| error::local(format!("{}: {cause}", path.display())))?;
    let docker = meta.endpoints.get("docker");
    let host = docker.map(|endpoint| endpoint.host.clone()).unwrap_or_default();
    let skip = docker.is_some_and(|endpoint| endpoint.skip_verification);
    let files = TlsFiles::in_directory(&contexts.join("tls").join(&folder).join("docker"), skip);
    let tls = files.authority.is_some() || files.certificate.is_some() || skip;
    Ok(Endpoint {
        host,
        tls: tls.then_some(files),
        config_directory: config_directory.to_owned(),
        why: format!("context \"{name}\""),
        context: Some(name.to_owned()),
        ..Endpoint::default()
    })
}

/// Chooses the engine: `--context`, `--host`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the chosen
/// context, the default socket, in this order.
///
/// # Errors
/// When a context is named that does not exist, or both flags are given.
pub fn resolve(selection: &Selection) -> Result<Endpoint> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let directory = &selection.config_directory;
    let configuration = configuration(directory)?;
    let by_host = |host: String, why: &str| {
        let directory = selection.certificates.clone().unwrap_or_else(|| directory.clone());
        let secure = (selection.tls_verify || selection.tls) && host.starts_with("tcp://");
        Endpoint {
            tls: secure.then(|| TlsFiles::in_directory(&directory, !selection.tls_verify)),
            host,
            config_directory: selection.config_directory.clone(),
            why: why.to_owned(),
            ..Endpoint::default()
        }
    };
    let by_context = |name: &str, why: &str| {
        if name == "default" {
            return Ok(given(&selection.host).map_or_else(
                || by_host(DEFAULT_HOST.to_owned(), "the default socket"),
                |host| by_host(host, "DOCKER_HOST"),
            ));
        }
        load(directory, name).map(|endpoint| Endpoint { why: format!("{}, {why}", endpoint.why), ..endpoint })
    };
    let mut endpoint = match (given(&selection.context_flag), given(&selection.host_flag)) {
        (Some(_), Some(_)) => {
            let message = "conflicting options: cannot specify both --host and --context".to_owned();
            return Err(RuntimeError::Invalid { message });
        }
        (Some(name), None) => by_context(&name, "--context")?,
        (None, Some(host)) => by_host(host, "--host"),
        (None, None) => match (given(&selection.host), given(&selection.context)) {
            (Some(host), _) => by_host(host, "DOCKER_HOST"),
            (None, Some(name)) => by_context(&name, "DOCKER_CONTEXT")?,
            (None, None) => match configuration.current_context.as_str() {
                "" | "default" => by_host(DEFAULT_HOST.to_owned(), "the default socket"),
                name => by_context(name, "docker context use")?,
            },
        },
    };
    endpoint.headers = configuration.headers.into_iter().collect();
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_chosen_in_the_order_of_the_docker_command_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let folder: String = Sha256::digest(b"far").iter().map(|byte| format!("{byte:02x}")).collect();
        let meta = directory.path().join("contexts/meta").join(&folder);
        let tls = directory.path().join("contexts/tls").join(&folder).join("docker");
        std::fs::create_dir_all(&meta).expect("made");
        std::fs::create_dir_all(&tls).expect("made");
        std::fs::write(tls.join("ca.pem"), "x").expect("written");
        let text =
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#;
        std::fs::write(meta.join("meta.json"), text).expect("written");
        let mut selection = Selection { config_directory: directory.path().to_owned(), ..Selection::default() };
        let chosen = |selection: &Selection| match resolve(selection) {
            Ok(endpoint) => format!("{} by {}", endpoint.host, endpoint.why),
            Err(error) => error.to_string(),
        };
        assert_eq!(chosen(&selection), "unix:///var/run/docker.sock by the default socket");
        std::fs::write(directory.path().join("config.json"), r#"{"currentContext":"far"}"#).expect("written");
        assert_eq!(chosen(&selection), "tcp://far:2376 by context \"far\", docker context use");
        assert!(resolve(&selection).expect("chosen").tls.expect("certificates").authority.is_some());
        selection.context = Some("default".into());
        assert_eq!(chosen(&selection), "unix:///var/run/docker.sock by the default socket");
        selection.host = Some("tcp://near".into());
        assert_eq!(chosen(&selection), "tcp://near by DOCKER_HOST");
        selection.context_flag = Some("far".into());
        assert_eq!(chosen(&selection), "tcp://far:2376 by context \"far\", --context");
        selection.host_flag = Some("tcp://other".into());
        assert!(chosen(&selection).contains("cannot specify both"));
        selection.host_flag = None;
        selection.context_flag = Some("nowhere".into());
        assert!(chosen(&selection).starts_with("context \"nowhere\": context not found"));
    }
}
