//! `pull`: pull images.

use anyhow::bail;
use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::{Pull, PullPolicy};

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Scene, Wanted, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose pull                    pull the images of every service")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Skip images that can be built
    #[arg(long)]
    pub(crate) ignore_buildable: bool,
    /// Report failures and go on
    #[arg(long)]
    pub(crate) ignore_pull_failures: bool,
    /// Also pull what the services depend on
    #[arg(long)]
    pub(crate) include_deps: bool,
    /// missing or always
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// Pull without progress
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) parallel: bool,
    /// Deprecated, no effect
    #[arg(long, hide = true)]
    pub(crate) no_parallel: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let policy = match arguments.policy.as_deref() {
        None | Some("") => None,
        Some("missing") => Some(PullPolicy::Missing),
        Some("always") => Some(PullPolicy::Always),
        Some(other) => bail!("invalid --policy option {other:?}: use missing or always"),
    };
    if arguments.quiet {
        context.output.silence_progress();
    }
    let mut interrupts = Interrupts::listen()?;
    let wanted = Wanted { images: true, change: "pull", ..Wanted::CONTAINERS };
    let mut scene = context.scene_of_files(&arguments.services, wanted).await?;
    let intent = Intent::Pull(Pull {
        services: names(&arguments.services),
        include_dependencies: arguments.include_deps,
        ignore_buildable: arguments.ignore_buildable,
        ignore_failures: arguments.ignore_pull_failures,
        policy,
    });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await;
    let tolerated = changed.as_ref().is_ok_and(|changed| !changed.report.tolerated.is_empty());
    if changed.is_err() || tolerated {
        let buildable = buildable(&scene, arguments);
        if !buildable.is_empty() {
            context.output.warning(&format!(
                "WARNING: Some service image(s) must be built from source by running:\n    docker compose build {}",
                buildable.join(" ")
            ));
        }
    }
    Ok(changed?.interrupted.unwrap_or_default())
}

/// Services that were to be pulled although they are built here: no registry may have their images.
fn buildable<'a>(scene: &'a Scene, arguments: &Arguments) -> Vec<&'a str> {
    let present = |image: &str| scene.observed.images.keys().any(|known| known.as_str() == image);
    let wanted = |name: &str| arguments.services.is_empty() || arguments.services.iter().any(|other| other == name);
    let services = scene.project.services.values();
    services
        .filter(|service| service.build.is_some() && !service.image.is_empty() && !arguments.ignore_buildable)
        .filter(|service| wanted(service.name.as_str()) && !present(&service.image))
        .map(|service| service.name.as_str())
        .collect()
}
