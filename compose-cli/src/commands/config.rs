//! `config`: print the resolved file.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose config                  the whole model\n  compose config --services       names of services\n  compose config --hash '*'       the hash of each service"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Print variables of the interpolation environment
    #[arg(long)]
    pub(crate) environment: bool,
    /// yaml or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Print the hash of these services, comma-separated; `*` for all
    #[arg(long, value_name = "SERVICES")]
    pub(crate) hash: Option<String>,
    /// Print the names of images
    #[arg(long)]
    pub(crate) images: bool,
    /// Print an override file with the digests of images
    #[arg(long)]
    pub(crate) lock_image_digests: bool,
    /// Print the names of models
    #[arg(long)]
    pub(crate) models: bool,
    /// Print the names of networks
    #[arg(long)]
    pub(crate) networks: bool,
    /// Do not check the model
    #[arg(long)]
    pub(crate) no_consistency: bool,
    /// Do not read the env files of services
    #[arg(long)]
    pub(crate) no_env_resolution: bool,
    /// Keep variables as they are written
    #[arg(long)]
    pub(crate) no_interpolate: bool,
    /// Do not fill in what is implied
    #[arg(long)]
    pub(crate) no_normalize: bool,
    /// Keep relative paths
    #[arg(long)]
    pub(crate) no_path_resolution: bool,
    /// Write to a file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// Print the names of profiles
    #[arg(long)]
    pub(crate) profiles: bool,
    /// Only check, print nothing
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Pin images to digests
    #[arg(long)]
    pub(crate) resolve_image_digests: bool,
    /// Print the names of services
    #[arg(long = "services", id = "services-only")]
    pub(crate) services_only: bool,
    /// Print the variables that the files use
    #[arg(long)]
    pub(crate) variables: bool,
    /// Print the names of volumes
    #[arg(long)]
    pub(crate) volumes: bool,
}
