//! Models, served by the Docker Model plugin: a program that is asked what it has and where it
//! answers, that fetches models and is told how to serve them.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use compose_planner::OpId;
use compose_planner::observed::ModelRunner;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::dispatch::{Context, Ending};
use crate::error::{Result, RuntimeError};
use crate::event::{Completion, Progress};
use crate::executor::Providers;
use crate::plugins;

/// The first version of the plugin that takes flags of the inference engine.
const TAKES_FLAGS: [u64; 3] = [1, 0, 6];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(rename = "Version")]
    version: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    endpoint: String,
}

/// What the plugin has and where it answers; `None` where it is not installed.
///
/// # Errors
/// [`RuntimeError::Local`] when the plugin cannot be run, [`RuntimeError::Failed`] when its answer is a
/// failure or makes no sense. What it has is not needed: without an answer everything is fetched.
pub async fn runner(programs: &Providers) -> Result<Option<ModelRunner>> {
    let Some(plugin) = plugins::find(&programs.plugin_directories, "model") else { return Ok(None) };
    let plugin = plugin.as_path();
    let ask = |arguments: &'static [&'static str]| {
        let mut command = command(programs, plugin);
        async move { command.args(arguments).output().await.map_err(|error| cannot_run(plugin, &error)) }
    };
    let (metadata, list, status) =
        tokio::try_join!(ask(&["docker-cli-plugin-metadata"]), ask(&["ls", "--json"]), ask(&["status", "--json"]))?;
    if !status.status.success() {
        let said = String::from_utf8_lossy(&status.stderr);
        return Err(failed("error checking docker-model status", status.status, &said));
    }
    let Ok(Status { endpoint }) = serde_json::from_slice(&status.stdout) else {
        let message = format!(
            "error checking docker-model status: no JSON object with `endpoint`: {}",
            String::from_utf8_lossy(&status.stdout).trim()
        );
        return Err(RuntimeError::Failed { message });
    };
    let metadata: Metadata = serde_json::from_slice(&metadata.stdout).unwrap_or_default();
    let listed: Vec<Listed> = serde_json::from_slice(&list.stdout).unwrap_or_default();
    Ok(Some(ModelRunner {
        endpoint,
        available: listed.into_iter().flat_map(|model| model.tags).collect(),
        takes_runtime_flags: takes_flags(&metadata.version),
    }))
}

/// Whether a version such as `v1.0.6` takes flags of the inference engine.
fn takes_flags(version: &str) -> bool {
    let numbers = version.strip_prefix('v').unwrap_or(version).split(['-', '+']).next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|part| part.parse::<u64>());
    let version: Vec<u64> = std::iter::from_fn(|| numbers.next()?.ok()).collect();
    !version.is_empty() && version.as_slice() >= TAKES_FLAGS.as_slice()
}

/// Fetches a model.
pub(crate) async fn pull(context: Context<'_>, id: &OpId, name: &str, model: &str) -> Ending {
    Ending::from(run(context, Some(id), name, &["pull".to_owned(), model.to_owned()]).await)
}

/// Tells how a model is to be served.
pub(crate) async fn configure(
    context: Context<'_>,
    name: &str,
    model: &str,
    context_size: i64,
    runtime_flags: &[String],
) -> Ending {
    let mut arguments = vec!["configure".to_owned()];
    if context_size > 0 {
        arguments.extend(["--context-size".to_owned(), context_size.to_string()]);
    }
    arguments.push(model.to_owned());
    if !runtime_flags.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend_from_slice(runtime_flags);
    }
    Ending::from(run(context, None, name, &arguments).await)
}

/// Runs the plugin; its output is progress where a step is named.
async fn run(context: Context<'_>, id: Option<&OpId>, name: &str, arguments: &[String]) -> Result<Completion> {
    let Some(plugin) = plugins::find(&context.providers.plugin_directories, "model") else {
        return Err(RuntimeError::Local { message: "'models' support requires Docker Model plugin".to_owned() });
    };
    let mut command = command(context.providers, &plugin);
    let mut child = command.args(arguments).spawn().map_err(|error| cannot_run(&plugin, &error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let mut lines = BufReader::new(stdout?).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(id) = id.filter(|_| !line.is_empty()) {
                context.progress(id, Progress::Output(line));
            }
        }
        Some(())
    };
    let complaint = async {
        let mut said = Vec::new();
        // What cannot be read is missing from the message, no more.
        let _ = stderr?.read_to_end(&mut said).await;
        Some(String::from_utf8_lossy(&said).into_owned())
    };
    let (_, said) = tokio::join!(read, complaint);
    let status = child.wait().await.map_err(|error| cannot_run(&plugin, &error))?;
    if status.success() {
        return Ok(Completion::Done);
    }
    let verb = arguments.first().map(String::as_str).unwrap_or_default();
    Err(failed(&format!("model {name:?}: docker model {verb}"), status, &said.unwrap_or_default()))
}

fn command(programs: &Providers, plugin: &Path) -> Command {
    let mut command = Command::new(plugin);
    command
        .envs(&programs.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !programs.working_directory.as_os_str().is_empty() {
        command.current_dir(&programs.working_directory);
    }
    command
}

fn failed(what: &str, status: ExitStatus, said: &str) -> RuntimeError {
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"));
    let said = said.trim();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    RuntimeError::Failed { message: format!("{what}: {how}{said}") }
}

fn cannot_run(plugin: &Path, error: &std::io::Error) -> RuntimeError {
    RuntimeError::Local { message: format!("failed to run Docker Model plugin {}: {error}", plugin.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_inference_engine_need_a_newer_plugin() {
        let cases = [
            ("v1.0.6", true),
            ("1.0.7", true),
            ("v1.1.0-rc1", true),
            ("v2", true),
            ("v1.0.5", false),
            ("v0.9.12", false),
            ("", false),
            ("dev", false),
        ];
        for (version, takes) in cases {
            assert_eq!(takes_flags(version), takes, "{version}");
        }
    }
}
