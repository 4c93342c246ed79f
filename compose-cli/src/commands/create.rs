//! `create`: make everything that `up` would make, and start nothing.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::{Recreate, Up};

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose create                  create containers, networks and volumes")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Build images first
    #[arg(long)]
    pub(crate) build: bool,
    /// Do not build images, even if they are missing
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Replace containers even if nothing changed
    #[arg(long)]
    pub(crate) force_recreate: bool,
    /// Keep containers even if something changed
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// When to pull images, instead of each service's policy: always, missing, never, build [default: policy]
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Pull without progress
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Number of replicas of a service, instead of the file's
    #[arg(long, value_name = "SERVICE=N")]
    pub(crate) scale: Vec<String>,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let recreate = crate::flags::recreate(arguments.force_recreate, arguments.no_recreate)?;
    let build = crate::flags::build_policy(arguments.build, arguments.no_build)?;
    let pull = crate::flags::pull_policy(arguments.pull.as_deref())?;
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene_of_files(&arguments.services, Wanted::ALL.to("create")).await?;
    let (remove_orphans, ignore_orphans) = crate::flags::orphans(context, &scene.project, arguments.remove_orphans)?;
    let intent = Intent::Create(Up {
        services: names(&arguments.services),
        recreate,
        recreate_dependencies: if arguments.no_recreate { Recreate::Never } else { Recreate::Diverged },
        build,
        pull,
        remove_orphans,
        ignore_orphans,
        scale: crate::flags::scale(&scene.project, &arguments.scale)?,
        all_resources: context.options.all_resources,
        now: Some(crate::time_format::now().as_second()),
        ..Up::default()
    });
    let manner = Manner { yes: arguments.yes, quiet_pull: arguments.quiet_pull, ..Manner::default() };
    let changed = carry_out(context, &mut scene, intent, &manner, &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
