//! `env_file` and `label_file` of services: read, and laid below `environment` and `labels`.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::dotenv::{self, Variables};
use crate::environment::{env_text, read_error};
use crate::files::{FileError, Files};
use crate::project::{EnvFile, Environment, Project, Sorted};
use crate::source::SourceMap;
use crate::template::Variable;
use crate::tree::Node;

/// Reads the files of all enabled services. `tree` is what the project was decoded from.
pub struct ServiceFiles<'a> {
    /// Where files are read.
    pub files: &'a dyn Files,
    /// Gets the texts that are read.
    pub sources: &'a mut SourceMap,
    /// Gets mistakes.
    pub diagnostics: &'a mut Diagnostics,
    /// For the places of the attributes.
    pub tree: &'a Node,
}

impl ServiceFiles<'_> {
    /// Fills in `environment` from `env_file` and drops that attribute.
    pub fn environment(&mut self, project: &mut Project) {
        for (name, service) in &mut project.services {
            for (variable, value) in &mut service.environment {
                if value.is_none() {
                    *value = project.environment.get(variable).cloned();
                }
            }
            let hooks = ["services", name.as_str(), "pre_start"];
            for (index, hook) in service.pre_start.iter_mut().enumerate() {
                let (files, own) = (&hook.service.env_file, &hook.service.environment);
                hook.from_files = self.variables(files, own, &project.environment, |_| (&hooks, index));
            }
            if service.env_file.is_empty() {
                continue;
            }
            let place = ["services", name.as_str(), "env_file"];
            let files = std::mem::take(&mut service.env_file);
            let mut environment =
                self.variables(&files, &service.environment, &project.environment, |index| (&place, index));
            environment.append(&mut service.environment);
            service.environment = environment;
        }
    }

    /// What the files say, the later ones winning. `own` is the environment that they are laid below,
    /// `at` the place of the file with this index.
    fn variables<'p>(
        &mut self,
        files: &[EnvFile],
        own: &Environment,
        project: &Sorted<String, String>,
        at: impl Fn(usize) -> (&'p [&'p str], usize),
    ) -> Environment {
        let mut read = Variables::new();
        for (index, file) in files.iter().enumerate() {
            let lookup = |variable: &str| {
                let value = own.get(variable).cloned().flatten().or_else(|| project.get(variable).cloned());
                value.map(|text| Variable { text: text.into(), span: None })
            };
            self.read("env file", &file.path, file.required, &file.format, at(index), &lookup, &mut read);
        }
        read.into_iter().map(|(name, variable)| (name.to_string(), Some(variable.text.to_string()))).collect()
    }

    /// Lays `label_file` below `labels`. The attribute stays, as the reference prints it.
    pub fn labels(&mut self, project: &mut Project) {
        for (name, service) in &mut project.services {
            if service.label_file.is_empty() {
                continue;
            }
            let mut read = Variables::new();
            for (index, path) in service.label_file.iter().enumerate() {
                let place = ["services", name.as_str(), "label_file"];
                // A label file sees the labels of the files before it, and no environment at all.
                let earlier = read.clone();
                let lookup = |variable: &str| earlier.get(variable).cloned();
                self.read("label file", path, true, "", (&place, index), &lookup, &mut read);
            }
            for (label, value) in read {
                service.labels.entry(label.to_string()).or_insert_with(|| value.text.to_string());
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // One private place for what both kinds of file share.
    fn read(
        &mut self,
        kind: &str,
        path: &str,
        required: bool,
        format: &str,
        (place, index): (&[&str], usize),
        lookup: &dyn Fn(&str) -> Option<Variable>,
        variables: &mut Variables,
    ) {
        let node = place.iter().try_fold(self.tree, |node, key| node.get(key));
        let item = node.and_then(|node| node.as_sequence()).and_then(|items| items.get(index)).or(node);
        let origin = item.map(|node| node.origin.clone());
        let mistake = |message: String| {
            let diagnostic = Diagnostic::error("service-file", message);
            origin.as_ref().map_or_else(|| diagnostic.clone(), |origin| diagnostic.clone().at_origin(origin))
        };
        if self.files.kind(path).is_none() {
            if required {
                let message = format!("{kind} {path} not found: stat {path}: no such file or directory");
                self.diagnostics.push(mistake(message).help("create the file, or write `required: false`"));
            }
            return;
        }
        if !matches!(format, "" | "raw") {
            self.diagnostics.push(mistake(format!("unsupported env_file format \"{format}\"")).help("use `raw`"));
            return;
        }
        let content = match self.files.read(path) {
            Ok(content) => content,
            Err(error) => {
                let reason = match error {
                    FileError::NotFound => "no such file or directory".to_owned(),
                    error => read_error(path, &error),
                };
                self.diagnostics.push(mistake(format!("failed to read {path}: {reason}")));
                return;
            }
        };
        if format == "raw"
            && let Some(line) = foreign_line(&content)
        {
            let message = format!("failed to parse env_file {path}: invalid UTF-8 text in line {line}");
            self.diagnostics.push(mistake(message));
            return;
        }
        let text = env_text(&content);
        let source = self.sources.add(path, text.as_str());
        let mut unset = Vec::new();
        let result = if format == "raw" {
            dotenv::parse_raw(source, &text, lookup, variables)
        } else {
            dotenv::parse(source, &text, lookup, variables, &mut |name, span| unset.push((name.to_owned(), span)))
        };
        for (name, span) in unset {
            let message = format!("The \"{name}\" variable is not set. Defaulting to a blank string.");
            self.diagnostics.push(Diagnostic::warning("unset-variable", message).at(span));
        }
        if let Err(error) = result {
            let message = format!("failed to read {path}: {}", error.message);
            self.diagnostics.push(Diagnostic::error("env-file", message).at(error.span));
        }
    }
}

/// The line, from 1, with the first byte that is no UTF-8: the raw format refuses it, as
/// `docker run --env-file` does.
fn foreign_line(content: &[u8]) -> Option<usize> {
    let error = std::str::from_utf8(content).err()?;
    Some(content[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1)
}
