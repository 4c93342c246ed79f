//! `start`: start containers that exist.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose start                   start all containers of the project\n  compose start web               start one service"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Wait until everything runs or is healthy
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait of --wait
    #[arg(long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) wait_timeout: Option<i64>,
}
