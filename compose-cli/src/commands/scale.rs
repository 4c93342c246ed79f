//! `scale`: change the number of replicas.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Scale;

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose scale web=3 worker=0")]
pub(crate) struct Arguments {
    /// Services with the wanted number of replicas
    #[arg(value_name = "SERVICE=N")]
    pub(crate) replicas: Vec<String>,
    /// Leave dependencies alone
    #[arg(long)]
    pub(crate) no_deps: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::at_least(&arguments.replicas, 1)?;
    let services: Vec<String> = arguments
        .replicas
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(service, _)| service.to_owned())
        .collect();
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene_of_files(&services, Wanted::ALL.to("scale")).await?;
    let replicas = crate::flags::scale(&scene.project, &arguments.replicas)?;
    let intent = Intent::Scale(Scale { replicas, no_dependencies: arguments.no_deps });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
