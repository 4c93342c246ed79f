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
