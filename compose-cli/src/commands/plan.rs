//! `plan`: show what `up` would do, and why.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose plan                    what `compose up` would do\n  compose plan --exit-code -o FILE\n  compose apply FILE              do exactly that"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// text, json, dot or mermaid
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: String,
    /// Return 0 when there is nothing to do, 2 when there is
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Write the plan to a file, for `compose apply`
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// The plan of `down` instead
    #[arg(long)]
    pub(crate) down: bool,
    /// As `up --build`
    #[arg(long)]
    pub(crate) build: bool,
    /// As `up --no-build`
    #[arg(long)]
    pub(crate) no_build: bool,
    /// As `up --force-recreate`
    #[arg(long)]
    pub(crate) force_recreate: bool,
    /// As `up --no-recreate`
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// As `up --always-recreate-deps`
    #[arg(long)]
    pub(crate) always_recreate_deps: bool,
    /// As `up --no-deps`
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// When to pull images, instead of each service's pull_policy: always, missing, never, build
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// As `up --renew-anon-volumes`
    #[arg(short = 'V', long)]
    pub(crate) renew_anon_volumes: bool,
    /// Number of replicas of a service, instead of the file's
    #[arg(long, value_name = "SERVICE=N")]
    pub(crate) scale: Vec<String>,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
    /// As `down --volumes`
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    /// As `up --rerun-jobs`
    #[arg(long)]
    pub(crate) rerun_jobs: bool,
    /// As `up --wait`
    #[arg(long)]
    pub(crate) wait: bool,
}
