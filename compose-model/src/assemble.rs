//! The front half of loading: from options and files to one merged, interpolated tree.
//!
//! Chooses the files, reads `.env`, computes the environment and the project's name, then reads,
//! interpolates, includes, extends and merges. What the tree means is not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::discover::{self, Discovered, normalise_project_name};
use crate::environment::{self, Environment};
use crate::extends::{BaseFile, Resets};
use crate::files::Files;
use crate::interpolate;
use crate::merge;
use crate::parse::{self, Document};
use crate::path_text;
use crate::paths;
use crate::source::{SourceMap, Span};
use crate::template::Variable;
use crate::tree::{Entry, Mapping, Node, Origin, Scalar, StepKind, Value};

/// What the caller asks for. Environment and working directory are data: this crate asks no
/// operating system for them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-f`, in order; `-` is [`Options::stdin`]. Empty: `COMPOSE_FILE`, else discovery.
    pub files: Vec<String>,
    /// The text of the file `-`.
    pub stdin: Option<Vec<u8>>,
    /// `-p`; empty text counts as not given.
    pub project_name: Option<String>,
    /// `--project-directory`.
    pub project_directory: Option<String>,
    /// `--env-file`, in order. Empty: `COMPOSE_ENV_FILES`, else `.env` in the project directory.
    pub env_files: Vec<String>,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// Absolute working directory of the process.
    pub current_directory: String,
    /// `--no-interpolate`.
    pub no_interpolate: bool,
    /// `--no-path-resolution`.
    pub no_path_resolution: bool,
}

/// What the second half does between the steps of the first. The reference validates and brings
/// to canonical form after every document that was merged, since merging depends on it (a list
/// of build `ssh` agents is a mapping by the time the second file arrives).
pub trait Shape {
    /// One more document was merged: checks the tree against the schema if
    /// [`ShapeContext::check`], then turns short forms into long ones.
    fn canonical(&self, tree: &mut Node, context: &ShapeContext<'_>, diagnostics: &mut Diagnostics);

    /// All documents of a model (the project, or one included project) are merged: fills in
    /// defaults and checks values. Paths are resolved afterwards.
    fn complete(&self, tree: &mut Node, context: &ShapeContext<'_>, diagnostics: &mut Diagnostics);

    /// Whether what is read is also judged; otherwise nothing is said about what is obsolete.
    fn judges(&self) -> bool {
        true
    }
}

/// What a [`Shape`] may want to know.
#[derive(Clone, Copy, Debug)]
pub struct ShapeContext<'a> {
    /// The file whose document was merged last, absolute.
    pub file: &'a str,
    /// Whether the tree has to follow the schema; not so for the file of an `extends`.
    pub check: bool,
    /// `--no-interpolate`: values may still hold expressions.
    pub no_interpolate: bool,
    /// The texts, for messages.
    pub sources: &'a SourceMap,
}

/// Leaves trees as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoShape;

impl Shape for NoShape {
    fn canonical(&self, _: &mut Node, _: &ShapeContext<'_>, _: &mut Diagnostics) {}
    fn complete(&self, _: &mut Node, _: &ShapeContext<'_>, _: &mut Diagnostics) {}
}

/// The merged tree with everything that the second half needs to make a project of it.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The merged, interpolated tree: always a mapping, as [`Shape`] left it, with absolute paths
    /// (unless `--no-path-resolution`).
    pub tree: Node,
    /// All texts that were read.
    pub sources: SourceMap,
    /// Mistakes and warnings so far. With errors the tree is what could be read.
    pub diagnostics: Diagnostics,
    /// The project's name by the rules of `-p`, `COMPOSE_PROJECT_NAME`, `name:`, directory.
    pub project_name: String,
    /// Absolute project directory.
    pub working_directory: String,
    /// Absolute paths of the files read, in merge order; `-` for standard input.
    pub files: Vec<String>,
    /// Absolute paths of the explicit env files; empty when only the default `.env` was read.
    pub environment_files: Vec<String>,
    /// What interpolation saw: process environment, env files, `COMPOSE_PROJECT_NAME`.
    pub environment: BTreeMap<String, String>,
}

/// Fetches Compose files that are not on this machine.
pub trait Remote {
    /// Whether a reference names something remote (a git repository, an OCI artifact).
    fn accepts(&self, reference: &str) -> bool;

    /// Fetches it and gives the absolute path of the Compose file on this machine.
    ///
    /// # Errors
    /// The reason in words.
    fn fetch(&self, reference: &str) -> Result<String, String>;
}

/// Recognises remote references and refuses them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRemote;

impl Remote for NoRemote {
    fn accepts(&self, reference: &str) -> bool {
        ["oci://", "git://", "git@", "ssh://", "http://", "https://", "github.com/"]
            .iter()
            .any(|prefix| reference.starts_with(prefix))
    }

    fn fetch(&self, reference: &str) -> Result<String, String> {
        Err(format!("cannot load {reference}: it is on another machine, and nothing was given that fetches it"))
    }
}

/// One project while it is read: the main one, or an included one.
#[derive(Debug)]
pub(crate) struct Model {
    /// Absolute directory that references to other files start from.
    pub(crate) directory: String,
    /// Base of its path attributes: absolute for the main project, relative to the including
    /// project for an included one.
    pub(crate) prefix: String,
    /// Tells environments apart.
    pub(crate) id: usize,
    pub(crate) environment: Rc<Environment>,
    pub(crate) resolve_paths: bool,
    /// Whether `KEY` items of environment lists get their value now. An included project does it
    /// always, since only now its own environment is known.
    pub(crate) fill_environment: bool,
}

/// The state of a run.
pub(crate) struct Assembler<'a> {
    pub(crate) files: &'a dyn Files,
    shape: &'a dyn Shape,
    remote: &'a dyn Remote,
    pub(crate) sources: SourceMap,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) home: Option<String>,
    no_interpolate: bool,
    models: usize,
    pub(crate) base_files: BTreeMap<(String, String, usize), Option<Rc<BaseFile>>>,
    /// Files whose `version` was warned about.
    versions: BTreeSet<String>,
    /// Scalars whose variables could not be filled in. Whatever else is said about them follows
    /// from that.
    unfilled: BTreeSet<Span>,
    /// Variables of included projects that their secrets and configs are made of. They are read when
    /// a container gets them, long after the environment of the included project is forgotten.
    pub(crate) lent: BTreeMap<String, String>,
}

/// Most projects that may be included in each other.
const INCLUDE_DEPTH_LIMIT: usize = 64;

/// Reads a project up to the tree.
pub fn assemble(options: &Options, files: &dyn Files, remote: &dyn Remote, shape: &dyn Shape) -> Assembled {
    let mut sources = SourceMap::new();
    let mut diagnostics = Diagnostics::new();
    let discovered = discover::discover(options, files, remote, &mut sources, &mut diagnostics);
    let assembler = Assembler {
        files,
        shape,
        remote,
        sources,
        diagnostics,
        home: options.environment.get("HOME").filter(|home| !home.is_empty()).cloned(),
        no_interpolate: options.no_interpolate,
        models: 0,
        base_files: BTreeMap::new(),
        versions: BTreeSet::new(),
        lent: BTreeMap::new(),
        unfilled: BTreeSet::new(),
    };
    assembler.run(options, discovered)
}

impl Assembler<'_> {
    fn run(mut self, options: &Options, discovered: Discovered) -> Assembled {
        let Discovered { files, working_directory, environment_files, mut environment } = discovered;
        let mut inputs = Vec::new();
        let mut read_files = Vec::new();
        let mut fetched_directory = None;
        if !self.diagnostics.has_errors() {
            for file in &files {
                if let Some((path, documents)) = self.root_file(file, options) {
                    if fetched_directory.is_none() && self.remote.accepts(file) {
                        fetched_directory = Some(path_text::directory(&path));
                    }
                    read_files.push(path.clone());
                    inputs.push((path, documents));
                }
            }
        }
        let is_readable = !self.diagnostics.has_errors();
        let project_name = self.project_name(options, &working_directory, &inputs, &environment);
        let variable = Variable { text: Arc::from(project_name.as_str()), span: None };
        environment.insert("COMPOSE_PROJECT_NAME".to_owned(), variable);
        let mut seen: BTreeMap<String, String> =
            environment.iter().map(|(name, variable)| (name.clone(), variable.text.to_string())).collect();
        if options.no_interpolate {
            // What is included fills in its lists from its own env file only.
            environment.clear();
        }
        // The name came from where the user is; paths start where the first fetched file lies.
        let given = options.project_directory.as_ref().is_some_and(|directory| !directory.is_empty());
        let working_directory = fetched_directory.filter(|_| !given).unwrap_or(working_directory);
        let model = Model {
            directory: working_directory.clone(),
            prefix: working_directory.clone(),
            id: self.new_model_id(),
            environment: Rc::new(environment),
            resolve_paths: !options.no_path_resolution,
            fill_environment: !options.no_interpolate,
        };
        let mut tree = None;
        // A bad name does not keep the other mistakes from being found.
        if is_readable {
            tree = self.load_model(&model, inputs, &[]);
            let empty = tree.as_ref().and_then(Node::as_mapping).is_none_or(Mapping::is_empty);
            if empty && !self.diagnostics.has_errors() {
                self.diagnostics.push(Diagnostic::error("empty-file", "empty compose file"));
            }
        }
        let nowhere = Origin::at(Span::new(self.sources.add("", ""), 0, 0));
        let mut tree = tree.unwrap_or_else(|| Node::mapping(Mapping::default(), nowhere.clone()));
        if let Some(mapping) = tree.as_mapping_mut() {
            let origin = mapping.get("name").map_or(nowhere, |entry| entry.value.origin.clone());
            let value = Node::text(project_name.as_str(), origin.clone());
            mapping.insert(Arc::from("name"), Entry { key: origin, value });
        }
        for (name, value) in std::mem::take(&mut self.lent) {
            seen.entry(name).or_insert(value);
        }
        Assembled {
            tree,
            sources: self.sources,
            diagnostics: self.diagnostics,
            project_name,
            working_directory,
            files: read_files,
            environment_files,
            environment: seen,
        }
    }

    pub(crate) fn new_model_id(&mut self) -> usize {
        self.models += 1;
        self.models
    }

    fn root_file(&mut self, file: &str, options: &Options) -> Option<(String, Vec<Document>)> {
        if file == "-" {
            let content = options.stdin.clone().unwrap_or_default();
            return self.parse_documents("-", content).map(|documents| ("-".to_owned(), documents));
        }
        let path = if self.remote.accepts(file) {
            match self.remote.fetch(file) {
                Ok(path) => path,
                Err(message) => {
                    self.diagnostics.push(Diagnostic::error("remote", message));
                    return None;
                }
            }
        } else {
            file.to_owned()
        };
        match self.files.read(&path) {
            Ok(content) => self.parse_documents(&path, content).map(|documents| (path, documents)),
            Err(error) => {
                let reason = environment::read_error(&path, &error);
                let message = format!("compose file \"{path}\" is invalid: {reason}");
                self.diagnostics.push(Diagnostic::error("unreadable-file", message));
                None
            }
        }
    }

    /// The path of a referenced file on this machine, and the base of its path attributes.
    pub(crate) fn locate(&mut self, reference: &str, model: &Model, place: Span) -> Option<(String, String)> {
        if self.remote.accepts(reference) {
            return match self.remote.fetch(reference) {
                Ok(path) => {
                    let directory = path_text::directory(&path);
                    Some((path, directory))
                }
                Err(message) => {
                    self.diagnostics.push(Diagnostic::error("remote", message).at(place));
                    None
                }
            };
        }
        let path = path_text::join(&model.directory, reference);
        let prefix = path_text::relative(&model.directory, &path_text::directory(&path));
        Some((path, prefix))
    }

    /// The documents of a file; `None` if it cannot be read or parsed, which is reported.
    pub(crate) fn read_documents(&mut self, path: &str, from: Option<(Span, &str)>) -> Option<Vec<Document>> {
        let errors = self.diagnostics.error_count();
        match self.files.read(path) {
            Ok(content) => {
                let documents = self.parse_documents(path, content);
                if self.diagnostics.error_count() > errors { None } else { documents }
            }
            Err(error) => {
                let mut diagnostic = Diagnostic::error("unreadable-file", environment::read_error(path, &error));
                if let Some((span, note)) = from {
                    diagnostic = diagnostic.at(span).note(note);
                }
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn parse_documents(&mut self, path: &str, content: Vec<u8>) -> Option<Vec<Document>> {
        let decoded = parse::decode_text(&content).map(Arc::<str>::from);
        // A large file is not held twice while its tree is made.
        drop(content);
        match decoded {
            Ok(text) => {
                let source = self.sources.add(path, Arc::clone(&text));
                Some(parse::parse(source, &text, &mut self.diagnostics))
            }
            Err(message) => {
                let message = format!("failed to parse {path}: {message}");
                self.diagnostics.push(Diagnostic::error("yaml-encoding", message));
                None
            }
        }
    }

    fn project_name(
        &mut self,
        options: &Options,
        working_directory: &str,
        inputs: &[(String, Vec<Document>)],
        environment: &Environment,
    ) -> String {
        let given = options.project_name.as_deref().filter(|name| !name.is_empty());
        let from_environment = environment.get("COMPOSE_PROJECT_NAME").map(|name| &*name.text);
        if let Some(name) = given.or(from_environment.filter(|name| !name.is_empty())) {
            if normalise_project_name(name) != name {
                let message = format!(
                    "invalid project name \"{name}\": must consist only of lowercase alphanumeric characters, \
                     hyphens, and underscores as well as start with a letter or number"
                );
                let help = format!("use {}", normalise_project_name(name));
                self.diagnostics.push(Diagnostic::error("project-name", message).help(help));
            }
            return name.to_owned();
        }
        let directory = path_text::base_name(working_directory);
        if let Some(real) = self.files.real_path(working_directory)
            && path_text::base_name(&real) != directory
        {
            let message =
                format!("project has been loaded without an explicit name from a symlink. Using name \"{directory}\"");
            self.diagnostics.push(Diagnostic::warning("symlink-name", message));
        }
        let documents = inputs.iter().flat_map(|(_, documents)| documents);
        let mut names = documents.filter_map(|document| document.root.get("name"));
        let written = names.rfind(|name| name.as_scalar().is_some_and(|name| !name.text.is_empty()));
        let name = match written {
            Some(node) => {
                // Read again with everything else, hence what is wrong with it is reported then.
                let mut node = node.clone();
                let lookup = |name: &str| environment.get(name).cloned();
                let mut unheard = Diagnostics::new();
                if !self.no_interpolate {
                    interpolate::interpolate_scalar(&mut node, "name", &lookup, &self.sources, &mut unheard);
                }
                node.as_scalar().map(Scalar::to_text).unwrap_or_default()
            }
            None => Arc::from(directory),
        };
        let name = normalise_project_name(&name);
        if name.is_empty() && !self.diagnostics.has_errors() {
            self.diagnostics.push(
                Diagnostic::error("project-name", "project name must not be empty").help("give one with -p or `name:`"),
            );
        }
        name
    }

    /// Merges the files of one project; `None` if there is nothing or a mistake was reported.
    pub(crate) fn load_model(
        &mut self,
        model: &Model,
        inputs: Vec<(String, Vec<Document>)>,
        included: &[String],
    ) -> Option<Node> {
        let mut included = included.to_vec();
        included.extend(inputs.first().map(|(path, _)| path.clone()));
        if included.len() > INCLUDE_DEPTH_LIMIT {
            let message = format!("more than {INCLUDE_DEPTH_LIMIT} files include each other");
            self.diagnostics.push(Diagnostic::error("include-depth", message));
            return None;
        }
        let mut tree: Option<Node> = None;
        let mut last_file = String::new();
        let mut complete = true;
        for (path, documents) in inputs {
            for document in documents {
                complete &= self.add_document(&mut tree, document, &path, model, Some(&included));
            }
            last_file = path;
        }
        let mut tree = tree?;
        if complete {
            let context = ShapeContext {
                file: &last_file,
                check: true,
                no_interpolate: self.no_interpolate,
                sources: &self.sources,
            };
            self.shape.complete(&mut tree, &context, &mut self.diagnostics);
            if model.resolve_paths {
                let base = paths::Base { directory: &model.prefix, home: self.home.as_deref(), files: self.files };
                paths::resolve(&mut tree, base, &mut self.diagnostics);
            }
            if model.fill_environment {
                fill_environment_lists(&mut tree, &model.environment);
            }
        }
        Some(tree)
    }

    /// Merges one document over the tree. Without `included` the file is that of an `extends`:
    /// its own includes and extends are left for later and the schema is not asked. False if the
    /// document holds mistakes that make the rest pointless.
    pub(crate) fn add_document(
        &mut self,
        tree: &mut Option<Node>,
        document: Document,
        path: &str,
        model: &Model,
        included: Option<&[String]>,
    ) -> bool {
        let Document { mut root, resets } = document;
        if root.as_mapping().is_none() {
            let message = "top-level object must be a mapping";
            self.diagnostics.push(
                Diagnostic::error("yaml-top-level", message)
                    .at(root.span())
                    .help("a Compose file begins with a key such as `services:`"),
            );
            return false;
        }
        let errors = self.diagnostics.error_count();
        if !self.no_interpolate {
            let environment = Rc::clone(&model.environment);
            let lookup = |name: &str| environment.get(name).cloned();
            let unfilled = interpolate::interpolate(&mut root, &lookup, &self.sources, &mut self.diagnostics);
            self.unfilled.extend(unfilled);
        }
        // The document is checked all the same, but what it refers to may be named by a variable.
        let is_filled = self.diagnostics.error_count() == errors;
        let resets: Resets = Rc::new(resets);
        if let (Some(included), true) = (included, is_filled) {
            self.apply_include(&mut root, model, included, &resets);
            for section in ["services", "jobs"] {
                self.apply_extends(&mut root, section, path, model, &resets);
            }
        }
        let mut merged = match tree.take() {
            None => root,
            Some(mut lower) => {
                merge::reset(&mut lower, &resets);
                merge::merge(lower, root, &mut self.diagnostics)
            }
        };
        merge::unique(&mut merged, &mut self.diagnostics);
        let complete = self.diagnostics.error_count() == errors;
        let context = ShapeContext {
            file: path,
            check: included.is_some(),
            no_interpolate: self.no_interpolate,
            sources: &self.sources,
        };
        if self.unfilled.is_empty() {
            self.shape.canonical(&mut merged, &context, &mut self.diagnostics);
        } else {
            let mut found = Diagnostics::new();
            self.shape.canonical(&mut merged, &context, &mut found);
            let follows = |diagnostic: &Diagnostic| diagnostic.span.is_some_and(|span| self.unfilled.contains(&span));
            for diagnostic in found.into_vec().into_iter().filter(|diagnostic| !follows(diagnostic)) {
                self.diagnostics.push(diagnostic);
            }
        }
        if included.is_some() {
            let warned = self.shape.judges();
            self.drop_version(&mut merged, path, warned);
        }
        omit_empty(&mut merged);
        if complete {
            // Long forms can show duplicates that short ones hid, for example a range of ports.
            merge::unique(&mut merged, &mut self.diagnostics);
        }
        *tree = Some(merged);
        complete
    }

    fn drop_version(&mut self, tree: &mut Node, path: &str, warned: bool) {
        let Some(mapping) = tree.as_mapping_mut() else { return };
        let Some(version) = mapping.shift_remove("version") else { return };
        if warned && self.versions.insert(path.to_owned()) {
            let message = format!(
                "{path}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion"
            );
            self.diagnostics.push(Diagnostic::warning("obsolete-version", message).at(version.key.span));
        }
    }
}

/// Empty name servers (often an unset variable) count as not written.
fn omit_empty(tree: &mut Node) {
    for section in ["services", "jobs"] {
        let Some(services) = tree.get_mut(section).and_then(Node::as_mapping_mut) else { continue };
        for entry in services.values_mut() {
            if let Some(servers) = entry.value.get_mut("dns").and_then(Node::as_sequence_mut) {
                servers.retain(|server| server.as_scalar().is_none_or(|server| !server.text.is_empty()));
            }
        }
    }
}

/// Gives `KEY` items of `environment` lists their value; mappings are filled when normalising.
fn fill_environment_lists(tree: &mut Node, environment: &Environment) {
    for section in ["services", "jobs"] {
        let Some(services) = tree.get_mut(section).and_then(Node::as_mapping_mut) else { continue };
        for entry in services.values_mut() {
            let Some(items) = entry.value.get_mut("environment").and_then(Node::as_sequence_mut) else { continue };
            for item in items {
                let Some(variable) = item.as_str().and_then(|name| environment.get(name)) else { continue };
                let Value::Scalar(scalar) = &mut item.value else { continue };
                let name = Arc::clone(&scalar.text);
                scalar.text = Arc::from(format!("{name}={}", variable.text));
                item.origin = item.origin.through(StepKind::Variable(name), variable.span);
            }
        }
    }
}

#[cfg(test)]
mod tests;
