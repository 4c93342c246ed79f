//! What can go wrong with a registry, in words that say where and what to do.

/// The result of a call to a registry.
pub type Result<T> = std::result::Result<T, RegistryError>;

/// A call to a registry, or its preparation, that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Text that is no image reference.
    #[error("invalid reference format: {text:?}: {reason}")]
    InvalidReference {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answers, or the connection breaks.
    #[error("cannot reach the registry {registry}: {message}{help}")]
    Unreachable {
        /// `host[:port]`.
        registry: String,
        /// The cause.
        message: String,
        /// What to do; empty where there is nothing to advise.
        help: String,
    },
    /// The registry wants other credentials, or none are known.
    #[error("{registry} refuses access to {repository}: unauthorized: {message}{}", login(.registry, *.known))]
    Unauthorized {
        /// `host[:port]`.
        registry: String,
        /// The repository.
        repository: String,
        /// The registry's words.
        message: String,
        /// Whether credentials were presented.
        known: bool,
    },
    /// There is no such repository, tag or blob.
    #[error("{registry} has no {what}: not found: {message}")]
    NotFound {
        /// `host[:port]`.
        registry: String,
        /// What was asked for, `repository:tag`.
        what: String,
        /// The registry's words.
        message: String,
    },
    /// Too many requests.
    #[error(
        "{registry} takes no more requests for now: {message}; try again later, or log in for a higher limit: docker login {registry}"
    )]
    RateLimited {
        /// `host[:port]`.
        registry: String,
        /// The registry's words.
        message: String,
    },
    /// The registry refuses or fails for another reason.
    #[error("{registry} refuses {what}: {message}")]
    Refused {
        /// `host[:port]`.
        registry: String,
        /// The call.
        what: String,
        /// The registry's words.
        message: String,
    },
    /// The bytes are not what their digest promises.
    #[error("{registry} gave other bytes than asked for: expected {expected}, got {actual}")]
    WrongDigest {
        /// `host[:port]`.
        registry: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// The answer is not what the protocol promises.
    #[error("the answer of {registry} to {what} cannot be read: {message}")]
    Unreadable {
        /// `host[:port]`.
        registry: String,
        /// The call.
        what: String,
        /// What is wrong.
        message: String,
    },
    /// An index has nothing for the wanted platform.
    #[error("no matching manifest for {platform} in {reference}; it has: {available}")]
    NoPlatform {
        /// The reference.
        reference: String,
        /// The wanted platform.
        platform: String,
        /// What there is.
        available: String,
    },
    /// Credentials, certificates or other local files cannot be used.
    #[error("{message}")]
    Local {
        /// What, and where.
        message: String,
    },
}

impl RegistryError {
    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether other credentials could help.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }

    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::Local { message: message.into() }
    }
}

fn login(registry: &str, known: bool) -> String {
    let target = if registry == crate::reference::DOCKER_HUB { String::new() } else { format!(" {registry}") };
    if known {
        format!("; check that your login may do this, or log in again: docker login{target}")
    } else {
        format!("; log in first: docker login{target}")
    }
}
