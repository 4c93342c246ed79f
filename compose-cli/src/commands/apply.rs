//! `apply`: carry out a saved plan, if nothing has moved since.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose plan -o plan.json && compose apply plan.json")]
pub(crate) struct Arguments {
    /// A plan written by `compose plan -o FILE`
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}
