//! The tree between text and types: what a YAML document says, with the place of every part.
//!
//! A [`Node`] is a scalar, a sequence or a mapping. A scalar keeps its text as written, its
//! quoting style and the type that YAML gives it, since `0755`, `1_000`, `yes` and `22:22` must
//! come out as the reference prints them. Strings are shared, so that a clone of a subtree (an
//! alias, an extended service) copies no text. Nothing here reads or judges.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::source::Span;

/// A value with the place it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, a number, a boolean, null.
    Scalar(Scalar),
    /// `[a, b]` or `- a`.
    Sequence(Vec<Node>),
    /// `{a: b}` or `a: b`.
    Mapping(Mapping),
}

/// Entries in the order written. Most of loading is looking up short keys, hence a quick hasher;
/// it is seeded at random like that of the standard library.
pub type Mapping = IndexMap<Arc<str>, Entry, foldhash::fast::RandomState>;

/// One `key: value` of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Place of the key.
    pub key: Origin,
    /// The value.
    pub value: Node,
}

/// Where something was written, and by which way it came here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The text itself. For an interpolated scalar this is the scalar with its expressions.
    pub span: Span,
    /// The last step that moved or made the value, if any; steps are chained.
    pub via: Option<Arc<Step>>,
}

/// One step on the way of a value to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What happened.
    pub kind: StepKind,
    /// Where that is written: the `*alias`, the `extends:` entry, the `include:` entry, the
    /// variable's line in a `.env` file.
    pub span: Option<Span>,
    /// The step before this one.
    pub earlier: Option<Arc<Self>>,
}

/// What brought a value to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// A YAML alias or merge key.
    Alias,
    /// `extends:` of a service.
    Extends,
    /// `include:` of a file.
    Include,
    /// A variable, by name, took part in the value.
    Variable(Arc<str>),
    /// The loader made the value (list form to map form, short form to long form).
    Derived,
}

impl Origin {
    /// Written at this place.
    #[must_use]
    pub fn at(span: Span) -> Self {
        Self { span, via: None }
    }

    /// The same place, reached by one further step.
    #[must_use]
    pub fn through(&self, kind: StepKind, span: Option<Span>) -> Self {
        Self { span: self.span, via: Some(Arc::new(Step { kind, span, earlier: self.via.clone() })) }
    }

    /// The steps, the last one first.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        std::iter::successors(self.via.as_deref(), |step| step.earlier.as_deref())
    }
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// A scalar: its text, how it was written, and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text as written, escapes and folding resolved, variables filled in.
    pub text: Arc<str>,
    /// How it was written.
    pub style: Style,
    /// The type that YAML (or, for numeric and boolean attributes, interpolation) gives it.
    pub typed: Typed,
}

/// The type of a scalar, as the reference's YAML reader decides it: the core schema of YAML 1.2
/// with the numbers of 1.1 (`0o17`, `017`, `0b1`, `1_000`) and dates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Typed {
    /// `null`, `~`, nothing.
    Null,
    /// `true`, `True`, `TRUE` and the three of `false`.
    Bool(bool),
    /// A number that fits 64 bits with sign.
    Int(i64),
    /// A number that fits 64 bits without sign only.
    Uint(u64),
    /// A number with fraction or exponent, `.inf`, `.nan`.
    Float(f64),
    /// A date or point in time; the text is as written.
    Time,
    /// Anything else, and everything quoted.
    Text,
}

impl Scalar {
    /// A string.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), style: Style::Plain, typed: Typed::Text }
    }

    /// Null.
    #[must_use]
    pub fn null() -> Self {
        Self { text: Arc::from(""), style: Style::Plain, typed: Typed::Null }
    }

    /// A boolean.
    #[must_use]
    pub fn bool(value: bool) -> Self {
        let text = if value { "true" } else { "false" };
        Self { text: Arc::from(text), style: Style::Plain, typed: Typed::Bool(value) }
    }

    /// A whole number.
    #[must_use]
    pub fn int(value: i64) -> Self {
        Self { text: value.to_string().into(), style: Style::Plain, typed: Typed::Int(value) }
    }

    /// A number.
    #[must_use]
    pub fn float(value: f64) -> Self {
        Self { text: go_float(value).into(), style: Style::Plain, typed: Typed::Float(value) }
    }

    /// The text if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        matches!(self.typed, Typed::Text).then_some(&self.text)
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.typed, Typed::Null)
    }

    /// The text that the reference makes of it where it wants a string (environment, labels,
    /// list entries): `010` becomes `8`, `1.50` becomes `1.5`, a date gets a time.
    #[must_use]
    pub fn to_text(&self) -> Arc<str> {
        match self.typed {
            Typed::Null => Arc::from(""),
            Typed::Bool(true) => Arc::from("true"),
            Typed::Bool(false) => Arc::from("false"),
            Typed::Int(value) => Arc::from(value.to_string()),
            Typed::Uint(value) => Arc::from(value.to_string()),
            Typed::Float(value) => Arc::from(go_float(value)),
            Typed::Time => Arc::from(crate::yaml_types::go_time(&self.text)),
            Typed::Text => Arc::clone(&self.text),
        }
    }
}

/// A number as Go's `fmt.Sprint` writes it (`%v`: shortest form, exponent from 1e6 on).
#[must_use]
pub fn go_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

impl Node {
    /// A scalar node.
    #[must_use]
    pub fn scalar(scalar: Scalar, origin: Origin) -> Self {
        Self { value: Value::Scalar(scalar), origin }
    }

    /// A string node.
    pub fn text(text: impl Into<Arc<str>>, origin: Origin) -> Self {
        Self::scalar(Scalar::text(text), origin)
    }

    /// A null node.
    #[must_use]
    pub fn null(origin: Origin) -> Self {
        Self::scalar(Scalar::null(), origin)
    }

    /// A mapping node.
    #[must_use]
    pub fn mapping(mapping: Mapping, origin: Origin) -> Self {
        Self { value: Value::Mapping(mapping), origin }
    }

    /// A sequence node.
    #[must_use]
    pub fn sequence(items: Vec<Self>, origin: Origin) -> Self {
        Self { value: Value::Sequence(items), origin }
    }

    /// Place of the node.
    #[must_use]
    pub fn span(&self) -> Span {
        self.origin.span
    }

    /// The scalar, if it is one.
    #[must_use]
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_scalar().and_then(Scalar::as_str)
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(Scalar::is_null)
    }

    /// The entries, if it is a mapping.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The items, if it is a sequence.
    #[must_use]
    pub fn as_sequence(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The items, if it is a sequence.
    pub fn as_sequence_mut(&mut self) -> Option<&mut Vec<Self>> {
        match &mut self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The value below a key, if it is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_mapping().and_then(|mapping| mapping.get(key)).map(|entry| &entry.value)
    }

    /// The value below a key, if it is a mapping that has it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.as_mapping_mut().and_then(|mapping| mapping.get_mut(key)).map(|entry| &mut entry.value)
    }

    /// The kind of a value in the words of the reference, which are those of its language.
    #[must_use]
    pub(crate) fn go_kind(&self) -> &'static str {
        match &self.value {
            Value::Mapping(_) => "map[string]interface {}",
            Value::Sequence(_) => "[]interface {}",
            Value::Scalar(scalar) => match scalar.typed {
                Typed::Null => "<nil>",
                Typed::Bool(_) => "bool",
                Typed::Int(_) | Typed::Uint(_) => "int",
                Typed::Float(_) => "float64",
                Typed::Time => "time.Time",
                Typed::Text => "string",
            },
        }
    }

    /// What kind of value it is, in the words of the reference's messages.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match &self.value {
            Value::Mapping(_) => "mapping",
            Value::Sequence(_) => "array",
            Value::Scalar(scalar) => match scalar.typed {
                Typed::Null => "null",
                Typed::Bool(_) => "boolean",
                Typed::Int(_) | Typed::Uint(_) | Typed::Float(_) => "number",
                Typed::Time | Typed::Text => "string",
            },
        }
    }

    /// Whether two nodes say the same, wherever they were written.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => match (a.typed, b.typed) {
                (Typed::Text, Typed::Text) | (Typed::Time, Typed::Time) => a.text == b.text,
                (a, b) => a == b,
            },
            (Value::Sequence(a), Value::Sequence(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_value(b))
            }
            (Value::Mapping(a), Value::Mapping(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, entry)| b.get(key).is_some_and(|other| entry.value.same_value(&other.value)))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_text())
    }
}
