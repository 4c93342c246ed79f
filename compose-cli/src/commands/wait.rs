//! `wait`: wait for containers to end.

use clap::Args;
use compose_planner::Intent;
use compose_planner::intent::Down;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::change::{Manner, Nobody, carry_out};
use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose wait job                return the exit code of job")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Then remove the project
    #[arg(long)]
    pub(crate) down_project: bool,
}

/// Waits.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::at_least(&arguments.services, 1)?;
    let mut interrupts = Interrupts::listen()?;
    let mut scene = context.scene(&arguments.services, Wanted { networks: true, ..Wanted::CONTAINERS }).await?;
    let ids: Vec<_> = scene
        .observed
        .containers
        .iter()
        .filter(|container| container.project.as_ref() == Some(&scene.project.name) && container.hook.is_none())
        .filter(|container| arguments.services.iter().any(|name| name == container.service.as_str()))
        .filter(|container| !container.one_off)
        .map(|container| container.id.clone())
        .collect();
    if ids.is_empty() {
        let error = anyhow::anyhow!("no containers for project {:?}", scene.project.name.as_str());
        return Err(arguments.services.iter().fold(error, |error, service| scene.with_unknown(error, service)));
    }
    let runtime = std::sync::Arc::clone(&scene.runtime);
    let mut waits: FuturesUnordered<_> = ids
        .into_iter()
        .map(|id| {
            let runtime = std::sync::Arc::clone(&runtime);
            async move {
                let code = runtime.containers().wait(id.as_str()).await;
                (id, code)
            }
        })
        .collect();
    let mut first = None;
    loop {
        tokio::select! {
            ended = waits.next() => match ended {
                Some((id, code)) => {
                    let code = code?;
                    first.get_or_insert(code);
                    context.output.line(format!("container {:?} exited with status code {code}", id.as_str()))?;
                    if arguments.down_project {
                        break;
                    }
                }
                None => break,
            },
            _ = interrupts.next() => return Ok(ExitStatus::INTERRUPTED),
        }
    }
    drop(waits);
    if arguments.down_project {
        scene.observed = scene
            .runtime
            .observe(&crate::context::query(&scene.project, Wanted { networks: true, ..Wanted::CONTAINERS }))
            .await?;
        carry_out(context, &mut scene, Intent::Down(Down::default()), &Manner::default(), &mut interrupts, &mut Nobody)
            .await?;
    }
    Ok(ExitStatus(i32::try_from(first.unwrap_or(0)).unwrap_or(1)))
}
