//! Which command runs which code. An event loop is only made for commands that need one.

use crate::args::{AlphaVerb, RootOptions, Verb};
use crate::commands;
use crate::context::{Context, block_on};
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
    let context = &Context { options, environment, output };
    if !matches!(verb, Verb::Completion(_) | Verb::Man(_) | Verb::Version(_)) {
        // As the reference, which looks at it before any command.
        crate::change::parallel(context)?;
    }
    match verb {
        Verb::Version(arguments) => commands::version::run(&arguments, output),
        Verb::Completion(arguments) => commands::completion::run(&arguments, output),
        Verb::Check(arguments) => commands::check::run(context, &arguments),
        Verb::Schema(arguments) => commands::schema::run(&arguments, output),
        Verb::Supervisor(arguments) => commands::supervisor::run(context, &arguments),
        Verb::Man(arguments) => commands::man::run(&arguments, output),
        Verb::Up(arguments) => block_on(commands::up::run(context, &arguments))?,
        Verb::Create(arguments) => block_on(commands::create::run(context, &arguments))?,
        Verb::Down(arguments) => block_on(commands::down::run(context, &arguments))?,
        Verb::Start(arguments) => block_on(commands::start::run(context, &arguments))?,
        Verb::Stop(arguments) => block_on(commands::stop::run(context, &arguments))?,
        Verb::Restart(arguments) => block_on(commands::restart::run(context, &arguments))?,
        Verb::Kill(arguments) => block_on(commands::kill::run(context, &arguments))?,
        Verb::Rm(arguments) => block_on(commands::rm::run(context, &arguments))?,
        Verb::Pause(arguments) => block_on(commands::pause::run(context, &arguments))?,
        Verb::Unpause(arguments) => block_on(commands::unpause::run(context, &arguments))?,
        Verb::Scale(arguments) => block_on(commands::scale::run(context, &arguments))?,
        Verb::Pull(arguments) => block_on(commands::pull::run(context, &arguments))?,
        Verb::Push(arguments) => block_on(commands::push::run(context, &arguments))?,
        Verb::Build(arguments) => block_on(commands::build::run(context, &arguments))?,
        Verb::Ps(arguments) => block_on(commands::ps::run(context, &arguments))?,
        Verb::Logs(arguments) => block_on(commands::logs::run(context, &arguments))?,
        Verb::Exec(arguments) => block_on(commands::exec::run(context, &arguments))?,
        Verb::Run(arguments) => block_on(commands::run::run(context, &arguments))?,
        Verb::Attach(arguments) => block_on(commands::attach::run(context, &arguments))?,
        Verb::Ls(arguments) => block_on(commands::ls::run(context, &arguments))?,
        Verb::Images(arguments) => block_on(commands::images::run(context, &arguments))?,
        Verb::Port(arguments) => block_on(commands::port::run(context, &arguments))?,
        Verb::Top(arguments) => block_on(commands::top::run(context, &arguments))?,
        Verb::Events(arguments) => block_on(commands::events::run(context, &arguments))?,
        Verb::Wait(arguments) => block_on(commands::wait::run(context, &arguments))?,
        Verb::Volumes(arguments) => block_on(commands::volumes::run(context, &arguments))?,
        Verb::Export(arguments) => block_on(commands::export::run(context, &arguments))?,
        Verb::Commit(arguments) => block_on(commands::commit::run(context, &arguments))?,
        Verb::Stats(arguments) => block_on(commands::stats::run(context, &arguments))?,
        Verb::Config(arguments) => commands::config::run(context, &arguments),
        Verb::Plan(arguments) => block_on(commands::plan::run(context, &arguments))?,
        Verb::Apply(arguments) => block_on(commands::apply::run(context, &arguments))?,
        Verb::Why(arguments) => block_on(commands::why::run(context, &arguments))?,
        Verb::Cp(arguments) => block_on(commands::cp::run(context, &arguments))?,
        Verb::Bridge { command } => block_on(commands::bridge::run(context, &command))?,
        Verb::Alpha { command: AlphaVerb::Viz(arguments) } => commands::viz::run(context, &arguments),
        Verb::Alpha { command: AlphaVerb::Generate(arguments) } => {
            block_on(commands::generate::run(context, &arguments))?
        }
        Verb::Watch(arguments) => block_on(commands::watch::run(context, &arguments))?,
        Verb::Publish(arguments) => commands::publish::run(context, &arguments),
    }
}
