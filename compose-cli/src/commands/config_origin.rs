//! `config --origin`: for every value the place that it came from, and by which way.

use std::fmt::Write as _;

use compose_model::load::LoadedModel;
use compose_model::source::{SourceMap, Span};
use compose_model::tree::{Node, Origin, StepKind, Value};

/// One line for each value: `services.web.image: compose.yaml:3:12 (variable TAG from .env:1)`.
/// Files below `directory` are named relative to it.
pub(crate) fn origins(model: &LoadedModel, directory: &str) -> String {
    let mut writer = Writer { sources: &model.sources, directory, text: String::new() };
    writer.node(&model.tree, &mut String::new());
    writer.text
}

struct Writer<'a> {
    sources: &'a SourceMap,
    directory: &'a str,
    text: String,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node, path: &mut String) {
        let length = path.len();
        match &node.value {
            Value::Mapping(mapping) if !mapping.is_empty() => {
                for (key, entry) in mapping {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(key);
                    self.node(&entry.value, path);
                    path.truncate(length);
                }
            }
            Value::Sequence(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    // `LOG=debug` of a list is the value of LOG.
                    let keyed = path.ends_with(".environment") || path.ends_with(".labels");
                    let key = item.as_str().and_then(|text| text.split_once('=')).map(|(key, _)| key);
                    match key.filter(|_| keyed) {
                        Some(key) => path.push_str(&format!(".{key}")),
                        None => path.push_str(&format!("[{index}]")),
                    }
                    self.node(item, path);
                    path.truncate(length);
                }
            }
            _ => {
                let origin = self.origin(&node.origin);
                let _ = writeln!(self.text, "{path}: {origin}");
            }
        }
    }

    fn origin(&self, origin: &Origin) -> String {
        let mut ways: Vec<String> = Vec::new();
        for step in origin.steps() {
            let at = |word: &str| match step.span {
                Some(span) => format!("{word} {}", self.line(span)),
                None => word.to_owned(),
            };
            let way = match &step.kind {
                StepKind::Alias => at("by the alias at"),
                StepKind::Extends => at("extended at"),
                StepKind::Include => at("included at"),
                StepKind::Variable(name) => match step.span {
                    Some(span) => format!("variable {name} from {}", self.line(span)),
                    None => format!("variable {name} from the environment"),
                },
                StepKind::Derived => "derived".to_owned(),
            };
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        if self.sources.get(origin.span.source).is_none_or(|source| source.name().is_empty()) {
            return "made by the loader".to_owned();
        }
        let place = self.relative(self.sources.describe(origin.span));
        if ways.is_empty() { place } else { format!("{place} ({})", ways.join(", ")) }
    }

    fn line(&self, span: Span) -> String {
        let place = self.sources.describe(span);
        self.relative(place.rsplit_once(':').map_or(place.clone(), |(line, _)| line.to_owned()))
    }

    fn relative(&self, place: String) -> String {
        let inside = place.strip_prefix(self.directory.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
        inside.map(str::to_owned).unwrap_or(place)
    }
}
