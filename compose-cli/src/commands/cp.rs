//! `cp`: copy files between a container and the host.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose cp web:/etc/hosts .\n  compose cp index.html web:/srv/",
    override_usage = "compose cp [OPTIONS] SERVICE:PATH TARGET|-\n       compose cp [OPTIONS] SOURCE|- SERVICE:PATH"
)]
pub(crate) struct Arguments {
    /// SERVICE:PATH and a local path, in either order; `-` is a tar stream
    #[arg(value_name = "SOURCE TARGET")]
    pub(crate) words: Vec<String>,
    /// Also containers of `run`
    #[arg(long)]
    pub(crate) all: bool,
    /// Keep owner and group
    #[arg(short = 'a', long)]
    pub(crate) archive: bool,
    /// Copy what links in the source point to
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
}
