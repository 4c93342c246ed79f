//! Compose files that lie elsewhere: in git repositories and in OCI registries.
//!
//! What was fetched is kept under its commit or digest in `docker-compose` below the user's cache
//! folder, where Docker Compose keeps it too, and is not fetched again.

mod git;
pub(crate) mod kinds;
mod oci;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use compose_model::assemble::Remote;

use crate::context::Context;
use crate::environment::Environment;

/// Fetches what `-f`, `include` and `extends` name elsewhere.
pub(crate) struct Remotes<'a> {
    environment: &'a Environment,
    /// Registries that may be reached without TLS.
    insecure: &'a [String],
    /// What was fetched in this run.
    known: RefCell<BTreeMap<String, Result<String, String>>>,
}

impl<'a> Remotes<'a> {
    pub(crate) fn new(context: &Context<'a>) -> Self {
        let insecure = &context.options.insecure_registry;
        Self { environment: context.environment, insecure, known: RefCell::default() }
    }

    fn load(&self, reference: &str) -> Result<String, String> {
        if let Some(artifact) = reference.strip_prefix(oci::PREFIX) {
            enabled(self.environment, "OCI", "COMPOSE_EXPERIMENTAL_OCI_REMOTE")?;
            return oci::fetch(artifact, self.environment, self.insecure);
        }
        enabled(self.environment, "git", "COMPOSE_EXPERIMENTAL_GIT_REMOTE")?;
        git::GitReference::parse(reference)
            .unwrap_or_else(|| Err("no git reference".to_owned()))?
            .fetch(self.environment)
    }
}

impl Remote for Remotes<'_> {
    fn accepts(&self, reference: &str) -> bool {
        reference.starts_with(oci::PREFIX) || git::GitReference::parse(reference).is_some()
    }

    fn fetch(&self, reference: &str) -> Result<String, String> {
        if let Some(known) = self.known.borrow().get(reference) {
            return known.clone();
        }
        let result = self.load(reference);
        self.known.borrow_mut().insert(reference.to_owned(), result.clone());
        result
    }
}

/// The switches by which either kind can be forbidden.
fn enabled(environment: &Environment, kind: &str, variable: &str) -> Result<(), String> {
    match environment.get(variable) {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(()),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => {
            Err(format!("{kind} remote resource is disabled by \"{variable}\""))
        }
        Some(other) => Err(format!("{variable} environment variable expects boolean value: \"{other}\"")),
    }
}

/// The folder of everything that was fetched.
fn cache(environment: &Environment) -> Result<PathBuf, String> {
    let base = match (environment.get("XDG_CACHE_HOME"), environment.home()) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(home).join(".cache"),
        (None, None) => return Err("initializing remote resource cache: neither XDG_CACHE_HOME nor HOME is set".into()),
    };
    let folder = base.join("docker-compose");
    make_private(&folder).map_err(|error| format!("initializing remote resource cache: {error}"))?;
    Ok(folder)
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Fills a folder of the cache beside its place and puts it there once it is complete, so that
/// what was interrupted is never taken for the whole.
fn complete(place: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if place.exists() {
        return Ok(());
    }
    let beside = place.with_extension(format!("part-{}", std::process::id()));
    let _ = fs::remove_dir_all(&beside);
    make_private(&beside).map_err(|error| format!("cannot make {}: {error}", beside.display()))?;
    let filled = fill(&beside).and_then(|()| match fs::rename(&beside, place) {
        // Another run was faster.
        Err(_) if place.exists() => Ok(()),
        Err(error) => Err(format!("cannot make {}: {error}", place.display())),
        Ok(()) => Ok(()),
    });
    let _ = fs::remove_dir_all(&beside);
    filled
}

fn text_of(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("{} is not UTF-8", path.display()))
}
