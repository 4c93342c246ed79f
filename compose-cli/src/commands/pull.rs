//! `pull`: pull images.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose pull                    pull the images of every service")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Skip images that can be built
    #[arg(long)]
    pub(crate) ignore_buildable: bool,
    /// Report failures and go on
    #[arg(long)]
    pub(crate) ignore_pull_failures: bool,
    /// Also pull what the services depend on
    #[arg(long)]
    pub(crate) include_deps: bool,
    /// missing or always
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// Pull without progress
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) parallel: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) no_parallel: bool,
}
