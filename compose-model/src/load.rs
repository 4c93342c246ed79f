//! From options to a loaded project: all stages in their order.

use crate::assemble::{self, Assembled, NoRemote, Options, Remote};
use crate::consistency;
use crate::decode;
use crate::defaults::SpecificationShape;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::files::Files;
use crate::normalise;
use crate::project::Project;
use crate::selection;
use crate::service_files::ServiceFiles;
use crate::source::SourceMap;
use crate::swarm_notes;
use crate::tree::Node;

/// What is to be loaded, and how far.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Files, names, environment.
    pub input: Options,
    /// `--profile`, in order; `*` for all. Empty: `COMPOSE_PROFILES` of the environment or `.env`.
    pub profiles: Vec<String>,
    /// Services named on the command line: they are enabled whatever their profiles, and only
    /// they and what they depend on are kept. Empty: all.
    pub services: Vec<String>,
    /// A job may be named among the services: then it is one.
    pub jobs: bool,
    /// Keeps networks, volumes and the like that no service uses.
    pub all_resources: bool,
    /// Leaves out [`normalise`].
    pub no_normalise: bool,
    /// Leaves out [`consistency`].
    pub no_consistency: bool,
    /// Lets two services have one container name. Of use where only names are listed.
    pub no_container_names: bool,
    /// Leaves out the checks against the schema. Of use for [`load_model`] only.
    pub no_validation: bool,
    /// Keeps `env_file` instead of reading it.
    pub no_env_resolution: bool,
    /// Leaves [`Project::origins`] empty. Of use where the project is only printed.
    pub no_origins: bool,
}

/// A project with what was learnt on the way.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// The texts, to show places.
    pub sources: SourceMap,
    /// Warnings, in the order met.
    pub diagnostics: Diagnostics,
}

/// Why there is no project: at least one mistake, and the texts to show their places.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// Mistakes and warnings.
    pub diagnostics: Diagnostics,
    /// The texts.
    pub sources: SourceMap,
}

impl LoadError {
    /// Every mistake with its place, as people read it.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let shown: Vec<String> =
            self.diagnostics.errors().map(|mistake| mistake.render(&self.sources, colour)).collect();
        shown.join("\n\n")
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let messages: Vec<&str> = self.diagnostics.errors().map(|mistake| mistake.message.as_str()).collect();
        formatter.write_str(&messages.join("\n"))
    }
}

impl std::error::Error for LoadError {}

/// A merged model before it is decoded, as `config --no-interpolate` prints it.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    /// The tree.
    pub tree: Node,
    /// The texts, to show places.
    pub sources: SourceMap,
    /// Warnings, in the order met.
    pub diagnostics: Diagnostics,
}

/// Loads a project. Remote files are refused.
///
/// # Errors
/// All mistakes that were found.
pub fn load(options: &LoadOptions, files: &dyn Files) -> Result<Loaded, Box<LoadError>> {
    load_with_remote(options, files, &NoRemote)
}

/// Loads a project whose files may lie in git repositories or registries.
///
/// # Errors
/// All mistakes that were found.
pub fn load_with_remote(
    options: &LoadOptions,
    files: &dyn Files,
    remote: &dyn Remote,
) -> Result<Loaded, Box<LoadError>> {
    let mut assembled = model(options, files, remote)?;
    swarm_notes::report(&assembled.tree, &mut assembled.diagnostics);
    let Assembled { tree, mut sources, mut diagnostics, .. } = assembled;
    let mut project = decode::decode(&tree, &mut diagnostics);
    let failed = |diagnostics: Diagnostics, sources: SourceMap| Box::new(LoadError { diagnostics, sources });
    if diagnostics.has_errors() {
        return Err(failed(diagnostics, sources));
    }
    project.name = assembled.project_name.as_str().into();
    project.working_directory = assembled.working_directory;
    project.files = assembled.files;
    project.environment_files = assembled.environment_files;
    project.environment = assembled.environment;
    if !options.no_origins {
        project.origins = decode::origins(&tree, &sources);
    }

    let profiles = active_profiles(options, &project);
    selection::apply_profiles(&mut project, &profiles, &options.services);
    if !options.no_consistency {
        consistency::check(&project, &tree, &mut diagnostics);
        if diagnostics.has_errors() {
            return Err(failed(diagnostics, sources));
        }
        // They are equal if both are there; the reference prints the one under the other's name.
        for service in project.services.values_mut() {
            if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
                deploy.replicas = Some(scale);
            }
        }
    }
    if options.jobs {
        for name in &options.services {
            if let Some(job) = project.jobs.remove(name.as_str()) {
                project.services.insert(name.as_str().into(), job.service);
            }
        }
    }
    let mut service_files = ServiceFiles { files, sources: &mut sources, diagnostics: &mut diagnostics, tree: &tree };
    service_files.labels(&mut project);
    if let Err(error) = selection::select(&mut project, &options.services) {
        let mut diagnostic = Diagnostic::error("no-such-service", error.to_string());
        if error.is_disabled {
            diagnostic = diagnostic.help("it is in an inactive profile; activate it with --profile");
        } else {
            let known = project.services.keys().chain(project.disabled_services.keys()).map(AsRef::as_ref);
            diagnostic = diagnostic.did_you_mean(&error.name, known);
        }
        diagnostics.push(diagnostic);
    }
    // Of services that are not asked for a file may be missing.
    if !options.no_env_resolution {
        let mut files = ServiceFiles { files, sources: &mut sources, diagnostics: &mut diagnostics, tree: &tree };
        files.environment(&mut project);
    }
    if !options.no_container_names {
        consistency::check_container_names(&project, &tree, &mut diagnostics);
    }
    if diagnostics.has_errors() {
        return Err(failed(diagnostics, sources));
    }
    if !options.all_resources {
        selection::prune(&mut project);
    }
    Ok(Loaded { project, sources, diagnostics })
}

/// Loads the merged model without decoding it.
///
/// # Errors
/// All mistakes that were found.
pub fn load_model(
    options: &LoadOptions,
    files: &dyn Files,
    remote: &dyn Remote,
) -> Result<LoadedModel, Box<LoadError>> {
    let Assembled { tree, sources, diagnostics, .. } = model(options, files, remote)?;
    Ok(LoadedModel { tree, sources, diagnostics })
}

fn model(options: &LoadOptions, files: &dyn Files, remote: &dyn Remote) -> Result<Assembled, Box<LoadError>> {
    let mut assembled =
        assemble::assemble(&options.input, files, remote, &SpecificationShape { no_validation: options.no_validation });
    if !assembled.diagnostics.has_errors() && !options.no_normalise {
        let nothing = std::collections::BTreeMap::new();
        let environment = if options.input.no_interpolate { &nothing } else { &assembled.environment };
        normalise::normalise(&mut assembled.tree, &assembled.project_name, environment, &mut assembled.diagnostics);
    }
    if assembled.diagnostics.has_errors() {
        let Assembled { diagnostics, sources, .. } = assembled;
        return Err(Box::new(LoadError { diagnostics, sources }));
    }
    Ok(assembled)
}

/// `--profile`, else `COMPOSE_PROFILES`.
fn active_profiles(options: &LoadOptions, project: &Project) -> Vec<String> {
    if !options.profiles.is_empty() {
        return options.profiles.clone();
    }
    let named = project.environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    // Without any there is still the profile without a name, which a service may have.
    named.split(',').map(str::to_owned).collect()
}
