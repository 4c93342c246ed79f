//! `exec`: execute a command in a running container.

use clap::Args;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose exec web sh             a shell in the first replica of web\n  compose exec -T db pg_dump app > app.sql",
    override_usage = "compose exec [OPTIONS] SERVICE COMMAND [ARGS...]"
)]
pub(crate) struct Arguments {
    /// Service, command and its arguments
    #[arg(trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    pub(crate) words: Vec<String>,
    /// Run the command in the background
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Set a variable; a name alone takes the value from here
    #[arg(short = 'e', long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// Without a terminal
    #[arg(short = 'T', long, alias = "no-TTY")]
    pub(crate) no_tty: bool,
    /// With a terminal
    #[arg(short = 't', long, hide = true)]
    pub(crate) tty: bool,
    /// Connect standard input
    #[arg(short = 'i', long, hide = true, default_value = "true")]
    pub(crate) interactive: bool,
    /// With extended privileges
    #[arg(long)]
    pub(crate) privileged: bool,
    /// As this user
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// In this directory
    #[arg(short = 'w', long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
}
