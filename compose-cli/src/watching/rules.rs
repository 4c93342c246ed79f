//! Which change means what: the rules of `develop.watch`, and the work that changes come to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use compose_model::Project;
use compose_model::names::ServiceName;
use compose_model::project::{Build, Hook, Service, WatchRule};
use compose_runtime::dockerignore::Ignore;

use super::sources::Changes;

/// What editors leave beside a file that is being edited, and what no container wants to have.
const ALWAYS_IGNORED: &str = "
**/.git
**/*___jb_old___
**/*___jb_tmp___
**/.idea
**/.#*
**/#*#
**/4913
**/*~
**/.*.swp
**/.*.swx
**/.*.swo
**/.*.swn
**/.*.kate-swp
";

/// What a rule does on a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Build the image and replace the containers.
    Rebuild,
    /// Copy into the containers.
    Sync,
    /// Restart the containers.
    Restart,
    /// Copy, then restart.
    SyncRestart,
    /// Copy, then execute a command.
    SyncExec,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "rebuild" => Self::Rebuild,
            "sync" => Self::Sync,
            "restart" => Self::Restart,
            "sync+restart" => Self::SyncRestart,
            "sync+exec" => Self::SyncExec,
            _ => return None,
        })
    }

    /// Whether files are copied.
    pub(crate) const fn syncs(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }
}

/// One entry of `develop.watch`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Whose containers.
    pub(crate) service: ServiceName,
    /// A file or directory of this machine.
    pub(crate) path: PathBuf,
    /// What to do.
    pub(crate) action: Action,
    /// Where the path is in the container.
    target: String,
    /// The command of `sync+exec`.
    pub(crate) hook: Option<Hook>,
    /// Copy everything at the beginning.
    pub(crate) initial_sync: bool,
    ignore: Ignore,
    include: Ignore,
    /// The build context and its `.dockerignore`.
    context: Option<Arc<(PathBuf, Ignore)>>,
    always: Arc<Ignore>,
}

impl Rule {
    /// A path below the rule's own, if the rule wants it.
    fn inside<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let inside = path.strip_prefix(&self.path).ok()?.to_str()?;
        let left_out = |patterns: &Ignore| !inside.is_empty() && patterns.leaves_out(inside);
        if left_out(&self.ignore) || left_out(&self.always) || self.is_outside_of_the_image(path) {
            return None;
        }
        (inside.is_empty() || self.include.is_empty() || self.include.leaves_out(inside)).then_some(inside)
    }

    fn is_outside_of_the_image(&self, path: &Path) -> bool {
        let Some((directory, ignore)) = self.context.as_deref() else { return false };
        let inside = path.strip_prefix(directory).ok().and_then(Path::to_str);
        inside.is_some_and(|inside| !inside.is_empty() && ignore.leaves_out(inside))
    }

    /// Whether nothing below a directory of the rule can be of interest to it.
    fn skips(&self, directory: &Path) -> bool {
        let Ok(inside) = directory.strip_prefix(&self.path) else { return !self.path.starts_with(directory) };
        let Some(inside) = inside.to_str() else { return true };
        if inside.is_empty() {
            return false;
        }
        let own = |patterns: &Ignore| patterns.leaves_out(inside) && !patterns.has_exceptions();
        let of_context = self.context.as_deref().is_some_and(|(_, ignore)| !ignore.has_exceptions());
        own(&self.ignore) || own(&self.always) || (of_context && self.is_outside_of_the_image(directory))
    }

    /// Where a path is in the container.
    fn in_container(&self, inside: &str) -> String {
        let target = self.target.trim_matches('/');
        let parts = [target, inside].into_iter().filter(|part| !part.is_empty());
        format!("/{}", parts.collect::<Vec<_>>().join("/"))
    }
}

/// Whether no rule wants anything below a directory.
pub(crate) fn skip(rules: &[Rule], directory: &Path) -> bool {
    rules.iter().all(|rule| rule.skips(directory))
}

/// Reads the rules of all services of a project. `warn` gets what is not watched, and why.
///
/// # Errors
/// A rule cannot be followed.
pub(crate) fn of_project(project: &Project, mut warn: impl FnMut(String)) -> anyhow::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    let always = Arc::new(Ignore::parse(ALWAYS_IGNORED).context("the built-in patterns")?);
    for (name, service) in &project.services {
        let Some(develop) = service.develop.as_ref().filter(|develop| !develop.watch.is_empty()) else { continue };
        let context = service.build.as_ref().map(context_patterns).transpose()?.flatten().map(Arc::new);
        for rule in &develop.watch {
            let Some(action) = Action::parse(&rule.action) else { continue };
            if action == Action::Rebuild && service.build.is_none() {
                bail!("can't watch service {:?} with action rebuild without a build context", name.as_str());
            }
            if action.syncs() && is_mounted(service, rule) {
                warn(format!(
                    "path '{}' also declared by a bind mount volume, this path won't be monitored!\n",
                    rule.path
                ));
                continue;
            }
            let patterns = |what: &str, lines: &[String]| {
                Ignore::parse(&lines.join("\n"))
                    .with_context(|| format!("services.{name}.develop.watch: `{what}` of {}", rule.path))
            };
            rules.push(Rule {
                service: name.clone(),
                path: PathBuf::from(&rule.path),
                action,
                target: rule.target.clone(),
                hook: rule.exec.clone(),
                initial_sync: rule.initial_sync,
                ignore: patterns("ignore", &rule.ignore)?,
                include: patterns("include", &rule.include)?,
                context: context.clone(),
                always: Arc::clone(&always),
            });
        }
    }
    Ok(rules)
}

/// The `.dockerignore` of a build: the Dockerfile's own, else that of the context.
fn context_patterns(build: &Build) -> anyhow::Result<Option<(PathBuf, Ignore)>> {
    let directory = PathBuf::from(&build.context);
    if !directory.is_dir() {
        return Ok(None);
    }
    let dockerfile = if build.dockerfile.is_empty() { "Dockerfile" } else { &build.dockerfile };
    let own = directory.join(format!("{dockerfile}.dockerignore"));
    let path = if own.is_file() { own } else { directory.join(".dockerignore") };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let ignore = Ignore::parse(&text).with_context(|| path.display().to_string())?;
    Ok(Some((directory, ignore)))
}

/// Whether a bind mount brings the path into the container already.
fn is_mounted(service: &Service, rule: &WatchRule) -> bool {
    let mut binds = service.volumes.iter().filter(|mount| mount.kind == "bind");
    binds.any(|mount| Path::new(&rule.path).starts_with(&mount.source))
}

/// Files that go into the containers of a service, by their path there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// What is there no more.
    pub(crate) remove: BTreeSet<String>,
    /// What is copied, and from where.
    pub(crate) copy: BTreeMap<String, PathBuf>,
}

impl Files {
    /// How many paths changed.
    pub(crate) fn count(&self) -> usize {
        self.copy.len() + self.remove.iter().filter(|path| !self.copy.contains_key(*path)).count()
    }
}

/// What changes come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Services to be built and replaced.
    pub(crate) rebuild: BTreeSet<ServiceName>,
    /// Files to be copied.
    pub(crate) sync: BTreeMap<ServiceName, Files>,
    /// Services to be restarted.
    pub(crate) restart: BTreeSet<ServiceName>,
    /// Rules whose command is to be executed, by their place in the list.
    pub(crate) execute: BTreeSet<usize>,
}

impl Work {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.rebuild.is_empty() && self.sync.is_empty() && self.restart.is_empty() && self.execute.is_empty()
    }

    /// Services that there is something to do for.
    pub(crate) fn services(&self, rules: &[Rule]) -> BTreeSet<ServiceName> {
        let execute = self.execute.iter().filter_map(|index| rules.get(*index)).map(|rule| &rule.service);
        self.rebuild.iter().chain(self.sync.keys()).chain(&self.restart).chain(execute).cloned().collect()
    }

    /// Leaves out the restart and the commands of a service.
    pub(crate) fn leave(&mut self, rules: &[Rule], service: &ServiceName) {
        self.restart.remove(service);
        self.execute.retain(|index| rules.get(*index).is_some_and(|rule| rule.service != *service));
    }

    /// Puts the work of a service in the place of what there is for it.
    pub(crate) fn replace(&mut self, mut service: Self) {
        self.rebuild.append(&mut service.rebuild);
        self.sync.append(&mut service.sync);
        self.restart.append(&mut service.restart);
        self.execute.append(&mut service.execute);
    }

    /// Whether it is done in no time and disturbs nothing, so that it need not wait for more
    /// changes that may be on their way.
    pub(crate) fn is_light(&self) -> bool {
        self.rebuild.is_empty() && self.restart.is_empty() && self.execute.is_empty()
    }
}

/// What the rules make of changes; only the rules of one service, where one is named.
pub(crate) fn work(rules: &[Rule], changes: &Changes, only: Option<&ServiceName>) -> Work {
    let mut work = Work::default();
    let concerned = |rule: &Rule| only.is_none_or(|only| *only == rule.service);
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| concerned(rule)) {
        let removed = changes.removed.iter().map(|path| (path, false));
        let written = changes.written.iter().map(|path| (path, true));
        for (path, there) in removed.chain(written) {
            let Some(inside) = rule.inside(path) else { continue };
            let service = rule.service.clone();
            if rule.action.syncs() {
                let files = work.sync.entry(service.clone()).or_default();
                let target = rule.in_container(inside);
                if there {
                    files.copy.insert(target, path.clone());
                } else if target != "/" {
                    files.remove.insert(target);
                }
            }
            match rule.action {
                Action::Rebuild => drop(work.rebuild.insert(service)),
                Action::Restart | Action::SyncRestart => drop(work.restart.insert(service)),
                Action::SyncExec => drop(work.execute.insert(index)),
                Action::Sync => {}
            }
        }
    }
    work
}

/// Everything that a rule copies at the beginning.
pub(crate) fn everything(rule: &Rule) -> Files {
    let mut files = Files::default();
    let mut open = vec![rule.path.clone()];
    while let Some(path) = open.pop() {
        let directory = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if directory && !rule.skips(&path) {
            open.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        // Directories come with their files; an empty one is of no use in the container.
        if !directory && let Some(inside) = rule.inside(&path) {
            files.copy.insert(rule.in_container(inside), path);
        }
    }
    files
}

#[cfg(test)]
mod tests;
