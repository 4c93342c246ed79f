//! `volumes`: list volumes.

use std::collections::BTreeSet;

use clap::Args;
use compose_planner::labels;
use serde_json::{Value, json};

use crate::context::{Context, Wanted, check_services};
use crate::invocation::ExitStatus;
use crate::template::Template;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose volumes")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// table, json, or a Go template
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// Only names
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}

/// Lists the volumes of the project.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let scene = context.scene(&arguments.services, Wanted::CONTAINERS.forgiving()).await?;
    if scene.from_files {
        check_services(&scene.project, &arguments.services)?;
    }
    let label = (labels::PROJECT.to_owned(), Some(scene.project.name.to_string()));
    let mut volumes = scene.runtime.volumes().list(&[label]).await?;
    if !arguments.services.is_empty() {
        let used: BTreeSet<&str> = scene
            .observed
            .containers
            .iter()
            .filter(|container| arguments.services.iter().any(|name| name == container.service.as_str()))
            .flat_map(|container| container.mounts.iter().filter_map(|mount| mount.volume.as_ref()))
            .map(|volume| volume.as_str())
            .collect();
        volumes.retain(|volume| used.contains(volume.name.as_str()));
    }
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    if arguments.quiet {
        for volume in &volumes {
            context.output.line(&volume.name)?;
        }
        return Ok(ExitStatus::SUCCESS);
    }
    let views: Vec<Value> = volumes
        .iter()
        .map(|volume| {
            let labels: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            json!({
                "Availability": "N/A", "Driver": volume.driver, "Group": "N/A", "Labels": labels.join(","), "Links": "N/A",
                "Mountpoint": volume.mountpoint, "Name": volume.name, "Scope": volume.scope, "Size": "N/A", "Status": "N/A",
            })
        })
        .collect();
    match arguments.format.as_str() {
        "" | "table" => {
            let rows: Vec<Vec<String>> =
                volumes.iter().map(|volume| vec![volume.driver.clone(), volume.name.clone()]).collect();
            context.output.data(crate::table::table(&["DRIVER", "VOLUME NAME"], &rows))?;
        }
        "json" => context.output.data(views.iter().map(|view| format!("{view}\n")).collect::<String>())?,
        text => {
            let titles = [
                ("Driver", "DRIVER"),
                ("Name", "VOLUME NAME"),
                ("Labels", "LABELS"),
                ("Scope", "SCOPE"),
                ("Mountpoint", "MOUNTPOINT"),
                ("Size", "SIZE"),
                ("Links", "LINKS"),
                ("Group", "GROUP"),
                ("Availability", "AVAILABILITY"),
                ("Status", "STATUS"),
            ];
            context.output.data(Template::parse(text)?.render_all(&views, &titles)?)?;
        }
    }
    Ok(ExitStatus::SUCCESS)
}
