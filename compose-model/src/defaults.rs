//! What the assembly asks of the second half: canonical forms after every document, defaults and
//! the checks of single values once a model is complete.

use std::net::IpAddr;

use crate::assemble::{Shape, ShapeContext};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::forms::{self, add_missing, derived};
use crate::schema;
use crate::tree::{Entry, Mapping, Node, Origin, Scalar, Typed, Value};

/// The [`Shape`] of the Compose Specification.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpecificationShape {
    /// Takes what is there without judging it, for `config --variables`.
    pub no_validation: bool,
}

impl Shape for SpecificationShape {
    fn canonical(&self, tree: &mut Node, context: &ShapeContext<'_>, diagnostics: &mut Diagnostics) {
        if context.check && !self.no_validation {
            schema::validate(tree, context.file, diagnostics);
        }
        // The file of an `extends` is not checked against the schema, but all of its services have to
        // have forms that can be read, those that nobody extends too.
        let mode = forms::Mode { lenient: context.no_interpolate, unchecked: !context.check || self.no_validation };
        forms::canonicalise_as(tree, mode, diagnostics);
    }

    fn judges(&self) -> bool {
        !self.no_validation
    }

    fn complete(&self, tree: &mut Node, _: &ShapeContext<'_>, diagnostics: &mut Diagnostics) {
        if diagnostics.has_errors() {
            return;
        }
        for_each_workload(tree, |_, _, workload| fill_workload(workload));
        if !self.no_validation {
            check_values(tree, diagnostics);
        }
    }
}

/// Runs over services and jobs: section, name, node.
pub(crate) fn for_each_workload(tree: &mut Node, mut each: impl FnMut(&str, &str, &mut Node)) {
    for section in ["services", "jobs"] {
        for (name, entry) in tree.get_mut(section).and_then(Node::as_mapping_mut).into_iter().flatten() {
            each(section, name, &mut entry.value);
        }
    }
}

fn items<'a>(node: &'a mut Node, path: &[&str]) -> impl Iterator<Item = &'a mut Node> {
    let mut node = Some(node);
    for key in path {
        node = node.and_then(|node| node.get_mut(key));
    }
    node.and_then(Node::as_sequence_mut).into_iter().flatten()
}

fn fill_workload(workload: &mut Node) {
    if let Some(build) = workload.get_mut("build") {
        let origin = derived(&build.origin);
        if let Some(build) = build.as_mapping_mut() {
            add_missing(build, &origin, "context", Scalar::text("."));
        }
    }
    for port in items(workload, &["ports"]) {
        let origin = derived(&port.origin);
        if let Some(port) = port.as_mapping_mut() {
            add_missing(port, &origin, "protocol", Scalar::text("tcp"));
            add_missing(port, &origin, "mode", Scalar::text("ingress"));
        }
    }
    for device in items(workload, &["deploy", "resources", "reservations", "devices"]) {
        fill_device_request(device);
    }
    fill_container(workload);
    for hook in items(workload, &["pre_start"]) {
        fill_container(hook);
    }
}

fn fill_container(container: &mut Node) {
    for secret in items(container, &["secrets"]) {
        let origin = derived(&secret.origin);
        let source = secret.get("source").and_then(Node::as_str).unwrap_or_default().to_owned();
        if let Some(secret) = secret.as_mapping_mut() {
            add_missing(secret, &origin, "target", Scalar::text(format!("/run/secrets/{source}")));
        }
    }
    for gpu in items(container, &["gpus"]) {
        fill_device_request(gpu);
    }
    for mount in items(container, &["volumes"]) {
        if let Some(bind) = mount.get_mut("bind") {
            let origin = derived(&bind.origin);
            if let Some(bind) = bind.as_mapping_mut() {
                add_missing(bind, &origin, "create_host_path", Scalar::bool(true));
            }
        }
    }
}

fn fill_device_request(device: &mut Node) {
    let origin = derived(&device.origin);
    if let Some(device) = device.as_mapping_mut()
        && !device.contains_key("device_ids")
    {
        add_missing(device, &origin, "count", Scalar::text("all"));
    }
}

fn check_values(tree: &mut Node, diagnostics: &mut Diagnostics) {
    for_each_workload(tree, |section, name, workload| {
        let path = format!("{section}.{name}");
        for port in items(workload, &["ports"]) {
            let host_ip = port.get("host_ip").and_then(Node::as_str).filter(|text| !text.is_empty());
            if let Some(host_ip) = host_ip
                && host_ip.parse::<IpAddr>().is_err()
                && !host_ip.contains('$')
            {
                let message = format!("{path}.ports.[]: invalid ip address: {host_ip}");
                let place = port.get("host_ip").unwrap_or(port);
                diagnostics.push(Diagnostic::error("port", message).at_origin(&place.origin));
            }
        }
        for watch in items(workload, &["develop", "watch"]) {
            if let Some(place) = watch.get("path")
                && place.as_str() == Some("")
            {
                let message = format!("{path}.develop.watch.[].path: value can't be blank");
                diagnostics.push(Diagnostic::error("blank", message).at_origin(&place.origin));
            }
        }
        for device in items(workload, &["deploy", "resources", "reservations", "devices"]) {
            check_device(device, &format!("{path}.deploy.resources.reservations.devices.[]"), diagnostics);
        }
        for gpu in items(workload, &["gpus"]) {
            check_device(gpu, &format!("{path}.gpus.[]"), diagnostics);
        }
    });
    for (name, entry) in mapping_of(tree, "volumes") {
        check_external_volume(name, &entry.value, diagnostics);
    }
    for (name, entry) in mapping_of(tree, "configs") {
        check_source(&format!("configs.{name}"), &entry.value, &["file", "environment", "content"], diagnostics);
    }
    for (name, entry) in mapping_of(tree, "secrets") {
        check_source(&format!("secrets.{name}"), &entry.value, &["file", "environment"], diagnostics);
    }
}

fn mapping_of<'a>(tree: &'a Node, section: &str) -> impl Iterator<Item = (&'a std::sync::Arc<str>, &'a Entry)> {
    tree.get(section).and_then(Node::as_mapping).into_iter().flatten()
}

fn check_device(device: &Node, path: &str, diagnostics: &mut Diagnostics) {
    if let (Some(count), Some(_)) = (device.get("count"), device.get("device_ids")) {
        let message = format!("{path}: \"count\" and \"device_ids\" attributes are exclusive");
        diagnostics.push(Diagnostic::error("exclusive", message).at_origin(&count.origin).help("remove one of them"));
    }
}

fn check_external_volume(name: &str, volume: &Node, diagnostics: &mut Diagnostics) {
    let Some(mapping) = volume.as_mapping() else { return };
    if !mapping.get("external").is_some_and(|external| is_true(&external.value)) {
        return;
    }
    let other = mapping.iter().find(|(key, _)| !matches!(&***key, "name" | "external") && !key.starts_with("x-"));
    if let Some((key, entry)) = other {
        let message = format!("volumes.{name}: conflicting parameters \"external\" and \"{key}\" specified");
        let diagnostic = Diagnostic::error("external-volume", message)
            .at_origin(&entry.key)
            .help("an external volume is not created by this project, so it takes only `name`");
        diagnostics.push(diagnostic);
    }
}

/// Whether a node is `true`.
pub(crate) fn is_true(node: &Node) -> bool {
    node.as_scalar().is_some_and(|scalar| scalar.typed == Typed::Bool(true) || scalar.as_str() == Some("true"))
}

fn check_source(path: &str, object: &Node, ways: &[&str], diagnostics: &mut Diagnostics) {
    let Value::Mapping(mapping) = &object.value else { return };
    let given: Vec<&Entry> = ways.iter().filter_map(|way| mapping.get(*way)).collect();
    let all = ways.join("|");
    match given[..] {
        [] => {
            if !mapping.contains_key("driver") && !mapping.contains_key("external") {
                let message = format!("{path}: one of {all} must be set");
                diagnostics.push(Diagnostic::error("no-source", message).at_origin(&object.origin));
            }
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("{path}: {all} attributes are mutually exclusive");
            let diagnostic = Diagnostic::error("exclusive", message)
                .at_origin(&second.key)
                .label(first.key.span, "the other one")
                .help("keep one of them");
            diagnostics.push(diagnostic);
        }
    }
}

/// Puts a scalar at a key, in place of what is there.
pub(crate) fn set(mapping: &mut Mapping, origin: &Origin, key: &str, scalar: Scalar) {
    let value = Node::scalar(scalar, origin.clone());
    mapping.insert(key.into(), Entry { key: origin.clone(), value });
}
