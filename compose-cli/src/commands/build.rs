//! `build`: build images.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose build                   build every service that has a build section\n  compose build --no-cache web    build one service from scratch"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Set a build argument; a name alone takes the value from here
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) build_arg: Vec<String>,
    /// Use this builder instance
    #[arg(long, value_name = "NAME")]
    pub(crate) builder: Option<String>,
    /// Check the build definition and build nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// Memory limit of the build (classic builder)
    #[arg(short = 'm', long, value_name = "BYTES")]
    pub(crate) memory: Option<String>,
    /// Build without the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Print the build definition as JSON and build nothing
    #[arg(long)]
    pub(crate) print: bool,
    /// Add a provenance attestation
    #[arg(long, value_name = "VALUE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) provenance: Option<String>,
    /// Pull newer base images
    #[arg(long)]
    pub(crate) pull: bool,
    /// Push the images when they are built
    #[arg(long)]
    pub(crate) push: bool,
    /// Print nothing
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Add a bill of materials
    #[arg(long, value_name = "VALUE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) sbom: Option<String>,
    /// Use these SSH keys: default, or NAME=PATH
    #[arg(long, value_name = "KEYS")]
    pub(crate) ssh: Option<String>,
    /// Also build what the services depend on
    #[arg(long)]
    pub(crate) with_dependencies: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) parallel: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) compress: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) force_rm: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) no_rm: bool,
    /// Deprecated, use `compose --progress`
    #[arg(long, hide = true)]
    pub(crate) progress: Option<String>,
}
