//! Reads the content of configs and secrets when it is needed. Nothing here keeps or prints it.

use std::collections::BTreeMap;

use compose_planner::spec::FileContent;
use compose_runtime::RuntimeError;
use compose_runtime::port::ContentSource;

/// Contents from the project's environment and this machine's files.
#[derive(Default)]
pub(crate) struct Contents {
    environment: BTreeMap<String, String>,
}

impl Contents {
    /// Contents of a project with this environment.
    pub(crate) const fn new(environment: BTreeMap<String, String>) -> Self {
        Self { environment }
    }
}

impl ContentSource for Contents {
    fn read(&self, file: &FileContent, name: &str, secret: bool) -> Result<Vec<u8>, RuntimeError> {
        let kind = if secret { "secret" } else { "config" };
        match file {
            FileContent::Inline { text } => Ok(text.clone().into_bytes()),
            FileContent::Environment { variable } => {
                self.environment.get(variable).map(|value| value.clone().into_bytes()).ok_or_else(|| {
                    RuntimeError::Local {
                        message: format!("environment variable {variable:?} required by {kind} {name:?} is not set"),
                    }
                })
            }
            FileContent::File { path } => std::fs::read(path).map_err(|error| RuntimeError::Local {
                message: format!("cannot read {kind} {name:?}: {path}: {error}"),
            }),
        }
    }
}
