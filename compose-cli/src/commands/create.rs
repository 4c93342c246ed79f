//! `create`: make everything that `up` would make, and start nothing.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose create                  create containers, networks and volumes")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Build images first
    #[arg(long)]
    pub(crate) build: bool,
    /// Do not build images, even if they are missing
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Replace containers even if nothing changed
    #[arg(long)]
    pub(crate) force_recreate: bool,
    /// Keep containers even if something changed
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// When to pull images, instead of each service's pull_policy: always, missing, never, build
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Pull without progress
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Number of replicas of a service, instead of the file's
    #[arg(long, value_name = "SERVICE=N")]
    pub(crate) scale: Vec<String>,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}
