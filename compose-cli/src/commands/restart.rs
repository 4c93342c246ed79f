//! `restart`: stop and start containers in place.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Restart;

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose restart                 restart everything\n  compose restart web             restart one service"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Leave dependents alone
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene(&arguments.services, Wanted::CONTAINERS.to("restart")).await?;
    let intent = Intent::Restart(Restart {
        services: names(&arguments.services),
        no_dependencies: arguments.no_deps,
        timeout: crate::flags::seconds(arguments.timeout),
    });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
