//! What can go wrong at an engine, sorted by what the caller can do about it.

use std::time::Duration;

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Nobody answers at the engine's address.
    #[error("cannot reach {engine} at {address}: {message}")]
    Unreachable {
        /// The backend's word for the engine, for example `the Docker engine`.
        engine: String,
        /// Where it was looked for.
        address: String,
        /// What the system said.
        message: String,
        /// What the user can do, for example how to start the engine.
        help: String,
    },
    /// The engine is there but has not answered a call that should be short.
    #[error("{engine} has not answered `{call}` for {} s", after.as_secs())]
    Stalled {
        /// The backend's word for the engine.
        engine: String,
        /// The call.
        call: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The object is not there.
    #[error("{message}")]
    NotFound {
        /// The engine's words.
        message: String,
    },
    /// The object is in a state, or has a name, that forbids the call (in use, name taken, paused).
    #[error("{message}")]
    Conflict {
        /// The engine's words.
        message: String,
    },
    /// The engine refuses the request as wrong.
    #[error("{message}")]
    Invalid {
        /// The engine's words.
        message: String,
    },
    /// The engine tried and failed (port taken, program missing, pull denied, ...).
    #[error("{message}")]
    Failed {
        /// The engine's words.
        message: String,
    },
    /// The backend cannot do this at all.
    #[error("{engine} cannot {what}")]
    Unsupported {
        /// The backend's word for the engine.
        engine: String,
        /// What was asked.
        what: String,
    },
    /// Something on this machine failed (a file, a program).
    #[error("{message}")]
    Local {
        /// What was tried and what the system said.
        message: String,
    },
}

impl RuntimeError {
    /// Whether the object was not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether a state or name forbids the call.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// The result of a call on an engine.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;
