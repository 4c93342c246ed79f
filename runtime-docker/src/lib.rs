//! The Docker Engine backend: API 1.41 (Engine 20.10) to 1.51 (Engine 28.5), and engines that
//! speak the same language.
//!
//! Everything goes through an HTTP client of our own ([`transport`]): it keeps connections,
//! negotiates the API version, sets deadlines and hands out raw streams. The SDK serves as the
//! dictionary of request bodies; none of its types leaves this crate.

mod builder;
mod capabilities;
mod classic;
mod connect;
mod containers;
pub mod context;
mod context_archive;
mod create_body;
mod doubles;
pub mod endpoint;
mod error;
mod exec_input;
mod frames;
mod further;
mod images;
mod log_stream;
mod networks;
mod observe;
mod reference;
mod stats;
mod streams;
mod time;
mod tls;
mod transport;
mod volumes;
mod watchdog;
mod wire;

pub use connect::DockerRuntime;
pub use endpoint::{Deadlines, Endpoint, TlsFiles};
