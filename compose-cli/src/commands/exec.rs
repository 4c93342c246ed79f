//! `exec`: execute a command in a running container.

use anyhow::bail;
use clap::Args;
use compose_runtime::port::ExecOptions;

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::session::{self, Ended, Wiring};
use crate::signals::Interrupts;

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
    /// Without a terminal [default: true where standard output is none]
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

/// Executes the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::at_least(&arguments.words, 2)?;
    let Some((service, command)) = arguments.words.split_first() else { return Ok(ExitStatus::FAILURE) };
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let container = session::running(&scene, service, arguments.index)?;
    let tty = !arguments.detach && !arguments.no_tty && (arguments.tty || context.output.stdout_is_terminal());
    let stdin = arguments.interactive && !arguments.detach;
    if tty && stdin && !context.output.can_ask() {
        bail!("cannot attach stdin to a TTY-enabled container because stdin is not a terminal (use -T)");
    }
    let environment = crate::flags::assignments(&arguments.env, &context.environment.variables);
    let options = ExecOptions {
        command: command.to_vec(),
        environment: environment
            .into_iter()
            .map(|(key, value)| format!("{key}={}", value.unwrap_or_default()))
            .collect(),
        user: arguments.user.clone().unwrap_or_default(),
        working_dir: arguments.workdir.clone().unwrap_or_default(),
        privileged: arguments.privileged,
        tty,
        stdin,
        detach: arguments.detach,
        size: if tty { crate::terminal::session_size() } else { None },
    };
    if context.options.dry_run {
        context.output.message(format!(" Container {} Exec \n", container.name));
        return Ok(ExitStatus::SUCCESS);
    }
    let mut interrupts = Interrupts::listen()?;
    let id = container.id.as_str();
    let mut exec = scene.runtime.streams().exec(id, &options).await?;
    let Some(session) = exec.session.as_mut() else { return Ok(ExitStatus::SUCCESS) };
    let wiring = Wiring { tty, stdin, container: id, exec: Some(&exec.id) };
    match session::connect(scene.runtime.as_ref(), session, wiring, &mut interrupts).await? {
        Ended::Output => {}
        Ended::Signal(_) => return Ok(ExitStatus::INTERRUPTED),
    }
    let code = scene.runtime.streams().exec_exit_code(id, &exec.id).await?;
    Ok(ExitStatus(i32::try_from(code).unwrap_or(1)))
}
