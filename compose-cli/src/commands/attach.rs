//! `attach`: connect to a running container.

use anyhow::bail;
use clap::Args;
use compose_runtime::port::AttachOptions;

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::session::{self, Ended, Wiring};
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose attach web")]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) words: Vec<String>,
    /// Keys that detach
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// Do not connect standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Pass signals on to the process [default: true]
    #[arg(long, default_value = "true")]
    pub(crate) sig_proxy: bool,
}

/// Connects.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::between(&arguments.words, 1, 1)?;
    let Some(service) = arguments.words.first() else { return Ok(ExitStatus::FAILURE) };
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let container = session::running(&scene, service, arguments.index)?;
    let id = container.id.as_str();
    let tty = scene.runtime.containers().inspect(id).await?.detail.tty;
    let stdin = !arguments.no_stdin;
    if tty && stdin && !context.output.can_ask() {
        bail!("cannot attach stdin to a TTY-enabled container because stdin is not a terminal (use --no-stdin)");
    }
    let options = AttachOptions {
        stdin,
        output: true,
        replay: false,
        tty,
        detach_keys: arguments.detach_keys.clone().unwrap_or_default(),
    };
    let mut interrupts = Interrupts::listen()?;
    let mut session = scene.runtime.streams().attach(id, &options).await?;
    let wiring = Wiring { tty, stdin, container: id, exec: None };
    loop {
        match session::connect(scene.runtime.as_ref(), &mut session, wiring, &mut interrupts).await? {
            Ended::Output => break,
            Ended::Signal(name) if arguments.sig_proxy => {
                scene.runtime.containers().kill(id, name).await?;
            }
            Ended::Signal(_) => return Ok(ExitStatus::INTERRUPTED),
        }
    }
    // Detached by keys, it still runs; otherwise its exit code is ours.
    let after = scene.runtime.containers().inspect(id).await;
    Ok(match after {
        Ok(after) if !after.state.is_up() => ExitStatus(i32::try_from(after.exit_code).unwrap_or(1)),
        _ => ExitStatus::SUCCESS,
    })
}
