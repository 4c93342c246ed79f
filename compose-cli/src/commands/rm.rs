//! `rm`: remove stopped containers.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose rm                      remove stopped containers, after asking\n  compose rm -sf web              stop and remove web"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Do not ask
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Stop running containers first
    #[arg(short = 's', long)]
    pub(crate) stop: bool,
    /// Also remove anonymous volumes
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    /// Deprecated, no effect
    #[arg(short = 'a', long, hide = true)]
    pub(crate) all: bool,
}
