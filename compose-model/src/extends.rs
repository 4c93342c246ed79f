//! `extends`: a service laid over one of the same or another file.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::assemble::{Assembler, Model};
use crate::diagnostic::Diagnostic;
use crate::merge;
use crate::paths;
use crate::source::Span;
use crate::tree::{Mapping, Node, Origin, Step, StepKind, Value};

/// Longest chain of services that extend each other.
const CHAIN_LIMIT: usize = 256;

/// Paths of `!reset` and `!override` of one document.
pub(crate) type Resets = Rc<Vec<Vec<Arc<str>>>>;

/// The services of a file that others extend, in canonical form, with paths relative to the
/// project that extends them.
#[derive(Debug)]
pub(crate) struct BaseFile {
    pub(crate) tree: Node,
    pub(crate) resets: Resets,
}

/// The services among which a name is looked up.
struct Scope<'a> {
    services: Option<&'a Mapping>,
    file: &'a str,
}

struct Chain<'a> {
    section: &'a str,
    model: &'a Model,
    /// What is being resolved, outermost first.
    open: Vec<(String, String)>,
    /// Finished services of the document itself.
    done: BTreeMap<Arc<str>, Node>,
    /// Services of a cycle, or of a chain too long, that was reported.
    circular: BTreeSet<(String, String)>,
}

impl Assembler<'_> {
    /// Resolves all `extends` of one section (`services` or `jobs`) of a document.
    pub(crate) fn apply_extends(
        &mut self,
        document: &mut Node,
        section: &str,
        file: &str,
        model: &Model,
        resets: &Resets,
    ) {
        let Some(services) = document.get(section).and_then(Node::as_mapping) else { return };
        let names: Vec<Arc<str>> = services
            .iter()
            .filter(|(_, entry)| entry.value.get("extends").is_some())
            .map(|(name, _)| Arc::clone(name))
            .collect();
        if names.is_empty() {
            return;
        }
        let mut chain = Chain { section, model, open: Vec::new(), done: BTreeMap::new(), circular: BTreeSet::new() };
        let scope = Scope { services: Some(services), file };
        for name in &names {
            if let Some(merged) = self.extended(&scope, name, &mut chain, std::slice::from_ref(resets), true) {
                chain.done.insert(Arc::clone(name), merged);
            }
        }
        let done = std::mem::take(&mut chain.done);
        if let Some(services) = document.get_mut(section).and_then(Node::as_mapping_mut) {
            for (name, merged) in done {
                if let Some(entry) = services.get_mut(&name) {
                    entry.value = merged;
                }
            }
        }
    }

    /// A service of a scope with everything it extends; `None` if a mistake was reported.
    fn extended(
        &mut self,
        scope: &Scope<'_>,
        name: &str,
        chain: &mut Chain<'_>,
        resets: &[Resets],
        own_document: bool,
    ) -> Option<Node> {
        if own_document && let Some(done) = chain.done.get(name) {
            return Some(done.clone());
        }
        let service = &scope.services?.get(name)?.value;
        let Some(extends) = service.get("extends") else { return Some(service.clone()) };
        let section = chain.section;
        let place = extends.span();
        let (base_name, file) = self.reference(extends, name)?;

        let id = (scope.file.to_owned(), name.to_owned());
        if chain.circular.contains(&id) {
            return None;
        }
        if chain.open.len() >= CHAIN_LIMIT {
            let message = format!("more than {CHAIN_LIMIT} services extend each other");
            self.diagnostics.push(Diagnostic::error("extends-depth", message).at(place));
            chain.circular.extend(chain.open.iter().cloned());
            return None;
        }
        if chain.open.contains(&id) {
            let mut lines = vec!["Circular reference:".to_owned()];
            for (index, (file, service)) in chain.open.iter().chain([&id]).enumerate() {
                lines.push(format!("  {}{service} in {file}", if index == 0 { "" } else { "extends " }));
            }
            self.diagnostics.push(Diagnostic::error("extends-cycle", lines.join("\n")).at(place));
            chain.circular.extend(chain.open.iter().cloned());
            return None;
        }
        chain.open.push(id);
        let base = match &file {
            None => {
                if scope.services.is_some_and(|services| services.contains_key(&*base_name)) {
                    Some(self.extended(scope, &base_name, chain, resets, own_document))
                } else {
                    let names = scope.services.into_iter().flat_map(Mapping::keys).map(|name| &**name);
                    let message = format!(
                        "cannot extend service \"{name}\" in {}: service \"{base_name}\" not found",
                        scope.file
                    );
                    self.diagnostics.push(
                        Diagnostic::error("extends-not-found", message)
                            .at(place)
                            .did_you_mean(&base_name, names.filter(|candidate| *candidate != name)),
                    );
                    None
                }
            }
            Some(reference) => self.base_from_file(scope, name, &base_name, reference, place, chain, resets),
        };
        chain.open.pop();
        let mut base = base??;
        for paths in resets {
            for path in paths.iter() {
                if let [first, second, rest @ ..] = path.as_slice()
                    && &**first == section
                    && &**second == name
                    && !rest.is_empty()
                {
                    merge::reset(&mut base, &[rest.to_vec()]);
                }
            }
        }
        let step = Arc::new(Step { kind: StepKind::Extends, span: Some(place), earlier: None });
        mark(&mut base, &step);
        let mut own = service.clone();
        if let Some(mapping) = own.as_mapping_mut() {
            mapping.shift_remove("extends");
        }
        let mut merged =
            if base.is_null() { own } else { merge::merge_at(base, own, &[section, name], &mut self.diagnostics) };
        if let Some(mapping) = merged.as_mapping_mut() {
            mapping.shift_remove("extends");
        }
        Some(merged)
    }

    /// Service and file that an `extends` names.
    fn reference(&mut self, extends: &Node, name: &str) -> Option<(Arc<str>, Option<Arc<str>>)> {
        let text = |node: &Node| {
            node.as_scalar().filter(|scalar| scalar.as_str().is_some()).map(|scalar| Arc::clone(&scalar.text))
        };
        if let Some(service) = text(extends) {
            return Some((service, None));
        }
        match extends.get("service").and_then(text) {
            Some(service) => Some((service, extends.get("file").and_then(text))),
            None => {
                let message = format!("extends.{name}.service is required");
                self.diagnostics.push(Diagnostic::error("extends-service", message).at(extends.span()));
                None
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one extends entry")]
    fn base_from_file(
        &mut self,
        scope: &Scope<'_>,
        name: &str,
        base_name: &str,
        reference: &str,
        place: Span,
        chain: &mut Chain<'_>,
        resets: &[Resets],
    ) -> Option<Option<Node>> {
        let (path, prefix) = self.locate(reference, chain.model, place)?;
        let base = self.base_file(&path, &prefix, chain.model, place)?;
        let services = base.tree.get(chain.section).and_then(Node::as_mapping);
        let fault = match services {
            None => Some(format!("cannot extend service \"{name}\" in {}: no {} section", scope.file, chain.section)),
            Some(services) if !services.contains_key(base_name) => Some(format!(
                "cannot extend service \"{name}\" in {}: service \"{base_name}\" not found in {reference}",
                scope.file
            )),
            Some(_) => None,
        };
        if let Some(message) = fault {
            let names = services.into_iter().flat_map(Mapping::keys).map(|name| &**name);
            self.diagnostics
                .push(Diagnostic::error("extends-not-found", message).at(place).did_you_mean(base_name, names));
            return None;
        }
        let mut all = resets.to_vec();
        all.push(Rc::clone(&base.resets));
        let scope = Scope { services, file: &path };
        Some(self.extended(&scope, base_name, chain, &all, false))
    }

    /// The file of an `extends` in canonical form; read once per environment.
    fn base_file(&mut self, path: &str, prefix: &str, model: &Model, place: Span) -> Option<Rc<BaseFile>> {
        let key = (path.to_owned(), prefix.to_owned(), model.id);
        if let Some(base) = self.base_files.get(&key) {
            return base.clone();
        }
        let base = self.read_base_file(path, prefix, model, place);
        self.base_files.insert(key, base.clone());
        base
    }

    fn read_base_file(&mut self, path: &str, prefix: &str, model: &Model, place: Span) -> Option<Rc<BaseFile>> {
        let documents = self.read_documents(path, Some((place, "extended here")))?;
        let mut tree: Option<Node> = None;
        let mut last = Vec::new();
        for document in documents {
            last.clone_from(&document.resets);
            if !self.add_document(&mut tree, document, path, model, None) {
                return None;
            }
        }
        let mut tree = tree?;
        let base = paths::Base { directory: prefix, home: self.home.as_deref(), files: self.files };
        paths::resolve(&mut tree, base, &mut self.diagnostics);
        Some(Rc::new(BaseFile { tree, resets: Rc::new(last) }))
    }
}

/// Notes the step by which a subtree came.
pub(crate) fn mark(node: &mut Node, step: &Arc<Step>) {
    mark_origin(&mut node.origin, step);
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter_mut().for_each(|item| mark(item, step)),
        Value::Mapping(mapping) => {
            for entry in mapping.values_mut() {
                mark_origin(&mut entry.key, step);
                mark(&mut entry.value, step);
            }
        }
    }
}

fn mark_origin(origin: &mut Origin, step: &Arc<Step>) {
    match &origin.via {
        None => origin.via = Some(Arc::clone(step)),
        Some(_) => *origin = origin.through(step.kind.clone(), step.span),
    }
}
