//! `apply`: carry out a saved plan, if nothing has moved since.

use anyhow::bail;
use clap::Args;

use crate::change::{Manner, Nobody, carry_out, carry_out_plan};
use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::saved_plan::{SavedPlan, State};
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose plan -o plan.json && compose apply plan.json")]
pub(crate) struct Arguments {
    /// A plan written by `compose plan -o FILE`
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Answer every question with "yes"
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}

/// Carries out the plan.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::between(&arguments.files, 1, 1)?;
    let Some(path) = arguments.files.first() else { return Ok(ExitStatus::FAILURE) };
    let saved = SavedPlan::read(path)?;
    let mut interrupts = Interrupts::listen()?;
    // The contents of secrets and configs are in no plan: they are read from the project again.
    let mut scene = context.scene_of_files(&[], Wanted::ALL.to("apply")).await?;
    if scene.project.name != saved.plan.project {
        bail!(
            "the plan {path} is for project {:?}, but the files here are project {:?}; name the right ones with -f or -p",
            saved.plan.project.as_str(),
            scene.project.name.as_str()
        );
    }
    let moved = saved.state.moved(&State::of(&scene.observed, scene.project.name.as_str()));
    if !moved.is_empty() {
        bail!(
            "nothing was done: since the plan was made the engine's state has moved:\n  {}\nmake the plan again: compose plan -o {path}",
            moved.join("\n  ")
        );
    }
    let manner = Manner { yes: arguments.yes, ..Manner::default() };
    let replan = saved.plan.replan_after_images;
    let changed = carry_out_plan(context, &mut scene, saved.plan, &manner, &mut interrupts).await?;
    if let Some(status) = changed.interrupted {
        return Ok(status);
    }
    if replan && !context.options.dry_run {
        context.look_again(&mut scene).await?;
        let changed = carry_out(context, &mut scene, saved.intent, &manner, &mut interrupts, &mut Nobody).await?;
        return Ok(changed.interrupted.unwrap_or_default());
    }
    Ok(ExitStatus::SUCCESS)
}
