//! Flags that several commands share, from words to values.

use std::collections::BTreeMap;

use anyhow::bail;
use compose_model::Project;
use compose_model::names::ServiceName;
use compose_model::units::Duration;
use compose_planner::intent::{BuildPolicy, PullPolicy, Recreate};

use crate::context::{Context, no_such_service};

/// `--pull`.
pub(crate) fn pull_policy(text: Option<&str>) -> anyhow::Result<Option<PullPolicy>> {
    Ok(Some(match text {
        None | Some("") => return Ok(None),
        Some("always") => PullPolicy::Always,
        Some("missing" | "if_not_present") => PullPolicy::Missing,
        Some("never") => PullPolicy::Never,
        Some("build") => PullPolicy::Build,
        Some(other) => bail!("invalid --pull option {other:?}"),
    }))
}

/// `--build` and `--no-build`.
pub(crate) fn build_policy(build: bool, no_build: bool) -> anyhow::Result<BuildPolicy> {
    match (build, no_build) {
        (true, true) => bail!("--build and --no-build are incompatible"),
        (true, false) => Ok(BuildPolicy::Always),
        (false, true) => Ok(BuildPolicy::Never),
        (false, false) => Ok(BuildPolicy::Missing),
    }
}

/// `--force-recreate` and `--no-recreate`.
pub(crate) fn recreate(force: bool, never: bool) -> anyhow::Result<Recreate> {
    match (force, never) {
        (true, true) => bail!("--force-recreate and --no-recreate are incompatible"),
        (true, false) => Ok(Recreate::Force),
        (false, true) => Ok(Recreate::Never),
        (false, false) => Ok(Recreate::Diverged),
    }
}

/// `SERVICE=N` words.
pub(crate) fn scale(project: &Project, words: &[String]) -> anyhow::Result<BTreeMap<ServiceName, usize>> {
    let mut counts = BTreeMap::new();
    for word in words {
        let Some((service, count)) = word.split_once('=') else { bail!("invalid scale specifier: {word}") };
        let Ok(count) = count.parse::<usize>() else {
            bail!("invalid scale specifier: can't parse replica value as int: {word}")
        };
        if !project.services.contains_key(service) {
            let error = no_such_service(service);
            bail!("{error}: not found");
        }
        counts.insert(service.into(), count);
    }
    Ok(counts)
}

/// Whole seconds.
pub(crate) fn seconds(value: Option<i64>) -> Option<Duration> {
    value.map(Duration::from_seconds)
}

/// `--remove-orphans` with its variables: whether to remove orphans, and whether not to mention
/// them. The variables may also stand in the project's `.env`.
pub(crate) fn orphans(context: &Context<'_>, project: &Project, flag: bool) -> anyhow::Result<(bool, bool)> {
    let remove = flag || is_true(context, project, "COMPOSE_REMOVE_ORPHANS");
    let ignore = is_true(context, project, "COMPOSE_IGNORE_ORPHANS");
    if remove && ignore {
        bail!("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans");
    }
    Ok((remove, ignore))
}

/// Whether a variable, which may also stand in the project's `.env`, holds one of the words for "yes".
pub(crate) fn is_true(context: &Context<'_>, project: &Project, name: &str) -> bool {
    context.environment.is_true(name)
        || project
            .environment
            .get(name)
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "t" | "true" | "y" | "yes" | "on"))
}

/// A size in bytes: a number with `b`, `k`, `m`, `g`.
pub(crate) fn bytes(text: &str) -> anyhow::Result<i64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = lower.get(digits.len()..).unwrap_or_default();
    let factor: f64 = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0 * 1024.0 * 1024.0,
        "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => bail!("invalid size: '{text}'"),
    };
    let Ok(number) = digits.parse::<f64>() else { bail!("invalid size: '{text}'") };
    Ok((number * factor) as i64)
}

/// Refuses extra or missing words in the reference's terms.
pub(crate) fn at_least(words: &[String], count: usize) -> anyhow::Result<()> {
    if words.len() < count {
        bail!("requires at least {count} arg(s), only received {}", words.len());
    }
    Ok(())
}

/// Refuses any other number of words.
pub(crate) fn between(words: &[String], least: usize, most: usize) -> anyhow::Result<()> {
    if (least..=most).contains(&words.len()) {
        return Ok(());
    }
    if least == most {
        bail!("accepts {least} arg(s), received {}", words.len());
    }
    bail!("accepts between {least} and {most} arg(s), received {}", words.len());
}

/// `KEY=VALUE` words; a key alone takes its value from `environment`, and vanishes where there is none.
pub(crate) fn assignments(
    words: &[String],
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => drop(all.insert(key.to_owned(), Some(value.to_owned()))),
            None => {
                if let Some(value) = environment.get(word) {
                    all.insert(word.clone(), Some(value.clone()));
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_units_of_the_docker_cli() {
        assert_eq!(bytes("64m").unwrap(), 64 << 20);
        assert_eq!(bytes("1.5GB").unwrap(), 3 << 29);
        assert_eq!(bytes("10").unwrap(), 10);
        assert!(bytes("10x").is_err());
        assert!(bytes("").is_err());
    }

    #[test]
    fn scale_words_name_known_services() {
        let mut project = Project::default();
        project.services.insert("web".into(), compose_model::project::Service::default());
        let scale = |word: &str| super::scale(&project, &[word.to_owned()]).map_err(|error| error.to_string());
        assert_eq!(scale("web=3").unwrap()["web"], 3);
        assert_eq!(scale("web").unwrap_err(), "invalid scale specifier: web");
        assert_eq!(scale("nope=3").unwrap_err(), "no such service: nope: not found");
    }
}
