//! `publish`: publish the project as an artifact of a registry.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// Where to publish
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) words: Vec<String>,
    /// Also publish the images
    #[arg(long)]
    pub(crate) app: bool,
    /// OCI version of the artifact
    #[arg(long, value_name = "VERSION")]
    pub(crate) oci_version: Option<String>,
    /// Pin images to digests
    #[arg(long)]
    pub(crate) resolve_image_digests: bool,
    /// Include environment variables
    #[arg(long)]
    pub(crate) with_env: bool,
    /// Allow a registry without TLS
    #[arg(long, hide = true)]
    pub(crate) insecure_registry: bool,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}
