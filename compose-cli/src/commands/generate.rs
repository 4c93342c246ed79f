//! `alpha generate`: a Compose file made from containers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use compose_model::canonical::{Document, write_json, write_yaml};
use compose_planner::observed::{Container, Detail, Further, READ_ONLY};
use compose_runtime::Runtime;
use compose_runtime::port::ImageDescription;

use crate::context::Context;
use crate::invocation::ExitStatus;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  compose alpha generate --name shop db web > compose.yaml")]
pub(crate) struct Arguments {
    /// Names or identities of containers
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
    /// yaml or json
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) format: String,
    /// Name of the project
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Directory of the project: paths below it are written relative to it
    #[arg(long, value_name = "PATH")]
    pub(crate) project_dir: Option<String>,
}

/// Prints the file.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    context.output.message("generate command is EXPERIMENTAL\n");
    if arguments.containers.is_empty() {
        bail!("at least one container must be specified");
    }
    let write = match arguments.format.as_str() {
        "yaml" => write_yaml,
        "json" => write_json,
        other => bail!("unsupported format {other:?}"),
    };
    let runtime = context.connect(None).await?;
    let all = runtime.list_containers(&[]).await?;
    let (mut chosen, mut missing): (Vec<&Container>, Vec<&str>) = (Vec::new(), Vec::new());
    for name in &arguments.containers {
        match find(&all, name) {
            Some(container) if chosen.iter().any(|known| known.id == container.id) => {}
            Some(container) => chosen.push(container),
            None => missing.push(name),
        }
    }
    if !missing.is_empty() {
        bail!("no container(s) found with the following name(s): {}", missing.join(", "));
    }
    let directory = arguments.project_dir.as_deref().filter(|directory| !directory.is_empty());
    let directory = directory.map(std::path::absolute).transpose()?;
    let mut file = File { directory, ..File::default() };
    for container in chosen {
        let detail = runtime.containers().inspect(container.id.as_str()).await?.detail;
        let image = image(runtime.as_ref(), container).await;
        file.add(container, &detail, image.as_ref());
    }
    let name = arguments.name.as_deref().filter(|name| !name.is_empty());
    let text = write(&file.document(name));
    context.output.data(text.as_bytes())?;
    if !text.ends_with('\n') {
        context.output.data(b"\n")?;
    }
    Ok(ExitStatus::SUCCESS)
}

/// A container by its name or the beginning of its identity.
fn find<'a>(all: &'a [Container], name: &str) -> Option<&'a Container> {
    let by_name = all.iter().find(|container| container.name.as_str() == name.trim_start_matches('/'));
    by_name.or_else(|| {
        let mut found = all.iter().filter(|container| container.id.as_str().starts_with(name));
        found.next().filter(|_| found.next().is_none())
    })
}

/// What the image gives its containers; it may have gone.
async fn image(runtime: &dyn Runtime, container: &Container) -> Option<ImageDescription> {
    runtime.images().inspect(container.image_id.as_str()).await.ok().flatten()
}

type Entries = Vec<(Cow<'static, str>, Document)>;

/// The file as it grows.
#[derive(Default)]
struct File {
    services: BTreeMap<String, Document>,
    networks: BTreeSet<String>,
    volumes: BTreeSet<String>,
    /// Paths below it are relative to it.
    directory: Option<PathBuf>,
}

impl File {
    /// Adds a container as a service. What its image, or the engine, gives it anyway is left out.
    fn add(&mut self, container: &Container, detail: &Detail, image: Option<&ImageDescription>) {
        let mut entries: Entries = vec![("image".into(), Document::Text(container.image.to_string()))];
        let mut put = |name: &str, value: Document| {
            if !value.is_empty() && value != Document::Text(String::new()) {
                entries.push((name.to_owned().into(), value));
            }
        };
        let of_image = image.cloned().unwrap_or_default();
        let other_entrypoint = detail.entrypoint != of_image.entrypoint;
        if other_entrypoint {
            put("entrypoint", list(&detail.entrypoint));
        }
        if other_entrypoint || detail.command != of_image.command {
            put("command", list(&detail.command));
        }
        let own = detail.environment.iter().filter(|variable| !of_image.environment.contains(variable));
        put("environment", Document::Mapping(own.map(|variable| variable_entry(variable)).collect()));
        let labels = container.labels.iter().filter(|(name, _)| is_own_label(name));
        put("labels", Document::Mapping(labels.map(|(name, value)| (name.clone().into(), text(value))).collect()));
        for (name, value, usual) in [
            ("user", &detail.user, of_image.user.as_str()),
            ("working_dir", &detail.working_dir, of_image.working_dir.as_str()),
            ("hostname", &detail.hostname, container.id.as_str().get(..12).unwrap_or_default()),
            ("restart", &detail.restart, "no"),
        ] {
            if value != usual {
                put(name, text(value));
            }
        }
        for (name, flag) in [("privileged", detail.privileged), ("read_only", detail.read_only), ("tty", detail.tty)] {
            if flag {
                put(name, Document::Bool(true));
            }
        }
        for (name, value) in detail.limits.iter().flatten().filter(|(name, _)| !name.contains('.')) {
            put(name, value.parse().map_or_else(|_| number_or_text(value), Document::Int));
        }
        for (name, value) in nested(&detail.further) {
            put(&name, value);
        }
        put("volumes", self.mounts(container, detail));
        let mode = container.network_mode.as_str();
        if matches!(mode, "host" | "none") || mode.starts_with("container:") {
            put("network_mode", text(mode));
        } else {
            put("networks", self.endpoints(container, detail));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let service =
            if container.service.as_str().is_empty() { container.name.as_str() } else { container.service.as_str() };
        let name = match self.services.contains_key(service) {
            true => container.name.to_string(),
            false => service.to_owned(),
        };
        self.services.insert(name, Document::Structure(entries));
    }

    fn mounts(&mut self, container: &Container, detail: &Detail) -> Document {
        let fixed = match detail.further.get(READ_ONLY) {
            Some(Further::List(targets)) => targets.as_slice(),
            _ => &[],
        };
        let mut mounts = Vec::new();
        for mount in container.mounts.iter().filter(|mount| matches!(mount.kind.as_str(), "volume" | "bind")) {
            let source = match &mount.volume {
                Some(volume) => {
                    self.volumes.insert(volume.to_string());
                    volume.to_string()
                }
                None => self.relative(&mount.source),
            };
            let mut entries: Entries = vec![
                ("type".into(), text(&mount.kind)),
                ("source".into(), text(&source)),
                ("target".into(), text(&mount.target)),
            ];
            if fixed.contains(&mount.target) {
                entries.push(("read_only".into(), Document::Bool(true)));
            }
            mounts.push(Document::Structure(entries));
        }
        Document::Sequence(mounts)
    }

    fn relative(&self, source: &str) -> String {
        let inside = self.directory.as_ref().and_then(|directory| Path::new(source).strip_prefix(directory).ok());
        inside.map_or_else(|| source.to_owned(), |inside| format!("./{}", inside.display()))
    }

    fn endpoints(&mut self, container: &Container, detail: &Detail) -> Document {
        let mut networks = Entries::new();
        for name in container.networks.keys() {
            // The engine's own network, which Compose files cannot name.
            if name.as_str() == "bridge" {
                continue;
            }
            self.networks.insert(name.to_string());
            let endpoint = detail.endpoints.get(name).cloned().unwrap_or_default();
            let short = container.id.as_str().get(..12).unwrap_or_default();
            let given = |alias: &&String| {
                ![short, container.name.as_str(), container.service.as_str()].contains(&alias.as_str())
            };
            let aliases: Vec<String> = endpoint.aliases.iter().filter(given).cloned().collect();
            let mut entries: Entries = Vec::new();
            if !aliases.is_empty() {
                entries.push(("aliases".into(), list(&aliases)));
            }
            for (key, address) in [("ipv4_address", endpoint.ipv4_address), ("ipv6_address", endpoint.ipv6_address)] {
                if !address.is_empty() {
                    entries.push((key.into(), text(&address)));
                }
            }
            networks.push((name.to_string().into(), Document::Structure(entries)));
        }
        Document::Mapping(networks)
    }

    fn document(self, name: Option<&str>) -> Document {
        let existing = |names: BTreeSet<String>| {
            let entry = |name: String| {
                let fields = vec![("name".into(), text(&name)), ("external".into(), Document::Bool(true))];
                (Cow::Owned(name), Document::Structure(fields))
            };
            Document::Mapping(names.into_iter().map(entry).collect())
        };
        let mut entries: Entries = Vec::new();
        entries.extend(name.map(|name| ("name".into(), text(name))));
        entries.push((
            "services".into(),
            Document::Mapping(self.services.into_iter().map(|(name, service)| (name.into(), service)).collect()),
        ));
        for (key, names) in [("networks", self.networks), ("volumes", self.volumes)] {
            if !names.is_empty() {
                entries.push((key.into(), existing(names)));
            }
        }
        Document::Structure(entries)
    }
}

/// What Compose writes itself says nothing of the service.
fn is_own_label(name: &str) -> bool {
    !name.starts_with("com.docker.compose.") && !name.starts_with("dev.compose.")
}

fn text(value: &str) -> Document {
    // Printed text is a template: a dollar sign is written twice.
    Document::Text(value.replace('$', "$$"))
}

fn number_or_text(value: &str) -> Document {
    value.parse().map_or_else(|_| text(value), Document::Float)
}

fn list(values: &[String]) -> Document {
    Document::Sequence(values.iter().map(|value| text(value)).collect())
}

fn variable_entry(variable: &str) -> (Cow<'static, str>, Document) {
    match variable.split_once('=') {
        Some((name, value)) => (name.to_owned().into(), text(value)),
        None => (variable.to_owned().into(), Document::Null),
    }
}

/// `healthcheck.test` becomes `test` in `healthcheck`.
fn nested(further: &BTreeMap<String, Further>) -> Entries {
    let mut entries: Entries = Vec::new();
    for (name, value) in further.iter().filter(|(name, _)| *name != READ_ONLY) {
        let value = match value {
            Further::Flag(flag) => Document::Bool(*flag),
            Further::Number(number) => Document::Int(*number),
            Further::Text(value) => text(value),
            Further::List(values) => list(values),
            Further::Mapping(values) => {
                Document::Mapping(values.iter().map(|(name, value)| (name.clone().into(), text(value))).collect())
            }
        };
        insert(&mut entries, name, value);
    }
    entries
}

fn insert(entries: &mut Entries, path: &str, value: Document) {
    let Some((first, rest)) = path.split_once('.') else { return entries.push((path.to_owned().into(), value)) };
    if !entries.iter().any(|(name, _)| name == first) {
        entries.push((first.to_owned().into(), Document::Structure(Vec::new())));
    }
    let inner = entries.iter_mut().find(|(name, _)| name == first);
    if let Some((_, Document::Structure(inner))) = inner {
        insert(inner, rest, value);
    }
}
