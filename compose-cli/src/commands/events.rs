//! `events`: follow what happens to containers.

use std::fmt::Write as _;

use clap::Args;
use compose_planner::labels;
use compose_runtime::port::{EngineEvent, EventQuery};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::json;

use crate::context::{Context, Wanted, check_services};
use crate::invocation::ExitStatus;
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose events --json")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Also events from this time on
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only events up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// Follows events.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let scene = context.scene(&arguments.services, Wanted::CONTAINERS).await?;
    if scene.from_files {
        check_services(&scene.project, &arguments.services)?;
    }
    let time = |text: &Option<String>| match text.as_deref() {
        None | Some("") => Ok(String::new()),
        Some(text) => crate::time_format::engine_time(text)
            .ok_or_else(|| anyhow::anyhow!("invalid time {text:?}: use a timestamp, a date or a duration such as 10m")),
    };
    let query = EventQuery {
        labels: vec![(labels::PROJECT.to_owned(), Some(scene.project.name.to_string()))],
        since: time(&arguments.since)?,
        until: time(&arguments.until)?,
    };
    let mut interrupts = Interrupts::listen()?;
    let mut events = scene.runtime.streams().events(&query).await?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    let event = event?;
                    let service = event.attributes.get(labels::SERVICE).map(String::as_str).unwrap_or_default();
                    if !arguments.services.is_empty() && !arguments.services.iter().any(|name| name == service) {
                        continue;
                    }
                    context.output.data(if arguments.json { json_line(&event, service) } else { text_line(&event) })?;
                }
                None => return Ok(ExitStatus::SUCCESS),
            },
            _ = interrupts.next() => return Ok(ExitStatus::INTERRUPTED),
        }
    }
}

/// Attributes that are no label of Compose.
fn attributes(event: &EngineEvent) -> impl Iterator<Item = (&String, &String)> {
    event
        .attributes
        .iter()
        .filter(|(key, _)| !key.starts_with("com.docker.compose.") && !key.starts_with(labels::OWN_PREFIX))
}

fn time(event: &EngineEvent) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(event.time)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn json_line(event: &EngineEvent, service: &str) -> String {
    let attributes: serde_json::Map<String, serde_json::Value> =
        attributes(event).map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let object = json!({
        "action": event.action,
        "attributes": attributes,
        "id": event.container.as_str(),
        "service": service,
        "time": time(event).to_string(),
        "type": "container",
    });
    format!("{object}\n")
}

fn text_line(event: &EngineEvent) -> String {
    let time = time(event).to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let mut line = format!("{time} container {} {}", event.action, event.container);
    let list: Vec<String> = attributes(event).map(|(key, value)| format!("{key}={value}")).collect();
    let _ = writeln!(line, " ({})", list.join(", "));
    line
}
