//! The variables that a project sees: process environment, then env files.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::dotenv::{self, Variables};
use crate::files::{FileError, Files, Kind};
use crate::path_text;
use crate::source::SourceMap;
use crate::template::Variable;

/// Variables by name, each with the place that set it.
pub type Environment = BTreeMap<String, Variable>;

/// The process environment as variables.
#[must_use]
pub fn of_process(environment: &BTreeMap<String, String>) -> Environment {
    let variable = |text: &String| Variable { text: text.as_str().into(), span: None };
    environment.iter().map(|(name, value)| (name.clone(), variable(value))).collect()
}

/// What the reference says about a file that cannot be read: `open PATH: no such file or directory`.
#[must_use]
pub fn read_error(path: &str, error: &FileError) -> String {
    let verb = if *error == FileError::IsDirectory { "read" } else { "open" };
    format!("{verb} {path}: {error}")
}

/// Reads env files in order, later ones winning. `$NAME` in them is taken from `current` first.
/// A mistake is reported and ends the reading.
pub fn read_files(
    current: &Environment,
    env_files: &[String],
    files: &dyn Files,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Variables {
    let mut variables = Variables::new();
    for path in env_files {
        let content = match files.read(path) {
            Ok(content) => content,
            Err(error) => {
                let message = match error {
                    FileError::NotFound => format!("couldn't find env file: {path}"),
                    FileError::IsDirectory => format!("{path} is a directory"),
                    error => format!("failed to read {path}: {error}"),
                };
                diagnostics.push(Diagnostic::error("env-file", message));
                break;
            }
        };
        let text = env_text(&content);
        let source = sources.add(path.as_str(), text.as_str());
        let lookup = |name: &str| current.get(name).cloned();
        let mut unset = Vec::new();
        let result = dotenv::parse(source, &text, &lookup, &mut variables, &mut |name, span| {
            unset.push((name.to_owned(), span));
        });
        for (name, span) in unset {
            let message = format!("The \"{name}\" variable is not set. Defaulting to a blank string.");
            diagnostics.push(Diagnostic::warning("unset-variable", message).at(span));
        }
        if let Err(error) = result {
            let message = format!("failed to read {path}: {}", error.message);
            diagnostics.push(Diagnostic::error("env-file", message).at(error.span));
            break;
        }
    }
    variables
}

/// The content of an env file as text: byte order mark dropped, bytes that are no UTF-8 replaced
/// (the reference passes them on; a container sees them as garbage anyway). Carriage returns stay:
/// between quotes they belong to the value.
#[must_use]
pub fn env_text(content: &[u8]) -> String {
    let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
    String::from_utf8_lossy(content).into_owned()
}

/// Adds what is not set yet.
pub fn add_missing(environment: &mut Environment, variables: &Variables) {
    for (name, variable) in variables {
        if !environment.contains_key(&**name) {
            environment.insert(name.to_string(), variable.clone());
        }
    }
}

/// The default env file of a directory, if it has one.
#[must_use]
pub fn default_file(directory: &str, files: &dyn Files) -> Option<String> {
    let path = path_text::join(directory, ".env");
    matches!(files.kind(&path), Some(Kind::File | Kind::Other)).then_some(path)
}
