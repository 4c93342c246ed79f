//! `export`: write the file system of a container as a tar archive.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use compose_runtime::port::Reader;
use tokio::io::AsyncWriteExt as _;

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::session;
use crate::signals::Interrupts;

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
    let container = session::any(&scene, service, arguments.index)?;
    if arguments.output.is_none() && context.output.stdout_is_terminal() {
        bail!("output option is required when exporting to terminal: use -o FILE");
    }
    context.output.message(format!(" {} Exporting \n", container.name));
    if context.options.dry_run {
        return Ok(ExitStatus::SUCCESS);
    }
    let mut interrupts = Interrupts::listen()?;
    let archive = scene.runtime.streams().export(container.id.as_str()).await?;
    let written = async {
        match &arguments.output {
            Some(path) => write(archive, Path::new(path)).await.with_context(|| format!("cannot write {path}")),
            None => Ok(crate::footer::copy(archive).await?),
        }
    };
    tokio::select! {
        written = written => written?,
        _ = interrupts.next() => return Ok(ExitStatus::INTERRUPTED),
    }
    context.output.message(format!(" {} Exported \n", container.name));
    Ok(ExitStatus::SUCCESS)
}

/// Writes the archive beside its place first: a file that is there is a whole one.
async fn write(mut archive: Reader, path: &Path) -> std::io::Result<()> {
    let open = |path: &Path| std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    if path.exists() && !path.is_file() {
        // A device or a pipe cannot be put in place.
        let mut file = tokio::fs::File::from_std(open(path)?);
        tokio::io::copy(&mut archive, &mut file).await?;
        return file.flush().await;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = Part(path.with_file_name(format!(".{name}.{}", std::process::id())));
    let mut file = tokio::fs::File::from_std(open(&part.0)?);
    tokio::io::copy(&mut archive, &mut file).await?;
    file.sync_all().await?;
    std::fs::rename(&part.0, path)
}

/// A file that is removed unless it has been put in its place.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Gone where it has been renamed.
        let _ = std::fs::remove_file(&self.0);
    }
}
