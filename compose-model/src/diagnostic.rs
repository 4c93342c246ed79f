//! Mistakes and warnings with their places, and how they are shown.
//!
//! A [`Diagnostic`] is data: a stable code, a message in the reference's words where scripts match
//! on them, and spans. Text is made of it only here, by [`Diagnostic::render`]. All mistakes of a
//! run are collected in [`Diagnostics`] and shown at once.

use std::collections::BTreeSet;
use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{Source, SourceMap, Span};
use crate::tree::{Origin, StepKind};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The project still loads.
    Warning,
    /// The project is refused.
    Error,
}

/// A further place that explains the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// One mistake or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable name of the kind of mistake, for example `duplicate-key`. Codes can be silenced
    /// and looked up; they never change meaning.
    pub code: &'static str,
    /// What is wrong, one line where possible.
    pub message: String,
    /// Where, if it is about a place in a text.
    pub span: Option<Span>,
    /// What to write under the marked text; may be empty.
    pub note: String,
    /// Further places, for example where the value came from.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake that refuses the project.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: None,
            note: String::new(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Says where, and adds a label for every step by which the value came there.
    #[must_use]
    pub fn at_origin(mut self, origin: &Origin) -> Self {
        self.span = Some(origin.span);
        for step in origin.steps() {
            let Some(span) = step.span else { continue };
            let text = match &step.kind {
                StepKind::Alias => "used by this alias".to_owned(),
                StepKind::Extends => "extended here".to_owned(),
                StepKind::Include => "included here".to_owned(),
                StepKind::Variable(name) => format!("{name} was set here"),
                StepKind::Derived => continue,
            };
            self.labels.push(Label { span, text });
        }
        self
    }

    /// Text to write under the marked place.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// A further place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// "did you mean" for a name that is close to one of the candidates.
    #[must_use]
    pub fn did_you_mean<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(name, candidates) {
            Some(candidate) => {
                let help = format!("did you mean `{candidate}`?");
                self.help(help)
            }
            None => self,
        }
    }

    /// The message for people: title, `file:line:column`, the line with a caret, labels, help.
    /// Without trailing line break.
    #[must_use]
    pub fn render(&self, sources: &SourceMap, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        if let Some(span) = self.span {
            add_piece(&mut pieces, sources, span, AnnotationKind::Primary, &self.note);
        }
        for label in &self.labels {
            add_piece(&mut pieces, sources, label.span, AnnotationKind::Context, &label.text);
        }
        for piece in &pieces {
            let mut snippet = Snippet::source(piece.source.text().get(piece.start..piece.end).unwrap_or(""))
                .line_start(piece.first_line + 1)
                .path(piece.source.name());
            for (kind, range, text) in &piece.marks {
                let label = if text.is_empty() { None } else { Some(*text) };
                snippet = snippet.annotation(kind.span(range.clone()).label(label));
            }
            group = group.element(snippet);
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// Lines of one source that are shown together.
struct Piece<'a> {
    source: &'a Source,
    id: crate::source::SourceId,
    first_line: usize,
    last_line: usize,
    start: usize,
    end: usize,
    marks: Vec<(AnnotationKind, std::ops::Range<usize>, &'a str)>,
}

/// Marks farther apart than this are shown as two snippets, so that only the lines around marks
/// are ever handed to the renderer.
const TOGETHER_LINES: usize = 20;

fn add_piece<'a>(pieces: &mut Vec<Piece<'a>>, sources: &'a SourceMap, span: Span, kind: AnnotationKind, text: &'a str) {
    let Some(source) = sources.get(span.source) else { return };
    let length = source.text().len();
    let mut start = span.range().start.min(length);
    let mut end = span.range().end.clamp(start, length);
    while !source.text().is_char_boundary(start) {
        start -= 1;
    }
    while !source.text().is_char_boundary(end) {
        end += 1;
    }
    // Only the first line of a long value is marked: the caret should point, not paint.
    let line = source.line_of(start);
    let line_end = source.line_range(line).end;
    if end > line_end {
        end = line_end.max(start);
        while end > start && matches!(source.text().as_bytes().get(end - 1), Some(b'\n' | b'\r')) {
            end -= 1;
        }
    }
    let near = pieces.iter_mut().find(|piece| {
        piece.id == span.source && line + TOGETHER_LINES >= piece.first_line && line <= piece.last_line + TOGETHER_LINES
    });
    if let Some(piece) = near {
        let first_line = piece.first_line.min(line);
        let new_start = source.line_range(first_line).start;
        let shift = piece.start - new_start;
        for (_, range, _) in &mut piece.marks {
            *range = range.start + shift..range.end + shift;
        }
        piece.first_line = first_line;
        piece.last_line = piece.last_line.max(line);
        piece.start = new_start;
        piece.end = piece.end.max(line_end);
        piece.marks.push((kind, start - new_start..end - new_start, text));
        return;
    }
    let piece_start = source.line_range(line).start;
    pieces.push(Piece {
        source,
        id: span.source,
        first_line: line,
        last_line: line,
        start: piece_start,
        end: line_end,
        marks: vec![(kind, start - piece_start..end - piece_start, text)],
    });
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// What a run has to say, in the order found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    /// Errors that are in `items`, so that a repeated one costs no search.
    seen: BTreeSet<(Option<Span>, String)>,
}

impl Diagnostics {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. The same message at the same place is kept once for errors; warnings repeat as
    /// often as the reference repeats them.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            // A value of the wrong type is met by several stages, which word it differently.
            if diagnostic.code == "type" && diagnostic.span.is_some() {
                let mut at_or_behind = self.seen.range((diagnostic.span, String::new())..);
                if at_or_behind.next().is_some_and(|(span, _)| *span == diagnostic.span) {
                    return;
                }
            }
            if !self.seen.insert((diagnostic.span, diagnostic.message.clone())) {
                return;
            }
        }
        self.items.push(diagnostic);
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Self) {
        for diagnostic in other.items {
            self.push(diagnostic);
        }
    }

    /// Whether the project is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        !self.seen.is_empty()
    }

    /// How many different errors there are.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.seen.len()
    }

    /// Everything, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter().filter(|item| item.severity == Severity::Error)
    }

    /// The warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter().filter(|item| item.severity == Severity::Warning)
    }

    /// The collection as a list.
    #[must_use]
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.items
    }
}

/// The candidate that a misspelt name most likely means, if one is close enough.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate, limit), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance (a swap of neighbours counts one), cut off above `limit`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().take(64).flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().take(64).flat_map(char::to_lowercase).collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(letter != other)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == b[j - 1] && a[i - 1] == *other {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_the_line_a_caret_and_what_to_do() {
        let mut sources = SourceMap::new();
        let id = sources.add("compose.yaml", "services:\n  web:\n    imgae: nginx\n    x: 1\n");
        let shown = Diagnostic::error("unknown-attribute", "services.web.imgae is not known")
            .at(Span::new(id, 21, 26))
            .label(Span::new(id, 12, 15), "in this service")
            .did_you_mean("imgae", ["image", "init"])
            .render(&sources, false);
        let expected = [
            "error[unknown-attribute]: services.web.imgae is not known",
            " --> compose.yaml:3:5",
            "  |",
            "2 |   web:",
            "  |   --- in this service",
            "3 |     imgae: nginx",
            "  |     ^^^^^",
            "  |",
            "  = help: did you mean `image`?",
        ];
        assert_eq!(shown, expected.join("\n"));
    }

    #[test]
    fn a_span_outside_its_source_is_shown_at_the_end() {
        let mut sources = SourceMap::new();
        let id = sources.add("a", "ü");
        let shown = Diagnostic::error("x", "m").at(Span::new(id, 1, 900)).render(&sources, true);
        assert!(shown.contains('m'));
    }

    #[test]
    fn the_closest_name_is_near_or_nothing() {
        assert_eq!(closest("enviroment", ["environment", "entrypoint"]), Some("environment"));
        assert_eq!(closest("prots", ["ports", "profiles"]), Some("ports"));
        assert_eq!(closest("foo", ["image", "build"]), None);
        assert_eq!(closest("", ["a"]), Some("a"));
    }
}
