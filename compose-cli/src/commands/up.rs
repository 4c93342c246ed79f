//! `up`: make the project as the file says, start it, and follow its output.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose up                      start everything and follow its output\n  compose up -d web               start web and what it depends on, in the background\n  compose up -d --scale web=3     with three replicas of web\n  compose up --wait               return when everything is healthy"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Start in the background and return
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Stop everything as soon as one container ends, and return its exit code
    #[arg(long)]
    pub(crate) abort_on_container_exit: bool,
    /// Stop everything as soon as one container fails, and return its exit code
    #[arg(long)]
    pub(crate) abort_on_container_failure: bool,
    /// Return the exit code of this service (implies --abort-on-container-exit)
    #[arg(long, value_name = "SERVICE")]
    pub(crate) exit_code_from: Option<String>,
    /// Replace containers of dependencies even if nothing changed
    #[arg(long)]
    pub(crate) always_recreate_deps: bool,
    /// Replace containers even if nothing changed
    #[arg(long)]
    pub(crate) force_recreate: bool,
    /// Keep containers even if something changed
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// Leave dependencies alone
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Show only the output of this service
    #[arg(long, value_name = "SERVICE")]
    pub(crate) attach: Vec<String>,
    /// Do not show the output of this service
    #[arg(long, value_name = "SERVICE")]
    pub(crate) no_attach: Vec<String>,
    /// Also show the output of dependencies
    #[arg(long)]
    pub(crate) attach_dependencies: bool,
    /// Build images first
    #[arg(long)]
    pub(crate) build: bool,
    /// Do not build images, even if they are missing
    #[arg(long)]
    pub(crate) no_build: bool,
    /// When to pull images, instead of each service's pull_policy: always, missing, never, build
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Pull without progress
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Build without progress
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Create everything and start nothing
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Give replaced containers fresh anonymous volumes
    #[arg(short = 'V', long)]
    pub(crate) renew_anon_volumes: bool,
    /// Number of replicas of a service, instead of the file's
    #[arg(long, value_name = "SERVICE=N")]
    pub(crate) scale: Vec<String>,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
    /// Show the time of each line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Output without colour
    #[arg(long)]
    pub(crate) no_color: bool,
    /// Output without the container's name before each line
    #[arg(long)]
    pub(crate) no_log_prefix: bool,
    /// Start in the background and wait until everything runs or is healthy
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait of --wait
    #[arg(long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) wait_timeout: Option<i64>,
    /// Also watch the sources and act on changes
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
    /// Show a menu of keys while attached
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::args::boolean)]
    pub(crate) menu: Option<bool>,
    /// Run services that others wait to complete again, even if they completed before
    #[arg(long)]
    pub(crate) rerun_jobs: bool,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}
