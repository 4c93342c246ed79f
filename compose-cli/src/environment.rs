//! The only module that reads the process's environment and working directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the process was started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// The variables. Names or values that are no UTF-8 are left out.
    pub(crate) variables: BTreeMap<String, String>,
    /// Absolute working directory.
    pub(crate) current_directory: String,
    /// `--config` of the command line. It stands before the variable, and is no variable: files are
    /// not interpolated with it.
    pub(crate) docker_configuration: Option<String>,
}

impl Environment {
    /// Reads the process's own.
    #[allow(clippy::disallowed_methods)] // This is the module that may.
    pub(crate) fn of_the_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let current = std::env::current_dir().ok().and_then(|path| path.into_os_string().into_string().ok());
        // `PWD` keeps the way through symbolic links that the user went; it counts only if it is
        // the same directory.
        let same =
            |pwd: &&String| pwd.starts_with('/') && std::fs::canonicalize(pwd).ok() == std::fs::canonicalize(".").ok();
        let current_directory =
            variables.get("PWD").filter(same).cloned().or(current).unwrap_or_else(|| "/".to_owned());
        Self { variables, current_directory, docker_configuration: None }
    }

    /// A variable's value; an empty one counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a variable holds one of the words for "yes".
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "t" | "true" | "y" | "yes" | "on"))
    }

    /// Docker's configuration directory: `--config`, else `DOCKER_CONFIG`, else below the home.
    pub(crate) fn docker_configuration(&self) -> PathBuf {
        let named = self.docker_configuration.as_deref().filter(|directory| !directory.is_empty());
        if let Some(directory) = named.or_else(|| self.get("DOCKER_CONFIG")) {
            return Path::new(&self.current_directory).join(directory);
        }
        // Without `HOME` (a unit of systemd, say) the user database knows.
        let home = self.home().map(PathBuf::from).or_else(std::env::home_dir);
        home.unwrap_or_else(|| PathBuf::from(&self.current_directory)).join(".docker")
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> Option<&str> {
        self.get("HOME")
    }
}
