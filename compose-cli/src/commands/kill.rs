//! `kill`: send a signal to containers.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Kill;

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose kill                    kill everything at once\n  compose kill -s HUP web         let web read its configuration again"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// The signal
    #[arg(short = 's', long, value_name = "SIGNAL", default_value = "SIGKILL")]
    pub(crate) signal: String,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene(&arguments.services, Wanted::CONTAINERS.to("kill").forgiving()).await?;
    let (remove_orphans, _) = crate::flags::orphans(context, &scene.project, arguments.remove_orphans)?;
    let intent =
        Intent::Kill(Kill { services: names(&arguments.services), signal: arguments.signal.clone(), remove_orphans });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
