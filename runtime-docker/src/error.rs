//! From the engine's answers and the system's errors to [`RuntimeError`].

use std::io;
use std::time::Duration;

use compose_runtime::RuntimeError;
use http::StatusCode;
use serde::Deserialize;

/// What this backend calls its engine.
pub(crate) const ENGINE: &str = "the Docker engine";

#[derive(Deserialize)]
struct Body {
    message: Option<String>,
    // Podman's word for the same.
    cause: Option<String>,
}

/// The error that an answer stands for, in the words of the Docker command line.
pub(crate) fn from_answer(status: StatusCode, body: &[u8]) -> RuntimeError {
    let text = match serde_json::from_slice::<Body>(body) {
        Ok(Body { message: Some(message), .. }) if !message.is_empty() => message,
        Ok(Body { cause: Some(cause), .. }) => cause,
        _ => {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            if text.is_empty() {
                format!("request returned {status} without a message; check if the server supports the API version")
            } else {
                text.chars().take(2000).collect()
            }
        }
    };
    let message = format!("Error response from daemon: {}", text.trim_end());
    match status.as_u16() {
        404 => RuntimeError::NotFound { message },
        409 => RuntimeError::Conflict { message },
        400 => RuntimeError::Invalid { message },
        _ => RuntimeError::Failed { message },
    }
}

/// The connection broke while a call was under way.
pub(crate) fn broken(call: &str, cause: &dyn std::error::Error) -> RuntimeError {
    let mut message = format!("{ENGINE} broke off `{call}`: {cause}");
    let mut source = cause.source();
    while let Some(inner) = source {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        source = inner.source();
    }
    RuntimeError::Failed { message }
}

/// The engine keeps silent.
pub(crate) fn stalled(call: &str, after: Duration) -> RuntimeError {
    RuntimeError::Stalled { engine: ENGINE.to_owned(), call: call.to_owned(), after }
}

/// The engine's answer is not what the API promises.
pub(crate) fn unreadable(call: &str, cause: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Failed { message: format!("{ENGINE} gave an answer to `{call}` that cannot be read: {cause}") }
}

/// Something on this machine failed.
pub(crate) fn local(message: impl Into<String>) -> RuntimeError {
    RuntimeError::Local { message: message.into() }
}

/// The user's registry credentials cannot be read.
pub(crate) fn credentials(cause: compose_registry::RegistryError) -> RuntimeError {
    local(cause.to_string())
}

/// The engine or this backend cannot do it.
pub(crate) fn unsupported(what: impl Into<String>) -> RuntimeError {
    RuntimeError::Unsupported { engine: ENGINE.to_owned(), what: what.into() }
}

/// Nobody listens at the address, or we may not talk to it.
pub(crate) fn unreachable(address: &str, cause: &io::Error) -> RuntimeError {
    let local_socket = address.starts_with("unix://");
    let help = match cause.kind() {
        io::ErrorKind::PermissionDenied if local_socket => {
            "your user may not use the socket: add it to the group `docker` (sudo usermod -aG docker \"$USER\", then log \
             in again), or run the command with sudo"
                .to_owned()
        }
        _ if local_socket => {
            "start the engine (sudo systemctl start docker), or set DOCKER_HOST or `docker context use` to one that runs"
                .to_owned()
        }
        _ => "check that an engine listens there and that the network lets you through; DOCKER_HOST and `docker context` \
              choose the engine"
            .to_owned(),
    };
    RuntimeError::Unreachable {
        engine: ENGINE.to_owned(),
        address: address.to_owned(),
        message: cause.to_string(),
        help,
    }
}
