use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::source::SourceMap;

/// One line of what a text says: JSON-like, with types; then resets and messages.
fn read(text: &str) -> String {
    let mut sources = SourceMap::new();
    let id = sources.add("f", text);
    let mut diagnostics = Diagnostics::new();
    let documents = parse(id, text, &mut diagnostics);
    let mut out = String::new();
    for document in &documents {
        show(&document.root, &mut out);
        for reset in &document.resets {
            write!(out, " !{}", reset.join(".")).unwrap();
        }
        out.push(';');
    }
    for diagnostic in diagnostics.iter() {
        let place = diagnostic.span.map(|span| sources.describe(span)).unwrap_or_default();
        write!(out, "{} {}", place, diagnostic.message).unwrap();
    }
    out
}

fn show(node: &Node, out: &mut String) {
    match &node.value {
        Value::Scalar(scalar) if scalar.typed == Typed::Text => write!(out, "{:?}", scalar.text).unwrap(),
        Value::Scalar(scalar) if scalar.is_null() => out.push('~'),
        Value::Scalar(scalar) => out.push_str(&scalar.to_text()),
        Value::Sequence(items) => {
            out.push('[');
            for item in items {
                show(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Mapping(mapping) => {
            out.push('{');
            for (key, entry) in mapping {
                write!(out, "{key}:").unwrap();
                show(&entry.value, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

#[test]
fn texts_become_trees_or_messages() {
    let cases: &[(&str, &str)] = &[
        ("a: 1\nb: [x, '1', 010, yes, 1.50, ~]", r#"{a:1,b:["x","1",8,"yes",1.5,~,],};"#),
        ("a: 1\n---\nb: 2\n", "{a:1,};{b:2,};"),
        ("", ""),
        ("# nothing\n", ""),
        ("a: &x {p: 1}\nb: *x", "{a:{p:1,},b:{p:1,},};"),
        ("x: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3", "{x:{p:1,q:2,},b:{q:3,p:1,},};"),
        ("b:\n  <<: [{p: 1}, {p: 2, q: 2}]", "{b:{p:1,q:2,},};"),
        ("b:\n  <<: text", "{b:{},};f:2:7 map merge requires map or sequence of maps as the value"),
        ("a: &a [*a]", "f:1:8 cycle detected: a.[0] contains itself"),
        ("a: *nope", "f:1:4 invalid YAML: unknown anchor 'nope' referenced"),
        ("a: 1\nb: 2\na: 3", "{a:1,b:2,};f:3:1 mapping key \"a\" already defined"),
        ("s:\n  1: x", "{s:{},};f:2:3 non-string key in s: 1"),
        ("true: x", "{};f:1:1 non-string key at top level: true"),
        ("a: !reset []\nb: !override [1]\nc: {d: !reset null}", "{b:[1,],c:{},} !a !b !c.d;"),
        ("a: !!str 12\nb: !mytag 3\nc: !!int '5'", r#"{a:"12",b:"3",c:5,};"#),
        ("a: !!binary aGk=", r#"{a:"hi",};"#),
        ("a:\n\tb: 1", "f:2:1 found a tab in the indentation, where YAML allows only spaces"),
        ("a: 'x", "f:1:4 invalid YAML: unclosed quote"),
        ("a: |\r\n  x\r\n  y\r\n", r#"{a:"x\ny\n",};"#),
        ("a: >-\n  x\n  y\n", r#"{a:"x y",};"#),
        ("%YAML 1.1\n---\na: 1", "{a:1,};"),
        ("# c\n%YAML 1.2\n---\na: 1", "f:2:1 found incompatible YAML document"),
        ("a: |\n  %YAML 1.2\n", r#"{a:"%YAML 1.2\n",};"#),
        ("a: 2020-01-01", "{a:2020-01-01 00:00:00 +0000 UTC,};"),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), *expected, "{text:?}");
    }
}

#[test]
fn bytes_become_text_or_a_message() {
    assert_eq!(decode_text(b"\xEF\xBB\xBFa: 1"), Ok("a: 1".to_owned()));
    assert_eq!(decode_text(b"\xFF\xFEa\0:\0"), Ok("a:".to_owned()));
    assert_eq!(decode_text(b"\xFE\xFF\0a"), Ok("a".to_owned()));
    assert!(decode_text(b"a\xE9b").is_err());
    assert_eq!(decode_text(b"a\x07"), Err("control characters are not allowed (value: 7)".to_owned()));
}

#[test]
fn bombs_are_refused_at_once() {
    let start = Instant::now();
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let last = level - 1;
        let items = vec![format!("*a{last}"); 10].join(",");
        writeln!(laughs, "a{level}: &a{level} [{items}]").unwrap();
    }
    assert!(read(&laughs).contains("aliases expand to more than"));
    assert!(read(&"[".repeat(100_000)).contains("nested more than"));
    let deep: String = (0..1000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(read(&deep).contains("nested more than"));
    assert!(start.elapsed() < Duration::from_secs(5));
}

proptest! {
    #[test]
    fn no_text_panics_and_every_span_lies_inside(text in "[a-c:\\-{}\\[\\],&*!<|>'\"# \n\t~1ü]{0,60}") {
        let mut sources = SourceMap::new();
        let id = sources.add("f", text.as_str());
        let mut diagnostics = Diagnostics::new();
        parse(id, &text, &mut diagnostics);
        for diagnostic in diagnostics.iter() {
            let span = diagnostic.span.unwrap();
            prop_assert!(span.range().end <= text.len());
            prop_assert!(text.is_char_boundary(span.range().start) && text.is_char_boundary(span.range().end));
            prop_assert!(!diagnostic.render(&sources, false).is_empty());
        }
    }
}
