//! `stats`: show what containers use.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose stats --no-stream")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also stopped containers
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// table, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Only once
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Do not shorten columns
    #[arg(long)]
    pub(crate) no_trunc: bool,
}
