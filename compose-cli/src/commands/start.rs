//! `start`: start containers that exist.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Start;

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose start                   start all containers of the project\n  compose start web               start one service"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Wait until everything runs or is healthy
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait of --wait
    #[arg(long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) wait_timeout: Option<i64>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene(&arguments.services, Wanted::CONTAINERS.to("start")).await?;
    if scene.observed.containers.is_empty() && !scene.from_files {
        anyhow::bail!("no container found for project {:?}: not found", scene.project.name.as_str());
    }
    let intent = Intent::Start(Start {
        services: names(&arguments.services),
        wait: arguments.wait || arguments.wait_timeout.is_some(),
        wait_timeout: crate::flags::seconds(arguments.wait_timeout),
    });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
