//! `completion`: print a completion script.

use clap::Args;

use crate::invocation::ExitStatus;
use crate::output::Output;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose completion bash > /etc/bash_completion.d/compose")]
pub(crate) struct Arguments {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL")]
    pub(crate) shell: String,
}

/// Prints the script.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<ExitStatus> {
    if let Some(script) = super::complete::script(&arguments.shell) {
        output.data(script)?;
        return Ok(ExitStatus::SUCCESS);
    }
    let Ok(shell) = arguments.shell.parse::<clap_complete::Shell>() else {
        anyhow::bail!("no completion script for {:?}: use bash, zsh, fish, elvish or powershell", arguments.shell);
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::args::readable_command(), "compose", &mut script);
    output.data(script)?;
    Ok(ExitStatus::SUCCESS)
}
