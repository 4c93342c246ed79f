//! The printed and hashed forms of a project.
//!
//! [`yaml`] and [`json`] print what `config` shows; [`service_hash`], [`network_hash`] and
//! [`volume_hash`] are the values of the label `com.docker.compose.config-hash`. All of them must
//! equal the reference's byte for byte: people compare the first, and the second decides whether
//! a container of the other tool is taken over or replaced.

mod document;
mod hash;
#[path = "canonical/json.rs"]
mod json_writer;
#[path = "canonical/yaml.rs"]
mod yaml_writer;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use crate::project::{Extensions, Job, Project, Service};
use crate::tree::{self, Node, Typed};

pub use document::{Document, Key};
pub use hash::{network_hash, service_hash, volume_hash};
pub use json_writer::{compact as write_json_compact, pretty as write_json};
pub use yaml_writer::write as write_yaml;

/// The project as YAML, as `config` prints it: with `$` doubled, so that it can be loaded again.
#[must_use]
pub fn yaml(project: &Project) -> String {
    doubled(write_yaml(&project_document(project, Flavour::Yaml)))
}

/// The project as JSON, indented, without final line break, with `$` doubled.
#[must_use]
pub fn json(project: &Project) -> String {
    doubled(write_json(&project_document(project, Flavour::Json)))
}

/// With every `$` twice, since a single one begins a variable.
fn doubled(text: String) -> String {
    if text.contains('$') { text.replace('$', "$$") } else { text }
}

/// A tree as a document, for `config --no-interpolate`.
#[must_use]
pub fn tree_document(node: &Node) -> Document {
    match &node.value {
        tree::Value::Scalar(scalar) => match scalar.typed {
            Typed::Null => Document::Null,
            Typed::Bool(value) => Document::Bool(value),
            Typed::Int(value) => Document::Int(value),
            Typed::Uint(value) => Document::Uint(value),
            Typed::Float(value) => Document::Float(value),
            Typed::Time => Document::Verbatim(crate::yaml_types::rfc3339(&scalar.text)),
            Typed::Text => Document::Text(scalar.text.to_string()),
        },
        tree::Value::Sequence(items) => Document::Sequence(items.iter().map(tree_document).collect()),
        tree::Value::Mapping(mapping) => Document::Mapping(
            mapping.iter().map(|(key, entry)| (Cow::Owned(key.to_string()), tree_document(&entry.value))).collect(),
        ),
    }
}

/// The two printed forms differ in more than their syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    /// Keeps `x-*`, leaves out what is empty.
    Yaml,
    /// Leaves out nested `x-*`, keeps `command: null` and the like.
    Json,
}

/// The order in which attributes of a service are printed. (The hash has another one.)
const PRINT_ORDER: &[&str] = &[
    "name",
    "profiles",
    "triggers",
    "deploy",
    "develop",
    "restart",
    "scale",
    "attach",
    "container_name",
    "dockerfile",
    "provider",
    "external_links",
    "links",
    "pre_start",
    "post_start",
    "pre_stop",
    "annotations",
    "blkio_config",
    "cap_add",
    "cap_drop",
    "cgroup_parent",
    "cgroup",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpus",
    "cpuset",
    "cpu_shares",
    "command",
    "configs",
    "credential_spec",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "environment",
    "env_file",
    "extra_hosts",
    "group_add",
    "gpus",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "labels",
    "label_file",
    "logging",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "mem_swappiness",
    "mac_address",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "privileged",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "runtime",
    "secrets",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
    "build",
    "depends_on",
    "expose",
    "healthcheck",
    "ports",
    "stdin_open",
    "tty",
    "per_replica",
    EXTENSIONS,
];

/// The field name of [`Extensions`] in serialised types.
const EXTENSIONS: &str = "x-*";

fn project_document(project: &Project, flavour: Flavour) -> Document {
    let mut entries: Vec<(Key, Document)> = vec![(Cow::Borrowed("name"), Document::Text(project.name.to_string()))];
    let services = project
        .services
        .iter()
        .map(|(name, service)| (Cow::Owned(name.to_string()), service_document(service, flavour)))
        .collect();
    entries.push((Cow::Borrowed("services"), Document::Mapping(services)));
    let jobs: Vec<_> =
        project.jobs.iter().map(|(name, job)| (Cow::Owned(name.to_string()), job_document(job, flavour))).collect();
    if !jobs.is_empty() {
        entries.push((Cow::Borrowed("jobs"), Document::Mapping(jobs)));
    }
    let mut add = |key: &'static str, document: Document| {
        if !document.is_empty() {
            entries.push((Cow::Borrowed(key), adjusted(document, flavour)));
        }
    };
    add("networks", Document::of(&project.networks));
    add("volumes", Document::of(&project.volumes));
    add("secrets", Document::of(&project.secrets));
    add("configs", Document::of(&project.configs));
    // The reference's JSON has no models.
    if flavour == Flavour::Yaml {
        add("models", Document::of(&project.models));
    }
    let extensions = extension_entries(&project.extensions);
    match flavour {
        Flavour::Yaml => {
            entries.extend(yaml_writer::sorted(extensions));
            Document::Structure(entries)
        }
        Flavour::Json => {
            entries.extend(extensions);
            Document::Mapping(entries)
        }
    }
}

fn extension_entries(extensions: &Extensions) -> Vec<(Key, Document)> {
    extensions.iter().map(|(key, value)| (Cow::Owned(key.clone()), Document::of(value))).collect()
}

fn service_document(service: &Service, flavour: Flavour) -> Document {
    let mut document = Document::of(service);
    if let (Some(entries), false) = (document.entries_mut(), service.profiles.is_empty()) {
        entries.push((Cow::Borrowed("profiles"), Document::of(&service.profiles)));
    }
    finish_service(document, flavour)
}

fn job_document(job: &Job, flavour: Flavour) -> Document {
    let mut document = Document::of(&job.service);
    if let Some(entries) = document.entries_mut() {
        if flavour == Flavour::Yaml {
            entries.push((Cow::Borrowed("name"), Document::Text(job.service.name.to_string())));
        }
        if !job.service.profiles.is_empty() {
            entries.push((Cow::Borrowed("profiles"), Document::of(&job.service.profiles)));
        }
        entries.push((Cow::Borrowed("triggers"), triggers_document(&job.triggers, flavour)));
    }
    finish_service(document, flavour)
}

/// `triggers` are kept as they were written, but have their order of fields.
fn triggers_document(triggers: &serde_json::Value, flavour: Flavour) -> Document {
    const ORDER: [&str; 6] = ["manual", "schedule", "cron", "timezone", "concurrency", "missed_fires"];
    fn ordered(document: Document, flavour: Flavour) -> Document {
        match document {
            Document::Mapping(mut entries) => {
                entries.retain(|(key, _)| flavour == Flavour::Yaml || !key.starts_with("x-"));
                entries.sort_by_cached_key(|(key, _)| {
                    (ORDER.iter().position(|name| name == key).unwrap_or(ORDER.len()), key.clone())
                });
                let inner = |(key, value): (Key, Document)| {
                    let value = if key.starts_with("x-") { value } else { ordered(value, flavour) };
                    (key, value)
                };
                Document::Structure(entries.into_iter().map(inner).collect())
            }
            Document::Sequence(items) => {
                Document::Sequence(items.into_iter().map(|item| ordered(item, flavour)).collect())
            }
            other => other,
        }
    }
    ordered(Document::of(triggers), flavour)
}

/// Puts the attributes of a service, job or hook into the printed order, nested ones included.
fn finish_service(mut document: Document, flavour: Flavour) -> Document {
    order_hooks(&mut document);
    adjusted(in_print_order(document), flavour)
}

/// Puts the attributes of `pre_start` hooks into the printed order, which is that of their hash too.
fn order_hooks(service: &mut Document) {
    if let Some(Document::Sequence(hooks)) = service.get_mut("pre_start") {
        for hook in hooks {
            let taken = std::mem::replace(hook, Document::Null);
            *hook = in_print_order(taken);
        }
    }
}

fn in_print_order(document: Document) -> Document {
    let (Document::Structure(mut entries) | Document::Mapping(mut entries)) = document else { return document };
    static PLACES: LazyLock<HashMap<&str, usize>> =
        LazyLock::new(|| PRINT_ORDER.iter().enumerate().map(|(place, name)| (*name, place)).collect());
    entries.sort_by_cached_key(|(key, _)| PLACES.get(&**key).copied().unwrap_or(PRINT_ORDER.len()));
    Document::Structure(entries)
}

/// Settles `x-*`, empty parts and the spellings in which YAML and JSON differ.
fn adjusted(mut document: Document, flavour: Flavour) -> Document {
    adjust(&mut document, flavour);
    document
}

fn adjust(document: &mut Document, flavour: Flavour) {
    match document {
        Document::Sequence(items) => items.iter_mut().for_each(|item| adjust(item, flavour)),
        Document::Structure(entries) | Document::Mapping(entries) => {
            let is_extension = |(key, value): &(Key, Document)| {
                key == EXTENSIONS && matches!(value, Document::Mapping(_) | Document::Structure(_))
            };
            let extensions = entries.iter().position(is_extension).map(|index| entries.remove(index).1);
            for (key, value) in entries.iter_mut() {
                adjust(value, flavour);
                if flavour == Flavour::Json {
                    match &**key {
                        "blkio_config" => capitalise_devices(value),
                        "ulimits" => drop_zero_limits(value),
                        "watch" => complete_watch_rules(value),
                        "post_start" | "pre_stop" => complete_hooks(value),
                        _ => {}
                    }
                }
            }
            if flavour == Flavour::Yaml {
                entries.retain(|(key, value)| match &**key {
                    "command" | "entrypoint" => *value != Document::Null,
                    "ipam" | "resources" | "placement" => {
                        !matches!(value, Document::Structure(fields) if fields.is_empty())
                    }
                    _ => true,
                });
                if let Some(Document::Mapping(extensions)) = extensions {
                    entries.extend(yaml_writer::sorted(extensions));
                }
            }
        }
        _ => {}
    }
}

/// A limit of zero is left out of the reference's JSON.
fn drop_zero_limits(ulimits: &mut Document) {
    for (_, limit) in ulimits.entries_mut().into_iter().flatten() {
        if let Some(fields) = limit.entries_mut() {
            fields.retain(|(_, value)| *value != Document::Int(0));
        }
    }
}

/// The reference's JSON has an `exec` in every watch rule.
fn complete_watch_rules(rules: &mut Document) {
    let Document::Sequence(rules) = rules else { return };
    for rule in rules {
        let Some(fields) = rule.entries_mut() else { continue };
        if !fields.iter().any(|(key, _)| key == "exec") {
            let after = ["path", "action", "target"];
            let place = fields.iter().take_while(|(key, _)| after.contains(&&**key)).count();
            fields.insert(place, (Cow::Borrowed("exec"), Document::Structure(Vec::new())));
        }
        if let Some(exec) = rule.get_mut("exec") {
            complete_hook(exec);
        }
    }
}

fn complete_hooks(hooks: &mut Document) {
    if let Document::Sequence(hooks) = hooks {
        hooks.iter_mut().for_each(complete_hook);
    }
}

/// A hook's command is printed in JSON even where there is none.
fn complete_hook(hook: &mut Document) {
    if let Some(fields) = hook.entries_mut()
        && !fields.iter().any(|(key, _)| key == "command")
    {
        fields.insert(0, (Cow::Borrowed("command"), Document::Null));
    }
}

/// The reference's JSON has `Path`, `Rate` and `Weight` in the device lists of `blkio_config`.
fn capitalise_devices(blkio: &mut Document) {
    for (_, devices) in blkio.entries_mut().into_iter().flatten() {
        let Document::Sequence(devices) = devices else { continue };
        for device in devices {
            for (key, _) in device.entries_mut().into_iter().flatten() {
                if let Some(first) = key.to_mut().get_mut(..1) {
                    first.make_ascii_uppercase();
                }
            }
        }
    }
}
