//! From options and environment to a loaded project; its diagnostics are printed here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use anyhow::Context as _;
use compose_model::diagnostic::Diagnostics;
use compose_model::files::{DiskFiles, MemoryFiles};
use compose_model::load::{LoadError, LoadOptions, Loaded, LoadedModel, load_model, load_with_remote};
use compose_model::names::ServiceName;
use compose_model::project::{Origins, Place, Service};
use compose_model::source::SourceMap;
use compose_model::template::Variable;
use compose_model::{Project, assemble, dotenv};

use crate::context::Context;
use crate::invocation::{CommandError, ExitStatus};
use crate::remote::Remotes;

/// What of the project a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// Services that are named and what they depend on; all where none is named.
    Selected(&'a [String]),
    /// A service or job that is run once, and what it depends on.
    Once(&'a [String]),
    /// Everything, for commands on what is there already; services that are named are enabled.
    /// Env files are not read: neither a missing one nor a container name that two services claim
    /// must keep anything from being stopped.
    Existing(&'a [String]),
}

/// Loads the project and prints its warnings.
///
/// # Errors
/// Every mistake with its place, rendered.
pub(crate) fn load(context: &Context<'_>, scope: Scope<'_>) -> anyhow::Result<Project> {
    let mut options = options(context)?;
    match scope {
        Scope::Selected(services) => options.services = services.to_vec(),
        Scope::Once(services) => {
            options.services = services.to_vec();
            options.jobs = true;
        }
        Scope::Existing(_) => {
            options.no_env_resolution = true;
            options.no_container_names = true;
            options.all_resources = true;
        }
    }
    let loaded = read(context, &options)?;
    // What only a Swarm honours matters where something is made.
    let all = !matches!(scope, Scope::Existing(_));
    for warning in loaded.diagnostics.warnings().filter(|warning| all || warning.code != "swarm-only") {
        context.output.warning(&warning.message);
    }
    let mut project = loaded.project;
    let followers = followers(&project);
    if !options.services.is_empty() && !followers.is_empty() {
        // Read again with them: what was not selected has not been resolved.
        options.services.extend(followers);
        if let Ok(loaded) = load_with_remote(&options, &DiskFiles, &Remotes::new(context)) {
            project = loaded.project;
        }
    }
    shorten_places(&mut project, &context.environment.current_directory);
    if context.options.compatibility {
        project.environment.insert("COMPOSE_COMPATIBILITY".to_owned(), "true".to_owned());
    }
    if let Scope::Existing(named) = scope {
        for name in named {
            if let Some((name, service)) = project.disabled_services.remove_entry(name.as_str()) {
                project.services.insert(name, service);
            }
        }
    }
    Ok(project)
}

/// Whether the image of a service is built from that of another one.
fn starts_from(service: &Service, other: &ServiceName) -> bool {
    let mut contexts = service.build.iter().flat_map(|build| build.additional_contexts.values());
    contexts.any(|context| context.strip_prefix("service:") == Some(other.as_str()))
}

/// Services that were not asked for but that builds start from, and those that share namespaces or volumes with those that were: where
/// these are replaced, the planner has to replace the containers of the followers too.
fn followers(project: &Project) -> Vec<String> {
    let mut found: BTreeSet<&ServiceName> = BTreeSet::new();
    loop {
        let before = found.len();
        for (name, service) in &project.disabled_services {
            let bound = compose_planner::bound_to(service);
            // What a build starts from has to be built before it.
            let known =
                |other: &ServiceName| project.services.get(other).or_else(|| project.disabled_services.get(other));
            let mut builders = project.services.keys().chain(found.iter().copied()).filter_map(known);
            if builders.any(|builder| starts_from(builder, name)) {
                found.insert(name);
            }
            if bound.iter().any(|parent| project.services.contains_key(parent) || found.contains(parent)) {
                found.insert(name);
            }
        }
        if found.len() == before {
            return found.into_iter().map(ToString::to_string).collect();
        }
    }
}

/// Names files below the working directory as the user would.
fn shorten_places(project: &mut Project, directory: &str) {
    let mut origins = Origins::default();
    let prefix = format!("{}/", directory.trim_end_matches('/'));
    for (path, place) in project.origins.iter() {
        let file = place.file.strip_prefix(&prefix).unwrap_or(&place.file).to_owned();
        origins.insert(path, Place { file, ..place.clone() });
    }
    project.origins = origins;
}

/// Loads the project with options of the caller's. Warnings are printed.
pub(crate) fn load_with(context: &Context<'_>, options: &LoadOptions) -> anyhow::Result<Project> {
    let loaded = read(context, options)?;
    print_warnings(context, &loaded.diagnostics);
    Ok(loaded.project)
}

fn read(context: &Context<'_>, options: &LoadOptions) -> anyhow::Result<Loaded> {
    load_with_remote(options, &DiskFiles, &Remotes::new(context)).map_err(|error| refusal(context, &error))
}

/// Loads the merged model without decoding it. Warnings are printed.
pub(crate) fn load_tree(context: &Context<'_>, options: &LoadOptions) -> anyhow::Result<LoadedModel> {
    match load_model(options, &DiskFiles, &Remotes::new(context)) {
        Ok(loaded) => {
            print_warnings(context, &loaded.diagnostics);
            Ok(loaded)
        }
        Err(error) => Err(refusal(context, &error)),
    }
}

/// What the root options and the environment ask for.
pub(crate) fn options(context: &Context<'_>) -> anyhow::Result<LoadOptions> {
    let root = context.options;
    let environment = context.environment;
    let mut stdin = None;
    if root.files.iter().any(|file| file == "-") {
        let mut text = Vec::new();
        let limit = compose_model::files::SIZE_LIMIT + 1;
        std::io::stdin().lock().take(limit).read_to_end(&mut text).context("cannot read standard input")?;
        stdin = Some(text);
    }
    let input = assemble::Options {
        files: root.files.clone(),
        stdin,
        project_name: root.project_name.clone(),
        project_directory: root.project_directory.clone().or_else(|| root.workdir.clone()),
        env_files: root.env_files.clone(),
        environment: environment.variables.clone(),
        current_directory: environment.current_directory.clone(),
        ..assemble::Options::default()
    };
    Ok(LoadOptions {
        input,
        profiles: root.profiles.clone(),
        all_resources: root.all_resources,
        ..LoadOptions::default()
    })
}

fn print_warnings(context: &Context<'_>, diagnostics: &Diagnostics) {
    for warning in diagnostics.warnings() {
        context.output.warning(&warning.message);
    }
}

/// Prints the warnings and makes one error of all mistakes.
fn refusal(context: &Context<'_>, error: &LoadError) -> anyhow::Error {
    print_warnings(context, &error.diagnostics);
    let message = error.render(context.output.colour_on_stderr());
    CommandError { status: ExitStatus::FAILURE, message }.into()
}

/// Variables of a file in the form of `.env` (`run --env-from-file`).
pub(crate) fn variables_of_file(context: &Context<'_>, path: &str) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read env file {path}"))?;
    let mut sources = SourceMap::new();
    let source = sources.add(path, text.as_str());
    let mut variables = dotenv::Variables::default();
    let environment = &context.environment.variables;
    dotenv::parse(
        source,
        &text,
        &|name| environment.get(name).map(|value| Variable { text: value.as_str().into(), span: None }),
        &mut variables,
        &mut |_, _| {},
    )
    .map_err(|error| anyhow::anyhow!("failed to read {path}: {error}"))?;
    Ok(variables.into_iter().map(|(name, value)| (name.to_string(), Some(value.text.to_string()))).collect())
}

/// Ports and volumes written in the short form on a command line, read as the file would be.
pub(crate) fn fragment(
    context: &Context<'_>,
    project: &Project,
    ports: &[String],
    volumes: &[String],
) -> anyhow::Result<Service> {
    if ports.is_empty() && volumes.is_empty() {
        return Ok(Service::default());
    }
    // Named volumes have to be declared; those of the project keep their names.
    let declared: serde_json::Map<String, serde_json::Value> = volumes
        .iter()
        .filter_map(|volume| volume.split_once(':'))
        .map(|(source, _)| source)
        .filter(|source| !source.starts_with(['/', '.', '~']))
        .map(|source| (source.to_owned(), serde_json::json!({})))
        .collect();
    // What the user wrote is final: no variables are filled in.
    let escape = |texts: &[String]| texts.iter().map(|text| text.replace('$', "$$")).collect::<Vec<_>>();
    let text = serde_json::json!({
        "services": { "run": { "image": "x", "ports": escape(ports), "volumes": escape(volumes) } },
        "volumes": declared,
    });
    let directory = if project.working_directory.is_empty() {
        context.environment.current_directory.clone()
    } else {
        project.working_directory.clone()
    };
    let file = format!("{directory}/command-line.yaml");
    let files = MemoryFiles::new().with(&file, text.to_string());
    let options = LoadOptions {
        input: assemble::Options {
            files: vec![file],
            project_name: Some("run".to_owned()),
            environment: context.environment.variables.clone(),
            current_directory: directory,
            ..assemble::Options::default()
        },
        ..LoadOptions::default()
    };
    let loaded = compose_model::load(&options, &files).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(loaded.project.services.into_values().next().unwrap_or_default())
}
