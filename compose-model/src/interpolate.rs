//! Filling in variables: every string value of a tree, never a key, then the attributes that are
//! numbers or booleans are cast, since `${REPLICAS}` is text until now.

use std::collections::{BTreeMap, btree_map};
use std::sync::{Arc, LazyLock};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path_table::{PathTable, below};
use crate::source::{SourceMap, Span};
use crate::template::{self, Event, Lookup, Mention, TemplateError};
use crate::tree::{Node, Scalar, StepKind, Style, Typed, Value};

/// What the text of an attribute becomes.
#[derive(Clone, Copy, Debug)]
enum Cast {
    Bool,
    Int,
    /// Go names another function in the error for attributes of 64 bits.
    Int64,
    Float,
    Float32,
}

/// Attributes of anything that runs in a container; services and jobs share them.
const SERVICE_CASTS: &[(&str, &str, Cast)] = &[
    ("services.*.build.no_cache", "jobs.*.build.no_cache", Cast::Bool),
    ("services.*.build.privileged", "jobs.*.build.privileged", Cast::Bool),
    ("services.*.build.pull", "jobs.*.build.pull", Cast::Bool),
    ("services.*.cpu_count", "jobs.*.cpu_count", Cast::Int64),
    ("services.*.cpu_percent", "jobs.*.cpu_percent", Cast::Float),
    ("services.*.cpu_period", "jobs.*.cpu_period", Cast::Int64),
    ("services.*.cpu_quota", "jobs.*.cpu_quota", Cast::Int64),
    ("services.*.cpu_rt_period", "jobs.*.cpu_rt_period", Cast::Int64),
    ("services.*.cpu_rt_runtime", "jobs.*.cpu_rt_runtime", Cast::Int64),
    ("services.*.cpus", "jobs.*.cpus", Cast::Float32),
    ("services.*.cpu_shares", "jobs.*.cpu_shares", Cast::Int64),
    ("services.*.init", "jobs.*.init", Cast::Bool),
    ("services.*.depends_on.*.required", "jobs.*.depends_on.*.required", Cast::Bool),
    ("services.*.depends_on.*.restart", "jobs.*.depends_on.*.restart", Cast::Bool),
    ("services.*.deploy.replicas", "jobs.*.deploy.replicas", Cast::Int),
    ("services.*.deploy.update_config.parallelism", "jobs.*.deploy.update_config.parallelism", Cast::Int),
    ("services.*.deploy.update_config.max_failure_ratio", "jobs.*.deploy.update_config.max_failure_ratio", Cast::Float),
    ("services.*.deploy.rollback_config.parallelism", "jobs.*.deploy.rollback_config.parallelism", Cast::Int),
    (
        "services.*.deploy.rollback_config.max_failure_ratio",
        "jobs.*.deploy.rollback_config.max_failure_ratio",
        Cast::Float,
    ),
    ("services.*.deploy.restart_policy.max_attempts", "jobs.*.deploy.restart_policy.max_attempts", Cast::Int),
    ("services.*.deploy.placement.max_replicas_per_node", "jobs.*.deploy.placement.max_replicas_per_node", Cast::Int),
    ("services.*.healthcheck.retries", "jobs.*.healthcheck.retries", Cast::Int),
    ("services.*.healthcheck.disable", "jobs.*.healthcheck.disable", Cast::Bool),
    ("services.*.oom_kill_disable", "jobs.*.oom_kill_disable", Cast::Bool),
    ("services.*.oom_score_adj", "jobs.*.oom_score_adj", Cast::Int64),
    ("services.*.pids_limit", "jobs.*.pids_limit", Cast::Int64),
    ("services.*.ports.*.target", "jobs.*.ports.*.target", Cast::Int),
    ("services.*.privileged", "jobs.*.privileged", Cast::Bool),
    ("services.*.read_only", "jobs.*.read_only", Cast::Bool),
    ("services.*.scale", "jobs.*.scale", Cast::Int),
    ("services.*.stdin_open", "jobs.*.stdin_open", Cast::Bool),
    ("services.*.tty", "jobs.*.tty", Cast::Bool),
    ("services.*.ulimits.*", "jobs.*.ulimits.*", Cast::Int),
    ("services.*.ulimits.*.hard", "jobs.*.ulimits.*.hard", Cast::Int),
    ("services.*.ulimits.*.soft", "jobs.*.ulimits.*.soft", Cast::Int),
    ("services.*.volumes.*.read_only", "jobs.*.volumes.*.read_only", Cast::Bool),
    ("services.*.volumes.*.volume.nocopy", "jobs.*.volumes.*.volume.nocopy", Cast::Bool),
];

static CASTS: LazyLock<PathTable<Cast>> = LazyLock::new(|| {
    let both = SERVICE_CASTS.iter().flat_map(|(service, job, cast)| [(*service, *cast), (*job, *cast)]);
    PathTable::new(both.chain([
        ("networks.*.external", Cast::Bool),
        ("networks.*.internal", Cast::Bool),
        ("networks.*.attachable", Cast::Bool),
        ("networks.*.enable_ipv4", Cast::Bool),
        ("networks.*.enable_ipv6", Cast::Bool),
        ("volumes.*.external", Cast::Bool),
        ("secrets.*.external", Cast::Bool),
        ("configs.*.external", Cast::Bool),
    ]))
});

/// Fills in the variables of a tree. Structure and keys stay as they are. Returns the scalars that
/// could not be filled in: what they say is not known.
pub fn interpolate(
    tree: &mut Node,
    lookup: &Lookup<'_>,
    sources: &SourceMap,
    diagnostics: &mut Diagnostics,
) -> Vec<Span> {
    let mut walk = Walk { lookup, sources, diagnostics, path: Vec::new(), unfilled: Vec::new() };
    walk.node(tree, Some(&CASTS));
    walk.unfilled
}

/// Fills in the variables of one scalar that stands at a path.
pub fn interpolate_scalar(
    node: &mut Node,
    path: &str,
    lookup: &Lookup<'_>,
    sources: &SourceMap,
    diagnostics: &mut Diagnostics,
) {
    let mut walk = Walk { lookup, sources, diagnostics, path: vec![Arc::from(path)], unfilled: Vec::new() };
    walk.node(node, None);
}

/// The variables that the values of a tree use, one entry a name, sorted. Where a name is used in
/// several ways, the first default and the first replacement in the order of sorted keys count.
#[must_use]
pub fn variables(tree: &Node) -> Vec<Mention> {
    let mut found = BTreeMap::new();
    collect(tree, &mut found);
    found.into_values().collect()
}

fn collect(node: &Node, found: &mut BTreeMap<String, Mention>) {
    match &node.value {
        Value::Scalar(scalar) => {
            let Some(text) = scalar.as_str().filter(|text| text.contains('$')) else { return };
            for mention in template::mentions(text) {
                match found.entry(mention.name.clone()) {
                    btree_map::Entry::Vacant(vacant) => {
                        vacant.insert(mention);
                    }
                    btree_map::Entry::Occupied(mut occupied) => occupied.get_mut().combine(mention),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Mapping(mapping) => {
            let mut entries: Vec<_> = mapping.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            entries.into_iter().for_each(|(_, entry)| collect(&entry.value, found));
        }
    }
}

struct Walk<'a> {
    lookup: &'a Lookup<'a>,
    sources: &'a SourceMap,
    diagnostics: &'a mut Diagnostics,
    path: Vec<Arc<str>>,
    unfilled: Vec<Span>,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, casts: Option<&PathTable<Cast>>) {
        match &mut node.value {
            Value::Mapping(mapping) => {
                for (key, entry) in mapping {
                    self.path.push(Arc::clone(key));
                    self.node(&mut entry.value, below(casts, key));
                    self.path.pop();
                }
            }
            Value::Sequence(items) => {
                self.path.push(Arc::from("[]"));
                for item in items {
                    self.node(item, casts.and_then(PathTable::items));
                }
                self.path.pop();
            }
            Value::Scalar(scalar) if scalar.typed == Typed::Text => {
                if scalar.text.contains('$') && !self.scalar(node) {
                    return;
                }
                if let Some(cast) = casts.and_then(PathTable::rule)
                    && let Value::Scalar(scalar) = &mut node.value
                    && let Err(message) = apply(cast, scalar)
                {
                    let message = format!(
                        "error while interpolating {}: failed to cast to expected type: {message}",
                        self.path.join(".")
                    );
                    self.unfilled.push(node.origin.span);
                    self.diagnostics.push(Diagnostic::error("invalid-type", message).at_origin(&node.origin));
                } else if let (Some(Cast::Bool), Some(scalar)) = (casts.and_then(PathTable::rule), node.as_scalar())
                    && let Some(right) = old_boolean(&scalar.text)
                {
                    self.diagnostics.push(old_boolean_warning(&scalar.text, right).at_origin(&node.origin));
                }
            }
            Value::Scalar(_) => {}
        }
    }

    /// False if it could not be filled in, which is reported.
    fn scalar(&mut self, node: &mut Node) -> bool {
        let Value::Scalar(scalar) = &mut node.value else { return true };
        let text = Arc::clone(&scalar.text);
        let span = node.origin.span;
        let mut unset: Vec<String> = Vec::new();
        let mut used = Vec::new();
        let result = template::substitute(&text, self.lookup, &mut |event| match event {
            Event::Unset(name) => unset.push(name.to_owned()),
            Event::Used(name, variable) => used.push((Arc::from(name), variable.span)),
        });
        for name in unset {
            let message = format!("The \"{name}\" variable is not set. Defaulting to a blank string.");
            let place = place_of_variable(self.sources, span, &name);
            self.diagnostics.push(Diagnostic::warning("unset-variable", message).at(place));
        }
        match result {
            Ok(filled) => {
                scalar.text = Arc::from(filled);
                for (name, span) in used {
                    node.origin = node.origin.through(StepKind::Variable(name), span);
                }
                true
            }
            Err(error) => {
                let path = self.path.join(".");
                let message = match &error {
                    TemplateError::Invalid { template, .. } => format!(
                        "invalid interpolation format for {path}.\nYou may need to escape any $ with another $.\n{template}"
                    ),
                    _ => format!("error while interpolating {path}: {error}"),
                };
                let place = place_of_text(self.sources, span, text.get(error.range()).unwrap_or("$"));
                let (code, help) = match error {
                    TemplateError::Invalid { .. } => ("invalid-interpolation", "write `$$` for a literal dollar sign"),
                    TemplateError::Required { .. } => ("required-variable", "set it in the environment or in `.env`"),
                    TemplateError::TooDeep { .. } => ("invalid-interpolation", "write fewer defaults inside defaults"),
                };
                let mut diagnostic = Diagnostic::error(code, message).at_origin(&node.origin);
                diagnostic.span = Some(place);
                self.diagnostics.push(diagnostic.help(help));
                self.unfilled.push(span);
                false
            }
        }
    }
}

/// Where an expression stands in the source of a scalar; the whole scalar if escapes or folding
/// changed its text.
fn place_of_text(sources: &SourceMap, span: Span, text: &str) -> Span {
    match sources.slice(span).find(text) {
        Some(at) if !text.is_empty() => span.part(at, at + text.len()),
        _ => span,
    }
}

fn place_of_variable(sources: &SourceMap, span: Span, name: &str) -> Span {
    let source = sources.slice(span);
    let found = [format!("${{{name}"), format!("${name}")]
        .into_iter()
        .find_map(|text| source.find(&text).map(|at| (at, text.len() + usize::from(text.contains('{')))));
    match found {
        Some((at, length)) => span.part(at, at + length),
        None => span,
    }
}

/// The words of YAML 1.1 for booleans, with what to write today.
pub(crate) fn old_boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => Some("true"),
        "n" | "no" | "off" => Some("false"),
        _ => None,
    }
}

/// What is said of a word that was a boolean once.
pub(crate) fn old_boolean_warning(text: &str, right: &str) -> Diagnostic {
    let message = format!("\"{text}\" for boolean is not supported by YAML 1.2, please use `{right}`");
    Diagnostic::warning("yaml-boolean", message)
}

fn apply(cast: Cast, scalar: &mut Scalar) -> Result<(), String> {
    let text = &*scalar.text;
    let typed = match cast {
        Cast::Bool => match text.to_ascii_lowercase().as_str() {
            "true" => Typed::Bool(true),
            "false" => Typed::Bool(false),
            _ => match old_boolean(text) {
                Some(word) => Typed::Bool(word == "true"),
                None => return Err(format!("invalid boolean: {text}")),
            },
        },
        Cast::Int | Cast::Int64 => {
            let function = if matches!(cast, Cast::Int) { "Atoi" } else { "ParseInt" };
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("strconv.{function}: parsing {text:?}: invalid syntax"));
            }
            match text.strip_prefix('+').unwrap_or(text).parse() {
                Ok(value) => Typed::Int(value),
                Err(_) => return Err(format!("strconv.{function}: parsing {text:?}: value out of range")),
            }
        }
        Cast::Float | Cast::Float32 => {
            match text.parse::<f64>() {
                Ok(value) if value.is_infinite() && text.contains(|letter: char| letter.is_ascii_digit()) => {
                    return Err(format!("strconv.ParseFloat: parsing {text:?}: value out of range"));
                }
                // The reference keeps `cpus` with the precision of 32 bits.
                Ok(value) if matches!(cast, Cast::Float32) => {
                    #[expect(clippy::cast_possible_truncation, reason = "as the reference does")]
                    let short = (value as f32).to_string();
                    Typed::Float(short.parse().unwrap_or(value))
                }
                Ok(value) => Typed::Float(value),
                Err(_) => return Err(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
            }
        }
    };
    scalar.typed = typed;
    scalar.style = Style::Plain;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::parse;
    use crate::template::Variable;

    fn lookup(name: &str) -> Option<Variable> {
        let text = match name {
            "N" => "3",
            "YES" => "yes",
            "WORD" => "word: [",
            _ => return None,
        };
        Some(Variable { text: Arc::from(text), span: None })
    }

    fn run(text: &str) -> (Node, Vec<String>) {
        let mut sources = SourceMap::new();
        let id = sources.add("f", text);
        let mut diagnostics = Diagnostics::new();
        let mut root = parse(id, text, &mut diagnostics).remove(0).root;
        interpolate(&mut root, &lookup, &sources, &mut diagnostics);
        let shown = diagnostics
            .iter()
            .map(|item| format!("{} {}", sources.describe(item.span.unwrap()), item.message))
            .collect();
        (root, shown)
    }

    #[test]
    fn numbers_and_booleans_are_cast_where_the_attribute_wants_them() {
        let (tree, messages) = run("services:\n  a:\n    scale: $N\n    tty: ${YES}\n    image: $N\n    cpus: '0.1'\n");
        let service = tree.get("services").and_then(|node| node.get("a")).unwrap();
        let typed = |key: &str| service.get(key).and_then(Node::as_scalar).unwrap().typed;
        assert_eq!(typed("scale"), Typed::Int(3));
        assert_eq!(typed("tty"), Typed::Bool(true));
        assert_eq!(typed("image"), Typed::Text);
        assert_eq!(typed("cpus"), Typed::Float(0.1));
        assert_eq!(messages, ["f:4:10 \"yes\" for boolean is not supported by YAML 1.2, please use `true`"]);
    }

    #[test]
    fn mistakes_point_at_the_expression() {
        let cases = [
            (
                "a: x${B C}",
                "f:1:5 invalid interpolation format for a.\nYou may need to escape any $ with another $.\nx${B C}",
            ),
            ("a: [\"1 ${X:?no}\"]", "f:1:8 error while interpolating a.[]: required variable X is missing a value: no"),
            ("a: 'x $U'", "f:1:7 The \"U\" variable is not set. Defaulting to a blank string."),
            (
                "services: {a: {init: maybe}}",
                "f:1:22 error while interpolating services.a.init: failed to cast to expected type: invalid boolean: maybe",
            ),
            (
                "services: {a: {scale: $WORD}}",
                "f:1:23 error while interpolating services.a.scale: failed to cast to expected type: strconv.Atoi: parsing \"word: [\": invalid syntax",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(run(text).1, [expected], "{text:?}");
        }
    }

    #[test]
    fn variables_are_listed_once_with_what_all_uses_say() {
        let cases = [
            ("[\"${X}\", \"${X:-d}\"]", "X|d||"),
            ("[\"${X:-a}\", \"${X:-b}\", \"${X}\"]", "X|a||"),
            ("[\"${X:-d}\", \"${X:+b}\", \"${X?}\"]", "X|d|b|!"),
            ("\"${X:-d}${X:-e}\"", "X|e||"),
            ("\"${X:-${X:-e}}\"", "X|${X:-e}||"),
            ("\"${A:+${B:-b}-$A}\"", "A||${B:-b}-$A| B|b||"),
            ("{\"${K}\": 1, z: $Z, y: \"${Z:-1}\"}", "Z|1||"),
        ];
        for (text, expected) in cases {
            let text = format!("a: {text}");
            let mut sources = SourceMap::new();
            let id = sources.add("f", text.as_str());
            let root = parse(id, &text, &mut Diagnostics::new()).remove(0).root;
            let shown: Vec<String> = variables(&root)
                .iter()
                .map(|m| format!("{}|{}|{}|{}", m.name, m.default, m.presence, if m.required { "!" } else { "" }))
                .collect();
            assert_eq!(shown.join(" "), expected, "{text}");
        }
    }

    fn shape(node: &Node) -> String {
        match &node.value {
            Value::Scalar(_) => "s".to_owned(),
            Value::Sequence(items) => format!("[{}]", items.iter().map(shape).collect::<String>()),
            Value::Mapping(mapping) => {
                format!(
                    "{{{}}}",
                    mapping.iter().map(|(key, entry)| format!("{key}{}", shape(&entry.value))).collect::<String>()
                )
            }
        }
    }

    proptest! {
        #[test]
        fn interpolation_never_changes_structure(values in prop::collection::vec("[$A{}WORDN:?\\- ]{0,12}", 1..6)) {
            let text: String = values.iter().enumerate().map(|(index, value)| format!("$N{index}: ['{value}', {{k: \"{value}\"}}]\n")).collect();
            let mut sources = SourceMap::new();
            let id = sources.add("f", text.as_str());
            let mut diagnostics = Diagnostics::new();
            let mut root = parse(id, &text, &mut diagnostics).remove(0).root;
            let before = shape(&root);
            interpolate(&mut root, &lookup, &sources, &mut diagnostics);
            prop_assert_eq!(before, shape(&root));
            for item in diagnostics.iter() {
                prop_assert!(item.span.unwrap().range().end <= text.len());
            }
        }
    }
}
