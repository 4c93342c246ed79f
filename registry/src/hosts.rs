//! How each registry is reached: plain HTTP or TLS, whose certificates, in which order.

use std::path::{Path, PathBuf};

use url::Url;

use crate::credentials::Credentials;
use crate::error::{RegistryError, Result};
use crate::reference::Reference;
use crate::tls::TlsRules;

/// Where credentials, certificates and rules come from. Reading environment and home is the
/// caller's business.
#[derive(Clone, Default)]
pub struct Settings {
    /// Logins.
    pub credentials: Credentials,
    /// Registries that may be reached by plain HTTP or with any certificate
    /// (`--insecure-registry`): `host[:port]`. Loopback addresses always may.
    pub insecure: Vec<String>,
    /// Folders with one folder for each registry, named `host[:port]`: `*.crt` are authorities,
    /// `NAME.cert` and `NAME.key` the client's own. Usually `/etc/docker/certs.d` and
    /// `/etc/containerd/certs.d`.
    pub certificates: Vec<PathBuf>,
    /// Proxies.
    pub proxies: Proxies,
}

/// Proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // As the variables.
pub struct Proxies {
    pub http: String,
    pub https: String,
    pub no: String,
}

/// One way to reach a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://host[:port]/v2/`.
    pub(crate) base: Url,
    pub(crate) tls: TlsRules,
    /// The key of its credentials.
    pub(crate) credentials_key: String,
}

impl Settings {
    /// The ways to reach the registry of a reference, the preferred one first; a later one is for
    /// when nobody answers at the earlier ones.
    pub(crate) fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>> {
        let host = reference.host();
        let insecure = self.is_insecure(&reference.registry);
        let tls = TlsRules { skip_verification: insecure, ..self.rules(&reference.registry)? };
        // As the engine does: an insecure registry is tried with TLS first.
        let schemes: &[&str] = if insecure { &["https", "http"] } else { &["https"] };
        schemes
            .iter()
            .map(|scheme| {
                let base = Url::parse(&format!("{scheme}://{host}/v2/"))
                    .map_err(|cause| RegistryError::local(format!("{host} is no address of a registry: {cause}")))?;
                let credentials_key = reference.credentials_key().to_owned();
                Ok(Endpoint { base, tls: tls.clone(), credentials_key })
            })
            .collect()
    }

    /// Whether plain HTTP and unknown certificates are accepted.
    pub(crate) fn is_insecure(&self, registry: &str) -> bool {
        self.insecure.iter().any(|one| one == registry) || is_loopback(registry)
    }

    /// What the certificate folders say of a host.
    pub(crate) fn rules(&self, registry: &str) -> Result<TlsRules> {
        let mut rules = TlsRules::default();
        for folder in &self.certificates {
            add_folder(&mut rules, &folder.join(registry))?;
        }
        Ok(rules)
    }
}

fn add_folder(rules: &mut TlsRules, folder: &Path) -> Result<()> {
    let failed = |cause: std::io::Error| RegistryError::local(format!("cannot read {}: {cause}", folder.display()));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(cause) => return Err(failed(cause)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => rules.authorities.push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.is_file() {
                    return Err(RegistryError::local(format!(
                        "{} has no key beside it: {} is missing",
                        path.display(),
                        key.display()
                    )));
                }
                rules.client = Some((path, key));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(settings: &Settings, text: &str) -> Vec<String> {
        let reference = Reference::parse(text).expect("a reference");
        let endpoints = settings.endpoints(&reference).expect("endpoints");
        endpoints.into_iter().map(|endpoint| endpoint.base.to_string()).collect()
    }

    #[test]
    fn only_loopback_and_named_registries_may_do_without_tls() {
        let settings = Settings { insecure: vec!["near.example:5000".to_owned()], ..Settings::default() };
        assert_eq!(bases(&settings, "busybox"), ["https://registry-1.docker.io/v2/"]);
        assert_eq!(bases(&settings, "near.example/a"), ["https://near.example/v2/"]);
        assert_eq!(bases(&settings, "near.example:5000/a").len(), 2);
        for text in ["localhost:5000/a", "127.0.0.1:5000/a", "127.9.9.9/a", "[::1]:5000/a"] {
            assert_eq!(bases(&settings, text).len(), 2, "{text}");
        }
        assert_eq!(bases(&settings, "localhost.example/a").len(), 1);
    }

    #[test]
    fn certificates_are_found_in_the_folder_of_the_registry() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("near.example:5000");
        std::fs::create_dir(&own).expect("made");
        std::fs::write(own.join("ca.crt"), "").expect("written");
        std::fs::write(own.join("me.cert"), "").expect("written");
        let settings = Settings { certificates: vec![folder.path().to_owned()], ..Settings::default() };
        let error = settings.rules("near.example:5000").expect_err("no key").to_string();
        assert!(error.contains("me.key is missing"), "{error}");
        std::fs::write(own.join("me.key"), "").expect("written");
        let rules = settings.rules("near.example:5000").expect("rules");
        assert_eq!((rules.authorities.len(), rules.client.is_some()), (1, true));
        assert_eq!(settings.rules("near.example").expect("none"), TlsRules::default());
    }
}
