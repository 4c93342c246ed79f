//! JSON as Go's encoder writes it: `<`, `>` and `&` escaped, keys of mappings sorted.

use std::fmt::Write;

use super::document::{Document, Key};

/// Without any blank, as it is hashed.
#[must_use]
pub fn compact(document: &Document) -> String {
    let mut text = String::new();
    write(document, None, 0, &mut text);
    text
}

/// Indented by two blanks, without final line break.
#[must_use]
pub fn pretty(document: &Document) -> String {
    let mut text = String::new();
    write(document, Some("  "), 0, &mut text);
    text
}

fn write(document: &Document, indent: Option<&str>, depth: usize, out: &mut String) {
    match document {
        Document::Null => out.push_str("null"),
        Document::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Document::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Document::Uint(value) => {
            let _ = write!(out, "{value}");
        }
        Document::Float(value) => out.push_str(&number(*value)),
        Document::Text(text) | Document::Verbatim(text) => quote(text, out),
        Document::Sequence(items) => {
            let open_close = ('[', ']');
            write_items(items.iter(), open_close, indent, depth, out, |item, out| write(item, indent, depth + 1, out));
        }
        Document::Structure(entries) => write_entries(entries.iter().collect(), indent, depth, out),
        Document::Mapping(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            write_entries(sorted, indent, depth, out);
        }
    }
}

fn write_entries(entries: Vec<&(Key, Document)>, indent: Option<&str>, depth: usize, out: &mut String) {
    write_items(entries.into_iter(), ('{', '}'), indent, depth, out, |(key, value), out| {
        quote(key, out);
        out.push_str(if indent.is_some() { ": " } else { ":" });
        write(value, indent, depth + 1, out);
    });
}

fn write_items<T>(
    items: impl ExactSizeIterator<Item = T>,
    (open, close): (char, char),
    indent: Option<&str>,
    depth: usize,
    out: &mut String,
    one: impl Fn(T, &mut String),
) {
    out.push(open);
    let is_empty = items.len() == 0;
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(indent, depth));
        }
    };
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        line(depth + 1, out);
        one(item, out);
    }
    if !is_empty {
        line(depth, out);
    }
    out.push(close);
}

/// A number as Go's `encoding/json` writes it.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        // Go writes a sign, and two digits unless the first is a zero.
        return match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent}"),
            _ => text,
        };
    }
    format!("{value}")
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(may_be_escaped) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = from.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(special @ ('<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}')) => {
                let _ = write!(out, "\\u{:04x}", u32::from(special));
            }
            Some(character) => out.push(character),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether a character that begins with this byte may have to be escaped: 0xe2 begins the two line separators.
const fn may_be_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0..=0x1f | 0xe2)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let document = Document::Mapping(vec![
            (
                Cow::Borrowed("b"),
                Document::Sequence(vec![Document::Float(1.5), Document::Float(2.0), Document::Int(-1)]),
            ),
            (Cow::Borrowed("a"), Document::Text("<\"\u{1}\n\u{2028}é€\\ \u{8}>".to_owned())),
            (Cow::Borrowed("c"), Document::Structure(Vec::new())),
        ]);
        assert_eq!(compact(&document), r#"{"a":"\u003c\"\u0001\n\u2028é€\\ \b\u003e","b":[1.5,2,-1],"c":{}}"#);
        assert_eq!(pretty(&document).lines().nth(2), Some("  \"b\": ["));
        assert_eq!(number(1e21), "1e+21");
        assert_eq!(number(1e-7), "1e-7");
    }
}
