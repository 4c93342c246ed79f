//! Why a step is there. Reasons are data; the sentence is made in one place (`Display`).

use std::fmt;

use compose_model::project::Place;
use serde::{Deserialize, Serialize};

use crate::op::OpId;

/// The cause of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// It is wanted and is not there.
    Missing,
    /// The definition differs from the recorded one.
    Changed {
        /// What differs, attribute by attribute; empty when only the hash is known to differ.
        changes: Vec<Change>,
    },
    /// The tag points to another image than the container runs.
    ImageChanged {
        /// The image in use.
        old: String,
        /// The image that the tag names now.
        new: String,
    },
    /// The content of a config, secret or file changed.
    ContentChanged {
        /// The objects, by name.
        objects: Vec<String>,
    },
    /// The user asked for it (`--force-recreate`, `--build`, a verb that names the service, ...).
    Requested {
        /// The flag or verb.
        by: String,
    },
    /// Another step makes it necessary.
    Follows {
        /// That step.
        op: OpId,
    },
    /// A replacement needs it.
    Replaced,
    /// The last step of a replacement.
    FinishReplace,
    /// More replicas than wanted.
    ScaleDown {
        /// Replicas there.
        from: usize,
        /// Replicas wanted.
        to: usize,
    },
    /// Fewer replicas than wanted.
    ScaleUp {
        /// Replicas there.
        from: usize,
        /// Replicas wanted.
        to: usize,
    },
    /// The file does not have its service.
    Orphan,
    /// An earlier run was interrupted here.
    Unfinished {
        /// What was found.
        found: String,
    },
    /// The container is there and does not run.
    NotRunning {
        /// Its state, with the exit code where there is one.
        state: String,
    },
    /// A dependency is restarted and `restart: true` binds to it.
    DependencyRestarted {
        /// The dependency.
        service: String,
    },
    /// A dependency is replaced and `restart: true` or a shared namespace binds to it.
    DependencyReplaced {
        /// The dependency.
        service: String,
    },
    /// Others wait for it.
    Dependency {
        /// A dependent service.
        of: String,
    },
    /// It was asked to wait for the whole project (`--wait`).
    Wait,
    /// The container is not connected to a network, or lacks a mount, that the file asks for.
    Disconnected {
        /// What is missing.
        what: String,
    },
    /// Changed by hand since it was made.
    Drift {
        /// What differs.
        changes: Vec<Change>,
    },
    /// The image is older than its refresh interval.
    Stale,
}

/// One attribute that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The attribute, for example `environment LOG`.
    pub attribute: String,
    /// The old value, where it is known and no secret.
    pub old: Option<String>,
    /// The new value, where it is no secret.
    pub new: Option<String>,
    /// Where the new value is written.
    pub place: Option<Place>,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.attribute)?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(formatter, " {old:?} -> {new:?}")?,
            (Some(old), None) => write!(formatter, " {old:?} removed")?,
            (None, Some(new)) => write!(formatter, " now {new:?}")?,
            (None, None) => {}
        }
        if let Some(place) = &self.place {
            write!(formatter, " ({place})")?;
        }
        Ok(())
    }
}

fn list(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("missing"),
            Self::Changed { changes } if changes.is_empty() => formatter.write_str("changed: definition"),
            Self::Changed { changes } => write!(formatter, "changed: {}", list(changes)),
            Self::ImageChanged { old, new } => write!(formatter, "image changed: {} -> {}", short(old), short(new)),
            Self::ContentChanged { objects } => write!(formatter, "content changed: {}", objects.join(", ")),
            Self::Requested { by } => write!(formatter, "requested: {by}"),
            Self::Follows { op } => write!(formatter, "follows {op}"),
            Self::Replaced => formatter.write_str("replaced"),
            Self::FinishReplace => formatter.write_str("finish replace"),
            Self::ScaleDown { from, to } => write!(formatter, "scale down {from} -> {to}"),
            Self::ScaleUp { from, to } => write!(formatter, "scale up {from} -> {to}"),
            Self::Orphan => formatter.write_str("orphan: not in the file"),
            Self::Unfinished { found } => write!(formatter, "unfinished: {found}"),
            Self::NotRunning { state } => write!(formatter, "not running: {state}"),
            Self::DependencyReplaced { service } => write!(formatter, "dependency {service} replaced"),
            Self::DependencyRestarted { service } => write!(formatter, "dependency {service} restarted"),
            Self::Dependency { of } => write!(formatter, "{of} depends on it"),
            Self::Wait => formatter.write_str("requested: --wait"),
            Self::Disconnected { what } => write!(formatter, "lacks {what}"),
            Self::Drift { changes } => write!(formatter, "drift: {}", list(changes)),
            Self::Stale => formatter.write_str("older than its refresh interval"),
        }
    }
}

/// The first 12 hex digits of an image identity.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}
