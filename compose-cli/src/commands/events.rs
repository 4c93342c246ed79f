//! `events`: follow what happens to containers.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose events --json")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Also events from this time on
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only events up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}
