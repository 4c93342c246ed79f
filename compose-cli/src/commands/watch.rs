//! `watch`: act on changes of the sources.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::{Recreate, Up};

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;
use crate::watching::{WatchOptions, Watching};

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose watch                   start everything, then copy, rebuild and restart as files change\n  compose watch --no-up web       only watch what web is made of"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Do not build and start first
    #[arg(long)]
    pub(crate) no_up: bool,
    /// Remove images that a rebuild leaves without a name [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_default_value = true, value_parser = crate::args::boolean)]
    pub(crate) prune: bool,
    /// No build output
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene_of_files(&arguments.services, Wanted::ALL.to("watch")).await?;
    let options = WatchOptions {
        prune: arguments.prune,
        quiet: arguments.quiet,
        builder: scene.project.environment.get("BUILDX_BUILDER").cloned().unwrap_or_default(),
        ..WatchOptions::default()
    };
    // Before anything is built, so that a change meanwhile is acted on.
    let mut watching = Watching::begin(context, &scene.project, options)?;
    if !arguments.no_up {
        for service in scene.project.services.values_mut() {
            if service.build.is_some() && service.develop.is_some() {
                service.pull_policy = "build".to_owned();
            }
        }
        let up = Up {
            services: names(&arguments.services),
            recreate_dependencies: Recreate::Diverged,
            now: Some(crate::time_format::now().as_second()),
            ..Up::default()
        };
        let manner =
            Manner { build_is_data: true, quiet_build: arguments.quiet, title: "up".to_owned(), ..Manner::default() };
        let changed = carry_out(context, &mut scene, Intent::Up(up), &manner, &mut interrupts, &mut Nobody).await?;
        if let Some(status) = changed.interrupted {
            return Ok(status);
        }
    }
    scene.lock = None;
    if context.options.dry_run {
        return Ok(ExitStatus::SUCCESS);
    }
    watching.initial_sync(context, &mut scene, None).await?;
    watching.say(context, "Watch enabled")?;
    loop {
        let batch = tokio::select! {
            batch = watching.batch() => batch?,
            _ = interrupts.next() => return Ok(ExitStatus::INTERRUPTED),
        };
        if watching.act(context, &mut scene, batch, &mut interrupts, &mut Nobody).await? {
            return Ok(ExitStatus::INTERRUPTED);
        }
    }
}
