//! How an image is built, and what is watched while it is worked on.

use serde::{Deserialize, Serialize};

use crate::units::ByteSize;

use super::{Environment, Extensions, FileReference, Hook, Hosts, Sorted, StringMap, Ulimit, is_zero};

/// One `build.ssh` entry. The serialised form is text: `default`, or `id: path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct SshKey {
    /// The name by which a build asks for it.
    pub id: String,
    /// Absolute path of a key or of an agent's socket; empty: the agent of the user.
    pub path: String,
}

impl From<SshKey> for String {
    fn from(key: SshKey) -> Self {
        if key.path.is_empty() { key.id } else { format!("{}: {}", key.id, key.path) }
    }
}

impl From<String> for SshKey {
    fn from(text: String) -> Self {
        let (id, path) = text.split_once(": ").unwrap_or((&text, ""));
        Self { id: id.to_owned(), path: path.to_owned() }
    }
}

plain! {
    /// `build`.
    Build {
        context: String,
        dockerfile: String,
        dockerfile_inline: String,
        entitlements: Vec<String>,
        args: Environment,
        provenance: String,
        sbom: String,
        ssh: Vec<SshKey>,
        labels: StringMap,
        cache_from: Vec<String>,
        cache_to: Vec<String>,
        no_cache: bool,
        no_cache_filter: Vec<String>,
        additional_contexts: StringMap,
        pull: bool,
        extra_hosts: Hosts,
        isolation: String,
        network: String,
        target: String,
        secrets: Vec<FileReference>,
        shm_size: ByteSize,
        tags: Vec<String>,
        ulimits: Sorted<String, Ulimit>,
        platforms: Vec<String>,
        privileged: bool,
    }
    /// `develop`.
    Develop {
        watch: Vec<WatchRule>,
    }
    /// One `develop.watch` rule.
    WatchRule {
        path: String,
        action: String,
        target: String,
        exec: Option<Hook>,
        include: Vec<String>,
        ignore: Vec<String>,
        initial_sync: bool,
    }
}
