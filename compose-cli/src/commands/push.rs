//! `push`: push images.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Push;

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose push                    push the images that are built here")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Report failures and go on
    #[arg(long)]
    pub(crate) ignore_push_failures: bool,
    /// Also push what the services depend on
    #[arg(long)]
    pub(crate) include_deps: bool,
    /// Push without progress
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    if arguments.quiet {
        context.output.silence_progress();
    }
    let mut interrupts = Interrupts::listen()?;
    let wanted = Wanted { images: true, change: "push", ..Wanted::CONTAINERS };
    let mut scene = context.scene_of_files(&arguments.services, wanted).await?;
    let intent = Intent::Push(Push {
        services: names(&arguments.services),
        include_dependencies: arguments.include_deps,
        ignore_failures: arguments.ignore_push_failures,
    });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
