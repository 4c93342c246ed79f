//! Warnings about attributes that only a Swarm honours. They are about what is written, so they
//! read the tree; services of inactive profiles are included.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::tree::{Entry, Mapping, Node, Origin};

const DEPLOY: [(&str, &str); 6] = [
    ("endpoint_mode", "deploy.endpoint_mode only applies to Swarm's routing mesh"),
    ("labels", "deploy.labels are only applied to Swarm services"),
    ("mode", "deploy.mode is only honored in Swarm mode"),
    ("placement", "deploy.placement is only honored by the Swarm scheduler"),
    ("rollback_config", "deploy.rollback_config only applies to rolling updates in Swarm mode"),
    ("update_config", "deploy.update_config only applies to rolling updates in Swarm mode"),
];

/// Reports every such attribute, sorted by message as the reference does.
pub fn report(tree: &Node, diagnostics: &mut Diagnostics) {
    let mut notes: Vec<(String, Origin)> = Vec::new();
    for (name, config) in entries(tree, "configs") {
        if let Some(labels) = config.value.get("labels") {
            let text = format!("configs.{name}.labels: configs[].labels are only applied to Swarm config objects");
            notes.push((text, labels.origin.clone()));
        }
    }
    for (name, secret) in entries(tree, "secrets") {
        if let Some(options) = secret.value.get("driver_opts") {
            let text =
                format!("secrets.{name}.driver_opts: secrets[].driver_opts is only honored by Swarm secret drivers");
            notes.push((text, options.origin.clone()));
        }
        if let Some(labels) = secret.value.get("labels") {
            let text = format!("secrets.{name}.labels: secrets[].labels are only applied to Swarm secret objects");
            notes.push((text, labels.origin.clone()));
        }
    }
    for (name, service) in entries(tree, "services") {
        service_notes(name, &service.value, &mut notes);
    }
    notes.sort_by(|a, b| a.0.cmp(&b.0));
    for (text, origin) in notes {
        diagnostics.push(Diagnostic::warning("swarm-only", text).at_origin(&origin));
    }
}

fn entries<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
    let mapping: Option<&Mapping> = node.get(key).and_then(Node::as_mapping);
    mapping.into_iter().flatten().map(|(name, entry)| (&**name, entry))
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_sequence).unwrap_or_default()
}

fn service_notes(name: &str, service: &Node, notes: &mut Vec<(String, Origin)>) {
    let mut note = |what: &str, why: &str, origin: &Origin| {
        notes.push((format!("service \"{name}\": {what}: {why}"), origin.clone()));
    };
    for section in ["configs", "secrets"] {
        for reference in items(service, section) {
            let source = reference.get("source").and_then(Node::as_str).unwrap_or_default();
            for attribute in ["gid", "mode", "uid"] {
                if let Some(value) = reference.get(attribute) {
                    let why = format!("{attribute} is not supported outside Swarm mode and will be ignored");
                    note(&format!("{section}.{source}.{attribute}"), &why, &value.origin);
                }
            }
        }
    }
    if let Some(spec) = service.get("credential_spec") {
        let why = "credential_spec is only supported when running Windows containers under Swarm";
        note("credential_spec", why, &spec.origin);
    }
    if let Some(deploy) = service.get("deploy") {
        for (attribute, why) in DEPLOY {
            if let Some(value) = deploy.get(attribute) {
                note(&format!("deploy.{attribute}"), why, &value.origin);
            }
        }
    }
    for port in items(service, "ports") {
        let Some(mode) = port.get("mode").filter(|mode| mode.as_str() == Some("host")) else { continue };
        let text = |key: &str| port.get(key).and_then(Node::as_scalar).map(|scalar| scalar.to_text());
        let target = text("target").unwrap_or_default();
        let protocol = text("protocol").filter(|protocol| !protocol.is_empty()).unwrap_or_else(|| "tcp".into());
        let what = format!("ports[{target}/{protocol}].mode");
        note(&what, "ports[].mode: host is only honored by the Swarm routing mesh", &mode.origin);
    }
    for (option, entry) in entries(service, "storage_opt") {
        note(&format!("storage_opt.{option}"), "not honored by this runtime outside Swarm mode", &entry.value.origin);
    }
    for mount in items(service, "volumes") {
        let Some(kind) = mount.get("type").filter(|kind| kind.as_str() == Some("cluster")) else { continue };
        let source = mount.get("source").and_then(Node::as_str).unwrap_or_default();
        let why = "volumes[].type: cluster (CSI) volumes are only supported in Swarm mode";
        note(&format!("volumes[{source}].type"), why, &kind.origin);
    }
}
