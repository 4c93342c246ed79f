//! `stats`: show what containers use.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use compose_planner::observed::Container;
use compose_runtime::port::Stats;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use serde_json::{Value, json};

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;
use crate::size_format::{binary, decimal};
use crate::template::Template;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose stats --no-stream")]
pub(crate) struct Arguments {
    /// A service; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Also stopped containers [default: shows just running]
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// table, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Only once
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Do not shorten columns
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

/// Time between two tables.
const PACE: Duration = Duration::from_secs(1);

/// Shows figures, once or again and again.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    if arguments.services.len() > 1 {
        bail!("accepts at most 1 arg(s), received {}", arguments.services.len());
    }
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let mut containers: Vec<&Container> = scene
        .observed
        .containers
        .iter()
        .filter(|container| container.project.as_ref() == Some(&scene.project.name) && container.hook.is_none())
        .filter(|container| arguments.all || container.state.is_up())
        .filter(|container| {
            arguments.services.is_empty() || arguments.services.iter().any(|name| name == container.service.as_str())
        })
        .collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    if containers.is_empty() && !arguments.services.is_empty() {
        return Ok(ExitStatus::SUCCESS);
    }
    let template = match arguments.format.as_deref() {
        None | Some("" | "table" | "json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let mut interrupts = Interrupts::listen()?;
    loop {
        let looking = async {
            let mut all: FuturesOrdered<_> = containers
                .iter()
                .map(|container| async {
                    if !container.state.is_up() {
                        return Ok(None);
                    }
                    let mut figures = scene.runtime.streams().stats(container.id.as_str(), false).await?;
                    figures.next().await.transpose()
                })
                .collect();
            let (mut views, mut answered, mut failure) = (Vec::new(), containers.is_empty(), None);
            for container in &containers {
                let figures = match all.next().await.transpose() {
                    Ok(figures) => {
                        answered = true;
                        figures.flatten()
                    }
                    Err(error) => {
                        // One that has gone has no figures, and the engine is there.
                        answered |= error.is_not_found();
                        failure = Some(error);
                        None
                    }
                };
                views.push(view(container, figures.as_ref(), !arguments.no_trunc));
            }
            match failure {
                Some(error) if !answered => Err(error),
                _ => Ok(views),
            }
        };
        let views = tokio::select! {
            views = looking => views?,
            _ = interrupts.next() => return Ok(ExitStatus::INTERRUPTED),
        };
        let text = match (&template, arguments.format.as_deref()) {
            (Some(template), _) => template.render_all(&views, TITLES)?,
            (None, Some("json")) => views.iter().map(|view| format!("{view}\n")).collect(),
            (None, _) => table(&views),
        };
        let again = !arguments.no_stream;
        let home = if again && context.output.stdout_is_terminal() { "\u{1b}[H\u{1b}[2J" } else { "" };
        context.output.data(format!("{home}{text}"))?;
        if !again {
            return Ok(ExitStatus::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(PACE) => {}
            _ = interrupts.next() => return Ok(ExitStatus::INTERRUPTED),
        }
    }
}

const TITLES: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

fn view(container: &Container, figures: Option<&Stats>, truncate: bool) -> Value {
    let id = container.id.as_str();
    let id = if truncate { id.get(..12).unwrap_or(id) } else { id };
    let none = Stats::default();
    let figures = figures.unwrap_or(&none);
    let memory =
        if figures.memory_limit == 0 { 0.0 } else { figures.memory_used as f64 * 100.0 / figures.memory_limit as f64 };
    json!({
        "BlockIO": format!("{} / {}", decimal(figures.block_read), decimal(figures.block_written)),
        "CPUPerc": format!("{:.2}%", figures.cpu_percent),
        "Container": container.id.as_str(),
        "ID": id,
        "MemPerc": format!("{memory:.2}%"),
        "MemUsage": format!("{} / {}", binary(figures.memory_used), binary(figures.memory_limit)),
        "Name": container.name.as_str(),
        "NetIO": format!("{} / {}", decimal(figures.network_received), decimal(figures.network_sent)),
        "PIDs": figures.processes.to_string(),
    })
}

fn table(views: &[Value]) -> String {
    let fields = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
    let titles = ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            fields.iter().map(|field| view.get(*field).and_then(Value::as_str).unwrap_or_default().to_owned()).collect()
        })
        .collect();
    crate::table::table(&titles, &rows)
}
