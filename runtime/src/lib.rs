//! The port between plans and engines: what a backend must be able to do, as capability traits,
//! and the executor that carries out a plan through them.
//!
//! No engine's SDK is named here. A backend implements [`Runtime`] and the traits it hands out;
//! the only `match` over [`compose_planner::Op`] is the executor's dispatch.

pub mod bake;
mod build;
mod copy_in;
mod dispatch;
pub mod dockerignore;
pub mod error;
pub mod event;
pub mod executor;
#[cfg(feature = "fake")]
pub mod fake;
pub mod model;
pub mod plugins;
pub mod port;
mod provider;
pub mod queue;
mod wait;

pub use error::RuntimeError;
pub use event::Event;
pub use port::Runtime;
