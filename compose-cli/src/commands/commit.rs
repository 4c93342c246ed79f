//! `commit`: make an image of a container.

use clap::Args;
use compose_runtime::port::CommitOptions;

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::session;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose commit web shop/web:tried",
    override_usage = "compose commit [OPTIONS] SERVICE [REPOSITORY[:TAG]]"
)]
pub(crate) struct Arguments {
    /// Service, and the name of the image
    #[arg(value_name = "SERVICE [REPOSITORY[:TAG]]")]
    pub(crate) words: Vec<String>,
    /// Author
    #[arg(short = 'a', long, value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Apply a Dockerfile instruction
    #[arg(short = 'c', long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// Message
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Freeze the container meanwhile [default: true]
    #[arg(short = 'p', long, default_value = "true")]
    pub(crate) pause: bool,
}

/// Makes the image.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::at_least(&arguments.words, 1)?;
    crate::flags::between(&arguments.words, 1, 2)?;
    let Some(service) = arguments.words.first() else { return Ok(ExitStatus::FAILURE) };
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let container = session::any(&scene, service, arguments.index)?;
    context.output.message(format!(" {} Committing \n", container.name));
    if context.options.dry_run {
        return Ok(ExitStatus::SUCCESS);
    }
    let options = CommitOptions {
        reference: arguments.words.get(1).cloned().unwrap_or_default(),
        author: arguments.author.clone().unwrap_or_default(),
        message: arguments.message.clone().unwrap_or_default(),
        changes: arguments.change.clone(),
        pause: arguments.pause,
    };
    let image = scene.runtime.containers().commit(container.id.as_str(), &options).await?;
    context.output.message(format!(" {} Committed as {image}\n", container.name));
    Ok(ExitStatus::SUCCESS)
}
