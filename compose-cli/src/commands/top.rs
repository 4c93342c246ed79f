//! `top`: show the processes of containers.

use clap::Args;
use compose_planner::observed::Container;

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::table::Columns;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose top")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

/// Shows one table of all processes.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let mut containers: Vec<&Container> = scene
        .observed
        .containers
        .iter()
        .filter(|container| container.state.is_up() && container.hook.is_none())
        .filter(|container| container.project.as_ref() == Some(&scene.project.name))
        .filter(|container| {
            arguments.services.is_empty() || arguments.services.iter().any(|name| name == container.service.as_str())
        })
        .collect();
    containers.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
    let mut titles: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for container in containers {
        // One that ended meanwhile has no processes.
        let Ok((columns, rows)) = scene.runtime.streams().top(container.id.as_str()).await else { continue };
        for column in &columns {
            if !titles.contains(column) {
                titles.push(column.clone());
            }
        }
        found.push((container, columns, rows));
    }
    if found.is_empty() {
        return Ok(ExitStatus::SUCCESS);
    }
    // Engines may differ in their columns; a cell that a container lacks shows a dash.
    let mut table = Vec::new();
    for (container, columns, rows) in found {
        for row in rows {
            let number = container.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let mut cells = vec![container.service.to_string(), number];
            for title in &titles {
                let cell = columns.iter().position(|column| column == title).and_then(|index| row.get(index));
                cells.push(cell.cloned().unwrap_or_else(|| "-".to_owned()));
            }
            table.push(cells);
        }
    }
    let mut heading = vec!["SERVICE", "#"];
    heading.extend(titles.iter().map(String::as_str));
    context.output.data(crate::table::table_of(Columns::NARROW, &heading, &table))?;
    Ok(ExitStatus::SUCCESS)
}
