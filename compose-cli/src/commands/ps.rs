//! `ps`: list containers.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose ps                      what runs\n  compose ps -a                   also what has ended\n  compose ps --format json        one JSON object a line"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also stopped containers and those of `run`
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Only containers with a property: status=STATE
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, or a Go template such as '{{.Name}}'
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Do not shorten columns
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Include containers of services that the file does not have
    #[arg(long, default_value = "true")]
    pub(crate) orphans: bool,
    /// Only container IDs
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Only names of services
    #[arg(long = "services", id = "services-only")]
    pub(crate) services_only: bool,
    /// Only containers in this state: paused, restarting, removing, running, dead, created, exited
    #[arg(long, value_name = "STATE")]
    pub(crate) status: Vec<String>,
}
