//! `run`: run a command in a new container of a service.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose run --rm web sh         a shell in a new container of web\n  compose run --rm web npm test",
    override_usage = "compose run [OPTIONS] SERVICE [COMMAND] [ARGS...]"
)]
pub(crate) struct Arguments {
    /// Service, command and its arguments
    #[arg(trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    pub(crate) words: Vec<String>,
    /// Build the image first
    #[arg(long)]
    pub(crate) build: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Run in the background and print the container's ID
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Use another entrypoint
    #[arg(long, value_name = "COMMAND")]
    pub(crate) entrypoint: Option<String>,
    /// Set a variable; a name alone takes the value from here
    #[arg(short = 'e', long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Set variables from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) env_from_file: Vec<String>,
    /// Keep standard input open
    #[arg(short = 'i', long, default_value = "true")]
    pub(crate) interactive: bool,
    /// Add or change a label
    #[arg(short = 'l', long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// Name of the container
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Leave dependencies alone
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Without a terminal
    #[arg(short = 'T', long, alias = "no-TTY")]
    pub(crate) no_tty: bool,
    /// With a terminal
    #[arg(short = 't', long, hide = true)]
    pub(crate) tty: bool,
    /// Publish a port
    #[arg(short = 'p', long, value_name = "PORT")]
    pub(crate) publish: Vec<String>,
    /// When to pull images, instead of each service's pull_policy: always, missing, never, build
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// No output but the command's
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Build without progress
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Pull without progress
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Publish the ports of the service
    #[arg(short = 'P', long)]
    pub(crate) service_ports: bool,
    /// Answer to the network aliases of the service
    #[arg(long)]
    pub(crate) use_aliases: bool,
    /// As this user
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Mount a volume or directory
    #[arg(short = 'v', long, value_name = "VOLUME")]
    pub(crate) volume: Vec<String>,
    /// In this directory
    #[arg(short = 'w', long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
}
