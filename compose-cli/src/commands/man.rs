//! `man`: write manual pages.

use anyhow::Context;
use clap::Args;

use crate::invocation::ExitStatus;
use crate::output::Output;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose man /usr/local/share/man/man1")]
pub(crate) struct Arguments {
    /// Where to write them
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: String,
}

/// Writes `compose.1` and a page for each command.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<ExitStatus> {
    let directory = std::path::Path::new(&arguments.directory);
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let command = crate::args::readable_command();
    let mut pages = vec![("compose.1".to_owned(), command.clone())];
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let name = format!("compose-{}", inner.get_name());
        pages.push((format!("{name}.1"), inner.clone().name(name.leak() as &str)));
    }
    let count = pages.len();
    for (file, command) in pages {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        let path = directory.join(file);
        std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    output.message(format!("{count} pages written to {}\n", directory.display()));
    Ok(ExitStatus::SUCCESS)
}
