//! From the canonical tree to the typed [`Project`].
//!
//! The tree has been checked against the schema and every short form is gone, so what is left are
//! the scalars with a grammar of their own: durations, sizes, command strings, hosts. One module a
//! theme; mistakes are reported in the reference's words with the place of the value.

mod build;
mod command;
mod container;
mod deploy;
mod fields;
mod mounts;
mod objects;
mod service;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostics;
use crate::project::{Origins, Project};
use crate::source::SourceMap;
use crate::tree::{Node, Value};

pub use command::split as split_command;
use fields::Fields;

/// Decodes a complete canonical tree. Name, directories, files and environment are the caller's.
pub fn decode(tree: &Node, diagnostics: &mut Diagnostics) -> Project {
    let mut project = Project::default();
    let Some(root) = Fields::root(tree) else { return project };
    for (name, fields) in root.children("services") {
        project.services.insert(name.into(), service::service(name, &fields, diagnostics));
    }
    for (name, fields) in root.children("jobs") {
        project.jobs.insert(name.into(), service::job(name, &fields, diagnostics));
    }
    for (name, fields) in root.children("networks") {
        project.networks.insert(name.into(), objects::network(&fields, diagnostics));
    }
    for (name, fields) in root.children("volumes") {
        project.volumes.insert(name.into(), objects::volume(&fields, diagnostics));
    }
    for (name, fields) in root.children("secrets") {
        project.secrets.insert(name.into(), objects::file_object(&fields, diagnostics));
    }
    for (name, fields) in root.children("configs") {
        project.configs.insert(name.into(), objects::file_object(&fields, diagnostics));
    }
    for (name, fields) in root.children("models") {
        project.models.insert(name.to_owned(), objects::model(&fields, diagnostics));
    }
    project.extensions = root.extensions();
    project
}

/// The places of all attributes of a tree, by dotted path.
#[must_use]
pub fn origins(tree: &Node, sources: &SourceMap) -> Origins {
    let mut origins = Origins::default();
    note(tree, &mut String::new(), sources, &mut origins);
    origins
}

fn note(node: &Node, path: &mut String, sources: &SourceMap, origins: &mut Origins) {
    let length = path.len();
    match &node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                // `LOG=debug` of a list is found like `LOG: debug` of a mapping.
                let key = item.as_str().and_then(|text| text.split_once('=')).map(|(key, _)| key);
                let keyed = key.filter(|_| path.ends_with(".environment") || path.ends_with(".labels"));
                match keyed {
                    Some(key) => path.push_str(&format!(".{key}")),
                    None => path.push_str(&format!(".{index}")),
                }
                origins.insert(path.as_str(), sources.place(item.span()));
                note(item, path, sources, origins);
                path.truncate(length);
            }
        }
        Value::Mapping(mapping) => {
            for (key, entry) in mapping {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                let made = entry.key.steps().any(|step| step.kind == crate::tree::StepKind::Derived);
                if !made {
                    origins.insert(path.as_str(), sources.place(entry.key.span));
                }
                note(&entry.value, path, sources, origins);
                path.truncate(length);
            }
        }
    }
}

/// `KEY: value` attributes as the specification's environments are: null stays null.
type Values = BTreeMap<String, Option<String>>;
