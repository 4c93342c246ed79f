//! Reads the content of configs and secrets when it is needed, and makes the digests by which their
//! changes are noticed. Nothing here keeps or prints a content.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use compose_model::Project;
use compose_model::project::FileObject;
use compose_planner::spec::FileContent;
use compose_planner::{ContentKind, content_digest};
use compose_runtime::RuntimeError;
use compose_runtime::port::ContentSource;

use crate::context::Context;

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

/// Larger files are not compared: what is read on every `up` has to be small.
const COMPARED_LIMIT: u64 = 16 << 20;

/// Digests of the configs and secrets that services use, for
/// [`compose_planner::observed::Observed::contents`]; empty where `COMPOSE_CONTENT_CHANGES=ignore`.
pub(crate) fn digests(context: &Context<'_>, project: &Project) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if context.environment.get("COMPOSE_CONTENT_CHANGES") == Some("ignore") {
        return found;
    }
    let mut key: Option<Option<[u8; 32]>> = None;
    for service in project.services.values() {
        for reference in &service.configs {
            if let Some(object) = project.configs.get(reference.source.as_str()) {
                let name = ContentKind::Config.key(&reference.source);
                if !found.contains_key(&name)
                    && let Some(content) = content(project, object)
                    && let Some(digest) =
                        content_digest(project, ContentKind::Config, &reference.source, &content, None)
                {
                    found.insert(name, digest);
                }
            }
        }
        for reference in &service.secrets {
            if let Some(object) = project.secrets.get(reference.source.as_str()) {
                let name = ContentKind::Secret.key(&reference.source);
                let key = key.get_or_insert_with(|| self::key(context)).as_ref();
                if !found.contains_key(&name)
                    && key.is_some()
                    && let Some(content) = content(project, object)
                    && let Some(digest) = content_digest(project, ContentKind::Secret, &reference.source, &content, key)
                {
                    found.insert(name, digest);
                }
            }
        }
    }
    found
}

/// The digest of what was read back from a container, under its key in the plan.
pub(crate) fn digest_of_delivered(
    context: &Context<'_>,
    project: &Project,
    object: &str,
    content: &[u8],
) -> Option<String> {
    let (kind, source) = ContentKind::of_key(object)?;
    let key = if kind == ContentKind::Secret { key(context) } else { None };
    content_digest(project, kind, source, content, key.as_ref())
}

fn content(project: &Project, object: &FileObject) -> Option<Vec<u8>> {
    if !object.environment.is_empty() {
        return project.environment.get(&object.environment).map(|value| value.clone().into_bytes());
    }
    if object.file.is_empty() {
        return (!object.content.is_empty()).then(|| object.content.clone().into_bytes());
    }
    let metadata = std::fs::metadata(&object.file).ok()?;
    if !metadata.is_file() || metadata.len() > COMPARED_LIMIT {
        return None;
    }
    std::fs::read(&object.file).ok()
}

/// The key for digests of secrets: it stays on this host, below the user's state directory, so that a
/// label alone says nothing of a secret. Without it changes of secrets are not noticed.
fn key(context: &Context<'_>) -> Option<[u8; 32]> {
    let state = match context.environment.get("XDG_STATE_HOME") {
        Some(state) if state.starts_with('/') => PathBuf::from(state),
        _ => Path::new(context.environment.home()?).join(".local/state"),
    };
    let directory = state.join("compose");
    let path = directory.join("content.key");
    if let Some(key) = read_key(&path) {
        return Some(key);
    }
    std::fs::create_dir_all(&directory).ok()?;
    let mut fresh = [0_u8; 32];
    std::fs::File::open("/dev/urandom").ok()?.read_exact(&mut fresh).ok()?;
    // Written aside and linked into place: of two runs at once both read the same key afterwards.
    let aside = directory.join(format!("content.key.{}", std::process::id()));
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&aside).ok()?;
    let written = file.write_all(&fresh).and_then(|()| file.sync_all());
    if written.is_ok() {
        let _ = std::fs::hard_link(&aside, &path);
    }
    let _ = std::fs::remove_file(&aside);
    read_key(&path)
}

fn read_key(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path).ok()?.try_into().ok()
}
