//! `kill`: send a signal to containers.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose kill                    kill everything at once\n  compose kill -s HUP web         let web read its configuration again"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// The signal
    #[arg(short = 's', long, value_name = "SIGNAL", default_value = "SIGKILL")]
    pub(crate) signal: String,
}
