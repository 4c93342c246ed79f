//! The hashes that containers, networks and volumes are labelled with, and our own digests of
//! attribute groups and contents, from which reasons are made.

use std::collections::BTreeMap;

use compose_model::project::{Project, Service};
use sha2::{Digest, Sha256};

pub(crate) use compose_model::canonical::{network_hash as network, service_hash as service, volume_hash as volume};

/// Lower-case hex digits.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')));
        }
    }
    text
}

/// A short digest: the first 12 hex digits of SHA-256.
pub(crate) fn short(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).get(..6).unwrap_or_default())
}

/// Whether the variable's name says that its value is not to be shown.
pub(crate) fn looks_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "PWD"];
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Attributes that say nothing about the container and therefore have no digest.
const NOT_IN_CONTAINER: [&str; 8] =
    ["build", "depends_on", "pull_policy", "pull_refresh_after", "scale", "develop", "attach", "env_file"];

/// Whether the name would not survive in a list of `name=digest` entries.
fn is_unfit_for_label(name: &str) -> bool {
    name.contains([',', '=', ' '])
}

/// Whether a variable's value is covered by the digest of `environment` instead of one of its own.
pub(crate) fn has_no_digest(variable: &str) -> bool {
    looks_secret(variable) || is_unfit_for_label(variable)
}

/// Digests of a service's attributes, by attribute; one for each environment variable
/// (`environment.LOG`), with `-` for those whose name looks secret: their values are covered
/// together by `environment`. Unset attributes are absent.
pub(crate) fn groups(service: &Service) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Ok(serde_json::Value::Object(attributes)) = serde_json::to_value(service) else {
        return found;
    };
    for (name, value) in attributes {
        if value.is_null() || NOT_IN_CONTAINER.contains(&name.as_str()) || name.starts_with("x-") {
            continue;
        }
        let value = match value {
            serde_json::Value::Object(mut deploy) if name == "deploy" => {
                deploy.remove("replicas");
                serde_json::Value::Object(deploy)
            }
            // The others have digests of their own.
            serde_json::Value::Object(mut variables) if name == "environment" => {
                variables.retain(|variable, _| has_no_digest(variable));
                if variables.is_empty() {
                    continue;
                }
                serde_json::Value::Object(variables)
            }
            other => other,
        };
        found.insert(name, short(value.to_string().as_bytes()));
    }
    for (name, value) in &service.environment {
        if is_unfit_for_label(name) {
            continue;
        }
        let digest = if looks_secret(name) {
            "-".to_owned()
        } else {
            let mut digest = short(format!("{name}={value:?}").as_bytes());
            digest.truncate(6);
            digest
        };
        found.insert(format!("environment.{name}"), digest);
    }
    found
}

/// The form of [`groups`] that the label carries.
pub(crate) fn groups_label(groups: &BTreeMap<String, String>) -> String {
    groups.iter().map(|(name, digest)| format!("{name}={digest}")).collect::<Vec<_>>().join(",")
}

/// Reads [`groups_label`] back.
#[must_use]
pub fn parse_groups(label: &str) -> BTreeMap<String, String> {
    label
        .split(',')
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
        .collect()
}

/// Digests of the contents that are copied into the service's containers, by `config.NAME` and
/// `secret.NAME`: inline text and variables. Files on the host are mounted, so their changes
/// arrive by themselves. Only digests go into a label, never the content.
pub(crate) fn contents(project: &Project, service: &Service) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |kind: &str, source: &str, content: &str| {
        // The project's name keeps equal contents of different projects apart.
        let mut digest = Sha256::new();
        for part in [project.name.as_str(), kind, source, content] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let mut text = hex(&digest.finalize());
        text.truncate(12);
        found.insert(format!("{kind}.{source}"), text);
    };
    for reference in &service.configs {
        if let Some(object) = project.configs.get(reference.source.as_str()) {
            if !object.content.is_empty() {
                add("config", &reference.source, &object.content);
            } else if let Some(value) = project.environment.get(&object.environment) {
                add("config", &reference.source, value);
            }
        }
    }
    for reference in &service.secrets {
        if let Some(object) = project.secrets.get(reference.source.as_str())
            && let Some(value) = project.environment.get(&object.environment)
        {
            add("secret", &reference.source, value);
        }
    }
    found
}
