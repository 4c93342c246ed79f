//! The hashes that containers, networks and volumes are labelled with, and our own digests of
//! attribute groups and contents, from which reasons are made.

use std::collections::BTreeMap;

use compose_model::project::{Project, Service};
use indexmap::IndexMap;
use serde_json::value::RawValue;
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
    let name = name.as_bytes();
    name.iter().enumerate().any(|(at, byte)| {
        let first = byte.to_ascii_uppercase();
        // Most letters begin no word at all.
        matches!(first, b'A' | b'C' | b'K' | b'P' | b'S' | b'T')
            && WORDS.iter().map(|word| word.as_bytes()).any(|word| {
                word.first() == Some(&first)
                    && name.get(at..at + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word))
            })
    })
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
    let Ok(text) = serde_json::to_string(service) else { return found };
    // Only a few attributes are looked into; the others are digested as they are written.
    let Ok(attributes) = serde_json::from_str::<IndexMap<&str, &RawValue>>(&text) else { return found };
    for (name, written) in attributes {
        if written.get() == "null" || NOT_IN_CONTAINER.contains(&name) || name.starts_with("x-") {
            continue;
        }
        let value = match name {
            "deploy" | "environment" | "cpus" | "cpu_percent" => attribute(service, name),
            _ => None,
        };
        let digest = match value {
            Some(serde_json::Value::Object(variables)) if name == "environment" && variables.is_empty() => continue,
            Some(value) => short(value.to_string().as_bytes()),
            None => short(written.get().as_bytes()),
        };
        found.insert(name.to_owned(), digest);
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

/// The attributes whose digested form is not that in which they are written.
fn attribute(service: &Service, name: &str) -> Option<serde_json::Value> {
    match name {
        // What is scaled is no other container.
        "deploy" => {
            let mut deploy = serde_json::to_value(&service.deploy).ok()?;
            deploy.as_object_mut()?.remove("replicas");
            Some(deploy)
        }
        // The others have digests of their own.
        "environment" => {
            let covered = service.environment.iter().filter(|(variable, _)| has_no_digest(variable));
            Some(serde_json::Value::Object(covered.map(|(name, value)| (name.clone(), value.clone().into())).collect()))
        }
        // Digests were first made of numbers of twice the length.
        "cpus" => Some(service.cpus.into()),
        "cpu_percent" => Some(service.cpu_percent.into()),
        _ => None,
    }
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

/// The digest of what a config or secret holds, for [`crate::observed::Observed::contents`].
///
/// A config's is plain. A secret may have few possible values, and whoever reads a label could try
/// them all: its digest needs a key that stays on the host, and begins with a mark of that key, so
/// that digests under different keys are never compared. Without a key a secret has no digest.
#[must_use]
pub fn content_digest(
    project: &Project,
    kind: ContentKind,
    source: &str,
    content: &[u8],
    key: Option<&[u8; 32]>,
) -> Option<String> {
    // The project's name keeps equal contents of different projects apart.
    let parts = [project.name.as_str().as_bytes(), kind.word().as_bytes(), source.as_bytes(), content];
    // The key comes first and its length is fixed; the digest is cut, so nothing can be appended.
    let of = |key: &[u8]| {
        let mut digest = Sha256::new();
        digest.update(key);
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut text = hex(&digest.finalize());
        text.truncate(12);
        text
    };
    match (kind, key) {
        (ContentKind::Config, _) => Some(of(&[])),
        (ContentKind::Secret, Some(key)) => {
            let mut mark = hex(&Sha256::digest([b"mark of ".as_slice(), key].concat()));
            mark.truncate(8);
            Some(format!("{mark}:{}", of(key)))
        }
        (ContentKind::Secret, None) => None,
    }
}

/// What a content belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// `configs`.
    Config,
    /// `secrets`.
    Secret,
}

impl ContentKind {
    /// `config` or `secret`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Secret => "secret",
        }
    }

    /// Reads [`Self::key`] back.
    #[must_use]
    pub fn of_key(key: &str) -> Option<(Self, &str)> {
        match key.split_once('.')? {
            ("config", source) => Some((Self::Config, source)),
            ("secret", source) => Some((Self::Secret, source)),
            _ => None,
        }
    }

    /// The key in [`crate::observed::Observed::contents`], in labels and in plans: `config.NAME`.
    #[must_use]
    pub fn key(self, source: &str) -> String {
        format!("{}.{source}", self.word())
    }
}

/// Digests of the contents that the service's containers get.
pub(crate) fn contents(known: &BTreeMap<String, String>, service: &Service) -> BTreeMap<String, String> {
    let configs = service.configs.iter().map(|reference| ContentKind::Config.key(&reference.source));
    let secrets = service.secrets.iter().map(|reference| ContentKind::Secret.key(&reference.source));
    configs.chain(secrets).filter_map(|key| known.get(&key).map(|digest| (key, digest.clone()))).collect()
}

/// Whether both digests are known, comparable, and differ.
pub(crate) fn content_differs(recorded: &str, now: &str) -> bool {
    match (recorded.split_once(':'), now.split_once(':')) {
        (Some((one, _)), Some((other, _))) if one != other => false,
        // Written by an earlier release, without a key.
        (None, Some(_)) | (Some(_), None) => false,
        _ => recorded != now,
    }
}

#[cfg(test)]
mod tests {
    use compose_model::project::Deploy;
    use serde_json::{Value, json};

    use super::*;

    /// Labels of containers that run hold digests of these very texts.
    #[test]
    fn an_attribute_is_digested_as_json_of_its_value() {
        let mut service =
            Service { image: "a \"<b>\" \u{2028}é\n".to_owned(), cpus: 0.7, cpu_percent: 12.3, ..Service::default() };
        service.cap_add = vec!["ALL".to_owned()];
        service.labels.insert("z".to_owned(), "1".to_owned());
        service.labels.insert("a".to_owned(), "2".to_owned());
        for (name, value) in [("LOG", Some("x")), ("API_KEY", Some("y")), ("UNSET", None), ("odd name", Some("z"))] {
            service.environment.insert(name.to_owned(), value.map(str::to_owned));
        }
        service.deploy = Some(Deploy { replicas: Some(3), mode: "replicated".to_owned(), ..Deploy::default() });
        let found = groups(&service);
        let attributes = serde_json::to_value(&service).unwrap();
        let digest = |value: &Value| short(value.to_string().as_bytes());
        for name in ["image", "cpus", "cpu_percent", "cap_add", "labels"] {
            assert_eq!(found.get(name), Some(&digest(&attributes[name])), "{name}");
        }
        let mut deploy = attributes["deploy"].clone();
        deploy.as_object_mut().unwrap().remove("replicas");
        assert_eq!(found["deploy"], digest(&deploy));
        assert_eq!(found["environment"], digest(&json!({"API_KEY": "y", "odd name": "z"})));
        assert_eq!(found["environment.API_KEY"], "-");
        assert_eq!(found["environment.LOG"].len(), 6);
        assert!(found.contains_key("environment.UNSET") && !found.contains_key("environment.odd name"));
        service.deploy.as_mut().unwrap().replicas = Some(4);
        assert_eq!(groups(&service), found);
    }

    #[test]
    fn names_of_secrets_are_found_in_any_case() {
        for name in ["DB_PASSWORD", "token", "MyApiKey", "PWD", "auth_url"] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["LOG", "", "É", "PASSWOR", "TOKE"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
