//! `alpha generate`: a Compose file made from containers.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// Containers; all when none is named
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
    /// yaml or json
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) format: String,
    /// Name of the project
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Directory of the project
    #[arg(long, value_name = "PATH")]
    pub(crate) project_dir: Option<String>,
}
