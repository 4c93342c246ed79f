//! `stop`: stop containers and keep them.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Stop;

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose stop                    stop everything\n  compose stop -t 1 web           give web one second"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene(&arguments.services, Wanted::CONTAINERS.to("stop").forgiving()).await?;
    let intent =
        Intent::Stop(Stop { services: names(&arguments.services), timeout: crate::flags::seconds(arguments.timeout) });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
