//! Laying one tree over another: the per-attribute rules, `!reset`, and unique lists.
//!
//! Without a rule mappings merge by key, lists append what is not there yet, and anything else is
//! replaced. A null in the upper tree leaves the lower value alone. The rules that differ stand in
//! two tables keyed by attribute path, [`MERGE`] and [`UNIQUE`].

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use indexmap::map::Entry as MapEntry;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path_table::{PathTable, below};
use crate::tree::{Entry, Mapping, Node, Origin, Scalar, StepKind, Value};

/// How an attribute of two trees becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The upper one, even if it is null.
    Replace,
    /// Mappings become `key=value` lists; the lists are joined.
    Sequence,
    /// As `Sequence`, without repeating what is there (hosts, label files).
    HostSequence,
    /// Lists become mappings of default values; the mappings are merged.
    Names,
    /// As `Names`, for `depends_on`, whose entries have a default.
    Dependencies,
    /// A string is the build context.
    Build,
    /// Options are merged only below one driver.
    Logging,
    /// A number or a pair, never mixed.
    Ulimit,
    /// Address pools by subnet.
    Pools,
}

/// What makes two items of a list the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// Text up to `=`.
    KeyValue,
    /// The whole text.
    Text,
    /// Target of a mount in short or long form.
    Volume,
    /// Target of a device in short or long form.
    Device,
    /// Host address, published and container port, protocol.
    Port,
    /// Path of an env file.
    EnvFile,
    /// Target of a config.
    Config,
    /// Target of a secret.
    Secret,
}

/// Attributes of anything that runs in a container; services and jobs share them.
const SERVICE_MERGE: &[(&str, &str, Rule)] = &[
    ("services.*.annotations", "jobs.*.annotations", Rule::Sequence),
    ("services.*.build", "jobs.*.build", Rule::Build),
    ("services.*.build.args", "jobs.*.build.args", Rule::Sequence),
    ("services.*.build.additional_contexts", "jobs.*.build.additional_contexts", Rule::Sequence),
    ("services.*.build.extra_hosts", "jobs.*.build.extra_hosts", Rule::HostSequence),
    ("services.*.build.labels", "jobs.*.build.labels", Rule::Sequence),
    ("services.*.build.ulimits.*", "jobs.*.build.ulimits.*", Rule::Ulimit),
    ("services.*.command", "jobs.*.command", Rule::Replace),
    ("services.*.depends_on", "jobs.*.depends_on", Rule::Dependencies),
    ("services.*.deploy.labels", "jobs.*.deploy.labels", Rule::Sequence),
    ("services.*.dns", "jobs.*.dns", Rule::Sequence),
    ("services.*.dns_opt", "jobs.*.dns_opt", Rule::Sequence),
    ("services.*.dns_search", "jobs.*.dns_search", Rule::Sequence),
    ("services.*.entrypoint", "jobs.*.entrypoint", Rule::Replace),
    ("services.*.env_file", "jobs.*.env_file", Rule::Sequence),
    ("services.*.label_file", "jobs.*.label_file", Rule::HostSequence),
    ("services.*.environment", "jobs.*.environment", Rule::Sequence),
    ("services.*.extra_hosts", "jobs.*.extra_hosts", Rule::HostSequence),
    ("services.*.healthcheck.test", "jobs.*.healthcheck.test", Rule::Replace),
    ("services.*.labels", "jobs.*.labels", Rule::Sequence),
    ("services.*.logging", "jobs.*.logging", Rule::Logging),
    ("services.*.models", "jobs.*.models", Rule::Names),
    ("services.*.networks", "jobs.*.networks", Rule::Names),
    ("services.*.sysctls", "jobs.*.sysctls", Rule::Sequence),
    ("services.*.tmpfs", "jobs.*.tmpfs", Rule::Sequence),
    ("services.*.ulimits.*", "jobs.*.ulimits.*", Rule::Ulimit),
    ("services.*.volumes.*.volume.labels", "jobs.*.volumes.*.volume.labels", Rule::Sequence),
];

static MERGE: LazyLock<PathTable<Rule>> = LazyLock::new(|| {
    let both = SERVICE_MERGE.iter().flat_map(|(service, job, rule)| [(*service, *rule), (*job, *rule)]);
    PathTable::new(both.chain([
        ("networks.*.ipam.config", Rule::Pools),
        ("networks.*.labels", Rule::Sequence),
        ("volumes.*.labels", Rule::Sequence),
    ]))
});

const SERVICE_UNIQUE: &[(&str, &str, Identity)] = &[
    ("services.*.annotations", "jobs.*.annotations", Identity::KeyValue),
    ("services.*.build.args", "jobs.*.build.args", Identity::KeyValue),
    ("services.*.build.additional_contexts", "jobs.*.build.additional_contexts", Identity::KeyValue),
    ("services.*.build.labels", "jobs.*.build.labels", Identity::KeyValue),
    ("services.*.build.tags", "jobs.*.build.tags", Identity::KeyValue),
    ("services.*.cap_add", "jobs.*.cap_add", Identity::KeyValue),
    ("services.*.cap_drop", "jobs.*.cap_drop", Identity::KeyValue),
    ("services.*.configs", "jobs.*.configs", Identity::Config),
    ("services.*.deploy.labels", "jobs.*.deploy.labels", Identity::KeyValue),
    ("services.*.devices", "jobs.*.devices", Identity::Device),
    ("services.*.dns", "jobs.*.dns", Identity::KeyValue),
    ("services.*.dns_opt", "jobs.*.dns_opt", Identity::KeyValue),
    ("services.*.dns_search", "jobs.*.dns_search", Identity::KeyValue),
    ("services.*.environment", "jobs.*.environment", Identity::KeyValue),
    ("services.*.env_file", "jobs.*.env_file", Identity::EnvFile),
    ("services.*.expose", "jobs.*.expose", Identity::Text),
    ("services.*.labels", "jobs.*.labels", Identity::KeyValue),
    ("services.*.links", "jobs.*.links", Identity::KeyValue),
    ("services.*.networks.*.aliases", "jobs.*.networks.*.aliases", Identity::KeyValue),
    ("services.*.networks.*.link_local_ips", "jobs.*.networks.*.link_local_ips", Identity::KeyValue),
    ("services.*.ports", "jobs.*.ports", Identity::Port),
    ("services.*.profiles", "jobs.*.profiles", Identity::KeyValue),
    ("services.*.secrets", "jobs.*.secrets", Identity::Secret),
    ("services.*.sysctls", "jobs.*.sysctls", Identity::KeyValue),
    ("services.*.tmpfs", "jobs.*.tmpfs", Identity::KeyValue),
    ("services.*.volumes", "jobs.*.volumes", Identity::Volume),
];

static UNIQUE: LazyLock<PathTable<Identity>> = LazyLock::new(|| {
    let both = SERVICE_UNIQUE.iter().flat_map(|(service, job, rule)| [(*service, *rule), (*job, *rule)]);
    PathTable::new(both.chain([("networks.*.labels", Identity::KeyValue)]))
});

/// Lays `upper` over `lower`, both whole documents.
pub fn merge(lower: Node, upper: Node, diagnostics: &mut Diagnostics) -> Node {
    merge_at(lower, upper, &[], diagnostics)
}

/// Lays `upper` over `lower` where both stand at a path such as `["services", "web"]`.
pub fn merge_at(lower: Node, upper: Node, path: &[&str], diagnostics: &mut Diagnostics) -> Node {
    let rules = path.iter().try_fold(&*MERGE, |rules, key| rules.below(key));
    let path = path.iter().map(|key| Arc::from(*key)).collect();
    Merger { diagnostics, path }.node(lower, upper, rules)
}

struct Merger<'a> {
    diagnostics: &'a mut Diagnostics,
    path: Vec<Arc<str>>,
}

impl Merger<'_> {
    fn node(&mut self, lower: Node, upper: Node, rules: Option<&PathTable<Rule>>) -> Node {
        let rule = rules.and_then(PathTable::rule);
        if rule == Some(Rule::Replace) {
            return upper;
        }
        if upper.is_null() {
            return lower;
        }
        if lower.is_null() {
            return upper;
        }
        match rule {
            None => self.plain(lower, upper, rules),
            Some(Rule::Replace | Rule::Ulimit) => upper,
            Some(Rule::Sequence) => {
                let origin = upper.origin.clone();
                let mut items = into_sequence(lower);
                items.extend(into_sequence(upper));
                Node::sequence(items, origin)
            }
            Some(Rule::HostSequence) => {
                let origin = upper.origin.clone();
                let mut items = into_sequence(lower);
                let added: Vec<Node> = into_sequence(upper);
                let added = without(&items, added);
                items.extend(added);
                Node::sequence(items, origin)
            }
            Some(Rule::Names) => {
                let (lower, upper) = (into_names(lower, false), into_names(upper, false));
                self.plain(lower, upper, rules)
            }
            Some(Rule::Dependencies) => {
                let (lower, upper) = (into_names(lower, true), into_names(upper, true));
                self.plain(lower, upper, rules)
            }
            Some(Rule::Build) => {
                let (lower, upper) = (into_build(lower), into_build(upper));
                self.plain(lower, upper, rules)
            }
            Some(Rule::Logging) => {
                let driver = |node: &Node| node.get("driver").and_then(Node::as_str).map(str::to_owned);
                match (driver(&lower), driver(&upper)) {
                    (Some(lower), Some(upper)) if lower != upper => {}
                    _ => return self.plain(lower, upper, rules),
                }
                upper
            }
            Some(Rule::Pools) => self.pools(lower, upper),
        }
    }

    fn plain(&mut self, lower: Node, upper: Node, rules: Option<&PathTable<Rule>>) -> Node {
        match (lower.value, upper.value) {
            (Value::Mapping(mut lower), Value::Mapping(upper_mapping)) => {
                for (key, entry) in upper_mapping {
                    match lower.entry(key) {
                        MapEntry::Vacant(vacant) => {
                            vacant.insert(entry);
                        }
                        MapEntry::Occupied(mut occupied) => {
                            let key = Arc::clone(occupied.key());
                            let placeholder = Node::null(entry.value.origin.clone());
                            let old = std::mem::replace(&mut occupied.get_mut().value, placeholder);
                            let rules = below(rules, &key);
                            self.path.push(key);
                            let key_origin = if entry.value.is_null() { None } else { Some(entry.key) };
                            let merged = self.node(old, entry.value, rules);
                            self.path.pop();
                            let slot = occupied.get_mut();
                            slot.value = merged;
                            if let Some(origin) = key_origin {
                                slot.key = origin;
                            }
                        }
                    }
                }
                Node { value: Value::Mapping(lower), origin: upper.origin }
            }
            (Value::Sequence(mut items), Value::Sequence(added)) => {
                let added = without(&items, added);
                items.extend(added);
                Node { value: Value::Sequence(items), origin: upper.origin }
            }
            (Value::Mapping(_) | Value::Sequence(_), value) => {
                self.diagnostics.push(
                    Diagnostic::error("cannot-override", format!("cannot override {}", self.path.join(".")))
                        .at_origin(&upper.origin)
                        .note("this is of another kind")
                        .label(lower.origin.span, "than the value it overrides"),
                );
                Node { value, origin: upper.origin }
            }
            (Value::Scalar(_), value) => Node { value, origin: upper.origin },
        }
    }

    fn pools(&mut self, lower: Node, upper: Node) -> Node {
        let (Value::Sequence(lower_items), Value::Sequence(upper_items)) = (&lower.value, &upper.value) else {
            return self.plain(lower, upper, None);
        };
        let subnet = |node: &Node| node.get("subnet").and_then(Node::as_scalar).map(|scalar| Arc::clone(&scalar.text));
        let mut pools: Vec<Node> = Vec::new();
        for original in lower_items {
            let mut right = original.clone();
            for left in upper_items {
                if subnet(left) != subnet(&right) && !pools.iter().any(|pool| subnet(pool) == subnet(left)) {
                    pools.push(left.clone());
                    continue;
                }
                right = self.plain(right, left.clone(), None);
                match pools.iter_mut().find(|pool| subnet(pool) == subnet(&right)) {
                    Some(pool) => *pool = right.clone(),
                    None => pools.push(right.clone()),
                }
            }
        }
        Node::sequence(pools, upper.origin)
    }
}

/// The items of `added` that equal none of `items`. Scalars, the usual case, are looked up.
fn without(items: &[Node], added: Vec<Node>) -> Vec<Node> {
    let key = |node: &Node| match &node.value {
        Value::Scalar(scalar) => Some((std::mem::discriminant(&scalar.typed), scalar.to_text())),
        _ => None,
    };
    let mut scalars: Vec<_> = items.iter().filter_map(key).map(|(kind, text)| (text, kind)).collect();
    scalars.sort_by(|a, b| a.0.cmp(&b.0));
    let known = |node: &Node| match key(node) {
        Some((kind, text)) => {
            let start = scalars.partition_point(|(known, _)| *known < text);
            scalars[start..].iter().take_while(|(known, _)| *known == text).any(|(_, known)| *known == kind)
        }
        None => items.iter().any(|item| item.same_value(node)),
    };
    added.into_iter().filter(|node| !known(node)).collect()
}

/// A mapping as sorted `key=value` items; a string as a list of one.
pub(crate) fn into_sequence(node: Node) -> Vec<Node> {
    let origin = node.origin;
    match node.value {
        Value::Sequence(items) => items,
        Value::Scalar(scalar) if scalar.as_str().is_some() => vec![Node::scalar(scalar, origin)],
        Value::Scalar(_) => Vec::new(),
        Value::Mapping(mapping) => {
            let mut items = Vec::with_capacity(mapping.len());
            for (key, entry) in mapping {
                let origin = entry.value.origin.through(StepKind::Derived, None);
                match &entry.value.value {
                    Value::Scalar(scalar) if scalar.is_null() => items.push(Node::text(key, origin)),
                    Value::Scalar(scalar) => {
                        items.push(Node::text(format!("{key}={}", scalar.to_text()), origin));
                    }
                    Value::Sequence(values) => {
                        for value in values {
                            let text = value.as_scalar().map(Scalar::to_text).unwrap_or_default();
                            items.push(Node::text(format!("{key}={text}"), origin.clone()));
                        }
                    }
                    // No attribute of this rule has such values; left for the schema to refuse.
                    Value::Mapping(_) => items.push(entry.value),
                }
            }
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            items
        }
    }
}

/// A list of names as a mapping with null, or with what `depends_on` assumes.
fn into_names(node: Node, dependency: bool) -> Node {
    let origin = node.origin;
    let value = match node.value {
        Value::Sequence(items) => {
            let mut mapping = Mapping::with_capacity_and_hasher(items.len(), Default::default());
            for item in items {
                let Some(name) = item.as_scalar().map(Scalar::to_text) else { continue };
                let origin = item.origin.through(StepKind::Derived, None);
                let value = if dependency {
                    let mut defaults = Mapping::default();
                    let entry = |scalar| Entry { key: origin.clone(), value: Node::scalar(scalar, origin.clone()) };
                    defaults.insert(Arc::from("condition"), entry(Scalar::text("service_started")));
                    defaults.insert(Arc::from("required"), entry(Scalar::bool(true)));
                    Node::mapping(defaults, origin.clone())
                } else {
                    Node::null(origin.clone())
                };
                mapping.insert(name, Entry { key: item.origin, value });
            }
            Value::Mapping(mapping)
        }
        other => other,
    };
    Node { value, origin }
}

fn into_build(node: Node) -> Node {
    if node.as_str().is_none() {
        return node;
    }
    let origin = node.origin.through(StepKind::Derived, None);
    let mut mapping = Mapping::default();
    mapping.insert(Arc::from("context"), Entry { key: node.origin.clone(), value: node });
    Node::mapping(mapping, origin)
}

/// Drops the values at the paths of `!reset` and `!override`.
pub fn reset(tree: &mut Node, paths: &[Vec<Arc<str>>]) {
    for path in paths {
        let path: Vec<&str> = path.iter().map(|part| &**part).collect();
        reset_path(tree, &path);
    }
}

fn reset_path(node: &mut Node, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    match &mut node.value {
        Value::Mapping(mapping) if rest.is_empty() => {
            mapping.shift_remove(*first);
        }
        Value::Mapping(mapping) => {
            if let Some(entry) = mapping.get_mut(*first) {
                reset_path(&mut entry.value, rest);
            }
        }
        Value::Sequence(items) => {
            // Items themselves cannot be reset, what is below them can.
            let index = first.trim_matches(['[', ']']).parse::<usize>().ok();
            if let Some(item) = index.and_then(|index| items.get_mut(index)) {
                reset_path(item, rest);
            }
        }
        Value::Scalar(_) => {}
    }
}

/// Makes the lists unique whose items have an identity: a later item takes the place of an
/// earlier one.
pub fn unique(tree: &mut Node, diagnostics: &mut Diagnostics) {
    unique_at(tree, Some(&UNIQUE), &mut Vec::new(), diagnostics);
}

fn unique_at(
    node: &mut Node,
    rules: Option<&PathTable<Identity>>,
    path: &mut Vec<Arc<str>>,
    diagnostics: &mut Diagnostics,
) {
    let Some(rules) = rules else { return };
    match &mut node.value {
        Value::Mapping(mapping) => {
            for (key, entry) in mapping {
                let Some(rules) = rules.below(key) else { continue };
                path.push(Arc::clone(key));
                unique_at(&mut entry.value, Some(rules), path, diagnostics);
                path.pop();
            }
        }
        Value::Sequence(items) => {
            let Some(identity) = rules.rule() else { return };
            let mut places: BTreeMap<String, usize> = BTreeMap::new();
            let mut kept: Vec<Node> = Vec::with_capacity(items.len());
            for (index, item) in std::mem::take(items).into_iter().enumerate() {
                let key = match identity_of(&item, identity) {
                    Ok(key) => key,
                    Err(fault) => {
                        let place = format!("{}.[{index}]", path.join("."));
                        diagnostics.push(fault.diagnostic(&place, &item.origin));
                        None
                    }
                };
                match key {
                    None => kept.push(item),
                    Some(key) => match places.get(&key).and_then(|place| kept.get_mut(*place)) {
                        Some(earlier) => *earlier = item,
                        None => {
                            places.insert(key, kept.len());
                            kept.push(item);
                        }
                    },
                }
            }
            *items = kept;
        }
        Value::Scalar(_) => {}
    }
}

/// Why an item has no identity.
enum Fault {
    NoTargetPort,
    NoMountTarget,
    NoEnvPath,
    NoDeviceTarget,
    /// An item of `environment`, `labels` and the like that is no text.
    NotText(&'static str),
}

impl Fault {
    fn diagnostic(self, place: &str, origin: &Origin) -> Diagnostic {
        let (code, message) = match self {
            Self::NoTargetPort => ("missing-target", format!("service ports {place} is missing a target port")),
            Self::NoMountTarget => ("missing-target", format!("service volume {place} is missing a mount target")),
            Self::NoEnvPath => ("missing-path", format!("environment path attribute {place} is missing")),
            Self::NoDeviceTarget => ("missing-target", format!("service device {place} is missing a mount target")),
            Self::NotText(kind) => ("type", format!("{place}: unexpected type {kind}")),
        };
        Diagnostic::error(code, message).at_origin(origin)
    }
}

/// What identifies an item; `None` if nothing does, which the schema will judge.
fn identity_of(item: &Node, identity: Identity) -> Result<Option<String>, Fault> {
    let text =
        |key: &str| item.get(key).and_then(Node::as_scalar).filter(|scalar| !scalar.is_null()).map(Scalar::to_text);
    let is_mapping = item.as_mapping().is_some();
    let scalar = item.as_scalar().filter(|scalar| !scalar.is_null()).map(Scalar::to_text);
    let key = match identity {
        Identity::KeyValue => {
            let text = item.as_str().ok_or_else(|| Fault::NotText(item.go_kind()))?;
            Some(text.split_once('=').map_or(text, |(key, _)| key).to_owned())
        }
        Identity::Text => scalar.map(|text| text.to_string()),
        Identity::EnvFile if is_mapping => Some(text("path").ok_or(Fault::NoEnvPath)?.to_string()),
        Identity::EnvFile => scalar.map(|text| text.to_string()),
        Identity::Config | Identity::Secret => {
            let folder = if identity == Identity::Secret { "/run/secrets" } else { "" };
            let named = |name: &str| format!("{folder}/{name}");
            if is_mapping {
                text("target").map(|target| target.to_string()).or_else(|| text("source").map(|name| named(&name)))
            } else {
                scalar.map(|text| named(&text))
            }
        }
        Identity::Port if is_mapping => {
            let target = text("target").ok_or(Fault::NoTargetPort)?;
            let host = text("host_ip").unwrap_or_else(|| Arc::from("0.0.0.0"));
            let protocol = text("protocol").unwrap_or_else(|| Arc::from("tcp"));
            let published = text("published").unwrap_or_default();
            // For the reference the number 80 and the text "80" are two ports.
            let kind = |key: &str| if item.get(key).is_some_and(|node| node.as_str().is_some()) { "text " } else { "" };
            Some(format!("{host}:{}{published}:{}{target}/{protocol}", kind("published"), kind("target")))
        }
        Identity::Port => scalar.map(|text| text.to_string()),
        Identity::Volume if is_mapping => Some(text("target").ok_or(Fault::NoMountTarget)?.to_string()),
        Identity::Volume => scalar.and_then(|text| volume_target(&text)),
        Identity::Device if is_mapping => Some(text("target").ok_or(Fault::NoDeviceTarget)?.to_string()),
        Identity::Device => match scalar {
            None => None,
            Some(text) => {
                let mut parts = text.split(':');
                let source = parts.next().unwrap_or_default();
                Some(parts.next().unwrap_or(source).to_owned())
            }
        },
    };
    Ok(key)
}

/// The container path of a volume in short form; `None` if it is malformed.
fn volume_target(text: &str) -> Option<String> {
    let mut sections: Vec<String> = vec![String::new()];
    for letter in text.chars() {
        let drive = sections.last().is_some_and(|section| {
            let mut letters = section.chars();
            matches!((letters.next(), letters.next()), (Some(first), None) if first.is_alphabetic())
        });
        // One letter before a colon is a Windows drive.
        if letter == ':' && !drive {
            sections.push(String::new());
        } else if let Some(section) = sections.last_mut() {
            section.push(letter);
        }
    }
    let target = match sections.as_slice() {
        [only] => only,
        [_, target] | [_, target, _] => target,
        _ => return None,
    };
    let trimmed = target.trim_end_matches('/');
    (!target.is_empty()).then(|| if trimmed.is_empty() { target.clone() } else { trimmed.to_owned() })
}

#[cfg(test)]
mod tests;
