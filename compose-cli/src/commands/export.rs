//! `export`: write the file system of a container as a tar archive.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose export -o web.tar web")]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) words: Vec<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// File to write, instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,
}
