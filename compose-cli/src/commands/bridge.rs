//! `bridge`: the project handed to images that make another form of it, Kubernetes manifests for example.
//!
//! A transformation is an image. It finds the project in `/in/compose.yaml` and writes into `/out`; templates
//! that replace its own are in `/templates`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use compose_model::Project;
use compose_model::canonical::{Document, write_yaml};
use compose_model::names::{ImageRef, ProjectName};
use compose_planner::spec::{ContainerSpec, MountSource, MountSpec, NetworkMode};
use compose_runtime::Runtime;
use compose_runtime::port::{AttachOptions, EventQuery, ImageDescription};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::context::Context;
use crate::copying::{CopyOptions, from_container};
use crate::invocation::{CommandError, ExitStatus};
use crate::loading::Scope;
use crate::session::{self, Ended, Wiring};
use crate::signals::Interrupts;
use crate::size_format::decimal;
use crate::table::Columns;

/// The transformation that is used where none is named.
const KUBERNETES: &str = "docker/compose-bridge-kubernetes";
/// Images with this label and value are transformations.
const LABEL: (&str, &str) = ("com.docker.compose.bridge", "transformation");
/// By it the events of a transformation's container are found.
const RUN_LABEL: &str = "dev.compose.bridge.run";
/// How long the engine may take to remove a container that has ended.
const REMOVAL: std::time::Duration = std::time::Duration::from_secs(10);
/// What a new transformation is made of.
const DOCKERFILE: &str = "FROM docker/compose-bridge-transformer\nLABEL com.docker.compose.bridge=transformation\nCOPY templates /templates\n";

/// The commands.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Verb {
    /// Convert the project to Kubernetes manifests, Helm charts, or another form
    Convert(Convert),
    /// Manage the images that convert
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Transformations {
        /// The command.
        #[command(subcommand)]
        command: TransformationsVerb,
    },
}

/// The commands for transformations.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum TransformationsVerb {
    /// List the transformations that the engine has
    #[command(alias = "ls")]
    List(List),
    /// Make the sources of a transformation from another one
    Create(Create),
}

/// Arguments of `bridge convert`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose bridge convert                           to Kubernetes manifests in the directory out\n  compose bridge convert -t shop/to-helm -o chart  with a transformation of your own"
)]
pub(crate) struct Convert {
    /// Directory for what is made
    #[arg(short = 'o', long, value_name = "DIRECTORY", default_value = "out")]
    pub(crate) output: String,
    /// Directory of templates, instead of the transformation's own
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) templates: Option<String>,
    /// Image that converts; docker/compose-bridge-kubernetes when none is named
    #[arg(short = 't', long, value_name = "IMAGE")]
    pub(crate) transformation: Vec<String>,
    /// Empty the directory without asking
    #[arg(short = 'y', long, alias = "y")]
    pub(crate) yes: bool,
}

/// Arguments of `bridge transformations list`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose bridge transformations list")]
pub(crate) struct List {
    /// table or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: String,
    /// Only names
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
}

/// Arguments of `bridge transformations create`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose bridge transformations create to-helm\n  compose build                   of a service whose build context is to-helm"
)]
pub(crate) struct Create {
    /// Directory to make
    #[arg(value_name = "PATH")]
    pub(crate) words: Vec<String>,
    /// The transformation whose templates are taken; docker/compose-bridge-kubernetes when none is named
    #[arg(short = 'f', long, value_name = "IMAGE")]
    pub(crate) from: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context<'_>, verb: &Verb) -> anyhow::Result<ExitStatus> {
    match verb {
        Verb::Convert(arguments) => convert(context, arguments).await,
        Verb::Transformations { command: TransformationsVerb::List(arguments) } => list(context, arguments).await,
        Verb::Transformations { command: TransformationsVerb::Create(arguments) } => create(context, arguments).await,
    }
}

async fn convert(context: &Context<'_>, arguments: &Convert) -> anyhow::Result<ExitStatus> {
    let project = context.load(Scope::Selected(&[]))?;
    let here = &context.environment.current_directory;
    let absolute = |path: &str| PathBuf::from(crate::words::absolute(path, here));
    let output = absolute(&arguments.output);
    let templates = arguments.templates.as_deref().filter(|path| !path.is_empty()).map(absolute);
    if let Some(templates) = templates.as_deref().filter(|path| !path.is_dir()) {
        bail!("--templates {}: no such directory", templates.display());
    }
    let images: Vec<&str> = match arguments.transformation.as_slice() {
        [] => vec![KUBERNETES],
        named => named.iter().map(String::as_str).collect(),
    };
    if context.options.dry_run {
        for image in images {
            context.output.message(format!(" {image} Converting to {}\n", output.display()));
        }
        return Ok(ExitStatus::SUCCESS);
    }
    let runtime = context.connect(None).await?;
    let model = model(context, runtime.as_ref(), &project).await?;
    for image in &images {
        image_or_pull(context, runtime.as_ref(), image).await?;
    }
    prepare(context, &output, &arguments.output, arguments.yes)?;
    let input = tempfile::Builder::new().prefix("compose-convert-").tempdir().context("cannot make a directory")?;
    // It may hold the content of secrets: the directory is open to this user alone, and goes at the end.
    let file = input.path().join("compose.yaml");
    std::fs::write(&file, write_yaml(&Document::of(&model)))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut mounts = vec![bind(input.path(), "/in"), bind(&output, "/out")];
    mounts.extend(templates.as_deref().map(|templates| bind(templates, "/templates")));
    let mut interrupts = Interrupts::listen()?;
    for image in images {
        let status = transform(runtime.as_ref(), &project.name, image, mounts.clone(), &mut interrupts).await?;
        if status != ExitStatus::SUCCESS {
            return Ok(status);
        }
    }
    Ok(ExitStatus::SUCCESS)
}

fn bind(path: &Path, target: &str) -> MountSpec {
    MountSpec {
        target: target.to_owned(),
        read_only: false,
        consistency: String::new(),
        source: MountSource::Bind {
            path: path.display().to_string(),
            create_host_path: true,
            propagation: String::new(),
            recursive: String::new(),
            selinux: String::new(),
        },
        place: None,
    }
}

/// An empty directory; what is in it goes only with consent.
fn prepare(context: &Context<'_>, output: &Path, written: &str, yes: bool) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(output) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        found => Some(found.with_context(|| format!("cannot read output folder {}", output.display()))?),
    };
    if let Some(mut entries) = entries {
        if entries.next().is_none() {
            return Ok(());
        }
        let question = format!(
            "Output directory '{written}' is not empty, all its content will be permanently deleted. Continue?"
        );
        if !yes && !crate::change::ask(context, &question)? {
            bail!("deletion of output directory '{written}' was not confirmed");
        }
        std::fs::remove_dir_all(output).with_context(|| format!("cannot remove {}", output.display()))?;
    }
    std::fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))
}

/// Runs a transformation with this terminal's output, and returns its exit code.
async fn transform(
    runtime: &dyn Runtime,
    project: &ProjectName,
    image: &str,
    mounts: Vec<MountSpec>,
    interrupts: &mut Interrupts,
) -> anyhow::Result<ExitStatus> {
    let slug = super::run::slug()?;
    let mut spec = container(runtime, project, image, &slug);
    spec.mounts = mounts;
    // What it writes belongs to whoever called.
    spec.user = rustix::process::getuid().as_raw().to_string();
    spec.environment.insert("LICENSE_AGREEMENT".to_owned(), Some("true".to_owned()));
    spec.auto_remove = true;
    // Subscribed to before the start: a container that removes itself tells its exit code nowhere else.
    let query = EventQuery { labels: vec![(RUN_LABEL.to_owned(), Some(slug))], ..EventQuery::default() };
    let mut events = runtime.streams().events(&query).await?;
    let id = runtime.containers().create(&spec).await?.id;
    let options = AttachOptions { output: true, ..AttachOptions::default() };
    let started = async {
        let session = runtime.streams().attach(id.as_str(), &options).await?;
        runtime.containers().start(id.as_str()).await?;
        Ok::<_, compose_runtime::RuntimeError>(session)
    };
    let mut session = match started.await {
        Ok(session) => session,
        Err(error) => {
            // Never started, it does not remove itself.
            let _ = runtime.containers().remove(id.as_str(), true, true).await;
            return Err(error.into());
        }
    };
    let wiring = Wiring { container: id.as_str(), ..Wiring::default() };
    if let Ended::Signal(_) = session::connect(runtime, &mut session, wiring, interrupts).await? {
        runtime.containers().kill(id.as_str(), "SIGKILL").await?;
        return Ok(ExitStatus::INTERRUPTED);
    }
    while let Some(event) = events.next().await {
        let event = event?;
        if event.action == "die" && event.container == id {
            let code = event.attributes.get("exitCode").and_then(|code| code.parse().ok());
            // The next one may want what this one holds. A limit, since a removal that the engine cannot do is no
            // reason to hang.
            let gone = async {
                while let Some(Ok(event)) = events.next().await {
                    if event.action == "destroy" && event.container == id {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(REMOVAL, gone).await;
            return Ok(ExitStatus(code.unwrap_or(1)));
        }
    }
    bail!("the engine has not told how {image} ended")
}

fn container(runtime: &dyn Runtime, project: &ProjectName, image: &str, slug: &str) -> ContainerSpec {
    let short = slug.get(..12).unwrap_or(slug);
    let name =
        if project.as_str().is_empty() { format!("bridge-{short}") } else { format!("{project}-bridge-{short}") };
    let mut spec =
        ContainerSpec { name: name.as_str().into(), image: ImageRef::from(image), ..ContainerSpec::default() };
    spec.labels.insert(RUN_LABEL.to_owned(), slug.to_owned());
    spec.network_mode = match runtime.describe().engine.as_str() {
        "containerd" => NetworkMode::None,
        _ => NetworkMode::Engine("bridge".to_owned()),
    };
    spec
}

/// Looks at an image, and pulls it where it is not there.
async fn image_or_pull(context: &Context<'_>, runtime: &dyn Runtime, image: &str) -> anyhow::Result<ImageDescription> {
    if let Some(found) = runtime.images().inspect(image).await? {
        return Ok(found);
    }
    context.output.message(format!(" Image {image} Pulling \n"));
    runtime.images().pull(&ImageRef::from(image), "", &|_| {}).await?;
    context.output.message(format!(" Image {image} Pulled \n"));
    let found = runtime.images().inspect(image).await?;
    found.with_context(|| format!("image {image} was pulled and is not there"))
}

/// The project as transformations read it: as `config` prints it, with `$` once, the name of each image, all
/// ports that are exposed, and the contents of configs and secrets.
async fn model(context: &Context<'_>, runtime: &dyn Runtime, project: &Project) -> anyhow::Result<Value> {
    let mut model: Value = serde_json::from_str(&compose_model::canonical::json(project))?;
    single_dollars(&mut model);
    for (name, service) in &project.services {
        let image = service.image_reference(&project.name);
        let found = if service.build.is_some() && service.image.is_empty() {
            let found = runtime.images().inspect(&image).await?;
            if found.is_none() {
                context.output.warning(&format!(
                    "image {image} for service {name} not found locally; Dockerfile-exposed ports will not be included — \
                     run `docker compose build` first to include them"
                ));
            }
            found.unwrap_or_default()
        } else {
            image_or_pull(context, runtime, &image).await?
        };
        let mut exposed: BTreeSet<String> = service.expose.iter().cloned().collect();
        exposed.extend(found.exposed.iter().map(|port| port.split('/').next().unwrap_or_default().to_owned()));
        exposed.extend(service.ports.iter().map(|port| port.target.to_string()));
        let mut exposed: Vec<String> = exposed.into_iter().collect();
        exposed.sort_by_key(|port| (port.parse::<u16>().unwrap_or(u16::MAX), port.clone()));
        let Some(written) = model["services"][name.as_str()].as_object_mut() else { continue };
        written.insert("image".to_owned(), json!(image));
        if !exposed.is_empty() {
            written.insert("expose".to_owned(), json!(exposed));
        }
        written.retain(|_, value| !value.is_null());
    }
    let secrets = project.secrets.iter().map(|(key, object)| ("secrets", key.as_str(), object));
    let configs = project.configs.iter().map(|(key, object)| ("configs", key.as_str(), object));
    for (kind, key, object) in secrets.chain(configs) {
        // What no service uses is not printed, and what is external has no content here.
        if object.external || model[kind][key].is_null() {
            continue;
        }
        let content = if !object.environment.is_empty() {
            project.environment.get(&object.environment).cloned().unwrap_or_default()
        } else if object.file.is_empty() {
            continue;
        } else {
            let path = &object.file;
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
            String::from_utf8(bytes).ok().with_context(|| format!("{path} of {kind}.{key} is not text"))?
        };
        model[kind][key]["content"] = json!(content);
    }
    Ok(model)
}

/// What was printed to be read again has every dollar sign twice.
fn single_dollars(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace("$$", "$"),
        Value::Array(items) => items.iter_mut().for_each(single_dollars),
        Value::Object(entries) => {
            let written = std::mem::take(entries);
            entries.extend(written.into_iter().map(|(key, mut value)| {
                single_dollars(&mut value);
                (key.replace("$$", "$"), value)
            }));
        }
        _ => {}
    }
}

async fn list(context: &Context<'_>, arguments: &List) -> anyhow::Result<ExitStatus> {
    if !matches!(arguments.format.as_str(), "" | "table" | "json") {
        bail!("format value {:?} could not be parsed: parsing failed", arguments.format);
    }
    let runtime = context.connect(None).await?;
    let images = runtime.images().list(LABEL.0, LABEL.1).await?;
    if arguments.quiet {
        for image in &images {
            context.output.line(image.tags.first().unwrap_or(&image.id))?;
        }
    } else if arguments.format == "json" {
        let objects = images.iter().map(|image| {
            json!({
                "Containers": 0, "Created": image.created, "Id": image.id, "Labels": image.labels,
                "ParentId": image.parent, "RepoDigests": image.digests, "RepoTags": image.tags,
                "SharedSize": -1, "Size": image.size,
            })
        });
        context.output.line(Value::Array(objects.collect()).to_string())?;
    } else {
        let rows: Vec<Vec<String>> = images
            .iter()
            .map(|image| {
                let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
                let (repository, tag) = super::images::split_reference(image.tags.first().map_or("", String::as_str));
                vec![id.get(..12).unwrap_or(id).to_owned(), repository, tag, decimal(image.size)]
            })
            .collect();
        context.output.data(crate::table::table_of(Columns::WIDEST, &["IMAGE ID", "REPO", "TAGS", "SIZE"], &rows))?;
    }
    Ok(ExitStatus::SUCCESS)
}

async fn create(context: &Context<'_>, arguments: &Create) -> anyhow::Result<ExitStatus> {
    let [path] = arguments.words.as_slice() else {
        let message = "docker: 'docker compose bridge transformations create' requires 1 argument\n\nUsage:  docker compose \
                       bridge transformations create [OPTION] PATH\n\nRun 'docker compose bridge transformations create \
                       --help' for more information";
        return Err(CommandError { status: ExitStatus::FAILURE, message: message.to_owned() }.into());
    };
    let target = PathBuf::from(crate::words::absolute(path, &context.environment.current_directory));
    if target.symlink_metadata().is_ok() {
        bail!("output folder {} already exists", target.display());
    }
    let image = arguments.from.as_deref().filter(|image| !image.is_empty()).unwrap_or(KUBERNETES);
    if context.options.dry_run {
        context.output.message(format!(" {image} Copying /templates to {}\n", target.display()));
        return Ok(ExitStatus::SUCCESS);
    }
    let runtime = context.connect(None).await?;
    image_or_pull(context, runtime.as_ref(), image).await?;
    let spec = container(runtime.as_ref(), &ProjectName::default(), image, &super::run::slug()?);
    let id = runtime.containers().create(&spec).await?.id;
    let copied = copy(runtime.as_ref(), id.as_str(), &target).await;
    runtime.containers().remove(id.as_str(), true, true).await?;
    copied?;
    context.output.line(format!("Transformer created in {:?}", target.display().to_string()))?;
    Ok(ExitStatus::SUCCESS)
}

async fn copy(runtime: &dyn Runtime, container: &str, target: &Path) -> anyhow::Result<()> {
    if runtime.streams().stat_path(container, "/templates").await?.is_none() {
        bail!("the image has no /templates: it is no transformation that can be copied");
    }
    std::fs::create_dir_all(target).with_context(|| format!("cannot create output folder {}", target.display()))?;
    from_container(runtime, container, "/templates", target, CopyOptions::default()).await?;
    let file = target.join("Dockerfile");
    std::fs::write(&file, DOCKERFILE).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_that_were_doubled_are_single_again() {
        let mut value = json!({"a$$b": ["$$x", {"c": "$$$$"}], "n": 1});
        single_dollars(&mut value);
        assert_eq!(value, json!({"a$b": ["$x", {"c": "$$"}], "n": 1}));
    }
}
