//! `cargo xtask conformance DIR...`: what both programs make of the same compose files.
//!
//! Every view that `config` has is taken from both, standard output byte for byte, exit codes,
//! warnings, and for a refusal the names that the reference's message holds. A folder with a file
//! that is found without `-f` is also run without it, with its override and `.env`.

mod compare;
mod flags;
pub(crate) mod recorded;

use crate::{packages, reference, shell};
use anyhow::{Context, Result, bail};
use compare::{Said, difference};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The views that are compared, each an argument list after `config`.
pub(crate) const VIEWS: [&[&str]; 12] = [
    &[],
    &["--format", "json"],
    &["--services"],
    &["--volumes"],
    &["--networks"],
    &["--images"],
    &["--models"],
    &["--profiles"],
    &["--hash", "*"],
    &["--no-interpolate"],
    &["--variables"],
    &["--environment"],
];

/// File names that are found without `-f`.
const DISCOVERED: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// How often the reference is asked where it may answer in changing order.
const ATTEMPTS: usize = 4;

/// One project: a file to name with `-f`, or a folder to run in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Project {
    Folder(PathBuf),
    File(PathBuf),
}

/// `cargo xtask conformance DIR...`, or
/// `--record` for what the test run compares with, or `--recorded` for that comparison alone;
/// `--record-flags` for the flags that a test of the command line compares with.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if arguments.is_empty() {
        bail!("conformance wants folders with compose files, --record, --recorded or --record-flags");
    }
    if arguments == ["--record-flags"] {
        flags::record(&reference::program()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ours = match shell::other_program() {
        Some(program) => program,
        None => {
            packages::ensure_build_tools()?;
            shell::run(shell::cargo().args(["build", "--quiet", "--package", "compose-cli"]))?;
            shell::target().join("debug/compose")
        }
    };
    if arguments == ["--recorded"] {
        let (equal, differing) = recorded::compare(&ours)?;
        println!("{equal} passed, {differing} failed");
        return Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let reference = reference::program()?;
    if arguments == ["--record"] {
        recorded::record(&ours, &reference)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut projects = Vec::new();
    for folder in arguments {
        let folder = shell::absolute(Path::new(folder))?;
        if folder.is_file() {
            projects.push(Project::File(folder));
        } else {
            collect(&folder, &mut projects)?;
        }
    }
    projects.sort();
    let failures = Mutex::new(Vec::new());
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Two at a time: most of it is waiting for processes to start.
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some(project) = projects.get(next.fetch_add(1, Ordering::Relaxed)) {
                for line in compared(&ours, &reference, project, &passed)? {
                    failures.lock().map_err(|_| anyhow::anyhow!("a worker failed"))?.push(line);
                }
            }
            Ok(())
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker of the comparison failed")))
        })
    })?;
    let mut failures = failures.into_inner().unwrap_or_default();
    failures.sort();
    for failure in &failures {
        println!("{failure}");
    }
    println!("{} projects", projects.len());
    println!("{} passed, {} failed", passed.load(Ordering::Relaxed), failures.len());
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every `.yaml` or `.yml` below a folder, and each folder that is a project of its own.
fn collect(folder: &Path, into: &mut Vec<Project>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            into.push(Project::File(path));
        }
    }
    if DISCOVERED.iter().any(|name| folder.join(name).is_file()) {
        into.push(Project::Folder(folder.to_owned()));
    }
    Ok(())
}

impl Project {
    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Folder(path) => format!("{}/", path.display()),
        }
    }

    fn config(&self, program: &Path, view: &[&str]) -> Result<Said> {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        self.config_at_home(program, view, &home)
    }

    fn config_at_home(&self, program: &Path, view: &[&str], home: &Path) -> Result<Said> {
        let mut command = Command::new(program);
        let folder = match self {
            Self::File(path) => {
                command.arg("-f").arg(path);
                path.parent()
            }
            Self::Folder(path) => Some(path.as_path()),
        };
        command.arg("config").args(view).stdin(Stdio::null()).env_clear();
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        if let Some(value) = std::env::var_os("PATH") {
            command.env("PATH", value);
        }
        command.env("HOME", home);
        let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Said::new(&output))
    }
}

/// What differs in the views of a project, each difference once. Agreement is counted.
fn compared(ours: &Path, reference: &Path, project: &Project, passed: &AtomicUsize) -> Result<Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut refused = false;
    for view in VIEWS {
        if refused && !matches!(view, ["--services" | "--no-interpolate" | "--variables"]) {
            continue;
        }
        let one = project.config(ours, view)?;
        // The reference walks unordered maps in places, hence a difference counts only if none of
        // several answers is ours.
        let mut differs = None;
        let mut answers: Vec<Said> = Vec::new();
        for _ in 0..ATTEMPTS {
            let two = project.config(reference, view)?;
            refused |= view.is_empty() && two.is_refusal();
            let difference = difference(&one, &two, view);
            let agrees = difference.is_none();
            differs = if agrees { None } else { differs.or(difference) };
            if agrees {
                break;
            }
            answers.push(two);
        }
        // A variable with several defaults is shown with any of them.
        if *view == ["--variables"] && answers.iter().any(|answer| answers.first() != Some(answer)) {
            differs = differs.filter(|_| answers.iter().all(|answer| !one.has_names_of(answer)));
        }
        match differs {
            None => _ = passed.fetch_add(1, Ordering::Relaxed),
            Some(what) => found.entry(what).or_default().push(view.join(" ")),
        }
    }
    Ok(found
        .into_iter()
        .map(|(what, views)| format!("{} config [{}]: {what}", project.shown(), views.join("|")))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_that_are_projects_are_found() {
        let folder = std::env::temp_dir().join(format!("conformance-{}", std::process::id()));
        for name in ["a/compose.yaml", "a/other.yml", "b/part.yaml", "b/note.txt"] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut found = Vec::new();
        collect(&folder, &mut found).unwrap();
        found.sort();
        let expected = [
            Project::Folder(folder.join("a")),
            Project::File(folder.join("a/compose.yaml")),
            Project::File(folder.join("a/other.yml")),
            Project::File(folder.join("b/part.yaml")),
        ];
        assert_eq!(found, expected);
        fs::remove_dir_all(folder).unwrap();
    }
}
