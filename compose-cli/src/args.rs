//! The command line: root options, the list of commands, and the flag grammar of the reference
//! (`--flag=false`, the last one of a repeated flag wins, a value may begin with a dash) laid over
//! clap's.

use clap::{ArgAction, Args, Command, Parser, Subcommand};

use crate::commands;

/// Options that stand before the command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RootOptions {
    /// Compose file; repeated files are merged in order, `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Name of the project
    #[arg(short = 'p', long, value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// Directory that relative paths start from
    #[arg(long, value_name = "PATH")]
    pub(crate) project_directory: Option<String>,
    /// Deprecated, use --project-directory
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) workdir: Option<String>,
    /// File of variables, instead of .env
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<String>,
    /// Enable services of this profile; `*` for all
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// Also networks, volumes, secrets and configs that no service uses
    #[arg(long)]
    pub(crate) all_resources: bool,
    /// Colour and control characters: never, always, auto [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub(crate) ansi: Option<String>,
    /// Deprecated, use --ansi never
    #[arg(long, hide = true)]
    pub(crate) no_ansi: bool,
    /// How progress is shown: auto, tty, plain, json, quiet
    #[arg(long, value_name = "MODE")]
    pub(crate) progress: Option<String>,
    /// How many steps may run at the same time; -1 for the engine's own limits [default: -1]
    #[arg(long, value_name = "N", value_parser = integer)]
    pub(crate) parallel: Option<i64>,
    /// Separate the parts of names by `_`
    #[arg(long)]
    pub(crate) compatibility: bool,
    /// Show what would be done and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Take over containers that another directory with the same project name has made
    #[arg(long)]
    pub(crate) adopt: bool,
    /// The engine: docker or containerd
    #[arg(long, value_name = "ENGINE")]
    pub(crate) runtime: Option<String>,
    /// Address of the engine, for example unix:///var/run/docker.sock
    #[arg(short = 'H', long, value_name = "ADDRESS", hide_short_help = false)]
    pub(crate) host: Option<String>,
    /// Context of the Docker CLI that names the engine
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Write what is done on the engine to standard error
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// debug, info, warn, error, fatal
    #[arg(short = 'l', long, value_name = "LEVEL", hide = true)]
    pub(crate) log_level: Option<String>,
    /// Deprecated, use --debug
    #[arg(long, hide = true)]
    pub(crate) verbose: bool,
    /// Use TLS
    #[arg(long, hide = true)]
    pub(crate) tls: bool,
    /// Use TLS and verify the engine
    #[arg(long, hide = true)]
    pub(crate) tlsverify: bool,
    /// Docker's configuration directory, instead of DOCKER_CONFIG
    #[arg(long = "config", value_name = "DIRECTORY", hide = true)]
    pub(crate) docker_configuration: Option<String>,
    /// Certificates that are trusted
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) tlscacert: Option<String>,
    /// Certificate of the client
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) tlscert: Option<String>,
    /// Key of the client
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) tlskey: Option<String>,
    /// Registries of artifacts that are reached without TLS
    #[arg(long, value_name = "HOST", hide = true)]
    pub(crate) insecure_registry: Vec<String>,
    /// Show the version
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
}

/// The whole command line.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "compose",
    about = "Define and run applications of several containers",
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = false,
    override_usage = "compose [OPTIONS] COMMAND"
)]
pub(crate) struct CommandLine {
    /// Options before the command.
    #[command(flatten)]
    pub(crate) root: RootOptions,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Option<Verb>,
}

/// The commands.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Verb {
    /// Create and start everything, and follow its output
    Up(commands::up::Arguments),
    /// Stop and remove containers and networks
    Down(commands::down::Arguments),
    /// Show what `up` would do, and why
    Plan(commands::plan::Arguments),
    /// Carry out a saved plan
    Apply(commands::apply::Arguments),
    /// Explain why containers equal or differ from the file
    Why(commands::why::Arguments),
    /// List containers
    Ps(commands::ps::Arguments),
    /// Show the output of containers
    Logs(commands::logs::Arguments),
    /// Execute a command in a running container
    Exec(commands::exec::Arguments),
    /// Run a command in a new container of a service
    Run(commands::run::Arguments),
    /// Start containers that exist
    Start(commands::start::Arguments),
    /// Stop containers and keep them
    Stop(commands::stop::Arguments),
    /// Stop and start containers in place
    Restart(commands::restart::Arguments),
    /// Send a signal to containers
    Kill(commands::kill::Arguments),
    /// Remove stopped containers
    Rm(commands::rm::Arguments),
    /// Create everything and start nothing
    Create(commands::create::Arguments),
    /// Change the number of replicas
    Scale(commands::scale::Arguments),
    /// Freeze containers
    Pause(commands::pause::Arguments),
    /// Let frozen containers go on
    Unpause(commands::unpause::Arguments),
    /// Build images
    Build(commands::build::Arguments),
    /// Pull images
    Pull(commands::pull::Arguments),
    /// Push images
    Push(commands::push::Arguments),
    /// Print the resolved file
    #[command(alias = "convert")]
    Config(commands::config::Arguments),
    /// List projects
    Ls(commands::ls::Arguments),
    /// List the images of containers
    Images(commands::images::Arguments),
    /// List volumes
    Volumes(commands::volumes::Arguments),
    /// Show the host address of a published port
    Port(commands::port::Arguments),
    /// Show the processes of containers
    Top(commands::top::Arguments),
    /// Show what containers use
    Stats(commands::stats::Arguments),
    /// Follow what happens to containers
    Events(commands::events::Arguments),
    /// Wait for containers to end
    Wait(commands::wait::Arguments),
    /// Copy files between a container and the host
    Cp(commands::cp::Arguments),
    /// Connect to a running container
    Attach(commands::attach::Arguments),
    /// Write the file system of a container as a tar archive
    Export(commands::export::Arguments),
    /// Make an image of a container
    Commit(commands::commit::Arguments),
    /// Act on changes of the sources
    Watch(commands::watch::Arguments),
    /// Publish the project as an artifact of a registry
    Publish(commands::publish::Arguments),
    /// Convert the project into another form
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Bridge {
        /// The command.
        #[command(subcommand)]
        command: commands::bridge::Verb,
    },
    /// Experimental commands
    #[command(hide = true, subcommand_required = true)]
    Alpha {
        /// The command.
        #[command(subcommand)]
        command: AlphaVerb,
    },
    /// Warn about what loads but hurts
    Check(commands::check::Arguments),
    /// Print the JSON Schema of Compose files
    Schema(commands::schema::Arguments),
    /// What looks after containers on containerd between commands
    #[command(subcommand_required = true)]
    Supervisor(commands::supervisor::Arguments),
    /// Show the version
    Version(commands::version::Arguments),
    /// Print a completion script
    Completion(commands::completion::Arguments),
    /// Write manual pages
    Man(commands::man::Arguments),
}

/// The experimental commands.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum AlphaVerb {
    /// The graph of services
    Viz(commands::viz::Arguments),
    /// A Compose file made from containers
    Generate(commands::generate::Arguments),
}

/// clap's command with the reference's flag grammar.
pub(crate) fn command() -> Command {
    refine(<CommandLine as clap::CommandFactory>::command(), None)
}

/// The same command for people and shells: without the grammar's details (`--detach`, not
/// `--detach[=<BOOL>]`).
pub(crate) fn readable_command() -> Command {
    fn with_dry_run(command: Command, parent: Option<&str>) -> Command {
        let mut command = if parent.is_none() { command } else { command.arg(dry_run().action(ArgAction::SetTrue)) };
        if takes_over(&command, parent) {
            command = command.arg(adopt().action(ArgAction::SetTrue));
        }
        let name = command.get_name().to_owned();
        command.mut_subcommands(|command| with_dry_run(command, Some(&name)))
    }
    let mut command = with_dry_run(<CommandLine as clap::CommandFactory>::command(), None);
    command.build();
    command
}

/// Commands that change what another directory of the same name may have made.
const CHANGING: [&str; 13] =
    ["apply", "create", "down", "kill", "pause", "restart", "rm", "run", "scale", "start", "stop", "unpause", "up"];

/// Whether the command changes a project that another directory may have made.
fn takes_over(command: &Command, parent: Option<&str>) -> bool {
    // Commands of these groups have the names of others, and no project.
    !matches!(parent, Some("supervisor" | "transformations")) && CHANGING.contains(&command.get_name())
}

fn adopt() -> clap::Arg {
    clap::Arg::new("adopt-here")
        .long("adopt")
        .help("Take over containers that another directory with the same project name has made")
}

fn dry_run() -> clap::Arg {
    clap::Arg::new("dry-run-here").long("dry-run").help("Show what would be done and do nothing")
}

fn refine(command: Command, parent: Option<&str>) -> Command {
    let mut command = command.args_override_self(true).mut_args(|argument| {
        if argument.is_positional() {
            return argument;
        }
        let has_default = !argument.get_default_values().is_empty();
        match argument.get_action() {
            ArgAction::SetTrue => if has_default { argument } else { argument.default_value("false") }
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(boolean)
                .value_name("BOOL")
                .hide_default_value(true)
                .hide_possible_values(true),
            ArgAction::Set | ArgAction::Append if !argument.is_require_equals_set() => {
                argument.allow_hyphen_values(true)
            }
            _ => argument,
        }
    });
    let switch = |argument: clap::Arg| {
        argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(boolean)
    };
    if parent.is_some() {
        if takes_over(&command, parent) {
            command = command.arg(switch(adopt()));
        }
        command = command.arg(switch(dry_run()));
    }
    let name = command.get_name().to_owned();
    command.mut_subcommands(|command| refine(command, Some(&name)))
}

/// Go's `strconv.ParseBool`, which scripts written for the reference rely on.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Go's `strconv.ParseInt`.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}
