//! `attach`: connect to a running container.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose attach web")]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) words: Vec<String>,
    /// Keys that detach
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// Do not connect standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Pass signals on to the process
    #[arg(long, default_value = "true")]
    pub(crate) sig_proxy: bool,
}
