//! The front half of loading: from options and files to one merged, interpolated tree.
//!
//! Chooses the files, reads `.env`, computes the environment and the project's name, then reads,
//! interpolates, extends, includes and merges. What the tree means is not decided here.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostics;
use crate::source::SourceMap;
use crate::tree::Node;

/// What the caller asks for. Environment and working directory are data: this crate asks no
/// operating system for them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-f`, in order; `-` is [`Options::stdin`]. Empty: `COMPOSE_FILE`, else discovery.
    pub files: Vec<String>,
    /// The text of the file `-`.
    pub stdin: Option<Vec<u8>>,
    /// `-p`; empty text counts as not given.
    pub project_name: Option<String>,
    /// `--project-directory`.
    pub project_directory: Option<String>,
    /// `--env-file`, in order. Empty: `COMPOSE_ENV_FILES`, else `.env` in the project directory.
    pub env_files: Vec<String>,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// Absolute working directory of the process.
    pub current_directory: String,
    /// `--no-interpolate`.
    pub no_interpolate: bool,
    /// `--no-path-resolution`.
    pub no_path_resolution: bool,
}

/// What the second half does between the steps of the first. The reference validates and brings
/// to canonical form after every document that was merged, since merging depends on it (a list
/// of build `ssh` agents is a mapping by the time the second file arrives).
pub trait Shape {
    /// One more document was merged: checks the tree against the schema if
    /// [`ShapeContext::check`], then turns short forms into long ones.
    fn canonical(&self, tree: &mut Node, context: &ShapeContext<'_>, diagnostics: &mut Diagnostics);

    /// All documents of a model (the project, or one included project) are merged: fills in
    /// defaults and checks values. Paths are resolved afterwards.
    fn complete(&self, tree: &mut Node, context: &ShapeContext<'_>, diagnostics: &mut Diagnostics);
}

/// What a [`Shape`] may want to know.
#[derive(Clone, Copy, Debug)]
pub struct ShapeContext<'a> {
    /// The file whose document was merged last, absolute.
    pub file: &'a str,
    /// Whether the tree has to follow the schema; not so for the file of an `extends`.
    pub check: bool,
    /// `--no-interpolate`: values may still hold expressions.
    pub no_interpolate: bool,
    /// The texts, for messages.
    pub sources: &'a SourceMap,
}

/// Leaves trees as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoShape;

impl Shape for NoShape {
    fn canonical(&self, _: &mut Node, _: &ShapeContext<'_>, _: &mut Diagnostics) {}
    fn complete(&self, _: &mut Node, _: &ShapeContext<'_>, _: &mut Diagnostics) {}
}

/// The merged tree with everything that the second half needs to make a project of it.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The merged, interpolated tree: always a mapping, as [`Shape`] left it, with absolute paths
    /// (unless `--no-path-resolution`).
    pub tree: Node,
    /// All texts that were read.
    pub sources: SourceMap,
    /// Mistakes and warnings so far. With errors the tree is what could be read.
    pub diagnostics: Diagnostics,
    /// The project's name by the rules of `-p`, `COMPOSE_PROJECT_NAME`, `name:`, directory.
    pub project_name: String,
    /// Absolute project directory.
    pub working_directory: String,
    /// Absolute paths of the files read, in merge order; `-` for standard input.
    pub files: Vec<String>,
    /// Absolute paths of the explicit env files; empty when only the default `.env` was read.
    pub environment_files: Vec<String>,
    /// What interpolation saw: process environment, env files, `COMPOSE_PROJECT_NAME`.
    pub environment: BTreeMap<String, String>,
}
