//! What `publish` refuses, and what it asks about before anything leaves the machine.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use anyhow::bail;
use compose_model::Project;
use regex::Regex;

use super::publish::Arguments;
use super::publish_files::File;
use crate::change::ask;
use crate::context::Context;

/// Texts that are secrets by their form, with what each is called.
static SECRETS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let forms = [
        ("AWS Client ID", r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA)[A-Z0-9]{16}\b"),
        ("Github authentication", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b"),
        ("JSON Web Token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        ("Private Key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
        ("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("URL with password", r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s:@$]+@"),
    ];
    forms.into_iter().filter_map(|(name, form)| Some((name, Regex::new(form).ok()?))).collect()
});

/// Names of variables that hold secrets.
static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("(?i)passw(or)?d|passphrase|secret|token|credential|(api|access|private|auth)_?key").ok()
});

/// Refuses what cannot be published; else whether the user lets all be published that needs consent.
///
/// # Errors
/// The project has services that nobody but this machine could run.
pub(super) fn may_be_published(
    context: &Context<'_>,
    project: &Project,
    files: &[File],
    arguments: &Arguments,
) -> anyhow::Result<bool> {
    let unnamed: Vec<String> = project
        .services
        .values()
        .filter(|service| service.image.is_empty() && service.build.is_some())
        .map(|service| format!("- \"{}\"\n", service.name))
        .collect();
    if !unnamed.is_empty() {
        let unnamed = unnamed.concat();
        bail!("your Compose stack cannot be published as it only contains a build section for service(s):\n{unnamed}");
    }
    if arguments.yes {
        return Ok(true);
    }
    let variables = if arguments.with_env { String::new() } else { variables(files) };
    let mut questions = vec![
        (
            "you are about to publish bind mounts declaration within your OCI artifact.\n\
             only the bind mount declarations will be added to the OCI artifact (not content)\n\
             please double check that you are not mounting potential user's sensitive directories or data\n",
            bind_mounts(project),
            "Are you ok to publish these bind mount declarations?",
        ),
        (
            "you are about to publish sensitive data within your OCI artifact.\n\
             please double check that you are not leaking sensitive data\n",
            sensitive(project, files, arguments.with_env),
            "Are you ok to publish these sensitive data?",
        ),
        (
            "you are about to publish env-related declarations within your OCI artifact.\n\
             env_file paths and literal values for sensitive-looking keys are embedded as-is in the published YAML;\n\
             interpolated values like \"${VAR}\" are kept symbolic and have already been excluded.\n",
            variables,
            "Use --with-env to silence this prompt and always publish env declarations.\n\
             Are you ok to publish these env declarations?",
        ),
        (
            "you are about to publish literal inline config content within your OCI artifact.\n",
            contents(files),
            "Are you ok to publish these config contents?",
        ),
    ];
    questions.retain(|(_, what, _)| !what.is_empty());
    for (about, what, question) in questions {
        context.output.data(format!("{about}{what}"))?;
        if !ask(context, question)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bind_mounts(project: &Project) -> String {
    let mut text = String::new();
    for service in project.services.values() {
        for mount in service.volumes.iter().filter(|mount| mount.kind == "bind") {
            let how = if mount.read_only { "ro" } else { "rw" };
            let _ = writeln!(text, "  {}: {}:{}:{how}", service.name, mount.source, mount.target);
        }
    }
    text
}

/// Which services have env files or secrets as values. What holds a variable stays as it is written.
fn variables(files: &[File]) -> String {
    let mut lines = BTreeSet::new();
    for (path, text) in files.iter().flat_map(|file| &file.places) {
        let Some(rest) = path.strip_prefix("services.") else { continue };
        if let Some((service, _)) = rest.split_once(".env_file") {
            lines.insert(format!("  \"{service}\": env_file declared\n"));
        }
        let Some((service, name)) = rest.split_once(".environment.") else { continue };
        let of_a_list = name.bytes().all(|byte| byte.is_ascii_digit());
        let (name, value) = if of_a_list { text.split_once('=').unwrap_or((text, "")) } else { (name, text.as_str()) };
        let secret = NAMES.as_ref().is_some_and(|names| names.is_match(name));
        if secret && !value.is_empty() && !value.contains('$') {
            lines.insert(format!("  \"{service}\": literal value for {name:?}\n"));
        }
    }
    lines.into_iter().collect()
}

fn contents(files: &[File]) -> String {
    let mut lines = BTreeSet::new();
    for (path, text) in files.iter().flat_map(|file| &file.places) {
        let config = path.strip_prefix("configs.").and_then(|rest| rest.strip_suffix(".content"));
        if let Some(config) = config.filter(|_| !text.contains('$')) {
            lines.insert(format!("  config \"{config}\"\n"));
        }
    }
    lines.into_iter().collect()
}

/// What has the form of a secret. Its value is not shown.
fn sensitive(project: &Project, files: &[File], with_env: bool) -> String {
    let mut lines = BTreeSet::new();
    let mut look = |place: &str, text: &str| {
        for (name, _) in SECRETS.iter().filter(|(_, form)| form.is_match(text)) {
            lines.insert(format!("{name}\n\"{place}\"\n"));
        }
    };
    for file in files {
        for (path, text) in &file.places {
            look(path, text);
        }
        if file.places.is_empty() && with_env {
            look("env_file", &String::from_utf8_lossy(&file.bytes));
        }
    }
    let objects = project.configs.values().chain(project.secrets.values());
    for path in objects.map(|object| object.file.as_str()).filter(|path| !path.is_empty()) {
        let text = std::fs::read(path).unwrap_or_default();
        look(path, &String::from_utf8_lossy(&text));
    }
    lines.into_iter().collect()
}
