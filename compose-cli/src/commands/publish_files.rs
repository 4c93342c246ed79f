//! The files that `publish` puts into an artifact: those of the project, those they extend, and
//! their env files. Their paths are replaced in the text by names that stand for themselves in the
//! artifact: the digest of the absolute path, as the reference names them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use compose_model::Project;
use compose_model::diagnostic::Diagnostics;
use compose_model::parse;
use compose_model::source::{SourceMap, Span};
use compose_model::tree::{Node, Value};
use compose_registry::{Part, digest_of};

use crate::remote::kinds;

/// A file of the artifact.
pub(super) struct File {
    /// Its media type.
    pub(super) kind: &'static str,
    /// Its name in the artifact.
    pub(super) name: String,
    /// Whether another file extends it.
    pub(super) extends: bool,
    /// Its content.
    pub(super) bytes: Vec<u8>,
    /// Every scalar of a Compose file: dotted path and text as written.
    pub(super) places: Vec<(String, String)>,
}

impl File {
    /// As a part of an artifact.
    pub(super) fn part(&self) -> Part {
        let name = if self.kind == kinds::ENV_FILE { kinds::ENV_FILE_NAME } else { kinds::FILE_NAME };
        let version = compose_planner::labels::COMPOSE_VERSION;
        let mut annotations = vec![(name, self.name.as_str()), (kinds::VERSION, version)];
        if self.extends {
            annotations.push((kinds::EXTENDS, "true"));
        }
        Part {
            media_type: self.kind.to_owned(),
            annotations: annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            bytes: Bytes::from(self.bytes.clone()),
        }
    }
}

/// Everything that was read to make the project, in the order that the artifact has it.
///
/// # Errors
/// A file cannot be read, includes a local file, or names one by a variable.
pub(super) fn collect(project: &Project) -> anyhow::Result<Vec<File>> {
    let mut collector = Collector::default();
    let mut files = Vec::new();
    for path in &project.files {
        let path = Path::new(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push(collector.read(path, Path::new(&project.working_directory), name, false)?);
    }
    while let Some(path) = collector.extended.pop() {
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        files.push(collector.read(&path, &folder, name_of(&path, "yaml"), true)?);
    }
    for path in &collector.variables {
        // One that may be missing, and is.
        let Ok(bytes) = std::fs::read(path) else { continue };
        let name = name_of(path, "env");
        files.push(File { kind: kinds::ENV_FILE, name, extends: false, bytes, places: Vec::new() });
    }
    Ok(files)
}

fn name_of(path: &Path, extension: &str) -> String {
    let digest = digest_of(path.to_string_lossy().as_bytes());
    format!("{}.{extension}", digest.trim_start_matches("sha256:"))
}

#[derive(Default)]
struct Collector {
    sources: SourceMap,
    seen: BTreeSet<PathBuf>,
    extended: Vec<PathBuf>,
    variables: BTreeSet<PathBuf>,
}

impl Collector {
    fn read(&mut self, path: &Path, folder: &Path, name: String, extends: bool) -> anyhow::Result<File> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let mut text = parse::decode_text(&bytes).map_err(|message| anyhow::anyhow!("{shown}: {message}"))?;
        let source = self.sources.add(shown, text.as_str());
        let documents = parse::parse(source, &text, &mut Diagnostics::default());
        let (mut places, mut changes) = (Vec::new(), Vec::new());
        for document in &documents {
            scalars(&document.root, "", &mut places);
            self.look(&document.root, folder, &mut changes)?;
        }
        // From the end, so that the places before stay true.
        changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        changes.dedup_by_key(|(span, _)| span.start);
        for (span, name) in changes {
            let quoted = text.get(span.range()).is_some_and(|written| written.starts_with(['"', '\'']));
            text.replace_range(span.range(), &if quoted { format!("'{name}'") } else { name });
        }
        Ok(File { kind: kinds::COMPOSE_FILE, name, extends, bytes: text.into_bytes(), places })
    }

    /// Finds what a document names of the disk.
    fn look(&mut self, root: &Node, folder: &Path, changes: &mut Vec<(Span, String)>) -> anyhow::Result<()> {
        if let Some(include) = root.get("include") {
            let mut paths = Vec::new();
            scalars(include, "", &mut paths);
            let remote =
                |path: &str| path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/");
            if !paths.iter().all(|(_, path)| remote(path)) {
                bail!("cannot publish compose file with local includes");
            }
        }
        let services = root.get("services").and_then(Node::as_mapping);
        for service in services.into_iter().flatten().map(|(_, entry)| &entry.value) {
            let extends = service.get("extends").and_then(|extends| extends.get("file"));
            for node in extends.into_iter().filter(|node| !node.as_str().is_some_and(|text| text.contains("://"))) {
                let path = self.place(node, folder)?;
                changes.push((node.span(), name_of(&path, "yaml")));
                if self.seen.insert(path.clone()) {
                    self.extended.push(path);
                }
            }
            let Some(files) = service.get("env_file") else { continue };
            for node in files.as_sequence().unwrap_or(std::slice::from_ref(files)) {
                let node = node.get("path").unwrap_or(node);
                if node.as_str().is_none() {
                    continue;
                }
                let path = self.place(node, folder)?;
                changes.push((node.span(), name_of(&path, "env")));
                self.variables.insert(path);
            }
        }
        Ok(())
    }

    /// The absolute path that a scalar names.
    fn place(&self, node: &Node, folder: &Path) -> anyhow::Result<PathBuf> {
        let written = node.as_str().unwrap_or_default();
        if written.contains('$') {
            let place = self.sources.describe(node.span());
            bail!("{place}: cannot publish the path {written:?}: what its variables hold is not known where it runs");
        }
        let mut path = folder.to_owned();
        for step in Path::new(written).components() {
            match step {
                std::path::Component::ParentDir => {
                    path.pop();
                }
                std::path::Component::CurDir => {}
                step => path.push(step),
            }
        }
        Ok(path)
    }
}

/// Every scalar below a node, by its dotted path.
fn scalars(node: &Node, path: &str, found: &mut Vec<(String, String)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match &node.value {
        Value::Scalar(scalar) => found.push((path.to_owned(), scalar.text.to_string())),
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                scalars(item, &below(&index.to_string()), found);
            }
        }
        Value::Mapping(mapping) => {
            for (key, entry) in mapping {
                scalars(&entry.value, &below(key), found);
            }
        }
    }
}
