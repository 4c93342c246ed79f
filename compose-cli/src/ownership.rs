//! Whose project is it: two directories whose projects have the same name share containers without
//! meaning to. Here is when that is told, and when it is refused (docs/differences.md).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::bail;
use compose_model::Project;
use compose_model::discover::normalise_project_name;
use compose_planner::observed::Container;
use compose_planner::{Op, Plan, Target};

use crate::context::{Context, Scene};

/// The variable that chooses the rule: `refuse`, `warn` or `adopt`.
const VARIABLE: &str = "COMPOSE_SAME_NAME";

/// What happens to a second directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Always refused.
    Refuse,
    /// Told; refused where the run would take containers from what is plainly another project.
    Warn,
    /// The containers are taken over.
    Adopt,
}

fn rule(context: &Context<'_>, project: &Project) -> anyhow::Result<Rule> {
    if context.options.adopt {
        return Ok(Rule::Adopt);
    }
    let set = context.environment.get(VARIABLE);
    match set.or_else(|| project.environment.get(VARIABLE).map(String::as_str)) {
        Some("refuse") => Ok(Rule::Refuse),
        None | Some("" | "warn") => Ok(Rule::Warn),
        Some("adopt") => Ok(Rule::Adopt),
        Some(other) => bail!("invalid {VARIABLE} {other:?}: use refuse, warn or adopt"),
    }
}

/// Looks for another directory whose project has this name, before a plan is carried out.
///
/// # Errors
/// The plan is refused; the message names both directories and the cures.
pub(crate) fn check(context: &Context<'_>, scene: &Scene, plan: &Plan) -> anyhow::Result<()> {
    if !scene.from_files || plan.is_empty() {
        return Ok(());
    }
    let project = &scene.project;
    let others = others(project, &scene.observed.containers);
    if others.is_empty() {
        return Ok(());
    }
    let rule = rule(context, project)?;
    for (directory, containers) in others {
        let text = format!(
            "project {:?} has containers of another directory, {directory}; this one is {}. Give one of the two another \
             name with -p NAME or with `name:` in its file, or use --adopt if they are one project",
            project.name.as_str(),
            project.working_directory,
        );
        let taken = rule == Rule::Warn
            && is_named_by_directory(context, project)
            && is_another_project(project, &containers)
            && touches(plan, &containers);
        match rule {
            Rule::Adopt => {}
            Rule::Refuse => bail!("{text}; nothing was done"),
            Rule::Warn if taken => bail!("{text}; nothing was done"),
            Rule::Warn => context.output.warning(&text),
        }
    }
    Ok(())
}

/// Containers by the other directory that they were made from, as far as that directory still has
/// one of its files: a project that was moved is no second one.
fn others<'c>(project: &Project, containers: &'c [Container]) -> BTreeMap<&'c str, Vec<&'c Container>> {
    let mut by_directory: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in containers.iter().filter(|container| container.project.as_ref() == Some(&project.name)) {
        let directory = container.working_directory.as_str();
        if !directory.is_empty() && directory != project.working_directory {
            by_directory.entry(directory).or_default().push(container);
        }
    }
    if by_directory.is_empty() {
        return by_directory;
    }
    let real = |path: &str| std::fs::canonicalize(path).ok();
    let own: BTreeSet<PathBuf> = project.files.iter().filter_map(|file| real(file)).collect();
    let here = real(&project.working_directory);
    by_directory.retain(|directory, containers| {
        let files = containers.iter().flat_map(|container| container.config_files.split(','));
        let files: BTreeSet<PathBuf> = files.filter_map(real).filter(|file| file.is_file()).collect();
        !files.is_empty() && files.is_disjoint(&own) && (here.is_none() || real(directory) != here)
    });
    by_directory
}

/// Whether nobody chose the name: it is the directory's.
fn is_named_by_directory(context: &Context<'_>, project: &Project) -> bool {
    let chosen = context.options.project_name.as_deref().is_some_and(|name| !name.is_empty())
        || context.environment.get("COMPOSE_PROJECT_NAME").is_some()
        || project.origins.nearest("name").is_some_and(|place| !place.file.is_empty());
    let base = project.working_directory.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    !chosen && normalise_project_name(base) == project.name.as_str()
}

/// Whether no container of the other directory runs what a service of this one would run: copies of
/// one project share at least a service with its image, whatever the tag.
fn is_another_project(project: &Project, containers: &[&Container]) -> bool {
    !containers.iter().any(|container| {
        let service = project
            .services
            .get(&container.service)
            .or_else(|| project.disabled_services.get(&container.service))
            .or_else(|| project.jobs.get(&container.service).map(|job| &job.service));
        service.is_some_and(|service| {
            service.provider.is_some()
                || repository(&service.image_reference(&project.name)) == repository(container.image.as_str())
                || container.image.as_str().starts_with("sha256:")
        })
    })
}

/// The name of an image without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// Whether the plan stops, replaces or removes one of the containers.
fn touches(plan: &Plan, containers: &[&Container]) -> bool {
    plan.steps.iter().any(|step| {
        let (Op::Stop { container, .. }
        | Op::Restart { container, .. }
        | Op::Kill { container, .. }
        | Op::Pause { container }
        | Op::RemoveContainer { container, .. }
        | Op::Rename { container, .. }
        | Op::Disconnect { container, .. }
        | Op::CreateContainer { replaces: Some(container), .. }) = &step.op
        else {
            return false;
        };
        matches!(container, Target::Existing { id, .. } if containers.iter().any(|other| other.id == *id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_are_no_part_of_a_repository() {
        for (image, expected) in [
            ("busybox", "busybox"),
            ("busybox:1", "busybox"),
            ("host:5000/app", "host:5000/app"),
            ("host:5000/app:2@sha256:ab", "host:5000/app"),
        ] {
            assert_eq!(repository(image), expected);
        }
    }

    #[test]
    fn copies_of_a_project_share_a_service_and_its_image() {
        let mut project = Project { name: "app".into(), ..Project::default() };
        let service = |image: &str| compose_model::project::Service { image: image.to_owned(), ..Default::default() };
        project.services.insert("web".into(), service("shop/web:7"));
        let container = |service: &str, image: &str| Container {
            service: service.into(),
            image: image.into(),
            ..Default::default()
        };
        let differs = |service: &str, image: &str| is_another_project(&project, &[&container(service, image)]);
        assert!(!differs("web", "shop/web:6"));
        assert!(differs("web", "nginx"));
        assert!(differs("db", "shop/web:7"));
    }
}
