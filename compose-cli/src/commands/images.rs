//! `images`: list the images of containers.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use compose_planner::observed::Container;
use compose_runtime::port::ImageDescription;
use serde_json::json;

use crate::context::{Context, Wanted};
use crate::invocation::ExitStatus;
use crate::size_format::decimal;
use crate::table::Columns;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose images")]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// table or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// Only IDs
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}

/// Lists the images that containers of the project use.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    if !matches!(arguments.format.as_str(), "" | "table" | "json") {
        bail!("format value {:?} could not be parsed: parsing failed", arguments.format);
    }
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let mut containers: Vec<&Container> = scene
        .observed
        .containers
        .iter()
        .filter(|container| container.project.as_ref() == Some(&scene.project.name) && container.hook.is_none())
        .filter(|container| {
            arguments.services.is_empty() || arguments.services.iter().any(|name| name == container.service.as_str())
        })
        .collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    // One look for each image, not for each container.
    let mut images: BTreeMap<&str, ImageDescription> = BTreeMap::new();
    for container in &containers {
        let id = container.image_id.as_str();
        if !images.contains_key(id)
            && let Some(image) = scene.runtime.images().inspect(id).await?
        {
            images.insert(id, image);
        }
    }
    let bare = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    if arguments.quiet {
        let mut seen: Vec<&str> = Vec::new();
        for container in &containers {
            let id = container.image_id.as_str();
            if !seen.contains(&id) {
                seen.push(id);
                context.output.line(bare(id))?;
            }
        }
        return Ok(ExitStatus::SUCCESS);
    }
    let now = crate::time_format::now().as_second();
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    for container in containers {
        let none = ImageDescription::default();
        let image = images.get(container.image_id.as_str()).unwrap_or(&none);
        let (repository, tag) = split_reference(container.image.as_str());
        let created = image.created.parse::<jiff::Timestamp>().ok();
        if arguments.format == "json" {
            let mut object = json!({
                "ID": container.image_id.as_str(),
                "ContainerName": container.name.as_str(),
                "Repository": repository,
                "Tag": tag,
                "Platform": image.platform,
                "Size": image.size,
                "Created": image.created,
            });
            if !image.last_tagged.is_empty() {
                object["LastTagTime"] = image.last_tagged.as_str().into();
            }
            objects.push(object);
        } else {
            let id = bare(container.image_id.as_str());
            rows.push(vec![
                container.name.to_string(),
                repository,
                tag,
                image.platform.clone(),
                id.get(..12).unwrap_or(&id).to_owned(),
                decimal(image.size),
                created.map_or_else(
                    || "N/A".to_owned(),
                    |created| format!("{} ago", crate::time_format::human_duration(now - created.as_second())),
                ),
            ]);
        }
    }
    if arguments.format == "json" {
        context.output.line(serde_json::Value::Array(objects).to_string())?;
    } else {
        let titles = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"];
        context.output.data(crate::table::table_of(Columns::WIDEST, &titles, &rows))?;
    }
    Ok(ExitStatus::SUCCESS)
}

/// Name and tag, without what stands for Docker's own registry; `<none>` where there is none.
pub(super) fn split_reference(reference: &str) -> (String, String) {
    if reference.starts_with("sha256:") || reference.is_empty() {
        return ("<none>".to_owned(), "<none>".to_owned());
    }
    let name = reference.split('@').next().unwrap_or(reference);
    let name = ["docker.io/", "index.docker.io/"].into_iter().find_map(|own| name.strip_prefix(own)).unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), "latest".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_the_tag_not_at_the_port() {
        let split = |text| {
            let (repository, tag) = split_reference(text);
            format!("{repository} {tag}")
        };
        assert_eq!(split("busybox"), "busybox latest");
        assert_eq!(split("docker.io/library/busybox:1"), "busybox 1");
        assert_eq!(split("docker.io/grafana/loki"), "grafana/loki latest");
        assert_eq!(split("host:5000/a/b"), "host:5000/a/b latest");
        assert_eq!(split("host:5000/a/b:7@sha256:00"), "host:5000/a/b 7");
        assert_eq!(split("sha256:00"), "<none> <none>");
    }
}
