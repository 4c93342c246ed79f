//! `down`: stop and remove containers and networks.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose down                    stop and remove containers and networks\n  compose down --volumes          and the data in volumes\n  compose -p shop down            without a file, from any directory"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also remove the declared volumes and anonymous ones, with their data
    #[arg(short = 'v', long, alias = "volume")]
    pub(crate) volumes: bool,
    /// Also remove images: local (those without a name of their own), all
    #[arg(long, value_name = "WHICH")]
    pub(crate) rmi: Option<String>,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
}
