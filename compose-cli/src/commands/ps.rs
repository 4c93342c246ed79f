//! `ps`: list containers.

use anyhow::bail;
use clap::Args;
use compose_planner::observed::{Container, State};
use serde_json::Value;

use crate::container_view::{TITLES, command, ports, raw, view};
use crate::context::{Context, Scene, Wanted, check_services};
use crate::invocation::ExitStatus;
use crate::template::Template;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose ps                      what runs\n  compose ps -a                   also what has ended\n  compose ps --format json        one JSON object a line"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also stopped containers and those of `run`
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Only containers with a property: status=STATE
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Option<String>,
    /// table, json, or a Go template such as '{{.Name}}'
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Do not shorten columns
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Include containers of services that the file does not have [default: true]
    #[arg(long, default_value = "true")]
    pub(crate) orphans: bool,
    /// Only container IDs
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Only names of services
    #[arg(long = "services", id = "services-only")]
    pub(crate) services_only: bool,
    /// Only containers in this state: paused, restarting, removing, running, dead, created, exited
    #[arg(long, value_name = "STATE")]
    pub(crate) status: Vec<String>,
}

/// Lists containers.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let mut states = arguments.status.clone();
    if let Some(filter) = &arguments.filter {
        match filter.split_once('=') {
            Some(("status", state)) => states.push(state.to_owned()),
            Some(_) => bail!("filter {filter:?} is not implemented; use status=STATE"),
            None => bail!("arguments to --filter should be in form KEY=VAL"),
        }
    }
    let scene = context.scene(&arguments.services, Wanted::CONTAINERS.forgiving()).await?;
    if scene.from_files {
        check_services(&scene.project, &arguments.services)?;
    }
    let chosen = choose(&scene, arguments, &states);
    let output = context.output;
    if arguments.quiet {
        for container in &chosen {
            output.line(container.id.as_str())?;
        }
        return Ok(ExitStatus::SUCCESS);
    }
    if arguments.services_only {
        let mut seen: Vec<&str> = Vec::new();
        for container in &chosen {
            if !seen.contains(&container.service.as_str()) {
                seen.push(container.service.as_str());
            }
        }
        for service in seen {
            output.line(service)?;
        }
        return Ok(ExitStatus::SUCCESS);
    }
    let now = crate::time_format::now().as_second();
    let format = arguments.format.clone().or_else(|| configured_format(context));
    match format.as_deref() {
        None | Some("" | "table" | "pretty") => output.data(table(&chosen, now, !arguments.no_trunc))?,
        Some("json") => {
            let lines: String =
                chosen.iter().map(|container| format!("{}\n", view(container, now, !arguments.no_trunc))).collect();
            output.data(lines)?;
        }
        Some("raw") => {
            let views = chosen.iter().map(|container| view(container, now, !arguments.no_trunc));
            output.data(views.map(|view| raw(&view)).collect::<String>())?;
        }
        Some(text) => {
            let template = Template::parse(text)?;
            let views: Vec<Value> = chosen.iter().map(|container| view(container, now, !arguments.no_trunc)).collect();
            output.data(template.render_all(&views, TITLES)?)?;
        }
    }
    Ok(ExitStatus::SUCCESS)
}

fn choose<'a>(scene: &'a Scene, arguments: &Arguments, states: &[String]) -> Vec<&'a Container> {
    let mut chosen: Vec<&Container> = scene
        .observed
        .containers
        .iter()
        .filter(|container| container.project.as_ref() == Some(&scene.project.name) && container.hook.is_none())
        .filter(|container| {
            arguments.services.is_empty() || arguments.services.iter().any(|name| name == container.service.as_str())
        })
        .filter(|container| {
            if states.is_empty() {
                arguments.all || container.state == State::Running || container.state.is_up()
            } else {
                states.iter().any(|state| state == container.state.as_str())
            }
        })
        .filter(|container| arguments.all || !container.one_off)
        .filter(|container| {
            let project = &scene.project;
            arguments.orphans
                || !scene.from_files
                || project.services.contains_key(&container.service)
                || project.disabled_services.contains_key(&container.service)
        })
        .collect();
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    chosen
}

fn table(containers: &[&Container], now: i64, truncate: bool) -> String {
    let rows: Vec<Vec<String>> = containers
        .iter()
        .map(|container| {
            vec![
                container.name.to_string(),
                container.image.to_string(),
                command(container, truncate),
                container.service.to_string(),
                format!("{} ago", crate::time_format::human_duration(now - container.created)),
                container.status.clone(),
                ports(&container.ports),
            ]
        })
        .collect();
    crate::table::table(&["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"], &rows)
}

/// `psFormat` of the Docker CLI's configuration.
fn configured_format(context: &Context<'_>) -> Option<String> {
    let text = std::fs::read(crate::engine::config_directory(context).join("config.json")).ok()?;
    let configuration: Value = serde_json::from_slice(&text).ok()?;
    configuration.get("psFormat").and_then(Value::as_str).filter(|format| !format.is_empty()).map(str::to_owned)
}
