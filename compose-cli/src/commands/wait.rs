//! `wait`: wait for containers to end.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose wait job                return the exit code of job")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Then remove the project
    #[arg(long)]
    pub(crate) down_project: bool,
}
