//! Short forms to long forms, on trees.
//!
//! After this stage every attribute that has several spellings has the canonical one
//! (`build: .` is `build: {context: .}`, `"80:80"` is a mapping with `target` and `published`),
//! so that merging, paths, defaults and decoding each know one form only. Values are not judged
//! here beyond what the splitting of a short form needs.

mod mounts;
mod ports;

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path_table::PathTable;
use crate::tree::{Entry, Mapping, Node, Origin, Scalar, StepKind, Typed, Value};

pub(crate) use mounts::clean_path;

/// Most ports of one service; ranges are written out, and a few short ones would fill the memory.
const PORT_LIMIT: usize = 65_536;

/// What is done to the value of an attribute.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// `build: .`
    Build,
    /// `k=v` list to mapping.
    KeyValues,
    /// A boolean becomes text.
    Text,
    /// `default`, `id=path`.
    Ssh,
    /// One limit of `ulimits`.
    Limit,
    /// One limit of `build.ulimits`.
    BuildLimit,
    /// The list of `expose`.
    Expose,
    DependsOn,
    Dependency,
    EnvFile,
    /// A string becomes a list of one.
    List,
    /// A list of names becomes a mapping without values.
    Names,
    /// The list of mounts.
    Mounts,
    Mount,
    Ports,
    Device,
    /// `secrets: [name]`, `configs: [name]`
    FileReference,
    Gpus,
    /// `external: {name: x}`
    External,
    /// `schedule: ["* * * * *"]`
    Schedule,
    Extends,
    /// A service or job.
    Workload,
    /// Variables, labels.
    Variables,
}

impl Form {
    /// Whether a value has one of the kinds that the attribute may have.
    fn takes(self, node: &Node) -> bool {
        let is_text = node.as_str().is_some();
        let is_list = node.as_sequence().is_some();
        let is_mapping = node.as_mapping().is_some();
        match self {
            Self::Build | Self::Mount | Self::Device | Self::FileReference | Self::Extends | Self::Schedule => {
                is_text || is_mapping
            }
            Self::DependsOn | Self::Ssh => is_list || is_mapping,
            Self::Dependency | Self::Workload => is_mapping,
            Self::EnvFile | Self::Gpus => is_text || is_list,
            Self::Ports | Self::Mounts => is_list,
            Self::External => is_mapping || node.is_null(),
            Self::Limit | Self::BuildLimit => is_text || is_mapping || matches!(node.go_kind(), "int"),
            Self::Variables => node.as_sequence().unwrap_or_default().iter().all(|item| item.as_scalar().is_some()),
            Self::KeyValues | Self::Text | Self::Expose | Self::List | Self::Names => true,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Mount => "service volume mount",
            Self::Device => "device mapping",
            Self::FileReference => "file mount",
            Self::DependsOn | Self::Dependency => "depends_on",
            Self::EnvFile => "env_file",
            Self::Gpus => "gpus",
            Self::Ssh => "ssh",
            Self::Limit | Self::BuildLimit => "ulimits",
            Self::Ports => "port",
            Self::Extends => "extends",
            Self::Schedule => "schedule",
            Self::Workload => "service",
            _ => "this attribute",
        }
    }
}

static FORMS: LazyLock<PathTable<Form>> = LazyLock::new(|| {
    let container = [
        ("env_file", Form::EnvFile),
        ("environment", Form::Variables),
        ("labels", Form::Variables),
        ("label_file", Form::List),
        ("gpus", Form::Gpus),
        ("networks", Form::Names),
        ("models", Form::Names),
        ("volumes", Form::Mounts),
        ("volumes.*", Form::Mount),
        ("dns", Form::List),
        ("devices.*", Form::Device),
        ("ulimits.*", Form::Limit),
        ("secrets.*", Form::FileReference),
        ("configs.*", Form::FileReference),
    ];
    let workload = [
        ("build", Form::Build),
        ("build.secrets.*", Form::FileReference),
        ("build.provenance", Form::Text),
        ("build.sbom", Form::Text),
        ("build.additional_contexts", Form::KeyValues),
        ("build.ssh", Form::Ssh),
        ("build.ulimits.*", Form::BuildLimit),
        ("depends_on", Form::DependsOn),
        ("depends_on.*", Form::Dependency),
        ("expose", Form::Expose),
        ("ports", Form::Ports),
    ];
    let service =
        [("extends", Form::Extends), ("develop.watch.*.ignore", Form::List), ("develop.watch.*.include", Form::List)];
    let mut rules = vec![
        ("volumes.*".to_owned(), Form::External),
        ("networks.*".to_owned(), Form::External),
        ("secrets.*".to_owned(), Form::External),
        ("configs.*".to_owned(), Form::External),
        ("jobs.*.triggers.schedule.*".to_owned(), Form::Schedule),
        ("services.*".to_owned(), Form::Workload),
        ("jobs.*".to_owned(), Form::Workload),
    ];
    for (attribute, form) in container {
        for above in ["services.*", "jobs.*", "services.*.pre_start.*"] {
            rules.push((format!("{above}.{attribute}"), form));
        }
    }
    for (attribute, form) in workload {
        for above in ["services.*", "jobs.*"] {
            rules.push((format!("{above}.{attribute}"), form));
        }
    }
    for (attribute, form) in service {
        rules.push((format!("services.*.{attribute}"), form));
    }
    // The table borrows its words for the life of the program; it is built once.
    PathTable::new(rules.into_iter().map(|(pattern, form)| (&*pattern.leak(), form)))
});

/// How a tree is brought to its canonical forms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode {
    /// No interpolation was done, so a value may still hold `${...}`: a short form that cannot be
    /// split is kept as it is.
    pub lenient: bool,
    /// Nobody has checked the tree against the schema: a value of the wrong kind is reported here.
    pub unchecked: bool,
}

/// Brings a tree to its canonical forms, values interpolated unless `lenient`.
pub fn canonicalise(tree: &mut Node, lenient: bool, diagnostics: &mut Diagnostics) {
    canonicalise_as(tree, Mode { lenient, unchecked: false }, diagnostics);
}

/// Brings a tree to its canonical forms. A short form that cannot be split is an error; what has the
/// wrong shape altogether is left alone, since the schema has reported it.
pub fn canonicalise_as(tree: &mut Node, mode: Mode, diagnostics: &mut Diagnostics) {
    for (_, service) in tree.get_mut("services").and_then(Node::as_mapping_mut).into_iter().flatten() {
        former_names(&mut service.value);
    }
    let Mode { lenient, unchecked } = mode;
    if unchecked
        && let Some(services) = tree.get("services")
        && services.as_mapping().is_none()
    {
        diagnostics.push(Diagnostic::error("type", "services must be a mapping").at_origin(&services.origin));
    }
    let mut walk = Walk { lenient, unchecked, diagnostics, path: String::new() };
    walk.node(tree, Some(&FORMS));
}

/// `develop` and its `initial_sync` had names of experiments once; they are still in use.
fn former_names(service: &mut Node) {
    if let Some(mapping) = service.as_mapping_mut()
        && !mapping.contains_key("develop")
        && let Some(develop) = mapping.shift_remove("x-develop")
    {
        mapping.insert("develop".into(), develop);
    }
    let Some(rules) = service.get_mut("develop").and_then(|develop| develop.get_mut("watch")) else { return };
    for rule in rules.as_sequence_mut().into_iter().flatten() {
        if let Some(mapping) = rule.as_mapping_mut()
            && let Some(entry) = mapping.shift_remove("x-initialSync")
        {
            mapping.entry("initial_sync".into()).or_insert(entry);
        }
    }
}

struct Walk<'a> {
    lenient: bool,
    unchecked: bool,
    diagnostics: &'a mut Diagnostics,
    path: String,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, table: Option<&PathTable<Form>>) {
        let Some(table) = table else { return };
        if let Some(form) = table.rule() {
            self.apply(form, node);
        }
        let length = self.path.len();
        match &mut node.value {
            Value::Scalar(_) => {}
            Value::Sequence(items) => {
                if let Some(below) = table.items() {
                    for (index, item) in items.iter_mut().enumerate() {
                        _ = write!(self.path, ".[{index}]");
                        self.node(item, Some(below));
                        self.path.truncate(length);
                    }
                }
            }
            Value::Mapping(mapping) => {
                for (key, entry) in mapping {
                    if let Some(below) = table.below(key) {
                        if length > 0 {
                            self.path.push('.');
                        }
                        self.path.push_str(key);
                        self.node(&mut entry.value, Some(below));
                        self.path.truncate(length);
                    }
                }
            }
        }
    }

    fn error(&mut self, node: &Node, code: &'static str, message: impl Into<String>) {
        if !self.lenient {
            self.diagnostics.push(Diagnostic::error(code, message).at_origin(&node.origin));
        }
    }

    fn apply(&mut self, form: Form, node: &mut Node) {
        if self.unchecked && !form.takes(node) {
            let message = format!("{}: invalid type {} for {}", self.path, node.go_kind(), form.word());
            self.diagnostics.push(Diagnostic::error("type", message).at_origin(&node.origin));
            return;
        }
        let origin = derived(&node.origin);
        match form {
            Form::Workload | Form::Variables | Form::Mounts | Form::Limit => {}
            Form::Build => wrap_text(node, "context"),
            Form::Extends => wrap_text(node, "service"),
            Form::FileReference => wrap_text(node, "source"),
            Form::Schedule => wrap_text(node, "cron"),
            Form::Text => {
                if let Value::Scalar(scalar) = &mut node.value
                    && let Typed::Bool(_) = scalar.typed
                {
                    *scalar = Scalar::text(scalar.to_text());
                }
            }
            Form::List => {
                if matches!(node.value, Value::Scalar(_)) && !node.is_null() {
                    let empty = node.as_str() == Some("") && self.path.ends_with(".dns");
                    let item = std::mem::replace(node, Node::sequence(Vec::new(), origin));
                    if let (Some(items), false) = (node.as_sequence_mut(), empty) {
                        items.push(item);
                    }
                }
            }
            Form::Names => {
                let names = node.as_sequence().map(|items| {
                    items.iter().filter_map(|item| Some((item.as_str()?.into(), null_entry(item)))).collect()
                });
                if let Some(names) = names {
                    node.value = Value::Mapping(names);
                }
            }
            Form::KeyValues => self.key_values(node),
            Form::Ssh => self.ssh(node),
            Form::BuildLimit => {
                if node.as_str().is_some() {
                    let message = format!("{}: invalid type string for ulimits", self.path);
                    self.error(node, "type", message);
                }
            }
            Form::Expose => self.expose(node),
            Form::DependsOn => {
                let Some(items) = node.as_sequence() else { return };
                let mut mapping = Mapping::default();
                for item in items {
                    let Some(name) = item.as_str() else { continue };
                    let origin = derived(&item.origin);
                    let value = mapping_of(
                        &origin,
                        [("condition", Scalar::text("service_started")), ("required", Scalar::bool(true))],
                    );
                    mapping.insert(name.into(), Entry { key: item.origin.clone(), value });
                }
                node.value = Value::Mapping(mapping);
            }
            Form::Dependency => {
                if let Some(mapping) = node.as_mapping_mut() {
                    add_missing(mapping, &origin, "required", Scalar::bool(true));
                }
            }
            Form::EnvFile => {
                if node.as_str().is_some() {
                    let item = std::mem::replace(node, Node::sequence(Vec::new(), origin));
                    if let Some(items) = node.as_sequence_mut() {
                        items.push(item);
                    }
                }
                for item in node.as_sequence_mut().into_iter().flatten() {
                    wrap_text(item, "path");
                    let origin = derived(&item.origin);
                    if let Some(mapping) = item.as_mapping_mut() {
                        add_missing(mapping, &origin, "required", Scalar::bool(true));
                    }
                }
            }
            Form::Gpus => {
                if node.as_str() == Some("all") {
                    let item = mapping_of(&origin, [("count", Scalar::text("all"))]);
                    *node = Node::sequence(vec![item], origin);
                }
            }
            Form::Device => self.device(node),
            Form::Mount => {
                let Some(text) = node.as_str() else { return };
                match mounts::parse(text) {
                    Ok(mount) => *node = mount.into_node(&origin),
                    // Variables are kept together, hence nothing good can come of it later either.
                    Err(message) => {
                        self.diagnostics.push(Diagnostic::error("mount", message).at_origin(&node.origin));
                    }
                }
            }
            Form::Ports => self.ports(node),
            Form::External => self.external(node),
        }
    }

    fn ports(&mut self, node: &mut Node) {
        let origin = node.origin.clone();
        let untouched = if self.lenient { node.clone() } else { Node::null(origin.clone()) };
        let Some(items) = node.as_sequence_mut() else { return };
        let count: usize = items.iter().filter_map(Node::as_str).map(ports::count).sum();
        if count > PORT_LIMIT {
            let message = format!("{}: more than {PORT_LIMIT} ports", self.path);
            self.diagnostics.push(Diagnostic::error("port", message).at_origin(&origin));
            return;
        }
        let mut all = Vec::with_capacity(items.len());
        for item in std::mem::take(items) {
            let text = match &item.value {
                Value::Scalar(scalar) => match scalar.typed {
                    Typed::Text | Typed::Int(_) | Typed::Uint(_) => scalar.to_text(),
                    Typed::Null if !self.unchecked => continue,
                    _ => {
                        let message = format!("{}: invalid type {} for port", self.path, item.go_kind());
                        self.diagnostics.push(Diagnostic::error("port", message).at_origin(&item.origin));
                        continue;
                    }
                },
                _ => {
                    all.push(item);
                    continue;
                }
            };
            match ports::parse(&text) {
                Ok(mappings) => {
                    let origin = derived(&item.origin);
                    all.extend(mappings.into_iter().map(|mapping| mapping.into_node(&origin)));
                }
                // A variable may stand for what is missing; then no item is split, as in the reference.
                Err(_) if self.lenient && item.as_str().is_some() => {
                    *node = untouched;
                    return;
                }
                Err(message) => {
                    self.diagnostics.push(Diagnostic::error("port", message).at_origin(&item.origin));
                }
            }
        }
        *node = Node::sequence(all, origin);
    }

    fn key_values(&mut self, node: &mut Node) {
        let Some(items) = node.as_sequence() else { return };
        let mut mapping = Mapping::default();
        for item in items {
            let Some(text) = item.as_str() else { continue };
            match text.split_once('=') {
                Some((key, value)) => {
                    let value = Node::text(value, derived(&item.origin));
                    mapping.insert(key.into(), Entry { key: item.origin.clone(), value });
                }
                None if self.lenient => return,
                None => {
                    let message = format!("{}: invalid value {text}, expected key=value", self.path);
                    self.diagnostics.push(Diagnostic::error("key-value", message).at_origin(&item.origin));
                }
            }
        }
        node.value = Value::Mapping(mapping);
    }

    fn ssh(&mut self, node: &mut Node) {
        let Some(items) = node.as_sequence() else { return };
        let mut mapping = Mapping::default();
        for item in items {
            let Some(text) = item.as_str() else { continue };
            let origin = derived(&item.origin);
            let (id, value) = match text.split_once('=') {
                Some((id, path)) => (id, Node::text(path, origin)),
                // Only the agent of the user needs no path.
                None if text == "default" => (text, Node::null(origin)),
                None if self.lenient => return,
                None => {
                    let message = format!("invalid ssh key {text:?}");
                    let help = "write `default` for the running agent, or `id=path` for a key or socket";
                    self.diagnostics.push(Diagnostic::error("value", message).at_origin(&item.origin).help(help));
                    continue;
                }
            };
            mapping.insert(id.into(), Entry { key: item.origin.clone(), value });
        }
        node.value = Value::Mapping(mapping);
    }

    /// A port has no fraction, not even `.0`.
    fn expose(&mut self, node: &Node) {
        for (index, item) in node.as_sequence().into_iter().flatten().enumerate() {
            if let Some(scalar) = item.as_scalar()
                && matches!(scalar.typed, Typed::Float(_))
            {
                let message = format!("{}.[{index}]: unsupported expose value {}", self.path, scalar.text);
                self.diagnostics.push(Diagnostic::error("value", message).at_origin(&item.origin));
            }
        }
    }

    fn device(&mut self, node: &mut Node) {
        let Some(text) = node.as_str() else { return };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, permissions) = match parts[..] {
            [source] => (source, "", "rwm"),
            [source, target] => (source, target, "rwm"),
            [source, target, permissions] => (source, target, permissions),
            _ => {
                if self.lenient {
                    // The reference goes on with a device of no name.
                    ("", "", "rwm")
                } else {
                    let message = format!("confusing device mapping, please use long syntax: {text}");
                    self.error(node, "device", message);
                    return;
                }
            }
        };
        let target = if target.is_empty() { source } else { target };
        let origin = derived(&node.origin);
        *node = mapping_of(
            &origin,
            [
                ("source", Scalar::text(source)),
                ("target", Scalar::text(target)),
                ("permissions", Scalar::text(permissions)),
            ],
        );
    }

    fn external(&mut self, node: &mut Node) {
        let Some(mapping) = node.as_mapping_mut() else { return };
        let Some(external) = mapping.get("external") else { return };
        let Some(inner) = external.value.as_mapping() else { return };
        let place = external.value.origin.clone();
        let given = inner.get("name").cloned();
        let flag = Node::scalar(Scalar::bool(true), derived(&place));
        if let Some(entry) = mapping.get_mut("external") {
            entry.value = flag;
        }
        let Some(given) = given else { return };
        let message = format!("{}: external.name is deprecated. Please set name and external: true", self.path);
        self.diagnostics.push(Diagnostic::warning("external-name", message).at_origin(&place));
        match mapping.get("name") {
            Some(name) if !name.value.same_value(&given.value) => {
                let message = format!("{}: name and external.name conflict; only use name", self.path);
                let diagnostic = Diagnostic::error("external-name", message)
                    .at_origin(&given.value.origin)
                    .label(name.value.span(), "the other name");
                self.diagnostics.push(diagnostic);
            }
            Some(_) => {}
            None => {
                mapping.insert("name".into(), given);
            }
        }
    }
}

/// The origin of a value that the loader makes from what stands there.
pub(crate) fn derived(origin: &Origin) -> Origin {
    origin.through(StepKind::Derived, None)
}

fn null_entry(item: &Node) -> Entry {
    Entry { key: item.origin.clone(), value: Node::null(derived(&item.origin)) }
}

/// A mapping of scalars that all come from one place.
pub(crate) fn mapping_of<'k>(origin: &Origin, entries: impl IntoIterator<Item = (&'k str, Scalar)>) -> Node {
    let entry = |scalar| Entry { key: origin.clone(), value: Node::scalar(scalar, origin.clone()) };
    let mapping: Mapping = entries.into_iter().map(|(key, scalar)| (key.into(), entry(scalar))).collect();
    Node::mapping(mapping, origin.clone())
}

/// Adds an entry unless the key is there.
pub(crate) fn add_missing(mapping: &mut Mapping, origin: &Origin, key: &str, scalar: Scalar) {
    if !mapping.contains_key(key) {
        let value = Node::scalar(scalar, origin.clone());
        mapping.insert(key.into(), Entry { key: origin.clone(), value });
    }
}

/// `text` to `{key: text}`.
fn wrap_text(node: &mut Node, key: &str) {
    if node.as_str().is_none() {
        return;
    }
    let origin = derived(&node.origin);
    let inner = std::mem::replace(node, Node::null(origin.clone()));
    let mut mapping = Mapping::default();
    mapping.insert(key.into(), Entry { key: origin.clone(), value: inner });
    *node = Node::mapping(mapping, origin);
}
