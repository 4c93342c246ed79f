//! From options and environment to a loaded project; its diagnostics are printed here.

use std::io::Read;

use anyhow::Context as _;
use compose_model::diagnostic::Diagnostics;
use compose_model::files::DiskFiles;
use compose_model::load::{LoadError, LoadOptions, LoadedModel, load_model};
use compose_model::{Project, assemble};

use crate::context::Context;
use crate::invocation::{CommandError, ExitStatus};

/// Loads the project. Services named on the command line are enabled whatever their profiles.
pub(crate) fn load(context: &Context<'_>, services: &[String]) -> anyhow::Result<Project> {
    let mut options = options(context)?;
    options.services = services.to_vec();
    load_with(context, &options)
}

/// Loads the project with options of the caller's. Warnings are printed.
pub(crate) fn load_with(context: &Context<'_>, options: &LoadOptions) -> anyhow::Result<Project> {
    match compose_model::load(options, &DiskFiles) {
        Ok(loaded) => {
            print_warnings(context, &loaded.diagnostics);
            Ok(loaded.project)
        }
        Err(error) => Err(refusal(context, &error)),
    }
}

/// Loads the merged model without decoding it. Warnings are printed.
pub(crate) fn load_tree(context: &Context<'_>, options: &LoadOptions) -> anyhow::Result<LoadedModel> {
    match load_model(options, &DiskFiles, &assemble::NoRemote) {
        Ok(loaded) => {
            print_warnings(context, &loaded.diagnostics);
            Ok(loaded)
        }
        Err(error) => Err(refusal(context, &error)),
    }
}

/// What the root options and the environment ask for.
pub(crate) fn options(context: &Context<'_>) -> anyhow::Result<LoadOptions> {
    let root = context.options;
    let environment = context.environment;
    let mut stdin = None;
    if root.files.iter().any(|file| file == "-") {
        let mut text = Vec::new();
        let limit = compose_model::files::SIZE_LIMIT + 1;
        std::io::stdin().lock().take(limit).read_to_end(&mut text).context("cannot read standard input")?;
        stdin = Some(text);
    }
    let input = assemble::Options {
        files: root.files.clone(),
        stdin,
        project_name: root.project_name.clone(),
        project_directory: root.project_directory.clone().or_else(|| root.workdir.clone()),
        env_files: root.env_files.clone(),
        environment: environment.variables.clone(),
        current_directory: environment.current_directory.clone(),
        ..assemble::Options::default()
    };
    Ok(LoadOptions {
        input,
        profiles: root.profiles.clone(),
        all_resources: root.all_resources,
        ..LoadOptions::default()
    })
}

fn print_warnings(context: &Context<'_>, diagnostics: &Diagnostics) {
    for warning in diagnostics.warnings() {
        context.output.warning(&warning.message);
    }
}

/// Prints the warnings and makes one error of all mistakes.
fn refusal(context: &Context<'_>, error: &LoadError) -> anyhow::Error {
    print_warnings(context, &error.diagnostics);
    let message = error.render(context.output.colour_on_stderr());
    CommandError { status: ExitStatus::FAILURE, message }.into()
}
