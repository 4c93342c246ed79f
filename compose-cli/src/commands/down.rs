//! `down`: stop and remove containers and networks.

use anyhow::bail;
use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::{Down, RemoveImages};

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted, check_services, names};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose down                    stop and remove containers and networks\n  compose down --volumes          and the data in volumes\n  compose -p shop down            without a file, from any directory"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also remove the declared volumes and anonymous ones, with their data
    #[arg(short = 'v', long, alias = "volume")]
    pub(crate) volumes: bool,
    /// Also remove images: local (those without a name of their own), all
    #[arg(long, value_name = "WHICH")]
    pub(crate) rmi: Option<String>,
    /// Also remove containers of services that the file does not have
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Seconds to wait before a container that does not stop is killed
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = crate::args::integer)]
    pub(crate) timeout: Option<i64>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let images = match arguments.rmi.as_deref() {
        None | Some("") => None,
        Some("local") => Some(RemoveImages::Local),
        Some("all") => Some(RemoveImages::All),
        Some(other) => bail!("invalid value for --rmi: {other:?}"),
    };
    let mut interrupts = Interrupts::listen()?;
    let wanted = Wanted {
        networks: true,
        volumes: arguments.volumes,
        images: images.is_some(),
        ..Wanted::CONTAINERS.to("down").forgiving()
    };
    let mut scene = context.scene(&arguments.services, wanted).await?;
    let (remove_orphans, ignore_orphans) = crate::flags::orphans(context, &scene.project, arguments.remove_orphans)?;
    check_services(&scene.project, &arguments.services)?;
    // Where none of those named has anything that could go, the networks of the others stay too.
    let provided = |name: &str| scene.project.services.get(name).is_some_and(|service| service.provider.is_some());
    let observed = &scene.observed.containers;
    let there = |name: &&String| observed.iter().any(|one| one.service.as_str() == name.as_str()) || provided(name);
    let services: Vec<String> = arguments.services.iter().filter(there).cloned().collect();
    if services.is_empty() && !arguments.services.is_empty() {
        let names = arguments.services.join(" ");
        context
            .output
            .info(&format!("Any of the services [{names}] not running in project {:?}", scene.project.name.as_str()));
        return Ok(ExitStatus::SUCCESS);
    }
    let intent = Intent::Down(Down {
        services: names(&services),
        volumes: arguments.volumes,
        remove_orphans,
        ignore_orphans,
        images,
        timeout: crate::flags::seconds(arguments.timeout),
    });
    let changed = carry_out(context, &mut scene, intent, &Manner::default(), &mut interrupts, &mut Nobody).await?;
    Ok(changed.interrupted.unwrap_or_default())
}
