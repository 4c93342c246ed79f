//! Relative paths to absolute ones, on canonical trees.
//!
//! A path of a Compose file starts from the project directory (of an included or extended file:
//! from that file's directory), `~` from the home directory. Addresses of remote build contexts
//! and paths of another system are left alone.

use std::sync::LazyLock;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::files::Files;
use crate::forms::clean_path;
use crate::path_table::PathTable;
use crate::tree::{Node, Scalar, Value};

/// Where relative paths start.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// Absolute directory.
    pub directory: &'a str,
    /// `HOME`, if there is one.
    pub home: Option<&'a str>,
    /// To follow symbolic links of watched paths.
    pub files: &'a dyn Files,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Plain,
    Context,
    /// Also absolute in Windows notation.
    AnySystem,
    SymbolicLink,
    Mount,
    DriverOptions,
}

static RULES: LazyLock<PathTable<Rule>> = LazyLock::new(|| {
    let workload = [
        ("build.context", Rule::Context),
        ("build.additional_contexts.*", Rule::Context),
        ("build.ssh.*", Rule::AnySystem),
        ("env_file.*.path", Rule::Plain),
        ("label_file.*", Rule::Plain),
        ("extends.file", Rule::Plain),
        ("develop.watch.*.path", Rule::SymbolicLink),
        ("volumes.*", Rule::Mount),
        ("pre_start.*.env_file.*.path", Rule::Plain),
        ("pre_start.*.label_file.*", Rule::Plain),
        ("pre_start.*.volumes.*", Rule::Mount),
    ];
    let mut rules = vec![
        ("configs.*.file".to_owned(), Rule::AnySystem),
        ("secrets.*.file".to_owned(), Rule::AnySystem),
        ("volumes.*".to_owned(), Rule::DriverOptions),
    ];
    for (attribute, rule) in workload {
        for above in ["services", "jobs"] {
            rules.push((format!("{above}.*.{attribute}"), rule));
        }
    }
    PathTable::new(rules.into_iter().map(|(pattern, rule)| (&*pattern.leak(), rule)))
});

/// Makes every path of a canonical tree absolute.
pub fn resolve(tree: &mut Node, base: Base<'_>, diagnostics: &mut Diagnostics) {
    walk(tree, &RULES, base, diagnostics);
}

fn walk(node: &mut Node, table: &PathTable<Rule>, base: Base<'_>, diagnostics: &mut Diagnostics) {
    if let Some(rule) = table.rule() {
        apply(node, rule, base, diagnostics);
    }
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => {
            if let Some(below) = table.items() {
                for item in items {
                    walk(item, below, base, diagnostics);
                }
            }
        }
        Value::Mapping(mapping) => {
            for (key, entry) in mapping {
                if let Some(below) = table.below(key) {
                    walk(&mut entry.value, below, base, diagnostics);
                }
            }
        }
    }
}

fn apply(node: &mut Node, rule: Rule, base: Base<'_>, diagnostics: &mut Diagnostics) {
    match rule {
        Rule::Plain => replace(node, |path| absolute(path, base)),
        Rule::Context => replace(node, |path| {
            if is_remote_context(path) || path.starts_with("service:") { path.to_owned() } else { context(path, base) }
        }),
        Rule::AnySystem => replace(node, |path| any_system(path, base)),
        Rule::SymbolicLink => replace(node, |path| follow(&absolute(path, base), base.files)),
        Rule::Mount => {
            if node.get("type").and_then(Node::as_str) != Some("bind") {
                return;
            }
            match node.get_mut("source") {
                Some(source) => replace(source, |path| any_system(path, base)),
                None => {
                    let message = "invalid mount config for type \"bind\": field Source must not be empty";
                    let diagnostic = Diagnostic::error("mount", message)
                        .at_origin(&node.origin)
                        .help("add `source:` with a path of the host");
                    diagnostics.push(diagnostic);
                }
            }
        }
        Rule::DriverOptions => {
            let is_local = node.get("driver").and_then(Node::as_str) == Some("local");
            let Some(options) = node.get_mut("driver_opts") else { return };
            let is_bind = options.get("o").and_then(Node::as_str) == Some("bind");
            if let (true, true, Some(device)) = (is_local, is_bind, options.get_mut("device")) {
                replace(device, |path| any_system(path, base));
            }
        }
    }
}

fn replace(node: &mut Node, change: impl FnOnce(&str) -> String) {
    if let Value::Scalar(scalar) = &mut node.value
        && let Some(text) = scalar.as_str()
    {
        let changed = change(text);
        if changed != text {
            *scalar = Scalar::text(changed);
        }
    }
}

/// A build context that is no path of this machine.
#[must_use]
pub fn is_remote_context(path: &str) -> bool {
    path.contains("://") || path.starts_with("github.com/") || path.starts_with("git@")
}

fn expand_home(path: &str, base: Base<'_>) -> String {
    match (path.strip_prefix('~'), base.home) {
        (Some(rest), Some(home)) => clean_path(&format!("{home}/{rest}")),
        _ => path.to_owned(),
    }
}

fn join(base: Base<'_>, path: &str) -> String {
    clean_path(&format!("{}/{path}", base.directory))
}

fn absolute(path: &str, base: Base<'_>) -> String {
    let path = expand_home(path, base);
    if path.is_empty() || path.starts_with('/') { path } else { join(base, &path) }
}

fn context(path: &str, base: Base<'_>) -> String {
    let path = expand_home(path, base);
    if path.is_empty() || path.starts_with('/') { path } else { join(base, &path) }
}

fn any_system(path: &str, base: Base<'_>) -> String {
    let path = expand_home(path, base);
    if path.starts_with('/') || is_windows_absolute(&path) { path } else { join(base, &path) }
}

/// `C:\x`, `C:/x`, `\\server\share`.
fn is_windows_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    let drive =
        bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/');
    drive || (path.starts_with(r"\\") && path.len() > 2)
}

/// The path with the symbolic links of its existing part resolved.
fn follow(path: &str, files: &dyn Files) -> String {
    let mut existing = path;
    loop {
        if let Some(real) = files.real_path(existing) {
            let rest = &path[existing.len()..];
            return format!("{}{rest}", real.trim_end_matches('/'));
        }
        match existing.rfind('/') {
            Some(index) if index > 0 => existing = &existing[..index],
            _ => return path.to_owned(),
        }
    }
}
