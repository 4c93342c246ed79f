//! Which command runs which code, and with what runtime of the async kind.

use crate::args::{RootOptions, Verb};
use crate::environment::Environment;
use crate::invocation::ExitStatus;
use crate::output::Output;

/// Runs a command.
pub(crate) fn dispatch(
    verb: Verb,
    options: &RootOptions,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let _ = (options, environment);
    match verb {
        Verb::Version(arguments) => crate::commands::version::run(&arguments, output),
        Verb::Completion(arguments) => crate::commands::completion::run(&arguments, output),
        Verb::Man(arguments) => crate::commands::man::run(&arguments, output),
        _ => anyhow::bail!("this command is not built yet"),
    }
}
