//! The port on containerd (1.6 to 2.x) and runc, without dockerd.
//!
//! containerd keeps images, snapshots, container records and tasks; what dockerd does beyond
//! that (OCI specifications, log files, volumes, networks) is done here. No type of containerd's
//! API leaves this crate.

mod logger;

pub use logger::logger_main;

/// The hidden first argument under which the product's binary is the log process:
/// `compose __containerd-logger ...` calls [`logger_main`] with what follows it.
pub const LOGGER_ARGUMENT: &str = "__containerd-logger";
