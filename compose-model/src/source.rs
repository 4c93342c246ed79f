//! Source texts and places in them.
//!
//! Every text that a run reads (Compose files, `.env` files) is kept once in a [`SourceMap`];
//! the rest of the crate points into it with a [`Span`], which is 12 bytes and `Copy`.

use std::ops::Range;
use std::sync::Arc;

use crate::project::Place;

/// Which text of a [`SourceMap`] is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A byte range of one source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span from byte offsets. Offsets beyond 4 GiB are clamped; no source is that large.
    #[must_use]
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX).max(start);
        Self { source, start, end }
    }

    /// The bytes covered.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The part of this span that begins `from` and ends `to` bytes after its start, cut at its end.
    #[must_use]
    pub fn part(self, from: usize, to: usize) -> Self {
        let clamp = |offset: usize| (self.start as usize + offset).min(self.end as usize);
        Self::new(self.source, clamp(from), clamp(to))
    }

    /// The smallest span that covers both, if they lie in one source.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.source != other.source {
            return self;
        }
        Self { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One text that was read.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: Arc<str>,
    line_starts: Vec<u32>,
}

impl Source {
    /// The name to show: the file as the user named it, or a description such as `stdin`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, decoded to UTF-8.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The 0-based line that holds a byte offset.
    #[must_use]
    pub fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start as usize <= offset).saturating_sub(1)
    }

    /// The byte range of a 0-based line, with its line break; empty past the end.
    #[must_use]
    pub fn line_range(&self, line: usize) -> Range<usize> {
        let end = self.text.len();
        let at = |line: usize| self.line_starts.get(line).map_or(end, |start| *start as usize);
        at(line)..at(line.saturating_add(1))
    }

    /// 1-based line and column (in characters) of a byte offset.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.line_of(offset);
        let start = self.line_range(line).start;
        // Counted from bytes, so that an offset inside a character cannot panic.
        let column = self.text.as_bytes()[start..offset].iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        (line + 1, column + 1)
    }
}

/// All texts of a run.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the name that messages show.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let text = text.into();
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts =
            std::iter::once(0).chain(breaks.map(|(index, _)| u32::try_from(index + 1).unwrap_or(u32::MAX))).collect();
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        self.sources.push(Source { name: name.into(), text, line_starts });
        id
    }

    /// The source of an id that this map gave out.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// The name of a source, or `?` for an id of another map.
    #[must_use]
    pub fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or("?", Source::name)
    }

    /// All sources in the order they were read.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.sources.iter().zip(0..).map(|(source, index)| (SourceId(index), source))
    }

    /// The text that a span covers; empty if it lies outside.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.source).and_then(|source| source.text.get(span.range())).unwrap_or("")
    }

    /// File, line and column of the start of a span.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let (line, column) = self.get(span.source).map_or((1, 1), |source| source.position(span.start as usize));
        Place { file: self.name(span.source).to_owned(), line, column }
    }

    /// `file:line:column` of the start of a span.
    #[must_use]
    pub fn describe(&self, span: Span) -> String {
        let (line, column) = self.get(span.source).map_or((1, 1), |source| source.position(span.start as usize));
        format!("{}:{line}:{column}", self.name(span.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters_and_starts_at_one() {
        let mut sources = SourceMap::new();
        let id = sources.add("a.yaml", "a: ü b\nc: d\n");
        assert_eq!(sources.describe(Span::new(id, 0, 1)), "a.yaml:1:1");
        assert_eq!(sources.describe(Span::new(id, 6, 7)), "a.yaml:1:6");
        assert_eq!(sources.describe(Span::new(id, 8, 9)), "a.yaml:2:1");
        assert_eq!(sources.describe(Span::new(id, 999, 999)), "a.yaml:3:1");
        assert_eq!(sources.slice(Span::new(id, 8, 12)), "c: d");
        assert_eq!(sources.slice(Span::new(id, 4, 5)), "", "inside a character");
    }
}
