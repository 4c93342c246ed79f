//! `ls`: list projects.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use clap::Args;
use compose_planner::labels;
use serde_json::json;

use crate::context::Context;
use crate::invocation::ExitStatus;
use crate::table::Columns;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose ls -a")]
pub(crate) struct Arguments {
    /// Also projects that do not run
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Only projects with a property: name=REGEXP
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// Only names
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}

/// Lists the projects of the engine.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut names = Vec::new();
    for filter in &arguments.filter {
        match filter.split_once('=') {
            Some(("name", pattern)) => {
                names.push(regex::Regex::new(pattern).with_context(|| format!("invalid filter '{filter}'"))?);
            }
            Some((key, _)) => bail!("invalid filter '{key}'"),
            None => bail!("invalid filter '{filter}'"),
        }
    }
    let runtime = context.connect(None).await?;
    let containers =
        runtime.list_containers(&[(labels::PROJECT.to_owned(), None), (labels::CONFIG_HASH.to_owned(), None)]).await?;
    let mut projects: BTreeMap<String, (BTreeMap<&str, usize>, Vec<String>)> = BTreeMap::new();
    for container in &containers {
        let Some(project) = &container.project else { continue };
        // Without `--all`, what has ended is neither listed nor counted.
        if container.one_off || container.hook.is_some() || !(arguments.all || container.state.is_up()) {
            continue;
        }
        let (states, files) = projects.entry(project.to_string()).or_default();
        let state = match container.state.as_str() {
            // A container between two runs counts as running.
            "restarting" => "running",
            other => other,
        };
        *states.entry(state).or_default() += 1;
        for file in container.config_files.split(',').filter(|file| !file.is_empty()) {
            if !files.iter().any(|known| known == file) {
                files.push(file.to_owned());
            }
        }
    }
    projects.retain(|name, (states, _)| {
        (arguments.all || states.contains_key("running"))
            && (names.is_empty() || names.iter().any(|pattern| pattern.is_match(name)))
    });
    let status = |states: &BTreeMap<&str, usize>| {
        states.iter().map(|(state, count)| format!("{state}({count})")).collect::<Vec<_>>().join(", ")
    };
    if arguments.quiet {
        for name in projects.keys() {
            context.output.line(name)?;
        }
        return Ok(ExitStatus::SUCCESS);
    }
    match arguments.format.as_str() {
        "json" => {
            let all: Vec<_> = projects
                .iter()
                .map(|(name, (states, files))| json!({"Name": name, "Status": status(states), "ConfigFiles": files.join(",")}))
                .collect();
            context.output.line(serde_json::Value::Array(all).to_string())?;
        }
        "table" | "" => {
            let rows: Vec<Vec<String>> = projects
                .iter()
                .map(|(name, (states, files))| vec![name.clone(), status(states), files.join(",")])
                .collect();
            context.output.data(crate::table::table_of(Columns::WIDEST, &["NAME", "STATUS", "CONFIG FILES"], &rows))?;
        }
        other => bail!("format value {other:?} could not be parsed: parsing failed"),
    }
    Ok(ExitStatus::SUCCESS)
}
