//! `push`: push images.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose push                    push the images that are built here")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Report failures and go on
    #[arg(long)]
    pub(crate) ignore_push_failures: bool,
    /// Also push what the services depend on
    #[arg(long)]
    pub(crate) include_deps: bool,
    /// Push without progress
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}
