//! `watch`: act on changes of the sources.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose watch")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Do not build and start first
    #[arg(long)]
    pub(crate) no_up: bool,
    /// Remove images that a rebuild leaves without a name
    #[arg(long, default_value = "true")]
    pub(crate) prune: bool,
    /// No build output
    #[arg(long)]
    pub(crate) quiet: bool,
}
