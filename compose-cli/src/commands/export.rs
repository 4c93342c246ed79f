//! `export`: write the file system of a container as a tar archive.

use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::context::{Context, Wanted, check_services};
use crate::invocation::ExitStatus;
use crate::session;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose export -o web.tar web")]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) words: Vec<String>,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// File to write, instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,
}

/// Writes the archive.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    crate::flags::between(&arguments.words, 1, 1)?;
    let Some(service) = arguments.words.first() else { return Ok(ExitStatus::FAILURE) };
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    if scene.from_files {
        check_services(&scene.project, std::slice::from_ref(service))?;
    }
    let container = session::any(&scene.observed.containers, service, arguments.index)?;
    if arguments.output.is_none() && context.output.stdout_is_terminal() {
        bail!("output option is required when exporting to terminal: use -o FILE");
    }
    context.output.message(format!(" {} Exporting \n", container.name));
    if context.options.dry_run {
        return Ok(ExitStatus::SUCCESS);
    }
    let mut archive = scene.runtime.streams().export(container.id.as_str()).await?;
    match &arguments.output {
        Some(path) => {
            let file = std::fs::File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("cannot write {path}"))?;
            let mut file = tokio::fs::File::from_std(file);
            let copied = async {
                tokio::io::copy(&mut archive, &mut file).await?;
                file.sync_all().await
            };
            copied.await.with_context(|| format!("cannot write {path}"))?;
        }
        None => {
            tokio::io::copy(&mut archive, &mut tokio::io::stdout()).await?;
        }
    }
    context.output.message(format!(" {} Exported \n", container.name));
    Ok(ExitStatus::SUCCESS)
}
