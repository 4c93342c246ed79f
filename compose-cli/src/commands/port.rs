//! `port`: show the host address of a published port.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose port web 80", override_usage = "compose port [OPTIONS] SERVICE [PORT]")]
pub(crate) struct Arguments {
    /// Service, and the port in the container (all ports without it)
    #[arg(value_name = "SERVICE [PORT]")]
    pub(crate) words: Vec<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// tcp or udp
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp")]
    pub(crate) protocol: String,
}
