//! `rm`: remove stopped containers.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Remove;
use compose_planner::plan::Consent;

use crate::change::{Manner, Nobody, ask, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose rm                      remove stopped containers, after asking\n  compose rm -sf web              stop and remove web"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Do not ask
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Stop running containers first
    #[arg(short = 's', long)]
    pub(crate) stop: bool,
    /// Also remove anonymous volumes
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    /// Deprecated, no effect
    #[arg(short = 'a', long, hide = true)]
    pub(crate) all: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene(&arguments.services, Wanted::CONTAINERS.to("rm").forgiving()).await?;
    let intent = Intent::Remove(Remove {
        services: names(&arguments.services),
        stop: arguments.stop,
        volumes: arguments.volumes,
    });
    let plan = crate::change::plan(context, &mut scene, &intent).await?;
    let going: Vec<&str> = plan
        .consents
        .iter()
        .filter_map(|consent| match consent {
            Consent::RemoveContainers { containers } => Some(containers),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    if plan.is_empty() {
        context.output.message("No stopped containers\n");
        return Ok(ExitStatus::SUCCESS);
    }
    if !going.is_empty() {
        context.output.line(format!("Going to remove {}", going.join(", ")))?;
        if !context.options.dry_run && !arguments.force && !ask(context, "Are you sure?")? {
            return Ok(ExitStatus::SUCCESS);
        }
    }
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
