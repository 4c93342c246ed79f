//! `alpha viz`: the graph of services.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose alpha viz | dot -Tsvg > shop.svg")]
pub(crate) struct Arguments {
    /// Show images
    #[arg(long)]
    pub(crate) image: bool,
    /// Show networks
    #[arg(long)]
    pub(crate) networks: bool,
    /// Show ports
    #[arg(long)]
    pub(crate) ports: bool,
    /// Indent by spaces instead of tabs
    #[arg(long)]
    pub(crate) spaces: bool,
    /// Width of the indentation
    #[arg(long, value_name = "N", default_value = "1", value_parser = crate::args::integer)]
    pub(crate) indentation_size: i64,
    /// dot or mermaid
    #[arg(long, value_name = "FORMAT", default_value = "dot")]
    pub(crate) format: String,
}
