//! `commit`: make an image of a container.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose commit web shop/web:tried",
    override_usage = "compose commit [OPTIONS] SERVICE [REPOSITORY[:TAG]]"
)]
pub(crate) struct Arguments {
    /// Service, and the name of the image
    #[arg(value_name = "SERVICE [REPOSITORY[:TAG]]")]
    pub(crate) words: Vec<String>,
    /// Author
    #[arg(short = 'a', long, value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Apply a Dockerfile instruction
    #[arg(short = 'c', long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// Message
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Freeze the container meanwhile
    #[arg(short = 'p', long, default_value = "true")]
    pub(crate) pause: bool,
}
