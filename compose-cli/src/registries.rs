//! The client of registries, as Docker's configuration and the environment have it.

use std::path::PathBuf;

use compose_registry::{Credentials, Proxies, Registry, Settings};

use crate::environment::Environment;

/// A client with the user's logins. `insecure` is what `--insecure-registry` names.
pub(crate) fn registry(environment: &Environment, insecure: &[String]) -> Registry {
    let proxy = |name: &str| {
        let value = environment.get(name).or_else(|| environment.get(&name.to_ascii_lowercase()));
        value.unwrap_or_default().to_owned()
    };
    Registry::new(Settings {
        credentials: Credentials::new(&environment.docker_configuration(), environment.get("DOCKER_AUTH_CONFIG")),
        insecure: insecure.to_vec(),
        certificates: ["/etc/docker/certs.d", "/etc/containerd/certs.d"].map(PathBuf::from).into(),
        proxies: Proxies { http: proxy("HTTP_PROXY"), https: proxy("HTTPS_PROXY"), no: proxy("NO_PROXY") },
    })
}
