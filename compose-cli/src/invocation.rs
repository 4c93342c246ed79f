//! From the words of the command line to a running command, and from its result to an exit code.
//!
//! Knows how the program may be called: under its own name, as `docker-compose`, and as a plugin
//! of the Docker CLI (`docker compose ...`).

use std::fmt;

use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{self, CommandLine, Verb};
use crate::commands::complete;
use crate::environment::Environment;
use crate::output::{Output, OutputOptions};

/// An exit code that a command ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExitStatus(pub(crate) i32);

impl ExitStatus {
    /// All is well.
    pub(crate) const SUCCESS: Self = Self(0);
    /// Something is wrong.
    pub(crate) const FAILURE: Self = Self(1);
    /// Interrupted by a signal.
    pub(crate) const INTERRUPTED: Self = Self(130);
    /// The terminal has gone: as a shell tells of a program that this signal ended.
    pub(crate) const HUNG_UP: Self = Self(129);
}

/// An error with an exit code of its own. An empty message is not printed.
#[derive(Clone, Debug)]
pub(crate) struct CommandError {
    /// The exit code.
    pub(crate) status: ExitStatus,
    /// What to print.
    pub(crate) message: String,
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}

/// The name of the reference's sub-command by which the Docker CLI asks a plugin what it is.
const PLUGIN_METADATA: &str = "docker-cli-plugin-metadata";

/// Runs the program.
pub(crate) fn run(words: Vec<String>) -> ExitStatus {
    let mut environment = Environment::of_the_process();
    let mut words = words.into_iter();
    let _program = words.next();
    let words: Vec<String> = words.collect();
    if words.first().is_some_and(|word| word == PLUGIN_METADATA) {
        let output = Output::fallback();
        return status_of(plugin_metadata(&output), &output);
    }
    if let Some((word, rest)) = words.split_first().filter(|(word, _)| complete::WORDS.contains(&word.as_str())) {
        let output = Output::fallback();
        let done = complete::run(rest, word == complete::WORDS[0], &output);
        return status_of(done.map(|()| ExitStatus::SUCCESS).map_err(Into::into), &output);
    }
    let words = without_plugin_word(words);
    let mut command = args::command();
    let parsed = command
        .try_get_matches_from_mut(std::iter::once("compose".to_owned()).chain(words.iter().cloned()))
        .and_then(|matches| {
            let here = (behind(&matches, "dry-run-here"), behind(&matches, "adopt-here"));
            CommandLine::from_arg_matches(&matches).map(|line| (line, here))
        });
    let (mut line, (dry_run, adopt)) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage_error(&error, &command, &words),
    };
    environment.docker_configuration = line.root.docker_configuration.take();
    line.root.dry_run |= dry_run;
    line.root.adopt |= adopt;
    let output = match output_of(&line, &environment) {
        Ok(output) => output,
        Err(error) => {
            Output::fallback().error(&format!("{error:#}"));
            return ExitStatus::FAILURE;
        }
    };
    if output.debug {
        // What the backends do, for people who look for a fault.
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stderr).try_init();
    }
    if line.root.workdir.is_some() {
        output.warning("option '--workdir' is DEPRECATED at root level! Please use '--project-directory' instead.");
    }
    let verb = match line.command.take() {
        Some(verb) => verb,
        None if line.root.version => Verb::Version(crate::commands::version::Arguments::default()),
        None => {
            return status_of(output.data(help(&[])).map_err(Into::into).map(|()| ExitStatus::SUCCESS), &output);
        }
    };
    let result = crate::dispatch::dispatch(verb, &line.root, &environment, &output);
    status_of(result, &output)
}

/// The words that the Docker CLI puts before its plugin's own: `[docker flags] compose ...`.
fn without_plugin_word(mut words: Vec<String>) -> Vec<String> {
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if word == "compose" {
            words.remove(index);
            break;
        }
        if !word.starts_with('-') {
            break;
        }
        let takes_value = matches!(
            word.as_str(),
            "-H" | "--host"
                | "-c"
                | "--context"
                | "--config"
                | "-l"
                | "--log-level"
                | "--tlscacert"
                | "--tlscert"
                | "--tlskey"
        );
        index += if takes_value { 2 } else { 1 };
    }
    words
}

fn plugin_metadata(output: &Output) -> anyhow::Result<ExitStatus> {
    let metadata = serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "compose",
        "Version": format!("v{}", compose_planner::labels::COMPOSE_VERSION),
        "ShortDescription": "Docker Compose",
    });
    output.line(metadata.to_string())?;
    Ok(ExitStatus::SUCCESS)
}

/// Whether a root option stands behind the command.
fn behind(matches: &clap::ArgMatches, name: &str) -> bool {
    let here = matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    here || matches.subcommand().is_some_and(|(_, inner)| behind(inner, name))
}

fn output_of(line: &CommandLine, environment: &Environment) -> anyhow::Result<Output> {
    let or = |option: &Option<String>, name: &str| option.clone().or_else(|| environment.get(name).map(str::to_owned));
    let ansi = if line.root.no_ansi { Some("never".to_owned()) } else { or(&line.root.ansi, "COMPOSE_ANSI") };
    if let Some(level) = &line.root.log_level
        && !matches!(level.as_str(), "debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic" | "trace")
    {
        anyhow::bail!("Unable to parse logging level: {level}");
    }
    let output = Output::new(&OutputOptions {
        ansi,
        no_color: environment.get("NO_COLOR").is_some(),
        progress: or(&line.root.progress, "COMPOSE_PROGRESS"),
        debug: line.root.debug || line.root.verbose || line.root.log_level.as_deref() == Some("debug"),
    })?;
    if line.root.no_ansi {
        output.message("option '--no-ansi' is DEPRECATED ! Please use '--ansi' instead.\n");
    }
    Ok(output)
}

/// The exit code of a result; an error is printed.
fn status_of(result: anyhow::Result<ExitStatus>, output: &Output) -> ExitStatus {
    let error = match result {
        Ok(status) => return status,
        Err(error) => error,
    };
    if let Some(error) = error.downcast_ref::<CommandError>() {
        if !error.message.is_empty() {
            output.error(&error.message);
        }
        return error.status;
    }
    // The reader of our output has gone (`compose logs | head`): what a signal would have done.
    let gone = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
    if gone {
        return ExitStatus(141);
    }
    if let Some(error) = error.downcast_ref::<compose_runtime::RuntimeError>() {
        output.error(&crate::failures::engine_error(error));
        return ExitStatus::FAILURE;
    }
    output.error(&format!("{error:#}"));
    ExitStatus::FAILURE
}

/// Says what is wrong with the command line, in the reference's words.
fn usage_error(error: &clap::Error, command: &clap::Command, words: &[String]) -> ExitStatus {
    let output = Output::fallback();
    let print_help =
        matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    if print_help {
        return status_of(output.data(help(words)).map(|()| ExitStatus::SUCCESS).map_err(Into::into), &output);
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let message = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let _ = output.data(help(&[]));
            let meant =
                compose_model::diagnostic::closest(&name, command.get_subcommands().map(clap::Command::get_name));
            let meant = meant.map(|meant| format!("\ndid you mean `{meant}`?")).unwrap_or_default();
            format!("unknown docker command: \"compose {name}\"{meant}")
        }
        ErrorKind::UnknownArgument => {
            let argument = text(ContextKind::InvalidArg).unwrap_or_default();
            unknown_argument(&argument, words, command)
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals
            if text(ContextKind::InvalidValue).unwrap_or_default().is_empty() =>
        {
            let argument = text(ContextKind::InvalidArg).unwrap_or_default();
            format!("flag needs an argument: {}", argument.split([' ', '=']).next().unwrap_or_default())
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let argument = text(ContextKind::InvalidArg).unwrap_or_default();
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            let long = argument.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
            let flag = with_short(&long, words, command);
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            format!("invalid argument {value:?} for {flag:?} flag: {cause}")
        }
        _ => error.render().to_string().trim_end().trim_start_matches("error: ").to_owned(),
    };
    output.error(&message);
    ExitStatus::FAILURE
}

fn unknown_argument(argument: &str, words: &[String], command: &clap::Command) -> String {
    if let Some(long) = argument.strip_prefix("--") {
        let name = long.split('=').next().unwrap_or_default();
        let known = subcommand_of(words, command).get_arguments().filter_map(clap::Arg::get_long);
        let meant = compose_model::diagnostic::closest(name, known);
        let meant = meant.map(|meant| format!("\ndid you mean `--{meant}`?")).unwrap_or_default();
        return format!("unknown flag: --{name}{meant}");
    }
    if let Some(letter) = argument.strip_prefix('-').and_then(|rest| rest.chars().next()) {
        let cluster = words
            .iter()
            .find(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter))
            .map_or(argument, String::as_str);
        return format!("unknown shorthand flag: {letter:?} in {cluster}");
    }
    let name = subcommand_of(words, command).get_name().to_owned();
    format!("\"compose {name}\" takes no argument {argument:?}; see `compose {name} --help`")
}

/// The help of the command that the words name.
fn help(words: &[String]) -> String {
    let command = args::readable_command();
    subcommand_of(words, &command).clone().render_help().to_string()
}

/// The command that the words name.
fn subcommand_of<'a>(words: &[String], command: &'a clap::Command) -> &'a clap::Command {
    let mut here = command;
    for word in words {
        if let Some(inner) = here.find_subcommand(word) {
            here = inner;
        }
    }
    here
}

/// `-t, --timeout` for `--timeout`, as the reference names flags.
fn with_short(long: &str, words: &[String], command: &clap::Command) -> String {
    let name = long.trim_start_matches('-');
    let found = subcommand_of(words, command).get_arguments().find(|argument| argument.get_long() == Some(name));
    match found.and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, --{name}"),
        None => long.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_plugin_word_is_dropped_wherever_the_docker_cli_puts_it() {
        assert_eq!(without_plugin_word(words("compose up -d")), words("up -d"));
        assert_eq!(without_plugin_word(words("-H tcp://x compose up")), words("-H tcp://x up"));
        assert_eq!(without_plugin_word(words("run compose")), words("run compose"));
    }

    #[test]
    fn the_command_line_is_consistent() {
        args::command().debug_assert();
    }

    #[test]
    fn flags_follow_the_grammar_of_the_reference() {
        let parse = |text: &str| {
            let matches =
                args::command().try_get_matches_from(std::iter::once("compose".to_owned()).chain(words(text)));
            matches.and_then(|matches| CommandLine::from_arg_matches(&matches))
        };
        let Some(Verb::Up(up)) =
            parse("up -dV web --build=false --timeout -1 --scale a=1 --scale=b=2").unwrap().command
        else {
            panic!("not up")
        };
        assert!(up.detach && up.renew_anon_volumes && !up.build);
        assert_eq!(up.timeout, Some(-1));
        assert_eq!(up.scale, ["a=1", "b=2"]);
        assert_eq!(up.services, ["web"]);
        let Some(Verb::Run(run)) = parse("run --rm -e A=1 web ls -l --rm=x").unwrap().command else {
            panic!("not run")
        };
        assert!(run.rm && run.interactive);
        assert_eq!(run.words, ["web", "ls", "-l", "--rm=x"]);
        assert!(parse("up --nope").is_err());
    }
}
