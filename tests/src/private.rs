//! An engine of a case's own, of the kind of another one.

use crate::engine::Engine;
use crate::private_containerd::PrivateContainerd;
use crate::private_engine::PrivateEngine;

/// The engine. Dropping it stops it and removes all that it had.
pub enum Private {
    /// A Docker engine; its containers are stopped with it.
    Docker(PrivateEngine),
    /// A containerd; its containers outlive it.
    Containerd(PrivateContainerd),
}

impl Private {
    /// Starts one with the example images, or with `busybox` at least.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(like: &Engine) -> Result<Self, String> {
        if like.is_docker() {
            PrivateEngine::start(like).map(Self::Docker)
        } else {
            PrivateContainerd::start(like).map(Self::Containerd)
        }
    }

    /// As other engines are described.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        match self {
            Self::Docker(private) => &private.engine,
            Self::Containerd(private) => &private.engine,
        }
    }

    /// Starts it again after [`Private::down`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn up(&mut self) -> Result<(), String> {
        match self {
            Self::Docker(private) => private.up(),
            Self::Containerd(private) => private.up(),
        }
    }

    /// Stops it as a system does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn down(&mut self) -> Result<(), String> {
        match self {
            Self::Docker(private) => private.down(),
            Self::Containerd(private) => private.down("TERM"),
        }
    }
}
