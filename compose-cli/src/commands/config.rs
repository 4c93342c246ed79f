//! `config`: print the resolved file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Args;
use compose_model::Project;
use compose_model::canonical::{self, Document};
use compose_model::interpolate;
use compose_model::load::LoadOptions;
use compose_model::names::ServiceName;
use compose_model::template::Mention;
use serde::Serialize as _;

use crate::context::Context;
use crate::invocation::ExitStatus;
use crate::loading;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose config                  the whole model\n  compose config --services       names of services\n  compose config --hash '*'       the hash of each service"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Print variables of the interpolation environment
    #[arg(long)]
    pub(crate) environment: bool,
    /// yaml or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Print the hash of these services, comma-separated; `*` for all
    #[arg(long, value_name = "SERVICES")]
    pub(crate) hash: Option<String>,
    /// Print the names of images
    #[arg(long)]
    pub(crate) images: bool,
    /// Print an override file with the digests of images
    #[arg(long)]
    pub(crate) lock_image_digests: bool,
    /// Print the names of models
    #[arg(long)]
    pub(crate) models: bool,
    /// Print the names of networks
    #[arg(long)]
    pub(crate) networks: bool,
    /// Do not check the model
    #[arg(long)]
    pub(crate) no_consistency: bool,
    /// Do not read the env files of services
    #[arg(long)]
    pub(crate) no_env_resolution: bool,
    /// Keep variables as they are written
    #[arg(long)]
    pub(crate) no_interpolate: bool,
    /// Do not fill in what is implied
    #[arg(long)]
    pub(crate) no_normalize: bool,
    /// Keep relative paths
    #[arg(long)]
    pub(crate) no_path_resolution: bool,
    /// Print for every value the place that it came from
    #[arg(long)]
    pub(crate) origin: bool,
    /// Write to a file [default: to stdout]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// Print the names of profiles
    #[arg(long)]
    pub(crate) profiles: bool,
    /// Only check, print nothing
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Pin images to digests
    #[arg(long)]
    pub(crate) resolve_image_digests: bool,
    /// Print the names of services
    #[arg(long = "services", id = "services-only")]
    pub(crate) services_only: bool,
    /// Print the variables that the files use
    #[arg(long)]
    pub(crate) variables: bool,
    /// Print the names of volumes
    #[arg(long)]
    pub(crate) volumes: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let json = match arguments.format.as_deref() {
        None | Some("" | "yaml") => false,
        Some("json") => true,
        Some(other) => bail!("unsupported format \"{other}\""),
    };
    let mut options = loading::options(context)?;
    options.no_normalise = arguments.no_normalize;
    options.no_consistency = arguments.no_consistency;
    options.no_env_resolution = arguments.no_env_resolution;
    options.input.no_path_resolution = arguments.no_path_resolution;
    options.no_origins = true;
    let list = arguments.list();
    if list.is_some() || arguments.no_interpolate {
        warn_of_names(context, arguments, list);
    }
    let text = if arguments.origin {
        let model = loading::load_tree(context, &options)?;
        super::config_origin::origins(&model, &context.environment.current_directory)
    } else if let Some(list) = list {
        // A list is the answer: it is printed whatever -q and -o say, but for the environment.
        let text = match list {
            List::Hashes(wanted) => hashes(context, options, wanted)?,
            List::Variables => variables(context, options, arguments.format.as_deref())?,
            _ => {
                options.input.no_interpolate = arguments.no_interpolate;
                // All services are listed, whatever is named.
                if list != List::Services {
                    options.services.clone_from(&arguments.services);
                }
                options.no_env_resolution |=
                    matches!(list, List::Services | List::Volumes | List::Networks | List::Models);
                options.no_container_names = true;
                names(list, &loading::load_with(context, &options)?)
            }
        };
        if list != List::Environment || !arguments.quiet {
            context.output.data(text)?;
        }
        return Ok(ExitStatus::SUCCESS);
    } else if arguments.no_interpolate {
        uninterpolated(context, options, arguments, json)?
    } else {
        options.services.clone_from(&arguments.services);
        let mut project = loading::load_with(context, &options)?;
        if arguments.resolve_image_digests || arguments.lock_image_digests {
            super::image_digests::pin(&mut project, context)?;
        }
        if arguments.lock_image_digests {
            project = super::image_digests::only_images(&project);
        }
        let text = if json {
            canonical::json(&project)
        } else {
            let text = canonical::yaml(&project);
            // The lock of images has no name of its own.
            text.strip_prefix("name: \"\"\n").map(str::to_owned).unwrap_or(text)
        };
        // The process ends here: to give its many small pieces back one by one would only take time.
        std::mem::forget(project);
        text
    };
    if !arguments.quiet {
        match &arguments.output {
            Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {path}"))?,
            None => context.output.data(text)?,
        }
    }
    Ok(ExitStatus::SUCCESS)
}

/// What is printed instead of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List<'a> {
    Services,
    Volumes,
    Networks,
    Models,
    /// Of these services, comma-separated.
    Hashes(&'a str),
    Profiles,
    Images,
    Variables,
    Environment,
}

/// Names of services choose nothing where the whole model is shown.
fn warn_of_names(context: &Context<'_>, arguments: &Arguments, list: Option<List<'_>>) {
    if arguments.services.is_empty() {
        return;
    }
    let said = match list {
        Some(List::Variables) => "--variables is set, variables from the full model will be rendered",
        None if arguments.no_interpolate => "--no-interpolate is set, the full model will be rendered",
        _ => return,
    };
    context.output.warning(&format!("service filtering is not applied when {said}"));
}

impl Arguments {
    /// The list that is asked for; of several the first in the order of the reference.
    fn list(&self) -> Option<List<'_>> {
        let hashes = self.hash.as_deref().filter(|wanted| !wanted.is_empty()).map(List::Hashes);
        let flag = |is_set: bool, list: List<'static>| is_set.then_some(list);
        flag(self.services_only, List::Services)
            .or(flag(self.volumes, List::Volumes))
            .or(flag(self.networks, List::Networks))
            .or(flag(self.models, List::Models))
            .or(hashes)
            .or(flag(self.profiles, List::Profiles))
            .or(flag(self.images, List::Images))
            .or(flag(self.variables, List::Variables))
            .or(flag(self.environment, List::Environment))
    }
}

/// Names of one kind, one a line.
fn names(list: List<'_>, project: &Project) -> String {
    let lines: Vec<String> = match list {
        List::Services => in_dependency_order(project).into_iter().map(ToString::to_string).collect(),
        List::Volumes => project.volumes.keys().map(ToString::to_string).collect(),
        List::Networks => project.networks.keys().map(ToString::to_string).collect(),
        List::Models => project.models.values().map(|model| model.model.clone()).collect(),
        List::Images => {
            let jobs = project.jobs.values().map(|job| &job.service);
            let all = project.services.values().chain(jobs);
            let mut images = Vec::new();
            for service in all {
                let own = service.image_reference(&project.name);
                let hooks = service.pre_start.iter().map(|hook| hook.service.image.clone());
                let others: Vec<String> = hooks.filter(|image| !image.is_empty() && *image != own).collect();
                images.push(own);
                images.extend(others);
            }
            images
        }
        List::Profiles => {
            let all = project.services.values().chain(project.disabled_services.values());
            let names: BTreeSet<&String> = all.flat_map(|service| &service.profiles).collect();
            names.into_iter().cloned().collect()
        }
        List::Environment => project.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        List::Hashes(_) | List::Variables => Vec::new(),
    };
    lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
}

/// Services by name, each after what it depends on.
fn in_dependency_order(project: &Project) -> Vec<&ServiceName> {
    let mut order = Vec::new();
    let mut seen: BTreeSet<&ServiceName> = BTreeSet::new();
    for start in project.services.keys() {
        let mut open = vec![(start, false)];
        while let Some((name, is_done)) = open.pop() {
            if is_done {
                order.push(name);
                continue;
            }
            let Some((name, service)) = project.services.get_key_value(name) else { continue };
            if !seen.insert(name) {
                continue;
            }
            open.push((name, true));
            open.extend(service.depends_on.keys().rev().map(|dependency| (dependency, false)));
        }
    }
    order
}

fn hashes(context: &Context<'_>, mut options: LoadOptions, wanted: &str) -> anyhow::Result<String> {
    options.no_container_names = true;
    let project = loading::load_with(context, &options)?;
    let wanted: Vec<&str> = wanted.split(',').collect();
    let is_all = wanted.contains(&"*");
    if let Some(unknown) = wanted.iter().find(|name| !is_all && !project.services.contains_key(**name)) {
        let mut message = format!("no such service: {unknown}");
        if project.disabled_services.contains_key(*unknown) {
            message.push_str("; it is in an inactive profile; activate it with --profile");
        }
        bail!("{message}");
    }
    let mut text = String::new();
    for (name, service) in &project.services {
        if is_all || wanted.contains(&name.as_str()) {
            let _ = writeln!(text, "{name} {}", canonical::service_hash(service));
        }
    }
    Ok(text)
}

fn uninterpolated(
    context: &Context<'_>,
    mut options: LoadOptions,
    arguments: &Arguments,
    json: bool,
) -> anyhow::Result<String> {
    options.input.no_interpolate = true;
    let mut model = loading::load_tree(context, &options)?;
    if arguments.resolve_image_digests || arguments.lock_image_digests {
        super::image_digests::pin_tree(&mut model.tree, context)?;
    }
    if arguments.lock_image_digests {
        super::image_digests::only_images_of(&mut model.tree);
    }
    let document = canonical::tree_document(&model.tree);
    Ok(if json { canonical::write_json(&document) + "\n" } else { canonical::write_yaml(&document) })
}

fn variables(context: &Context<'_>, mut options: LoadOptions, format: Option<&str>) -> anyhow::Result<String> {
    options.input.no_interpolate = true;
    options.no_normalise = true;
    options.no_validation = true;
    let model = loading::load_tree(context, &options)?;
    let mentions = interpolate::variables(&model.tree);
    if format == Some("yaml") {
        // The reference keeps this order, and indents by four.
        let field = |key: &'static str, value: Document| {
            let fields = std::iter::once((Cow::Borrowed(key), value));
            format!("    {}", canonical::write_yaml(&Document::Mapping(fields.collect())))
        };
        let entry = |mention: Mention| {
            format!("{}:\n", mention.name)
                + &field("name", Document::Text(mention.name))
                + &field("defaultvalue", Document::Text(mention.default))
                + &field("presencevalue", Document::Text(mention.presence))
                + &field("required", Document::Bool(mention.required))
        };
        return Ok(mentions.into_iter().map(entry).collect());
    }
    if format == Some("json") {
        let entries = mentions.iter().map(|mention| {
            let entry = serde_json::json!({
                "Name": mention.name,
                "DefaultValue": mention.default,
                "PresenceValue": mention.presence,
                "Required": mention.required,
            });
            (mention.name.clone(), entry)
        });
        let object = serde_json::Value::Object(entries.collect());
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        object.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
        // The reference ends it with an empty line.
        return Ok(String::from_utf8(text)? + "\n\n");
    }
    let mut rows = vec![["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned)];
    rows.extend(
        mentions
            .into_iter()
            .map(|mention| [mention.name, mention.required.to_string(), mention.default, mention.presence]),
    );
    Ok(columns(&rows))
}

/// Columns of at least twenty characters with three blanks between them; the last is not padded.
fn columns(rows: &[[String; 4]]) -> String {
    let width = |rows: &[[String; 4]], column: usize| {
        rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(20)
    };
    let widths = [width(rows, 0), width(rows, 1), width(rows, 2)];
    let mut text = String::new();
    for [name, required, default, presence] in rows {
        let [first, second, third] = widths;
        let _ = writeln!(text, "{name:<first$}{required:<second$}{default:<third$}{presence}");
    }
    text
}
