//! Services that an external program provides instead of a container.
//!
//! The program is `docker-TYPE` in a directory of CLI plugins, or `TYPE` in the path; a type with a
//! slash is a path, seen from the project's directory. It is called
//! as `PROGRAM compose --project-name=P VERB --OPTION=VALUE ... SERVICE` and speaks JSON lines on
//! its standard output: `info` and `debug` are progress, `error` is its failure, `setenv` gives a
//! variable to dependents as `SERVICE_KEY`, `rawsetenv` as `KEY`. What it can be asked is first
//! read from `PROGRAM compose metadata`; a program without metadata gets every option.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use compose_model::names::ServiceName;
use compose_model::project::Provider;
use compose_planner::OpId;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::dispatch::{Context, Ending};
use crate::error::{Result, RuntimeError};
use crate::event::{Completion, Progress};
use crate::plugins;

/// Runs a provider.
pub(crate) async fn run(
    context: Context<'_>,
    id: &OpId,
    service: &ServiceName,
    provider: &Provider,
    verb: &str,
) -> Ending {
    match talk(context, id, service, provider, verb).await {
        Ok(variables) => Ending { result: Ok(Completion::Done), made: None, variables },
        Err(error) => Ending::from(Err::<Completion, _>(error)),
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    up: VerbMetadata,
    #[serde(default)]
    down: VerbMetadata,
    /// Absent where the program cannot stop what it provides.
    stop: Option<VerbMetadata>,
}

#[derive(Default, Deserialize)]
struct VerbMetadata {
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    #[serde(default)]
    required: bool,
}

async fn talk(
    context: Context<'_>,
    id: &OpId,
    service: &ServiceName,
    provider: &Provider,
    verb: &str,
) -> Result<Vec<(String, String)>> {
    let kind = &provider.kind;
    if kind == "compose" || kind.is_empty() {
        return Err(RuntimeError::Invalid {
            message: format!("provider:{service} '{kind}' is not a valid provider type"),
        });
    }
    let program = find(context, kind);
    let metadata = metadata(context, &program).await;
    if verb == "stop" && metadata.as_ref().is_none_or(|metadata| metadata.stop.is_none()) {
        return Ok(Vec::new());
    }
    let parameters = metadata.map(|metadata| match verb {
        "up" => metadata.up.parameters,
        "stop" => metadata.stop.unwrap_or_default().parameters,
        _ => metadata.down.parameters,
    });
    // One that declares none is asked as one that says nothing.
    let parameters = parameters.filter(|parameters| !parameters.is_empty());
    if let Some(missing) = parameters
        .iter()
        .flatten()
        .find(|parameter| parameter.required && !provider.options.contains_key(&parameter.name))
    {
        return Err(RuntimeError::Invalid {
            message: format!("required parameter {:?} is missing from provider {kind:?} definition", missing.name),
        });
    }
    let known: Option<BTreeSet<&str>> =
        parameters.as_ref().map(|parameters| parameters.iter().map(|parameter| parameter.name.as_str()).collect());

    let mut command = command(context, &program);
    command.arg("compose").arg(format!("--project-name={}", context.project)).arg(verb);
    for (name, values) in &provider.options {
        if known.as_ref().is_none_or(|known| known.contains(name.as_str())) {
            command.args(values.iter().map(|value| format!("--{name}={value}")));
        }
    }
    command.arg(service.as_str());
    let mut child = command.spawn().map_err(|error| cannot_run(service, kind, &error))?;

    let mut variables = Vec::new();
    let mut failure = None;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await.map_err(|error| cannot_run(service, kind, &error))? {
            let Ok(message) = serde_json::from_str::<Message>(&line) else {
                context.progress(id, Progress::Output(line));
                continue;
            };
            match message.kind.as_str() {
                "error" => failure = Some(message.message),
                "setenv" | "rawsetenv" => {
                    let Some((name, value)) = message.message.split_once('=') else {
                        failure = Some(format!("invalid response from plugin: {}", message.message));
                        continue;
                    };
                    let name = if message.kind == "setenv" {
                        format!("{}_{name}", service.as_str().to_uppercase())
                    } else {
                        name.to_owned()
                    };
                    variables.push((name, value.to_owned()));
                }
                "debug" => tracing::debug!(%service, "{}", message.message),
                _ => context.progress(id, Progress::Output(message.message)),
            }
        }
    }
    let status = child.wait().await.map_err(|error| cannot_run(service, kind, &error))?;
    match failure {
        Some(message) => Err(RuntimeError::Failed { message }),
        None if status.success() => Ok(variables),
        None => Err(RuntimeError::Failed { message: format!("provider:{service} {kind} ended with {status}") }),
    }
}

fn find(context: Context<'_>, kind: &str) -> PathBuf {
    if kind.contains('/') {
        return context.providers.working_directory.join(kind);
    }
    // A bare name is looked up in the path when it is run.
    plugins::find(&context.providers.plugin_directories, kind).unwrap_or_else(|| PathBuf::from(kind))
}

fn command(context: Context<'_>, program: &PathBuf) -> Command {
    let mut command = Command::new(program);
    command.envs(&context.providers.environment).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    if !context.providers.working_directory.as_os_str().is_empty() {
        command.current_dir(&context.providers.working_directory);
    }
    command
}

/// What the program says of itself; `None` where it says nothing.
async fn metadata(context: Context<'_>, program: &PathBuf) -> Option<Metadata> {
    let output = command(context, program).arg("compose").arg("metadata").stderr(Stdio::null()).output().await.ok()?;
    if !output.status.success() {
        return None;
    }
    serde_json::from_slice(&output.stdout).ok()
}

fn cannot_run(service: &ServiceName, kind: &str, error: &std::io::Error) -> RuntimeError {
    let message = if error.kind() == std::io::ErrorKind::NotFound {
        format!("provider:{service} exec: {kind:?}: executable file not found in $PATH")
    } else {
        format!("provider:{service} {kind}: {error}")
    };
    RuntimeError::Local { message }
}
