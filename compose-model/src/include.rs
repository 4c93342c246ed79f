//! `include`: whole projects of other files, each with its own directory and env file, whose
//! services and resources become part of the including one.

use std::rc::Rc;
use std::sync::Arc;

use crate::assemble::{Assembler, Model};
use crate::diagnostic::Diagnostic;
use crate::environment;
use crate::extends::mark;
use crate::files::Kind;
use crate::merge;
use crate::path_text;
use crate::source::Span;
use crate::tree::{Entry, Mapping, Node, Origin, Step, StepKind, Value};

/// What an included project gives to the including one.
const SECTIONS: [&str; 7] = ["services", "jobs", "volumes", "networks", "secrets", "configs", "models"];

/// One entry of `include`.
struct Request {
    paths: Vec<(Arc<str>, Span)>,
    project_directory: Option<Arc<str>>,
    env_files: Vec<(Arc<str>, Span)>,
    place: Span,
}

impl Assembler<'_> {
    /// Reads all included projects and adds them below what the document says itself.
    pub(crate) fn apply_include(
        &mut self,
        document: &mut Node,
        model: &Model,
        included: &[String],
        resets: &[Vec<Arc<str>>],
    ) {
        let Some(include) = document.as_mapping_mut().and_then(|mapping| mapping.shift_remove("include")) else {
            return;
        };
        let include = include.value;
        if include.is_null() {
            return;
        }
        let Value::Sequence(entries) = &include.value else {
            let message = format!("`include` must be a list, got {}", include.kind_name());
            self.diagnostics.push(Diagnostic::error("include", message).at(include.span()));
            return;
        };
        for entry in entries {
            let Some(request) = self.request(entry) else { continue };
            let place = request.place;
            if let Some(mut imported) = self.included_project(request, model, included) {
                let step = Arc::new(Step { kind: StepKind::Include, span: Some(place), earlier: None });
                mark(&mut imported, &step);
                self.import(imported, document, resets);
            }
        }
    }

    fn request(&mut self, entry: &Node) -> Option<Request> {
        let place = entry.span();
        let list = |node: Option<&Node>| -> Option<Vec<(Arc<str>, Span)>> {
            let Some(node) = node.filter(|node| !node.is_null()) else { return Some(Vec::new()) };
            let one = |node: &Node| node.as_str().map(|text| (Arc::from(text), node.span()));
            match &node.value {
                Value::Sequence(items) => items.iter().map(one).collect(),
                _ => one(node).map(|item| vec![item]),
            }
        };
        let request = match &entry.value {
            Value::Mapping(mapping) => {
                let known = ["path", "project_directory", "env_file"];
                if let Some((key, unknown)) = mapping.iter().find(|(key, _)| !known.contains(&&***key)) {
                    let message = format!("include additional properties '{key}' not allowed");
                    self.diagnostics.push(
                        Diagnostic::error("unknown-attribute", message).at(unknown.key.span).did_you_mean(key, known),
                    );
                    return None;
                }
                list(entry.get("path")).zip(list(entry.get("env_file"))).map(|(paths, env_files)| Request {
                    paths,
                    project_directory: entry.get("project_directory").and_then(Node::as_str).map(Arc::from),
                    env_files,
                    place,
                })
            }
            _ => entry.as_str().map(|path| Request {
                paths: vec![(Arc::from(path), place)],
                project_directory: None,
                env_files: Vec::new(),
                place,
            }),
        };
        if request.as_ref().is_none_or(|request| request.paths.is_empty()) {
            let message = "an include entry must be a path, or a mapping with `path`";
            self.diagnostics.push(Diagnostic::error("include", message).at(place));
            return None;
        }
        request
    }

    fn included_project(&mut self, request: Request, model: &Model, included: &[String]) -> Option<Node> {
        let mut files = Vec::with_capacity(request.paths.len());
        let mut prefix = String::new();
        let mut directory = String::new();
        for (index, (reference, place)) in request.paths.iter().enumerate() {
            let (path, path_prefix) = self.locate(reference, model, *place)?;
            if index == 0 {
                (directory, prefix) = match request.project_directory.as_deref().filter(|text| !text.is_empty()) {
                    None => (path_text::directory(&path), path_prefix),
                    Some(own) if path_text::is_absolute(own) => (path_text::clean(own), path_text::clean(own)),
                    Some(own) => {
                        let directory = path_text::join(&model.directory, own);
                        // The base of paths has to be there; else it is the directory above.
                        let base = match self.files.kind(&directory) {
                            Some(Kind::Directory) => directory.clone(),
                            _ => path_text::directory(&directory),
                        };
                        let prefix = path_text::relative(&model.directory, &base);
                        (directory, prefix)
                    }
                };
                if included.contains(&path) {
                    let mut lines = "include cycle detected:".to_owned();
                    for (index, file) in included.iter().chain([&path]).enumerate() {
                        lines.push_str(if index == 0 { "\n" } else { "\n include " });
                        lines.push_str(file);
                    }
                    self.diagnostics.push(Diagnostic::error("include-cycle", lines).at(*place));
                    return None;
                }
            }
            files.push((path, *place));
        }
        let env_files = self.include_env_files(&request, model, &directory)?;
        let mut environment = (*model.environment).clone();
        let errors = self.diagnostics.error_count();
        let variables =
            environment::read_files(&environment, &env_files, self.files, &mut self.sources, &mut self.diagnostics);
        if self.diagnostics.error_count() > errors {
            return None;
        }
        environment::add_missing(&mut environment, &variables);
        let model = Model {
            directory,
            prefix,
            id: self.new_model_id(),
            environment: Rc::new(environment),
            resolve_paths: true,
            fill_environment: true,
        };
        let mut inputs = Vec::new();
        for (path, place) in files {
            let documents = self.read_documents(&path, Some((place, "included here")))?;
            inputs.push((path, documents));
        }
        let tree = self.load_model(&model, inputs, included)?;
        self.lend(&tree, &model);
        Some(tree)
    }

    /// Keeps the values of the variables that secrets and configs of an included project name.
    fn lend(&mut self, tree: &Node, model: &Model) {
        let sections = ["secrets", "configs"].into_iter().filter_map(|key| tree.get(key)?.as_mapping());
        for entry in sections.flat_map(|section| section.values()) {
            let name = entry.value.get("environment").and_then(Node::as_str);
            if let Some((name, variable)) = name.and_then(|name| Some((name, model.environment.get(name)?))) {
                self.lent.entry(name.to_owned()).or_insert_with(|| variable.text.to_string());
            }
        }
    }

    fn include_env_files(&mut self, request: &Request, model: &Model, directory: &str) -> Option<Vec<String>> {
        if request.env_files.is_empty() {
            return Some(environment::default_file(directory, self.files).into_iter().collect());
        }
        let mut found = Vec::new();
        for (reference, place) in &request.env_files {
            if &**reference == "/dev/null" {
                continue;
            }
            let path = path_text::join(&model.directory, reference);
            let fault = match self.files.kind(&path) {
                None => format!("stat {path}: no such file or directory"),
                Some(Kind::Directory) => format!("{path} is not a file"),
                Some(_) => {
                    found.push(path);
                    continue;
                }
            };
            self.diagnostics.push(Diagnostic::error("env-file", fault).at(*place));
            return None;
        }
        Some(found)
    }

    /// Adds the parts of an included project; what the target has already wins.
    fn import(&mut self, imported: Node, target: &mut Node, resets: &[Vec<Arc<str>>]) {
        let origin = imported.origin.clone();
        let (Value::Mapping(mut imported), Value::Mapping(target)) = (imported.value, &mut target.value) else {
            return;
        };
        for section in SECTIONS {
            let Some(from) = imported.shift_remove(section) else { continue };
            let Value::Mapping(from_entries) = from.value.value else { continue };
            let entry = target.entry(Arc::from(section)).or_insert_with(|| Entry {
                key: from.key.clone(),
                value: Node::mapping(Mapping::default(), origin.clone()),
            });
            if entry.value.is_null() {
                entry.value = Node::mapping(Mapping::default(), Origin::at(entry.value.span()));
            }
            let Value::Mapping(to) = &mut entry.value.value else { continue };
            for (name, added) in from_entries {
                let Some(own) = to.get_mut(&name) else {
                    to.insert(name, added);
                    continue;
                };
                let mut base = added.value;
                for path in resets {
                    if let [first, second, rest @ ..] = path.as_slice()
                        && &**first == section
                        && *second == name
                        && !rest.is_empty()
                    {
                        merge::reset(&mut base, &[rest.to_vec()]);
                    }
                }
                let placeholder = Node::null(own.value.origin.clone());
                let upper = std::mem::replace(&mut own.value, placeholder);
                own.value = merge::merge_at(base, upper, &[section, &name], &mut self.diagnostics);
            }
        }
    }
}
