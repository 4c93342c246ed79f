//! Reading the attributes of a mapping by name and type.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::interpolate::{old_boolean, old_boolean_warning};
use crate::project::{Environment, Extensions, Hosts, StringMap, Ulimit};
use crate::tree::{Mapping, Node, Scalar, Typed, Value};
use crate::units::{ByteSize, Duration, FileMode};

use super::Values;
use super::command;

/// The attributes of one mapping.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    mapping: &'a Mapping,
    /// As the reference writes it: `services[a].healthcheck`.
    path: String,
}

impl<'a> Fields<'a> {
    /// The top level.
    pub(super) fn root(tree: &'a Node) -> Option<Self> {
        Some(Self { mapping: tree.as_mapping()?, path: String::new() })
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The attribute's value unless it is absent or null.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.mapping.get(key).map(|entry| &entry.value).filter(|node| !node.is_null())
    }

    fn scalar(&self, key: &str) -> Option<&'a Scalar> {
        self.node(key).and_then(Node::as_scalar)
    }

    /// Reports a value that does not follow its grammar.
    pub(super) fn mistake(&self, key: &str, node: &Node, reason: &str, diagnostics: &mut Diagnostics) {
        // A list inside a list would repeat the headline for each of its items.
        let message = format!("decoding failed due to the following error(s):\n\n'{}' {reason}", self.below(key));
        diagnostics.push(Diagnostic::error("value", message).at_origin(&node.origin));
    }

    /// A mapping below.
    pub(super) fn object(&self, key: &str) -> Option<Self> {
        let mapping = self.node(key)?.as_mapping()?;
        Some(Self { mapping, path: self.below(key) })
    }

    /// A mapping below; an empty one counts as there even when it is null.
    pub(super) fn map<T>(&self, key: &str, read: impl FnOnce(&Self) -> T) -> Option<T> {
        self.object(key).map(|fields| read(&fields))
    }

    /// The mappings below a mapping, by name; null counts as empty.
    pub(super) fn children(&self, key: &str) -> Vec<(&'a str, Self)> {
        static EMPTY: std::sync::LazyLock<Mapping> = std::sync::LazyLock::new(Mapping::default);
        let path = self.below(key);
        let child = |(name, entry): (&'a std::sync::Arc<str>, &'a crate::tree::Entry)| {
            let mapping = match &entry.value.value {
                Value::Mapping(mapping) => mapping,
                _ => &*EMPTY,
            };
            (&**name, Self { mapping, path: format!("{path}[{name}]") })
        };
        self.node(key).and_then(Node::as_mapping).into_iter().flatten().map(child).collect()
    }

    /// Like [`Fields::children`], but tells null from an empty mapping.
    pub(super) fn optional_children(&self, key: &str) -> Vec<(&'a str, Option<Self>)> {
        let is_null = |name: &str| self.node(key).and_then(|node| node.get(name)).is_none_or(Node::is_null);
        self.children(key).into_iter().map(|(name, fields)| (name, (!is_null(name)).then_some(fields))).collect()
    }

    /// The mappings of a list.
    pub(super) fn items<T>(&self, key: &str, mut read: impl FnMut(&Self) -> T) -> Vec<T> {
        let path = self.below(key);
        let items = self.node(key).and_then(Node::as_sequence).unwrap_or_default();
        let fields = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Some(Self { mapping: item.as_mapping()?, path: format!("{path}[{index}]") }));
        fields.map(|fields| read(&fields)).collect()
    }

    /// Text; numbers and booleans as the reference prints them.
    pub(super) fn text(&self, key: &str) -> String {
        self.scalar(key).map(|scalar| scalar.to_text().to_string()).unwrap_or_default()
    }

    /// A list of texts, or one text that stands for a list of one.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Scalar(scalar)) => vec![scalar.to_text().to_string()],
            Some(Value::Sequence(items)) => {
                items.iter().filter_map(|item| Some(item.as_scalar()?.to_text().to_string())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A list of texts or whole numbers.
    pub(super) fn names(&self, key: &str, diagnostics: &mut Diagnostics) -> Vec<String> {
        for (index, item) in self.node(key).and_then(Node::as_sequence).into_iter().flatten().enumerate() {
            if item.as_scalar().is_some_and(|scalar| matches!(scalar.typed, Typed::Float(_))) {
                let reason = "expected type 'string', got unconvertible type 'float64'";
                self.mistake(&format!("{key}[{index}]"), item, reason, diagnostics);
            }
        }
        self.texts(key)
    }

    pub(super) fn optional_flag(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<bool> {
        let node = self.node(key)?;
        let scalar = node.as_scalar()?;
        match scalar.typed {
            Typed::Bool(value) => Some(value),
            _ => match scalar.text.to_ascii_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ if let Some(right) = old_boolean(&scalar.text) => {
                    diagnostics.push(old_boolean_warning(&scalar.text, right).at_origin(&node.origin));
                    Some(right == "true")
                }
                _ => {
                    self.mistake(key, node, &format!("invalid boolean: {}", scalar.text), diagnostics);
                    None
                }
            },
        }
    }

    pub(super) fn flag(&self, key: &str, diagnostics: &mut Diagnostics) -> bool {
        self.optional_flag(key, diagnostics).unwrap_or(false)
    }

    /// A whole number.
    pub(super) fn optional_int(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<i64> {
        let node = self.node(key)?;
        let read = int_of(node.as_scalar()?);
        if read.is_none() {
            let reason = format!("cannot parse '{}' as a whole number", node.as_scalar()?.text);
            self.mistake(key, node, &reason, diagnostics);
        }
        read
    }

    pub(super) fn int(&self, key: &str, diagnostics: &mut Diagnostics) -> i64 {
        self.optional_int(key, diagnostics).unwrap_or(0)
    }

    /// A whole number, whose text the reference reads to the base 10 only.
    pub(super) fn decimal(&self, key: &str, diagnostics: &mut Diagnostics) -> i64 {
        let Some(node) = self.node(key) else { return 0 };
        let Some(text) = node.as_str() else { return self.int(key, diagnostics) };
        text.parse().unwrap_or_else(|_| {
            let reason = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
            self.mistake(key, node, &reason, diagnostics);
            0
        })
    }

    /// A whole number in the range of `T`.
    pub(super) fn small<T: TryFrom<i64> + Default>(&self, key: &str, diagnostics: &mut Diagnostics) -> T {
        self.optional_small(key, diagnostics).unwrap_or_default()
    }

    /// A whole number in the range of `T`.
    pub(super) fn optional_small<T: TryFrom<i64>>(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<T> {
        let value = self.optional_int(key, diagnostics)?;
        let small = T::try_from(value).ok();
        if let (None, Some(node)) = (&small, self.node(key)) {
            self.mistake(key, node, &format!("{value} is out of range"), diagnostics);
        }
        small
    }

    pub(super) fn float(&self, key: &str, diagnostics: &mut Diagnostics) -> f32 {
        let Some(node) = self.node(key) else { return 0.0 };
        let Some(scalar) = node.as_scalar() else { return 0.0 };
        let read = match scalar.typed {
            // Through text, so that 0.7 is the nearest single to 0.7.
            Typed::Int(_) | Typed::Uint(_) | Typed::Float(_) => scalar.to_text().parse().ok(),
            _ => scalar.text.trim().parse::<f32>().ok(),
        };
        read.unwrap_or_else(|| {
            let reason = format!("strconv.ParseFloat: parsing \"{}\": invalid syntax", scalar.text);
            self.mistake(key, node, &reason, diagnostics);
            0.0
        })
    }

    pub(super) fn duration(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<Duration> {
        let node = self.node(key)?;
        let text = node.as_scalar()?.to_text();
        match Duration::parse(&text) {
            Some(duration) => Some(duration),
            None => {
                self.mistake(key, node, &duration_mistake(&text), diagnostics);
                None
            }
        }
    }

    pub(super) fn bytes(&self, key: &str, diagnostics: &mut Diagnostics) -> ByteSize {
        let Some(node) = self.node(key) else { return ByteSize::default() };
        let Some(scalar) = node.as_scalar() else { return ByteSize::default() };
        let read = match scalar.typed {
            Typed::Int(value) => Ok(value),
            // The reference knows whole numbers and text; a float counts as not written.
            Typed::Float(_) => Ok(0),
            Typed::Uint(_) => Err(out_of_range(&scalar.text)),
            _ => parse_bytes(&scalar.to_text()),
        };
        match read {
            Ok(value) => ByteSize(value),
            Err(reason) => {
                self.mistake(key, node, &reason, diagnostics);
                ByteSize::default()
            }
        }
    }

    /// Permission bits: a number as it is, text as octal digits.
    pub(super) fn mode(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<FileMode> {
        let node = self.node(key)?;
        let scalar = node.as_scalar()?;
        let read = match scalar.typed {
            Typed::Int(value) => Some(value),
            Typed::Float(_) => None,
            _ => i64::from_str_radix(&scalar.text, 8).ok(),
        };
        if read.is_none() {
            self.mistake(key, node, &format!("\"{}\" is no octal file mode", scalar.text), diagnostics);
        }
        read.map(FileMode)
    }

    /// A command line: text is split, a list is kept, an empty text or list clears.
    pub(super) fn command(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
        let node = self.node(key)?;
        let Some(text) = node.as_str() else { return Some(self.texts(key)) };
        match command::split(text) {
            Some(words) => Some(words),
            None => {
                self.mistake(key, node, "invalid command line string", diagnostics);
                None
            }
        }
    }

    fn values(&self, key: &str) -> Values {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Mapping(mapping)) => {
                let value = |node: &Node| match node.as_scalar() {
                    Some(scalar) if !scalar.is_null() => Some(scalar.to_text().to_string()),
                    _ => None,
                };
                mapping.iter().map(|(key, entry)| (key.to_string(), value(&entry.value))).collect()
            }
            Some(Value::Sequence(items)) => items
                .iter()
                .filter_map(|item| {
                    let text = item.as_scalar()?.to_text();
                    Some(match text.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (text.to_string(), None),
                    })
                })
                .collect(),
            _ => Values::new(),
        }
    }

    /// Variables, where a name without value is kept as such.
    pub(super) fn environment(&self, key: &str, diagnostics: &mut Diagnostics) -> Environment {
        for item in self.node(key).and_then(Node::as_sequence).unwrap_or_default() {
            let name = item.as_str().map(|text| text.split_once('=').map_or(text, |(name, _)| name));
            // Blanks are looked for in lists only, where they are nearly always a mistake.
            if let Some(name) = name.filter(|name| name.ends_with(char::is_whitespace)) {
                let reason = format!("environment variable {name} is declared with a trailing space");
                self.mistake(key, item, &reason, diagnostics);
            }
        }
        self.values(key)
    }

    /// Labels and the like, where a name without value has the empty one.
    pub(super) fn string_map(&self, key: &str) -> StringMap {
        self.values(key).into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
    }

    /// Like [`Fields::string_map`] where the reference takes texts and whole numbers only.
    pub(super) fn strict_map(&self, key: &str, diagnostics: &mut Diagnostics) -> StringMap {
        for (name, entry) in self.node(key).and_then(Node::as_mapping).into_iter().flatten() {
            let kind = match &entry.value.value {
                Value::Scalar(scalar) => match scalar.typed {
                    Typed::Float(_) => "float64",
                    Typed::Bool(_) => "bool",
                    _ => continue,
                },
                _ => entry.value.go_kind(),
            };
            let reason = format!("expected type 'string', got unconvertible type '{kind}'");
            self.mistake(&format!("{key}[{name}]"), &entry.value, &reason, diagnostics);
        }
        self.string_map(key)
    }

    /// A whole number without sign of a kind that the reference does not make of text.
    pub(super) fn unsigned<T: TryFrom<i64> + Default>(
        &self,
        key: &str,
        kind: &str,
        diagnostics: &mut Diagnostics,
    ) -> T {
        if let Some(node) = self.node(key).filter(|node| node.as_str().is_some()) {
            let reason = format!("expected type '{kind}', got unconvertible type 'string'");
            self.mistake(key, node, &reason, diagnostics);
            return T::default();
        }
        self.small(key, diagnostics)
    }

    /// `host=address` lines, sorted.
    pub(super) fn hosts(&self, key: &str, diagnostics: &mut Diagnostics) -> Hosts {
        let mut hosts: Vec<(String, String)> = Vec::new();
        let Some(node) = self.node(key) else { return Hosts::default() };
        match &node.value {
            Value::Scalar(_) => {}
            Value::Sequence(items) => {
                for item in items {
                    let Some(text) = item.as_str() else { continue };
                    match text.split_once('=').or_else(|| text.split_once(':')) {
                        Some((host, addresses)) => {
                            hosts.extend(addresses.split(',').map(|address| (host.to_owned(), address.to_owned())));
                        }
                        None => {
                            let reason = format!("invalid additional host, missing IP: {text}");
                            self.mistake(key, item, &reason, diagnostics);
                        }
                    }
                }
            }
            Value::Mapping(mapping) => {
                for (host, entry) in mapping {
                    let addresses = match &entry.value.value {
                        Value::Sequence(items) => items.iter().filter_map(Node::as_str).collect(),
                        _ => entry.value.as_str().into_iter().collect::<Vec<_>>(),
                    };
                    hosts.extend(addresses.into_iter().map(|address| (host.to_string(), address.to_owned())));
                }
            }
        }
        if let Some((host, _)) = hosts.iter().find(|(host, _)| host.is_empty() || host.contains([':', '='])) {
            self.mistake(key, node, &format!("bad host name '{host}'"), diagnostics);
        }
        let line = |(host, address): &(String, String)| {
            let bare =
                address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|bare| !bare.is_empty());
            format!("{host}={}", bare.unwrap_or(address))
        };
        let mut lines: Vec<String> = hosts.iter().map(line).collect();
        lines.sort();
        let is_written = matches!(&node.value, Value::Mapping(mapping) if !mapping.is_empty());
        if lines.is_empty() && !is_written { Hosts::default() } else { lines.into() }
    }

    pub(super) fn ulimits(&self, diagnostics: &mut Diagnostics) -> crate::project::Sorted<String, Ulimit> {
        let mut ulimits = crate::project::Sorted::new();
        let Some(limits) = self.object("ulimits") else { return ulimits };
        for (name, entry) in limits.mapping {
            let limit = match &entry.value.value {
                Value::Mapping(_) => limits.map(name, |pair| Ulimit::Pair {
                    soft: pair.int("soft", diagnostics),
                    hard: pair.int("hard", diagnostics),
                }),
                // The reference takes a single zero for two limits.
                _ => limits.optional_int(name, diagnostics).map(|limit| match limit {
                    0 => Ulimit::Pair { soft: 0, hard: 0 },
                    limit => Ulimit::Single(limit),
                }),
            };
            if let Some(limit) = limit {
                ulimits.insert(name.to_string(), limit);
            }
        }
        ulimits
    }

    /// `x-*`.
    pub(super) fn extensions(&self) -> Extensions {
        let own = self.mapping.iter().filter(|(key, _)| key.starts_with("x-"));
        own.map(|(key, entry)| (key.to_string(), json_value(&entry.value))).collect()
    }
}

/// A whole number; text in any base that Go's base 0 reads.
fn int_of(scalar: &Scalar) -> Option<i64> {
    match scalar.typed {
        Typed::Int(value) => Some(value),
        #[allow(clippy::cast_possible_truncation)] // As the reference does; the range saturates.
        Typed::Float(value) if value.is_finite() => Some(value as i64),
        Typed::Bool(value) => Some(i64::from(value)),
        Typed::Text => {
            let text = scalar.text.trim();
            let (sign, digits) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text.strip_prefix('+').unwrap_or(text)),
            };
            let lower = digits.to_ascii_lowercase();
            let value = if let Some(rest) = lower.strip_prefix("0x") {
                i64::from_str_radix(rest, 16).ok()
            } else if let Some(rest) = lower.strip_prefix("0b") {
                i64::from_str_radix(rest, 2).ok()
            } else if let Some(rest) = lower.strip_prefix("0o") {
                i64::from_str_radix(rest, 8).ok()
            } else if lower.len() > 1 && lower.starts_with('0') {
                i64::from_str_radix(&lower, 8).ok()
            } else {
                lower.parse().ok()
            };
            value.map(|value| sign * value)
        }
        _ => None,
    }
}

/// A size in Docker's grammar: powers of 1024, an optional blank before the unit.
fn parse_bytes(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|character: char| character.is_ascii_digit() || matches!(character, '.' | ' '));
    let end = end.ok_or_else(invalid)?;
    let suffix = text[end + 1..].to_lowercase();
    let number = if text.as_bytes()[end] == b' ' { &text[..end] } else { &text[..=end] };
    let digits = without_separators(number);
    let size: f64 = digits.parse().map_err(|_| format!("strconv.ParseFloat: parsing \"{number}\": invalid syntax"))?;
    if size < 0.0 {
        return Err(invalid());
    }
    let unit = match suffix.as_bytes() {
        [] | [b'b'] => 1.0,
        [unit] | [unit, b'b'] | [unit, b'i', b'b'] => match unit {
            b'k' => 1024.0,
            b'm' => 1024.0_f64.powi(2),
            b'g' => 1024.0_f64.powi(3),
            b't' => 1024.0_f64.powi(4),
            b'p' => 1024.0_f64.powi(5),
            _ => return Err(format!("invalid suffix: '{suffix}'")),
        },
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    let bytes = size * unit;
    // Two to the power of 63, which is the first that does not fit.
    if bytes >= 9_223_372_036_854_775_808.0 {
        return Err(out_of_range(text));
    }
    #[allow(clippy::cast_possible_truncation)] // The fraction of a byte, as the reference does.
    Ok(bytes as i64)
}

/// Without the `_` that Go's numbers may have between two digits.
fn without_separators(number: &str) -> String {
    let bytes = number.as_bytes();
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    let separates = |index: usize| bytes[index] == b'_' && index > 0 && is_digit(index - 1) && is_digit(index + 1);
    number.char_indices().filter(|(index, _)| !separates(*index)).map(|(_, letter)| letter).collect()
}

fn out_of_range(text: &str) -> String {
    format!("'{text}' is out of range: a size has at most 63 bits")
}

/// Why a text is no duration, in the words of Go's parser.
fn duration_mistake(text: &str) -> String {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut rest = rest;
    loop {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        if digits == 0 {
            return format!("time: invalid duration {text:?}");
        }
        rest = &rest[digits..];
        let end = rest.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(rest.len());
        let unit = &rest[..end];
        if unit.is_empty() {
            return format!("time: missing unit in duration {text:?}");
        }
        if !matches!(unit, "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h" | "d" | "w") {
            return format!("time: unknown unit {unit:?} in duration {text:?}");
        }
        rest = &rest[end..];
    }
}

/// A node as JSON, for `x-*`.
pub(crate) fn json_value(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Scalar(scalar) => match scalar.typed {
            Typed::Null => Json::Null,
            Typed::Bool(value) => Json::Bool(value),
            Typed::Int(value) => value.into(),
            Typed::Uint(value) => value.into(),
            Typed::Float(value) => value.into(),
            Typed::Time => crate::yaml_types::rfc3339(&scalar.text).into(),
            Typed::Text => Json::String(scalar.text.to_string()),
        },
        Value::Sequence(items) => Json::Array(items.iter().map(json_value).collect()),
        Value::Mapping(mapping) => {
            Json::Object(mapping.iter().map(|(key, entry)| (key.to_string(), json_value(&entry.value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_dockers_grammar() {
        for (text, expected) in [
            ("64M", Ok(64 << 20)),
            ("1.5g", Ok(3 << 29)),
            ("1 kib", Ok(1024)),
            ("5b", Ok(5)),
            ("10", Ok(10)),
            ("2TB", Ok(2 << 40)),
            ("", Err("invalid size: ''")),
            ("-1", Ok(-1)),
            ("-2", Err("invalid size: '-2'")),
            ("1_000", Ok(1000)),
            ("1x", Err("invalid suffix: 'x'")),
            ("8191p", Ok(8191 << 50)),
            ("8192p", Err("'8192p' is out of range: a size has at most 63 bits")),
            ("1mm", Err("invalid suffix: 'mm'")),
        ] {
            assert_eq!(parse_bytes(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_wrong_duration_is_explained_as_go_explains_it() {
        for (text, expected) in [
            ("5", "time: missing unit in duration \"5\""),
            ("1M", "time: unknown unit \"M\" in duration \"1M\""),
            ("", "time: invalid duration \"\""),
            ("1h 5m", "time: unknown unit \"h \" in duration \"1h 5m\""),
            ("s", "time: invalid duration \"s\""),
        ] {
            assert_eq!(Duration::parse(text), None, "{text}");
            assert_eq!(duration_mistake(text), expected);
        }
    }
}
