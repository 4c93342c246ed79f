//! The reference's answers for everything below `tests/conformance`, kept as files: `cargo xtask
//! conformance --record` writes them, every test run compares with them, without the reference.
//!
//! Answers hold absolute paths, and hashes cover them, so both programs work in a copy of the
//! projects that always lies in the same place.

use super::compare::{Said, difference};
use super::{ATTEMPTS, Project, collect};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Where the projects lie while they are read.
const PLACE: &str = "/tmp/compose-conformance";

/// The views that are kept: those that show most. The live comparison takes all.
const VIEWS: [&[&str]; 5] = [&[], &["--format", "json"], &["--hash", "*"], &["--no-interpolate"], &["--variables"]];

/// The answers for one project, by view.
type Answers = BTreeMap<String, Said>;

/// The projects at their place, which no other run uses until this is dropped.
struct Copy {
    projects: Vec<Project>,
    _lock: fs::File,
}

impl Copy {
    fn make() -> Result<Self> {
        let place = Path::new(PLACE);
        fs::create_dir_all(place).with_context(|| format!("cannot make {PLACE}"))?;
        let lock = fs::File::create(place.join(".lock"))?;
        lock.lock().with_context(|| format!("cannot lock {PLACE}"))?;
        let target = place.join("p");
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        copy_folder(&shell::root().join("tests/conformance"), &target)?;
        fs::create_dir_all(place.join("home"))?;
        let mut projects = Vec::new();
        collect(&target, &mut projects)?;
        projects.sort();
        Ok(Self { projects, _lock: lock })
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

impl Project {
    /// The file that keeps the answers for it.
    fn record(&self) -> Result<PathBuf> {
        let (path, end) = match self {
            Self::File(path) => (path, ".json"),
            Self::Folder(path) => (path, "/folder.json"),
        };
        let inside = path.strip_prefix(Path::new(PLACE).join("p"))?;
        Ok(folder().join(format!("{}{end}", inside.display())))
    }
}

fn folder() -> PathBuf {
    shell::root().join("tests/recorded")
}

/// Asks the reference anew and keeps what it says. Where its answers change from run to run, one
/// is kept that agrees with `ours`, if there is any.
pub(super) fn record(ours: &Path, reference: &Path) -> Result<()> {
    let copy = Copy::make()?;
    if folder().exists() {
        fs::remove_dir_all(folder())?;
    }
    let differing = for_each(&copy.projects, |project| {
        let mut answers = Answers::new();
        let mut differing = Vec::new();
        for view in views_of(project) {
            let one = project.config_at_home(ours, view, &home())?;
            let mut kept = None;
            for _ in 0..ATTEMPTS {
                let two = project.config_at_home(reference, view, &home())?;
                let agrees = difference(&one, &two, view).is_none();
                if agrees || kept.is_none() {
                    kept = Some(two);
                }
                if agrees {
                    break;
                }
            }
            let Some(kept) = kept else { continue };
            if let Some(what) = difference(&one, &kept, view) {
                differing.push(format!("{} config {}: {what}", project.shown(), view.join(" ")));
            }
            let refused = view.is_empty() && kept.is_refusal();
            answers.insert(view.join(" "), kept.without_times());
            if refused {
                break;
            }
        }
        let record = project.record()?;
        if let Some(parent) = record.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&record, serde_json::to_string_pretty(&answers)? + "\n")?;
        Ok(differing)
    })?;
    for line in &differing {
        println!("{line}");
    }
    println!("{} projects recorded, {} answers differ from ours", copy.projects.len(), differing.len());
    Ok(())
}

/// Compares with what is recorded: how many answers are equal, and how many are not.
pub(crate) fn compare(ours: &Path) -> Result<(u64, u64)> {
    let copy = Copy::make()?;
    let equal = AtomicU64::new(0);
    let differing = for_each(&copy.projects, |project| {
        let record = project.record()?;
        let Ok(text) = fs::read_to_string(&record) else {
            return Ok(vec![format!(
                "{}: no answer is recorded; `cargo xtask conformance --record` asks for it",
                project.shown()
            )]);
        };
        let answers: Answers =
            serde_json::from_str(&text).with_context(|| format!("cannot read {}", record.display()))?;
        let mut differing = Vec::new();
        for view in VIEWS {
            let Some(two) = answers.get(&view.join(" ")) else { continue };
            match difference(&project.config_at_home(ours, view, &home())?, two, view) {
                None => _ = equal.fetch_add(1, Ordering::Relaxed),
                Some(what) => differing.push(format!("{} config {}: {what}", project.shown(), view.join(" "))),
            }
        }
        Ok(differing)
    })?;
    for line in &differing {
        println!("{line}");
    }
    Ok((equal.into_inner(), differing.len() as u64))
}

fn home() -> PathBuf {
    Path::new(PLACE).join("home")
}

/// Variables are asked for only where there are some, and uninterpolated text likewise.
fn views_of(project: &Project) -> impl Iterator<Item = &'static [&'static str]> {
    let has_variables = match project {
        Project::File(path) => fs::read(path).is_ok_and(|text| text.contains(&b'$')),
        Project::Folder(_) => true,
    };
    VIEWS.into_iter().filter(move |view| has_variables || !matches!(view, ["--variables" | "--no-interpolate"]))
}

/// Runs over the projects, two at a time: most of it is waiting for processes to start.
fn for_each(projects: &[Project], one: impl Fn(&Project) -> Result<Vec<String>> + Sync) -> Result<Vec<String>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some(project) = projects.get(next.fetch_add(1, Ordering::Relaxed)) {
                let lines = one(project)?;
                found.lock().map_err(|_| anyhow::anyhow!("a worker failed"))?.extend(lines);
            }
            Ok(())
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a worker of the comparison failed"),
            }
        }
        Ok(())
    })?;
    let mut found = found.into_inner().unwrap_or_default();
    found.sort();
    Ok(found)
}
