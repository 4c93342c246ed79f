//! `ls`: list projects.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose ls -a")]
pub(crate) struct Arguments {
    /// Also projects that do not run
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Only projects with a property: name=REGEXP
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// Only names
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}
