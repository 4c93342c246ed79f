//! YAML text to trees. The only module that knows the parser crate.
//!
//! Two steps: events fill an arena of raw nodes; then every document is built from its root, and
//! on the way aliases are expanded (counted, cycles found), merge keys applied, `!reset` and
//! `!override` recorded with their paths, duplicate and non-string keys reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};
use indexmap::map::Entry as MapEntry;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{SourceId, Span};
use crate::tree::{Entry, Mapping, Node, Origin, Scalar, Step, StepKind, Style, Typed, Value};
use crate::yaml_types;

/// Deepest nesting that is read.
pub const DEPTH_LIMIT: usize = 256;
/// Most nodes that the aliases of one document may add.
pub const ALIAS_LIMIT: usize = 100_000;
/// Most keys and values that one file may hold: ten thousand services, in bounded memory.
pub const NODE_LIMIT: usize = 610_000;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its content; a document of only comments is null.
    pub root: Node,
    /// Paths of `!reset` and `!override`: what earlier files said there is to be dropped.
    pub resets: Vec<Vec<Arc<str>>>,
}

/// Bytes of a file as text: UTF-8 or UTF-16, with or without byte order mark.
///
/// # Errors
/// A message for text that is neither, or that holds control characters.
pub fn decode_text(bytes: &[u8]) -> Result<String, String> {
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
        char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| "invalid UTF-16 text".to_owned())
    };
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        _ => {
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(error) => {
                    let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                    return Err(format!("invalid UTF-8 text in line {line}"));
                }
            }
        }
    };
    // Most files are of these alone, and bytes are looked at faster than characters.
    if text.bytes().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')) {
        return Ok(text);
    }
    let forbidden = |letter: &char| {
        !matches!(letter, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..)
            || *letter == '\u{FEFF}'
    };
    match text.chars().find(forbidden) {
        Some(letter) => Err(format!("control characters are not allowed (value: {})", u32::from(letter))),
        None => Ok(text),
    }
}

/// Reads all documents of a text. What could not be read is reported; documents before the first
/// mistake of syntax are returned.
pub fn parse(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Vec<Document> {
    let mut arena = Arena::default();
    let roots = match arena.fill(source, text) {
        Ok(roots) => roots,
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            return Vec::new();
        }
    };
    let mut documents = Vec::new();
    for root in roots {
        let mut builder = Builder {
            arena: &arena,
            path: Vec::new(),
            steps: Vec::new(),
            open: Vec::new(),
            added: 0,
            resets: Vec::new(),
            failed: None,
        };
        let node = builder.build(root, None, 0, diagnostics);
        let resets = std::mem::take(&mut builder.resets);
        if let Some(diagnostic) = builder.failed.take() {
            diagnostics.push(*diagnostic);
            break;
        }
        // A document that consists of `!reset` says nothing.
        let root = node.unwrap_or_else(|| Node::null(Origin::at(Span::new(source, 0, 0))));
        documents.push(Document { root, resets });
    }
    documents
}

type Index = usize;

#[derive(Debug)]
struct Raw {
    kind: RawKind,
    span: Span,
    tag: RawTag,
}

#[derive(Debug)]
enum RawKind {
    Scalar(Arc<str>, Style),
    Sequence(Vec<Index>),
    Mapping(Vec<(Index, Index)>),
    Alias(Index),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RawTag {
    None,
    Reset,
    Override,
    Text,
    Int,
    Float,
    Bool,
    Null,
    Time,
    Binary,
    /// An unknown tag: the scalar is text, as the reference has it.
    Other,
}

#[derive(Debug, Default)]
struct Arena {
    nodes: Vec<Raw>,
    /// Anchor ids of the parser to nodes.
    anchors: BTreeMap<usize, Index>,
}

/// A collection that is being read.
struct Open {
    node: Index,
    /// The key that waits for its value.
    key: Option<Index>,
}

impl Arena {
    fn fill(&mut self, source: SourceId, text: &str) -> Result<Vec<Index>, Box<Diagnostic>> {
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: DEPTH_LIMIT,
            block_nesting_limit: DEPTH_LIMIT,
        };
        if let Some(range) = foreign_version(text) {
            let span = Span::new(source, range.start, range.end);
            let diagnostic = Diagnostic::error("yaml-version", "found incompatible YAML document")
                .at(span)
                .help("remove the directive: files are read as YAML 1.1 with the usual types of YAML 1.2");
            return Err(Box::new(diagnostic));
        }
        let mut roots = Vec::new();
        let mut stack: Vec<Open> = Vec::new();
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| Box::new(syntax_error(source, text, &error)))?;
            let range = span.byte_range().unwrap_or(0..0);
            let span = Span::new(source, range.start.min(text.len()), range.end.min(text.len()));
            if self.nodes.len() >= NODE_LIMIT {
                let message = format!("the file holds more than {NODE_LIMIT} keys and values");
                return Err(Box::new(Diagnostic::error("yaml-size", message).at(span)));
            }
            let index = match event {
                Event::Scalar(value, style, anchor, tag) => {
                    let style = match style {
                        ScalarStyle::Plain => Style::Plain,
                        ScalarStyle::SingleQuoted => Style::Single,
                        ScalarStyle::DoubleQuoted => Style::Double,
                        ScalarStyle::Literal => Style::Literal,
                        ScalarStyle::Folded => Style::Folded,
                    };
                    self.push(RawKind::Scalar(Arc::from(value.as_ref()), style), span, tag.as_deref(), anchor)
                }
                Event::Alias(anchor) => match self.anchors.get(&anchor) {
                    Some(target) => {
                        let target = *target;
                        self.push(RawKind::Alias(target), span, None, 0)
                    }
                    None => {
                        return Err(Box::new(Diagnostic::error("yaml-syntax", "unknown anchor referenced").at(span)));
                    }
                },
                Event::SequenceStart(_, anchor, tag) => {
                    let node = self.push(RawKind::Sequence(Vec::new()), span, tag.as_deref(), anchor);
                    stack.push(Open { node, key: None });
                    self.check_depth(&stack, span)?;
                    continue;
                }
                Event::MappingStart(_, anchor, tag) => {
                    let node = self.push(RawKind::Mapping(Vec::new()), span, tag.as_deref(), anchor);
                    stack.push(Open { node, key: None });
                    self.check_depth(&stack, span)?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(open) = stack.pop() else { continue };
                    if let Some(node) = self.nodes.get_mut(open.node) {
                        node.span = node.span.to(span);
                    }
                    open.node
                }
                _ => continue,
            };
            match stack.last_mut() {
                None => roots.push(index),
                Some(open) => match self.nodes.get_mut(open.node).map(|node| &mut node.kind) {
                    Some(RawKind::Sequence(items)) => items.push(index),
                    Some(RawKind::Mapping(entries)) => match open.key.take() {
                        None => open.key = Some(index),
                        Some(key) => entries.push((key, index)),
                    },
                    _ => {}
                },
            }
        }
        Ok(roots)
    }

    fn check_depth(&self, stack: &[Open], span: Span) -> Result<(), Box<Diagnostic>> {
        if stack.len() > DEPTH_LIMIT { Err(Box::new(too_deep(span))) } else { Ok(()) }
    }

    fn push(&mut self, kind: RawKind, span: Span, tag: Option<&Tag>, anchor: usize) -> Index {
        let tag = tag.map_or(RawTag::None, raw_tag);
        self.nodes.push(Raw { kind, span, tag });
        let index = self.nodes.len() - 1;
        if anchor > 0 {
            self.anchors.insert(anchor, index);
        }
        index
    }
}

fn raw_tag(tag: &Tag) -> RawTag {
    match tag.core_suffix() {
        Some("str") => RawTag::Text,
        Some("int") => RawTag::Int,
        Some("float") => RawTag::Float,
        Some("bool") => RawTag::Bool,
        Some("null") => RawTag::Null,
        Some(_) => RawTag::None,
        None => match (tag.handle(), tag.suffix()) {
            ("!", "reset") => RawTag::Reset,
            ("!", "override") => RawTag::Override,
            ("tag:yaml.org,2002:", "timestamp") => RawTag::Time,
            ("tag:yaml.org,2002:", "binary") => RawTag::Binary,
            ("", "!") | ("!", "") => RawTag::Text,
            _ => RawTag::Other,
        },
    }
}

/// A `%YAML` directive before the first document that names another version than 1.1: the
/// reference's reader knows only that one.
fn foreign_version(text: &str) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end();
        if let Some(version) = line.strip_prefix("%YAML") {
            return (version.split_whitespace().next() != Some("1.1")).then(|| start..start + line.len());
        }
        if !(line.trim_start().is_empty() || line.starts_with(['#', '%'])) {
            break;
        }
        start += whole.len();
    }
    None
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("yaml-depth", format!("nested more than {DEPTH_LIMIT} levels deep")).at(span)
}

fn syntax_error(source: SourceId, text: &str, error: &ScanError) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    let end = text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |letter| at + letter.len_utf8());
    let span = Span::new(source, at, end);
    let line_start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |index| index + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
    if let Some(tab) = line.get(..indentation).and_then(|blank| blank.find('\t')) {
        return Diagnostic::error("yaml-tab", "found a tab in the indentation, where YAML allows only spaces")
            .at(Span::new(source, line_start + tab, line_start + indentation))
            .note("tab")
            .help("use spaces to indent this line");
    }
    let message = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return too_deep(span),
        ErrorKind::UnknownAnchor => {
            let name: String =
                text.get(at..).unwrap_or("").chars().skip(1).take_while(|letter| !letter.is_whitespace()).collect();
            format!("unknown anchor '{name}' referenced")
        }
        kind => kind.to_string(),
    };
    let diagnostic = Diagnostic::error("yaml-syntax", format!("invalid YAML: {message}")).at(span);
    match error.kind() {
        ErrorKind::MappingValueNotAllowed => diagnostic.help("quote the value if it contains `: `"),
        ErrorKind::UnexpectedCharacter { .. } => diagnostic.help("quote a value that begins with this character"),
        ErrorKind::UnclosedQuotedScalar => diagnostic.help("close the quote"),
        _ => diagnostic,
    }
}

struct Builder<'a> {
    arena: &'a Arena,
    path: Vec<Arc<str>>,
    /// `[0]`, `[1]` and so on.
    steps: Vec<Arc<str>>,
    /// Anchored nodes that are being expanded through aliases, and collections on the way.
    open: Vec<Index>,
    added: usize,
    resets: Vec<Vec<Arc<str>>>,
    /// A mistake after which the document is not worth reading.
    failed: Option<Box<Diagnostic>>,
}

impl<'a> Builder<'a> {
    /// Builds a node; `None` for one that is dropped (`!reset`).
    fn build(
        &mut self,
        index: Index,
        via: Option<&Arc<Step>>,
        depth: usize,
        diagnostics: &mut Diagnostics,
    ) -> Option<Node> {
        if self.failed.is_some() {
            return None;
        }
        let raw = self.arena.nodes.get(index)?;
        if via.is_some() {
            self.added += 1;
            if self.added > ALIAS_LIMIT {
                self.fail(
                    Diagnostic::error("yaml-alias-limit", format!("aliases expand to more than {ALIAS_LIMIT} nodes"))
                        .at(raw.span),
                );
                return None;
            }
        }
        if depth > DEPTH_LIMIT {
            self.fail(too_deep(raw.span));
            return None;
        }
        match raw.tag {
            RawTag::Reset => {
                self.resets.push(self.path.clone());
                return None;
            }
            RawTag::Override => self.resets.push(self.path.clone()),
            _ => {}
        }
        let origin = Origin { span: raw.span, via: via.cloned() };
        match &raw.kind {
            RawKind::Scalar(text, style) => {
                let typed = scalar_type(text, *style, raw.tag);
                let decoded = (raw.tag == RawTag::Binary).then(|| base64_text(text)).flatten();
                let text = decoded.as_ref().unwrap_or(text);
                Some(Node::scalar(Scalar { text: Arc::clone(text), style: *style, typed }, origin))
            }
            RawKind::Alias(target) => {
                if self.open.contains(target) {
                    let defined = self.arena.nodes.get(*target).map_or(raw.span, |node| node.span);
                    let name = self.path.join(".");
                    self.fail(
                        Diagnostic::error("yaml-alias-cycle", format!("cycle detected: {name} contains itself"))
                            .at(raw.span)
                            .label(defined, "the alias refers to this node, which it is part of"),
                    );
                    return None;
                }
                let step = Arc::new(Step { kind: StepKind::Alias, span: Some(raw.span), earlier: via.cloned() });
                self.build(*target, Some(&step), depth + 1, diagnostics)
            }
            RawKind::Sequence(items) => {
                self.open.push(index);
                let mut nodes = Vec::with_capacity(items.len());
                for (position, item) in items.iter().enumerate() {
                    let step = self.step(position);
                    self.path.push(step);
                    nodes.extend(self.build(*item, via, depth + 1, diagnostics));
                    self.path.pop();
                }
                self.open.pop();
                Some(Node::sequence(nodes, origin))
            }
            RawKind::Mapping(entries) => {
                self.open.push(index);
                let mapping = self.mapping(entries, via, depth, diagnostics);
                self.open.pop();
                Some(Node::mapping(mapping, origin))
            }
        }
    }

    /// The step of a path into a sequence; the same few are needed again and again.
    fn step(&mut self, position: usize) -> Arc<str> {
        while self.steps.len() <= position {
            self.steps.push(Arc::from(format!("[{}]", self.steps.len())));
        }
        Arc::clone(&self.steps[position])
    }

    fn fail(&mut self, diagnostic: Diagnostic) {
        self.failed.get_or_insert_with(|| Box::new(diagnostic));
    }

    fn mapping(
        &mut self,
        entries: &[(Index, Index)],
        via: Option<&Arc<Step>>,
        depth: usize,
        diagnostics: &mut Diagnostics,
    ) -> Mapping {
        let mut mapping = Mapping::with_capacity_and_hasher(entries.len(), Default::default());
        let mut merged: Vec<Index> = Vec::new();
        let mut seen: HashMap<&str, Span, RandomState> =
            HashMap::with_capacity_and_hasher(entries.len(), RandomState::default());
        for (key, value) in entries {
            let Some((text, key_origin, is_merge)) = self.key(*key, via, diagnostics) else { continue };
            if let Some(first) = seen.insert(text, key_origin.span) {
                diagnostics.push(
                    Diagnostic::error("duplicate-key", format!("mapping key \"{text}\" already defined"))
                        .at(key_origin.span)
                        .note("defined again")
                        .label(first, "first defined here"),
                );
                continue;
            }
            if is_merge {
                merged.push(*value);
                continue;
            }
            self.path.push(Arc::clone(text));
            if let Some(value) = self.build(*value, via, depth + 1, diagnostics) {
                mapping.insert(Arc::clone(text), Entry { key: key_origin, value });
            }
            self.path.pop();
        }
        for value in merged {
            self.merge_key(value, &mut mapping, via, depth, diagnostics);
        }
        mapping
    }

    /// The text of a key, and whether it is the merge key `<<`.
    fn key(
        &self,
        index: Index,
        via: Option<&Arc<Step>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<(&'a Arc<str>, Origin, bool)> {
        let mut raw = self.arena.nodes.get(index)?;
        let span = raw.span;
        if let RawKind::Alias(target) = raw.kind {
            raw = self.arena.nodes.get(target)?;
        }
        let origin = Origin { span, via: via.cloned() };
        let place =
            || if self.path.is_empty() { "at top level".to_owned() } else { format!("in {}", self.path.join(".")) };
        let RawKind::Scalar(text, style) = &raw.kind else {
            diagnostics.push(
                Diagnostic::error(
                    "non-string-key",
                    format!("non-string key {}: a collection cannot be a key", place()),
                )
                .at(span),
            );
            return None;
        };
        match scalar_type(text, *style, raw.tag) {
            Typed::Text => Some((text, origin, *style == Style::Plain && &**text == "<<")),
            _ => {
                let shown = if text.is_empty() { "<nil>" } else { text };
                diagnostics.push(
                    Diagnostic::error("non-string-key", format!("non-string key {}: {shown}", place()))
                        .at(span)
                        .help(format!("quote it: \"{text}\"")),
                );
                None
            }
        }
    }

    /// Adds what `<<: value` brings to the keys that the mapping has itself.
    fn merge_key(
        &mut self,
        index: Index,
        mapping: &mut Mapping,
        via: Option<&Arc<Step>>,
        depth: usize,
        diagnostics: &mut Diagnostics,
    ) {
        let Some(value) = self.build(index, via, depth + 1, diagnostics) else { return };
        let span = value.span();
        let mut refuse = || {
            diagnostics.push(
                Diagnostic::error("yaml-merge", "map merge requires map or sequence of maps as the value").at(span),
            );
        };
        let parts = match value.value {
            Value::Mapping(part) => vec![part],
            Value::Sequence(items) => {
                let mut parts = Vec::new();
                for item in items {
                    match item.value {
                        Value::Mapping(part) => parts.push(part),
                        _ => return refuse(),
                    }
                }
                parts
            }
            Value::Scalar(_) => return refuse(),
        };
        for (key, entry) in parts.into_iter().flatten() {
            if let MapEntry::Vacant(vacant) = mapping.entry(key) {
                vacant.insert(entry);
            }
        }
    }
}

/// The text of a `!!binary` scalar, if it is base64 of UTF-8.
fn base64_text(text: &str) -> Option<Arc<str>> {
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=');
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = buffer << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xFF).unwrap_or_default());
        }
    }
    String::from_utf8(bytes).ok().map(Arc::from)
}

/// The type of a scalar; one with a tag of its own, `!override` too, is text.
fn scalar_type(text: &str, style: Style, tag: RawTag) -> Typed {
    let parsed = || yaml_types::resolve(text);
    match tag {
        RawTag::None if style == Style::Plain => parsed(),
        RawTag::Null => Typed::Null,
        RawTag::Int | RawTag::Bool | RawTag::Time => parsed(),
        RawTag::Float => match parsed() {
            #[expect(clippy::cast_precision_loss, reason = "that is what !!float asks for")]
            Typed::Int(value) => Typed::Float(value as f64),
            other => other,
        },
        _ => Typed::Text,
    }
}

#[cfg(test)]
mod tests;
