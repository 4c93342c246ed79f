//! `cp`: copy files between a container and the host.

use anyhow::bail;
use clap::Args;
use compose_planner::observed::Container;
use compose_runtime::port::Reader;

use crate::context::{Context, Wanted};
use crate::copying::{CopyOptions, from_container, into_container};
use crate::invocation::ExitStatus;
use crate::words::absolute;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose cp web:/etc/hosts .\n  compose cp index.html web:/srv/",
    override_usage = "compose cp [OPTIONS] SERVICE:PATH TARGET|-\n       compose cp [OPTIONS] SOURCE|- SERVICE:PATH"
)]
pub(crate) struct Arguments {
    /// SERVICE:PATH and a local path, in either order; `-` is a tar stream
    #[arg(value_name = "SOURCE TARGET")]
    pub(crate) words: Vec<String>,
    /// Also containers of `run`
    #[arg(long)]
    pub(crate) all: bool,
    /// Keep owner and group
    #[arg(short = 'a', long)]
    pub(crate) archive: bool,
    /// Copy what links in the source point to
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
}

/// One side of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Side<'a> {
    /// A path of a service's containers.
    Service(&'a str, &'a str),
    /// A local path, or `-`.
    Local(&'a str),
}

/// `SERVICE:PATH`, or a local path.
fn side(word: &str) -> Side<'_> {
    match word.split_once(':') {
        Some((service, path)) if !service.is_empty() && !service.starts_with(['.', '/']) => {
            Side::Service(service, path)
        }
        _ => Side::Local(word),
    }
}

/// Copies.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let [source, target] = arguments.words.as_slice() else {
        bail!("requires exactly 2 arg(s), received {}", arguments.words.len());
    };
    let options = CopyOptions { archive: arguments.archive, follow: arguments.follow_link };
    let (from, to) = (side(source), side(target));
    let service = match (&from, &to) {
        (Side::Service(..), Side::Service(..)) => bail!("copying between services is not supported"),
        (Side::Local(_), Side::Local(_)) => bail!("unknown copy direction"),
        (Side::Service(service, _), _) | (_, Side::Service(service, _)) => (*service).to_owned(),
    };
    let scene = context.scene(&[], Wanted::CONTAINERS).await?;
    let mut containers: Vec<&Container> = scene
        .observed
        .containers
        .iter()
        .filter(|container| container.service.as_str() == service && container.hook.is_none())
        .filter(|container| container.project.as_ref() == Some(&scene.project.name))
        .filter(|container| arguments.all || !container.one_off)
        .filter(|container| arguments.index == 0 || container.number == usize::try_from(arguments.index).ok())
        .collect();
    containers.sort_by(|a, b| (a.one_off, a.number, &a.name).cmp(&(b.one_off, b.number, &b.name)));
    if containers.is_empty() && arguments.index != 0 {
        bail!("service {service:?} is not running container #{}", arguments.index);
    }
    if containers.is_empty() {
        return Err(scene.with_unknown(anyhow::anyhow!("no container found for service {service:?}"), &service));
    }
    let runtime = scene.runtime.as_ref();
    let here = &context.environment.current_directory;
    let tell = |container: &Container, word: &str| {
        let (a, b) = match (&from, &to) {
            (Side::Service(_, path), Side::Local(local)) => (format!("{}:{path}", container.name), (*local).to_owned()),
            (Side::Local(local), Side::Service(_, path)) => ((*local).to_owned(), format!("{}:{path}", container.name)),
            _ => Default::default(),
        };
        context.output.message(format!(" {} {word} {a} to {b}\n", container.name));
    };
    match (&from, &to) {
        (Side::Service(_, path), Side::Local(local)) => {
            let Some(container) = containers.first() else { return Ok(ExitStatus::FAILURE) };
            if *local == "-" {
                if !context.options.dry_run {
                    let archive = runtime.streams().get_archive(container.id.as_str(), path).await?;
                    crate::footer::copy(archive).await?;
                }
                return Ok(ExitStatus::SUCCESS);
            }
            tell(container, "Copying");
            if !context.options.dry_run {
                let target = local_path(local, here);
                from_container(runtime, container.id.as_str(), path, &target, options).await?;
            }
            tell(container, "Copied");
        }
        (Side::Local(local), Side::Service(_, path)) => {
            for container in containers {
                tell(container, "Copying");
                if !context.options.dry_run {
                    if *local == "-" {
                        let archive: Reader = Box::pin(tokio::io::stdin());
                        runtime.streams().put_archive(container.id.as_str(), path, archive, arguments.archive).await?;
                    } else {
                        let source = local_path(local, here);
                        into_container(runtime, container.id.as_str(), &source, path, options).await?;
                    }
                }
                tell(container, "Copied");
            }
        }
        _ => {}
    }
    Ok(ExitStatus::SUCCESS)
}

/// An absolute path that keeps the endings that `cp` reads (`/` and `/.`).
fn local_path(local: &str, here: &str) -> std::path::PathBuf {
    let ending = if local.ends_with("/.") || local == "." {
        "/."
    } else if local.ends_with('/') {
        "/"
    } else {
        ""
    };
    let path = absolute(local, here);
    // A `Path` would drop the ending; the text keeps it.
    std::path::PathBuf::from(format!("{}{ending}", path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_stands_before_a_colon() {
        assert_eq!(side("web:/etc/hosts"), Side::Service("web", "/etc/hosts"));
        assert_eq!(side("./a:b"), Side::Local("./a:b"));
        assert_eq!(side("/a"), Side::Local("/a"));
        assert_eq!(side("-"), Side::Local("-"));
    }
}
