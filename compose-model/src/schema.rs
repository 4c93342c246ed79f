//! What a Compose file may hold: every attribute with its types, and the check of a merged tree
//! against that table.
//!
//! The table is in `attributes`; this module has its vocabulary and the walk. All mistakes are
//! collected. Messages hold the words of the reference (`services.a.image must be a string`), the
//! place and, for a misspelt name, the nearest known one.

mod attributes;
mod json_schema;

use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::tree::{Entry, Mapping, Node, Origin, Typed, Value};

pub use attributes::PROJECT;
pub use json_schema::json_schema;

/// The type of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// `true`, `false`
    Boolean,
    /// What YAML reads as a point in time where it is not quoted.
    Date,
    /// A number without fraction.
    Integer,
    /// Nothing.
    Null,
    /// Any number.
    Number,
    /// Text.
    Text,
}

impl Type {
    const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Date => "string",
            Self::Integer => "integer",
            Self::Null => "null",
            Self::Number => "number",
            Self::Text => "string",
        }
    }

    fn admits(self, typed: Typed) -> bool {
        match self {
            Self::Boolean => matches!(typed, Typed::Bool(_)),
            Self::Null => matches!(typed, Typed::Null),
            Self::Integer => match typed {
                Typed::Int(_) | Typed::Uint(_) => true,
                Typed::Float(value) => value.fract() == 0.0,
                _ => false,
            },
            Self::Number => matches!(typed, Typed::Int(_) | Typed::Uint(_) | Typed::Float(_)),
            Self::Date => matches!(typed, Typed::Time),
            Self::Text => matches!(typed, Typed::Text),
        }
    }
}

/// What the value of an attribute may be.
#[derive(Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// A scalar of one of these types.
    Scalar(&'static [Type]),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Text that a rule restricts.
    Pattern(Pattern),
    /// A whole number in a range, or text.
    Range(i64, i64),
    /// A list.
    List {
        /// What every item may be.
        items: &'static Self,
        /// Whether an item may stand there only once.
        unique: bool,
    },
    /// A mapping.
    Object(&'static Object),
    /// One of several forms.
    OneOf(&'static [Self]),
}

/// A restriction on text.
#[derive(Debug)]
pub struct Pattern {
    /// The expression that the reference shows in its message.
    pub expression: &'static str,
    /// Whether a text is allowed.
    pub admits: fn(&str) -> bool,
}

/// Which names a mapping may have beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// None.
    None,
    /// Letters, digits, `.`, `_`, `-`; at least one.
    Resource,
    /// Any but the empty one.
    Any,
    /// Any at all, unchecked if their spelling is odd (`ulimits`, options of drivers).
    Open,
}

/// A mapping.
#[derive(Debug)]
pub struct Object {
    /// Known fields.
    pub fields: &'static [(&'static str, Shape)],
    /// Fields shared with other objects.
    pub shared: &'static [&'static Self],
    /// Fields that must be there.
    pub required: &'static [&'static str],
    /// Names of the user's, and the shape of their values.
    pub names: (Names, &'static Shape),
    /// Whether `x-*` is allowed.
    pub extensions: bool,
    /// Whether the reference words an unknown field as `false schema`.
    pub composed: bool,
    /// Whether null stands for the empty mapping.
    pub nullable: bool,
    /// At least one of these must be there.
    pub any_of: &'static [&'static str],
}

impl Object {
    /// A mapping with nothing in it, to build upon.
    pub const EMPTY: Self = Self {
        fields: &[],
        shared: &[],
        required: &[],
        names: (Names::None, &Shape::Any),
        extensions: true,
        composed: false,
        nullable: false,
        any_of: &[],
    };

    /// The shape of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Shape> {
        // Comparing length and last letter first spares nearly all calls of the comparison proper.
        let last = name.as_bytes().last();
        let is_it = |key: &str| key.len() == name.len() && key.as_bytes().last() == last && key == name;
        let own = self.fields.iter().find(|(key, _)| is_it(key)).map(|(_, shape)| shape);
        own.or_else(|| self.shared.iter().find_map(|object| object.field(name)))
    }

    /// All field names.
    #[must_use]
    pub fn field_names(&self) -> Vec<&'static str> {
        let own = self.fields.iter().map(|(key, _)| *key);
        own.chain(self.shared.iter().flat_map(|object| object.field_names())).collect()
    }
}

impl Names {
    fn admits(self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Resource => {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            }
            Self::Any => !name.is_empty(),
            Self::Open => true,
        }
    }
}

/// Checks a merged, interpolated tree against [`PROJECT`]. `file` is named in the messages.
pub fn validate(tree: &Node, file: &str, diagnostics: &mut Diagnostics) {
    let mut found = Vec::new();
    finite(tree, file, diagnostics);
    check(tree, &Shape::Object(&PROJECT), &mut String::new(), &mut found);
    for mistake in found {
        diagnostics.push(mistake.into_diagnostic(file));
    }
}

/// A number that is none cannot be compared, printed or hashed.
fn finite(node: &Node, file: &str, diagnostics: &mut Diagnostics) {
    match &node.value {
        Value::Scalar(scalar) => {
            if let Typed::Float(value) = scalar.typed
                && !value.is_finite()
            {
                let message = format!("validating {file}: json: unsupported value: {}", crate::tree::go_float(value));
                diagnostics.push(Diagnostic::error("value", message).at_origin(&node.origin));
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| finite(item, file, diagnostics)),
        Value::Mapping(mapping) => mapping.values().for_each(|entry| finite(&entry.value, file, diagnostics)),
    }
}

/// A mistake before it has its file name.
struct Mistake {
    code: &'static str,
    path: String,
    text: String,
    origin: Origin,
    help: Option<String>,
}

impl Mistake {
    fn new(code: &'static str, path: &str, text: impl Into<String>, origin: &Origin) -> Self {
        Self { code, path: path.to_owned(), text: text.into(), origin: origin.clone(), help: None }
    }

    fn depth(&self) -> usize {
        self.path.matches('.').count()
    }

    fn into_diagnostic(self, file: &str) -> Diagnostic {
        let message = format!("validating {file}: {} {}", self.path, self.text);
        let diagnostic = Diagnostic::error(self.code, message).at_origin(&self.origin);
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

fn check(node: &Node, shape: &Shape, path: &mut String, found: &mut Vec<Mistake>) {
    match shape {
        Shape::Any => {}
        Shape::Scalar(types) => {
            let fits = node.as_scalar().is_some_and(|scalar| types.iter().any(|kind| kind.admits(scalar.typed)));
            if !fits {
                found.push(wrong_type(node, shape, path));
            }
        }
        Shape::Words(words) => match text_of(node) {
            Some(text) if words.contains(&text) => {}
            Some(text) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
                let text_of_mistake = match &quoted[..] {
                    [only] => format!("value must be {only}"),
                    all => format!("value must be one of {}", all.join(", ")),
                };
                let mut mistake = Mistake::new("value", path, text_of_mistake, &node.origin);
                mistake.help = did_you_mean(text, words.iter().copied());
                found.push(mistake);
            }
            None => found.push(wrong_type(node, shape, path)),
        },
        Shape::Pattern(pattern) => match text_of(node) {
            Some(text) if (pattern.admits)(text) => {}
            Some(text) => {
                let message = format!("'{text}' does not match pattern '{}'", pattern.expression);
                found.push(Mistake::new("value", path, message, &node.origin));
            }
            None => found.push(wrong_type(node, shape, path)),
        },
        Shape::Range(least, most) => match node.as_scalar().map(|scalar| scalar.typed) {
            Some(Typed::Text) => {}
            Some(Typed::Int(value)) if (*least..=*most).contains(&value) => {}
            // The text of a percentage has become a number with a fraction, if only of zero.
            #[allow(clippy::cast_precision_loss)] // A bound beyond 2^53 is none.
            Some(Typed::Float(value)) if value.fract() == 0.0 && (*least as f64..=*most as f64).contains(&value) => {}
            Some(Typed::Int(value)) => {
                let most = if *most == i64::MAX { "…".to_owned() } else { most.to_string() };
                let message = format!("must be a string or a number from {least} to {most}, got {value}");
                found.push(Mistake::new("value", path, message, &node.origin));
            }
            _ => found.push(wrong_type(node, shape, path)),
        },
        Shape::List { items, unique } => {
            let Value::Sequence(list) = &node.value else {
                found.push(wrong_type(node, shape, path));
                return;
            };
            let length = path.len();
            for (index, item) in list.iter().enumerate() {
                _ = write!(path, ".{index}");
                check(item, items, path, found);
                path.truncate(length);
            }
            if *unique && let Some((first, second)) = first_repetition(list) {
                let message = format!("items at {first} and {second} are equal");
                found.push(Mistake::new("repeated", path, message, &list[second].origin));
            }
        }
        Shape::Object(object) => match &node.value {
            Value::Mapping(mapping) => check_mapping(node, mapping, object, path, found),
            _ if object.nullable && node.is_null() => {}
            _ => found.push(wrong_type(node, shape, path)),
        },
        Shape::OneOf(shapes) => {
            // The form that fits the kind of the value is the one that was meant.
            let mut best: Option<Vec<Mistake>> = None;
            for shape in *shapes {
                let mut mistakes = Vec::new();
                check(node, shape, path, &mut mistakes);
                if mistakes.is_empty() {
                    return;
                }
                let meant = |mistakes: &[Mistake]| {
                    let depth = mistakes.iter().map(Mistake::depth).max().unwrap_or(0);
                    (usize::from(mistakes.iter().all(|mistake| mistake.code != "type" || mistake.path != *path)), depth)
                };
                if best.as_ref().is_none_or(|best| meant(&mistakes) > meant(best)) {
                    best = Some(mistakes);
                }
            }
            let mut best = best.unwrap_or_default();
            if let [mistake] = &mut best[..]
                && mistake.code == "type"
                && mistake.path == *path
            {
                let forms: Vec<String> = shapes.iter().map(kind_names).collect();
                mistake.help = Some(format!("write it as {}", forms.join(" or ")));
            }
            found.append(&mut best);
        }
    }
}

fn check_mapping(node: &Node, mapping: &Mapping, object: &Object, path: &mut String, found: &mut Vec<Mistake>) {
    let length = path.len();
    let mut unknown: Vec<(&str, &Entry)> = Vec::new();
    for (key, entry) in mapping {
        let field = object.field(key);
        let shape = match field {
            Some(shape) => shape,
            None if object.extensions && key.starts_with("x-") => continue,
            None if object.names.0.admits(key) => object.names.1,
            None => {
                unknown.push((key, entry));
                continue;
            }
        };
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        check(&entry.value, shape, path, found);
        path.truncate(length);
    }
    for (key, entry) in unknown {
        let mut mistake = if object.composed {
            Mistake::new("unknown-attribute", &format!("{path}.{key}"), "false schema", &entry.key)
        } else {
            Mistake::new("unknown-attribute", path, format!("additional properties '{key}' not allowed"), &entry.key)
        };
        mistake.help = if object.names.0 == Names::None {
            did_you_mean(key, object.field_names()).or_else(|| former_attribute(key).map(str::to_owned))
        } else {
            Some("a name has letters, digits, `.`, `_` and `-` only".to_owned())
        };
        found.push(mistake);
    }
    let missing: Vec<String> =
        object.required.iter().filter(|name| !mapping.contains_key(**name)).map(|name| format!("'{name}'")).collect();
    if !missing.is_empty() {
        let word = if missing.len() == 1 { "property" } else { "properties" };
        let message = format!("missing {word} {}", missing.join(", "));
        found.push(Mistake::new("missing-attribute", path, message, &node.origin));
    }
    if !object.any_of.is_empty() && !object.any_of.iter().any(|name| mapping.contains_key(*name)) {
        let message = format!("missing property '{}'", object.any_of.join("' or '"));
        found.push(Mistake::new("missing-attribute", path, message, &node.origin));
    }
}

fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    crate::diagnostic::closest(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Advice for attributes that older formats had.
fn former_attribute(key: &str) -> Option<&'static str> {
    Some(match key {
        "net" => "write `network_mode:` instead",
        "log_driver" | "log_opt" => "write `logging: {driver: ..., options: ...}` instead",
        "volume_driver" => "declare the volume below the top-level `volumes:` with its `driver:`",
        "dockerfile" => "write it below `build:`",
        _ => return None,
    })
}

fn text_of(node: &Node) -> Option<&str> {
    node.as_scalar().filter(|scalar| matches!(scalar.typed, Typed::Text | Typed::Time)).map(|scalar| &*scalar.text)
}

/// Finds two equal items without comparing every pair of them.
fn first_repetition(list: &[Node]) -> Option<(usize, usize)> {
    let mut seen = std::collections::HashMap::new();
    for (index, item) in list.iter().enumerate() {
        let key = match &item.value {
            // A number and the same text differ; 1 and 1.0 do not.
            Value::Scalar(scalar) => format!("{}{}", item.kind_name(), scalar.to_text()),
            _ => continue,
        };
        if let Some(first) = seen.insert(key, index) {
            return Some((first, index));
        }
    }
    let structured: Vec<usize> = (0..list.len()).filter(|index| list[*index].as_scalar().is_none()).collect();
    let mut by_text = std::collections::HashMap::new();
    for index in structured {
        let key = crate::canonical::write_json_compact(&crate::canonical::tree_document(&list[index]));
        if let Some(first) = by_text.insert(key, index) {
            return Some((first, index));
        }
    }
    None
}

fn wrong_type(node: &Node, shape: &Shape, path: &str) -> Mistake {
    let mut mistake = Mistake::new("type", path, format!("must be a {}", kind_names(shape)), &node.origin);
    if path == "version" || path == "name" || matches!(shape, Shape::Scalar([Type::Text])) {
        mistake.help = match node.as_scalar() {
            Some(scalar) if matches!(scalar.typed, Typed::Time) => {
                Some(format!("YAML reads a date here; put it in quotes: \"{}\"", scalar.text))
            }
            Some(scalar) if !scalar.is_null() => Some(format!("put it in quotes: \"{}\"", scalar.text)),
            Some(_) => Some("give it a value or remove the line".to_owned()),
            None => None,
        };
    }
    mistake
}

/// `boolean or string`, in the order of the alphabet, as the reference writes it.
fn kind_names(shape: &Shape) -> String {
    let names: Vec<&str> = match shape {
        Shape::Any => vec!["value"],
        Shape::Scalar(types) => {
            let mut names: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
            names.sort_unstable();
            names.dedup();
            names
        }
        Shape::Words(_) | Shape::Pattern(_) => vec!["string"],
        Shape::Range(..) => vec!["integer", "string"],
        Shape::List { .. } => vec!["array"],
        Shape::Object(object) if object.nullable => vec!["null", "mapping"],
        Shape::Object(_) => vec!["mapping"],
        Shape::OneOf(shapes) => return shapes.first().map_or_else(String::new, kind_names),
    };
    match &names[..] {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        names => names.join(""),
    }
}

/// Whether an attribute belongs to everything that becomes a container.
pub(crate) fn is_container_attribute(name: &str) -> bool {
    attributes::CONTAINER.field(name).is_some()
}
