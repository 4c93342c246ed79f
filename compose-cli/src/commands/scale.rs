//! `scale`: change the number of replicas.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose scale web=3 worker=0")]
pub(crate) struct Arguments {
    /// Services with the wanted number of replicas
    #[arg(value_name = "SERVICE=N")]
    pub(crate) replicas: Vec<String>,
    /// Leave dependencies alone
    #[arg(long)]
    pub(crate) no_deps: bool,
}
