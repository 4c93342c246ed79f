//! Pages of `docs/` that are made from the command line itself, and kept true by tests: the command
//! reference, and the table that names for every flag the test that uses it.
//!
//! `UPDATE_PAGES=1 cargo test -p compose-cli pages` writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares what counts of a page with its file, or writes it.
fn keep(path: &str, text: &str, counts: fn(&str) -> String) {
    let path = root().join(path);
    #[allow(clippy::disallowed_methods)] // A test, told by the environment to write what it compares.
    let update = std::env::var_os("UPDATE_PAGES").is_some();
    if update {
        std::fs::write(&path, text).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        counts(&kept) == counts(text),
        "{} is out of date: UPDATE_PAGES=1 cargo test -p compose-cli pages",
        path.display()
    );
}

/// Every command that does something, by its words, in the order of the help.
fn commands<'a>(command: &'a Command, words: &str, all: &mut Vec<(String, &'a Command)>) {
    if !command.has_subcommands() || words.is_empty() {
        all.push((words.to_owned(), command));
    }
    for inner in command.get_subcommands() {
        commands(inner, format!("{words} {}", inner.get_name()).trim(), all);
    }
}

fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| !argument.is_positional() && argument.get_id() != "help")
}

/// `-f, --file FILE`.
fn spelled(argument: &Arg) -> String {
    let mut text = String::new();
    if let Some(short) = argument.get_short() {
        text.push_str(&format!("-{short}, "));
    }
    text.push_str(&format!("--{}", argument.get_long().unwrap_or_default()));
    if argument.get_action().takes_values() {
        for name in argument.get_value_names().unwrap_or_default() {
            text.push_str(&format!(" {name}"));
        }
    }
    text
}

/// One use of the program in a test: its words, and `file::test`.
struct Use {
    words: Vec<String>,
    test: String,
}

/// The string literals of a line of source.
fn literals(text: &str) -> Vec<String> {
    let (mut all, mut current, mut characters) = (Vec::new(), None::<String>, text.chars());
    while let Some(character) = characters.next() {
        match (&mut current, character) {
            (None, '"') => current = Some(String::new()),
            (Some(_), '"') => all.extend(current.take()),
            (Some(text), '\\') => text.extend(characters.next()),
            (Some(text), other) => text.push(other),
            (None, _) => {}
        }
    }
    all
}

/// Every array of words in the tests, and every string of a table that reads as a command line.
fn uses() -> Vec<Use> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["tests/tests/behaviour", "compose-cli/tests"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("the tests");
        files
            .extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("rs".as_ref())));
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a source");
        for body in text.split("\nfn ").skip(1) {
            let name = body.split(['(', '<']).next().unwrap_or_default();
            let test = format!("{stem}::{name}");
            for array in body.split('[').skip(1) {
                let words = literals(array.split(']').next().unwrap_or_default());
                all.push(Use { words, test: test.clone() });
            }
            for line in literals(body).into_iter().filter(|line| line.contains(' ')) {
                let words = line.split_whitespace().map(str::to_owned).collect();
                all.push(Use { words, test: test.clone() });
            }
        }
    }
    all
}

/// Whether the words call the command with the flag.
fn calls(words: &[String], command: &str, flag: Option<&Arg>, verbs: &[&str]) -> bool {
    let position = |word: &str| words.iter().position(|other| other == word);
    let last = command.rsplit(' ').next().unwrap_or_default();
    let (before, after) = if command.is_empty() {
        // Options of the root stand before the first command.
        let end = words.iter().position(|word| verbs.contains(&word.as_str())).unwrap_or(words.len());
        (&words[..0], &words[..end])
    } else {
        let Some(start) = position(last) else { return false };
        if command.split(' ').any(|word| position(word).is_none()) {
            return false;
        }
        (&words[..start], &words[start..])
    };
    // The command is the first one of the line: `exec web ps` is no `ps`.
    let first = command.split(' ').next().unwrap_or_default();
    if before.iter().any(|word| word != first && verbs.contains(&word.as_str())) {
        return false;
    }
    let Some(flag) = flag else { return true };
    let long = format!("--{}", flag.get_long().unwrap_or_default());
    after.iter().any(|word| {
        let by_short = flag.get_short().is_some_and(|short| {
            word.starts_with('-') && !word.starts_with("--") && word[1..].starts_with(short)
                || (word.len() == 3 && word.starts_with('-') && !word.starts_with("--") && word.ends_with(short))
        });
        *word == long || word.starts_with(&format!("{long}=")) || by_short
    })
}

/// Has tests of its own beside the command line; rows without one are shown, and no others may be.
const OPEN: &str = "supervisor ";

#[test]
fn every_command_and_every_flag_is_used_by_a_test() {
    let command = crate::args::readable_command();
    let verbs: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let mut all = Vec::new();
    commands(&command, "", &mut all);
    let uses = uses();
    let found = |words: &str, flag: Option<&Arg>| {
        uses.iter().find(|one| calls(&one.words, words, flag, &verbs)).map(|one| one.test.clone())
    };
    let mut page = String::from(
        "# Every command and flag, and a test that uses it\n\nMade by a test from the command line and the tests' sources; \
         `UPDATE_PAGES=1 cargo test -p compose-cli pages` writes\nit anew. A command or flag that no test uses makes that \
         test fail. `behaviour` cases run on real engines.\n\n| command | flag | test |\n|---|---|---|\n",
    );
    let mut empty = Vec::new();
    for (words, command) in &all {
        let shown = if words.is_empty() { "(before the command)" } else { words };
        let mut rows = BTreeMap::new();
        if !words.is_empty() {
            rows.insert(String::new(), found(words, None));
        }
        for option in options(command) {
            rows.insert(spelled(option).replace('|', "\\|"), found(words, Some(option)));
        }
        for (flag, test) in rows {
            let row = format!("{shown} {flag}");
            if test.is_none() && !row.starts_with(OPEN) {
                empty.push(row);
            }
            let flag = if flag.is_empty() { String::new() } else { format!("`{flag}`") };
            let _ = writeln!(page, "| {shown} | {flag} | {} |", test.unwrap_or_else(|| "none yet".to_owned()));
        }
    }
    assert!(empty.is_empty(), "{} without a test:\n{}", empty.len(), empty.join("\n"));
    // Which of several tests is named may change with any test; that there is one may not.
    keep("docs/flags.md", &page, |page| {
        page.lines().filter_map(|line| line.trim_end_matches(" |").rsplit_once(" | ")).map(|(row, _)| row).collect()
    });
}

#[test]
fn the_command_reference_is_what_the_program_takes() {
    let command = crate::args::readable_command();
    let mut all = Vec::new();
    commands(&command, "", &mut all);
    let mut page = String::from(
        "# Commands\n\nMade by a test from the command line; `UPDATE_PAGES=1 cargo test -p compose-cli pages` writes it \
         anew.\n`compose COMMAND --help` prints the same.\n",
    );
    for (words, command) in all {
        let hidden = command.is_hide_set();
        let title = if words.is_empty() { "Options before the command".to_owned() } else { format!("compose {words}") };
        let _ = write!(page, "\n## {title}\n");
        if let Some(about) = command.get_about().filter(|_| !words.is_empty()) {
            let _ = write!(page, "\n{about}.{}\n", if hidden { " Experimental." } else { "" });
        }
        let positionals: Vec<&Arg> = command.get_positionals().collect();
        let shown: Vec<&Arg> = options(command).filter(|option| !option.is_hide_set()).collect();
        if !positionals.is_empty() || !shown.is_empty() {
            page.push_str("\n| | |\n|---|---|\n");
        }
        for (name, argument) in positionals
            .iter()
            .map(|argument| {
                let names = argument.get_value_names().unwrap_or_default();
                (names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), *argument)
            })
            .chain(shown.iter().map(|argument| (spelled(argument), *argument)))
        {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let _ =
                writeln!(page, "| `{}` | {} |", name.replace('|', "\\|"), help.replace('|', "\\|").replace('\n', " "));
        }
        if let Some(examples) = command.get_after_help().map(ToString::to_string) {
            let lines: Vec<&str> = examples.lines().skip(1).map(str::trim).collect();
            let _ = write!(page, "\n```text\n{}\n```\n", lines.join("\n"));
        }
    }
    let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
    keep("docs/commands.md", &(lines.join("\n") + "\n"), str::to_owned);
}
