//! From options to a plan of reading: which files, which project directory, which environment.

use crate::assemble::{Options, Remote};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{self, Environment};
use crate::files::Files;
use crate::path_text;
use crate::source::SourceMap;

/// Names of a Compose file, best first.
const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names of the file that is laid over a discovered one, best first.
const OVERRIDE_NAMES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// What is to be read.
#[derive(Debug)]
pub(crate) struct Discovered {
    /// Absolute paths, `-` for standard input, or remote references.
    pub(crate) files: Vec<String>,
    /// Absolute project directory.
    pub(crate) working_directory: String,
    /// Absolute paths of explicit env files.
    pub(crate) environment_files: Vec<String>,
    /// Process environment and env files.
    pub(crate) environment: Environment,
}

/// Finds files and environment. Mistakes are reported; then the result is what was found so far.
pub(crate) fn discover(
    options: &Options,
    files: &dyn Files,
    remote: &dyn Remote,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Discovered {
    let current = options.current_directory.as_str();
    let mut environment = environment::of_process(&options.environment);
    environment
        .entry("PWD".to_owned())
        .or_insert_with(|| crate::template::Variable { text: current.into(), span: None });
    let absolute = |path: &String| {
        if path == "-" || remote.accepts(path) { path.clone() } else { path_text::join(current, path) }
    };
    let mut config_files: Vec<String> = options.files.iter().filter(|path| !path.is_empty()).map(absolute).collect();
    let environment_files = explicit_env_files(options);
    let use_default = environment_files.is_empty() && !default_disabled(options);

    let mut read: Vec<String> = Vec::new();
    let mut read_env = |directory: &str, environment: &mut Environment, diagnostics: &mut Diagnostics| {
        let wanted: Vec<String> = if use_default {
            environment::default_file(directory, files).into_iter().collect()
        } else {
            environment_files.clone()
        };
        // The second reading usually finds the same files, and warnings are wanted once.
        if wanted.is_empty() || wanted == read {
            return;
        }
        let variables = environment::read_files(environment, &wanted, files, sources, diagnostics);
        environment::add_missing(environment, &variables);
        read = wanted;
    };

    let directory = project_directory(options, &config_files, remote);
    read_env(&directory, &mut environment, diagnostics);
    if config_files.is_empty()
        && let Some(list) = environment.get("COMPOSE_FILE").filter(|list| !list.text.is_empty())
    {
        let separator = environment.get("COMPOSE_PATH_SEPARATOR").map(|separator| &*separator.text);
        let separator = separator.filter(|separator| !separator.is_empty()).unwrap_or(":");
        config_files = list.text.split(separator).map(|path| absolute(&path.to_owned())).collect();
    }
    if config_files.is_empty() {
        config_files = default_files(&directory, files, diagnostics);
    }
    let directory = project_directory(options, &config_files, remote);
    if !diagnostics.has_errors() {
        read_env(&directory, &mut environment, diagnostics);
    }
    if config_files.is_empty() && !diagnostics.has_errors() {
        diagnostics.push(Diagnostic::error("no-file", "no configuration file provided: not found").help(format!(
            "looked for {} in {directory} and the directories above it; name a file with -f",
            FILE_NAMES.join(", ")
        )));
    }
    Discovered { files: config_files, working_directory: directory, environment_files, environment }
}

fn explicit_env_files(options: &Options) -> Vec<String> {
    let from_environment;
    let list = if options.env_files.is_empty() {
        let list = options.environment.get("COMPOSE_ENV_FILES").map_or("", String::as_str);
        from_environment = list.split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        &from_environment
    } else {
        &options.env_files
    };
    list.iter().map(|path| path_text::join(&options.current_directory, path)).collect()
}

fn default_disabled(options: &Options) -> bool {
    let value = options.environment.get("COMPOSE_DISABLE_ENV_FILE").map(String::as_str);
    value.is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

fn project_directory(options: &Options, config_files: &[String], remote: &dyn Remote) -> String {
    if let Some(directory) = options.project_directory.as_ref().filter(|directory| !directory.is_empty()) {
        return path_text::join(&options.current_directory, directory);
    }
    let first = config_files.iter().find(|path| *path != "-");
    match first {
        Some(path) if !remote.accepts(path) => path_text::directory(path),
        _ => options.current_directory.clone(),
    }
}

fn default_files(directory: &str, files: &dyn Files, diagnostics: &mut Diagnostics) -> Vec<String> {
    let find = |directory: &str, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| path_text::join(directory, name)).filter(|path| files.kind(path).is_some()).collect()
    };
    let mut directory = directory.to_owned();
    loop {
        let mut found = find(&directory, &FILE_NAMES);
        if !found.is_empty() {
            warn_of_several("config", &found, diagnostics);
            found.truncate(1);
            let overrides = find(&directory, &OVERRIDE_NAMES);
            warn_of_several("override", &overrides, diagnostics);
            found.extend(overrides.into_iter().next());
            return found;
        }
        let parent = path_text::directory(&directory);
        if parent == directory || parent == "." {
            return Vec::new();
        }
        directory = parent;
    }
}

fn warn_of_several(kind: &str, found: &[String], diagnostics: &mut Diagnostics) {
    if let [first, _, ..] = found {
        let message = format!("Found multiple {kind} files with supported names: {}", found.join(", "));
        diagnostics.push(Diagnostic::warning("several-files", message));
        diagnostics.push(Diagnostic::warning("several-files", format!("Using {first}")));
    }
}

/// The form of a project name that the engine accepts: lower-case letters, digits, `-` and `_`,
/// not beginning with one of the last two.
#[must_use]
pub fn normalise_project_name(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_'))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}
