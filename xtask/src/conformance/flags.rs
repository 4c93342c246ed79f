//! The reference's flags, command by command, kept in `tests/recorded-flags.json`: `cargo xtask
//! conformance --record-flags` asks for them, a test of `compose-cli` compares with them.
//!
//! What its help shows is read there. Hidden spellings are found by trying names that it, or an
//! earlier release, has somewhere: a flag that is not known is refused before anything else is read.

use crate::shell;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Groups that the help of the whole does not list.
const HIDDEN_GROUPS: [&str; 1] = ["alpha"];

/// Names that may be hidden somewhere: spellings of earlier releases, and the Docker CLI's own.
const TRIED: [&str; 34] = [
    "all",
    "compress",
    "config",
    "context",
    "debug",
    "force-rm",
    "host",
    "insecure-registry",
    "interactive",
    "log-level",
    "memory",
    "no-TTY",
    "no-ansi",
    "no-parallel",
    "no-rm",
    "no-tty",
    "noTTY",
    "parallel",
    "progress",
    "skip-interpolation",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "tty",
    "verbose",
    "version",
    "volume",
    "volumes",
    "workdir",
    "y",
    "yes",
    "quiet",
];

/// A line for each flag: `[hidden] [-s] --name KIND [= DEFAULT]`.
type Commands = BTreeMap<String, BTreeSet<String>>;

/// A flag as the help shows it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    short: String,
    name: String,
    kind: String,
    text: String,
}

pub(super) fn record(reference: &Path) -> Result<()> {
    let mut commands = Commands::new();
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut open: Vec<String> = HIDDEN_GROUPS.iter().map(|&group| group.to_owned()).collect();
    open.push(String::new());
    while let Some(words) = open.pop() {
        let output = ask(reference, &words, "--help")?;
        let help = String::from_utf8_lossy(&output.stdout);
        let (flags, inner) = read(&help);
        open.extend(inner.iter().map(|name| format!("{words} {name}").trim().to_owned()));
        names.insert(words.clone(), flags.iter().map(|flag| flag.name.clone()).collect());
        commands.insert(words, flags.iter().map(line).collect());
    }
    let jobs: Vec<(&String, &str)> = names
        .iter()
        .flat_map(|(words, known)| {
            TRIED.into_iter().filter(|name| !known.contains(*name)).map(move |name| (words, name))
        })
        .collect();
    for (words, line) in hidden(reference, &jobs)? {
        commands.entry(words).or_default().insert(line);
    }
    let count: usize = commands.values().map(BTreeSet::len).sum();
    fs::write(path(), serde_json::to_string_pretty(&commands)? + "\n")?;
    println!("{count} flags of {} commands recorded", commands.len());
    Ok(())
}

fn path() -> PathBuf {
    shell::root().join("tests/recorded-flags.json")
}

/// One call, with a value that no number and no boolean has.
fn ask(reference: &Path, words: &str, more: &str) -> Result<Output> {
    Command::new(reference)
        .args(words.split_whitespace())
        .args(more.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", reference.display()))
}

/// Which of the names the commands take, though their help does not say so.
fn hidden(reference: &Path, jobs: &[(&String, &str)]) -> Result<Vec<(String, String)>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some((words, name)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let output = ask(reference, words, &format!("--{name}=x --help"))?;
                let told = String::from_utf8_lossy(&output.stderr).into_owned();
                if told.contains("unknown flag") {
                    continue;
                }
                // `invalid argument "x" for "-y, --yes" flag: strconv.ParseBool: ...`
                let kind = match () {
                    () if told.contains("strconv.ParseBool") => "bool",
                    () if told.contains("strconv.ParseInt") => "int",
                    () => "string",
                };
                let short =
                    told.split_once(" for \"-").map(|(_, rest)| rest).filter(|rest| rest.get(1..2) == Some(","));
                let short = short.and_then(|rest| rest.get(..1)).map(|short| format!("-{short} ")).unwrap_or_default();
                let line = format!("hidden {short}--{name} {kind}");
                found.lock().map_err(|_| anyhow::anyhow!("a worker failed"))?.push(((*words).clone(), line));
            }
            Ok(())
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker that asks for flags failed")))
        })
    })?;
    Ok(found.into_inner().unwrap_or_default())
}

fn line(flag: &Shown) -> String {
    let short = if flag.short.is_empty() { String::new() } else { format!("-{} ", flag.short) };
    let default = flag
        .text
        .rsplit_once("(default ")
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .map(|value| format!(" = {}", value.trim_matches('"')))
        .unwrap_or_default();
    format!("{short}--{} {}{default}", flag.name, flag.kind)
}

/// The flags and the commands of a help text.
fn read(help: &str) -> (Vec<Shown>, Vec<String>) {
    let (mut flags, mut commands, mut section) = (Vec::<Shown>::new(), Vec::new(), "");
    for line in help.lines() {
        if !line.starts_with(' ') && line.ends_with(':') {
            section = line;
        } else if section == "Options:" {
            let text = line.trim();
            let starts = line.len() > 6
                && line.starts_with("  ")
                && (text.starts_with("--") && line.starts_with("      --")
                    || text.starts_with('-') && line.starts_with("  -"));
            if starts {
                flags.push(flag(text));
            } else if let Some(last) = flags.last_mut() {
                last.text.push(' ');
                last.text.push_str(text);
            }
        } else if section.ends_with("ommands:")
            && let Some(name) = line.strip_prefix("  ").and_then(|line| line.split_whitespace().next())
        {
            commands.push(name.to_owned());
        }
    }
    (flags, commands)
}

/// `-f, --file stringArray   Compose configuration files`.
fn flag(text: &str) -> Shown {
    let (head, text) = text.split_once("  ").unwrap_or((text, ""));
    let mut flag =
        Shown { short: String::new(), name: String::new(), kind: "bool".to_owned(), text: text.trim().to_owned() };
    for word in head.split_whitespace() {
        if let Some(name) = word.strip_prefix("--") {
            flag.name = name.to_owned();
        } else if let Some(short) = word.strip_prefix('-') {
            flag.short = short.trim_end_matches(',').to_owned();
        } else {
            flag.kind = word.to_owned();
        }
    }
    flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_read_with_its_wrapped_lines() {
        let help = "Usage:  docker compose [OPTIONS] COMMAND\n\nOptions:\n      --ansi string   When to print\n                      --strange things (default\n                      \"auto\")\n  -f, --file stringArray   Files\n  -d, --detach\n\nManagement Commands:\n  bridge      Convert\n\nCommands:\n  up          Create\n\nRun 'docker compose COMMAND --help'.\n";
        let (flags, commands) = read(help);
        let lines: Vec<String> = flags.iter().map(line).collect();
        assert_eq!(lines, ["--ansi string = auto", "-f --file stringArray", "-d --detach bool"]);
        assert_eq!(commands, ["bridge", "up"]);
    }
}
