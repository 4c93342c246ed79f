//! `logs`: show the output of containers.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose logs                    the output of every service\n  compose logs -f web             follow one service\n  compose logs -f --tail 20       the last 20 lines of each, and what comes"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Go on with what comes
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// Output without colour
    #[arg(long)]
    pub(crate) no_color: bool,
    /// Output without the container's name before each line
    #[arg(long)]
    pub(crate) no_log_prefix: bool,
    /// Only from this time on: a timestamp or a duration such as 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only before this time: a timestamp or a duration such as 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only the last lines of each container
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) tail: Option<String>,
    /// Show the time of each line
    #[arg(short = 't', long)]
    pub(crate) timestamps: bool,
}
