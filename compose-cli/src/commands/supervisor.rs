//! `supervisor`: the process that looks after containers on containerd between commands.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use runtime_containerd::{Containerd, Manner};

use crate::context::{Context, block_on};
use crate::invocation::ExitStatus;

/// Arguments.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "It runs health checks, starts containers again by their restart policies, answers name queries and\nbrings everything back after a start of the machine. Commands start it when it is needed; as a service\nof the system it is also there after a start of the machine.\n\nExamples:\n  compose supervisor install      let systemd run it, from now on and at every start\n  compose supervisor status       say whether it runs"
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Action {
    /// Let systemd run it, from now on and at every start of the machine
    Install(crate::service_unit::Arguments),
    /// Take the service away; containers go on
    Uninstall(crate::service_unit::Arguments),
    /// Run in the foreground, as a service of the system does
    Run,
    /// Say whether it runs, and what it looks after
    Status,
    /// End it; containers go on
    Stop,
}

/// Runs the command.
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let settings = crate::engine::containerd_settings(context)?;
    let dry = context.options.dry_run;
    match &arguments.action {
        Action::Run if dry => {
            let (address, namespace) = (&settings.address, &settings.namespace);
            context.output.line(format!("would look after the containers of {address} in namespace {namespace}"))?;
            Ok(ExitStatus::SUCCESS)
        }
        Action::Run => {
            log_to_stderr();
            let notify = context.environment.get("NOTIFY_SOCKET").map(str::to_owned);
            Ok(ExitStatus(runtime_containerd::supervisor_main(&settings, &Manner::Service { notify })))
        }
        Action::Install(arguments) => crate::service_unit::install(context, &settings, arguments),
        Action::Uninstall(arguments) => crate::service_unit::uninstall(context, &settings, arguments),
        Action::Status => block_on(async {
            match Containerd::connect(settings).await?.supervisor_status().await? {
                Some(text) => {
                    context.output.line(format!("running: {text}"))?;
                    Ok(ExitStatus::SUCCESS)
                }
                None => {
                    context.output.line("not running")?;
                    Ok(ExitStatus::FAILURE)
                }
            }
        })?,
        Action::Stop if dry => block_on(async {
            let running = Containerd::connect(settings).await?.supervisor_status().await?;
            context
                .output
                .line(running.map_or_else(|| "not running".to_owned(), |text| format!("would end: {text}")))?;
            Ok(ExitStatus::SUCCESS)
        })?,
        Action::Stop => block_on(async {
            let stopped = Containerd::connect(settings).await?.stop_supervisor().await?;
            if !stopped {
                context.output.warning("it does not run");
            }
            Ok(ExitStatus::SUCCESS)
        })?,
    }
}

fn log_to_stderr() {
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
    let _ = subscriber.with_writer(std::io::stderr).try_init();
}

/// The process that a command of the containerd backend has started.
pub(crate) fn started_on_demand(arguments: &[String]) -> ExitCode {
    log_to_stderr();
    let code = match arguments.first().and_then(|argument| runtime_containerd::settings_of(argument)) {
        Some(settings) => runtime_containerd::supervisor_main(&settings, &Manner::OnDemand),
        None => 2,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
