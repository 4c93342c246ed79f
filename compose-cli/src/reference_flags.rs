//! The command line against the reference's flags: `tests/recorded-flags.json`, which `cargo xtask
//! conformance --record-flags` writes. Nothing of it may be missing here, or have another spelling, another
//! kind or another default. We may have more.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, Command};

/// A flag of the reference: `[hidden] [-s] --name KIND [= DEFAULT]`.
struct Flag<'a> {
    hidden: bool,
    short: Option<char>,
    name: &'a str,
    kind: &'a str,
    default: Option<&'a str>,
}

impl<'a> Flag<'a> {
    fn read(line: &'a str) -> Self {
        let (head, default) = match line.split_once(" = ") {
            Some((head, default)) => (head, Some(default)),
            None => (line, None),
        };
        let mut flag = Self { hidden: false, short: None, name: "", kind: "", default };
        for word in head.split(' ') {
            if word == "hidden" {
                flag.hidden = true;
            } else if let Some(name) = word.strip_prefix("--") {
                flag.name = name;
            } else if let Some(short) = word.strip_prefix('-') {
                flag.short = short.chars().next();
            } else {
                flag.kind = word;
            }
        }
        flag
    }

    /// What is wrong with the flag here, if anything.
    fn fault(&self, command: &Command) -> Option<String> {
        let named = |argument: &&Arg| {
            argument.get_long() == Some(self.name)
                || argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&self.name))
        };
        let Some(found) = command.get_arguments().find(named) else { return Some("is missing".to_owned()) };
        let other_name = found.get_long() != Some(self.name);
        let shorts: Vec<char> = found.get_short_and_visible_aliases().unwrap_or_default();
        if self.short.is_some_and(|short| !shorts.contains(&short)) {
            return Some(format!("has the letters {shorts:?}"));
        }
        if !self.hidden && (found.is_hide_set() || other_name) {
            return Some("is not shown by --help".to_owned());
        }
        // A flag without a value takes `=true` and `=false` too.
        let is_switch = !found.get_action().takes_values() || found.is_require_equals_set();
        if is_switch != (self.kind == "bool") && !self.may_stand_alone() {
            return Some(format!("takes {}", if is_switch { "no value" } else { "a value" }));
        }
        let repeats = matches!(found.get_action(), clap::ArgAction::Append);
        if repeats != matches!(self.kind, "stringArray" | "scale" | "list" | "filter") && !self.hidden {
            return Some(format!("is {}", if repeats { "a list" } else { "no list" }));
        }
        let default = self.default?;
        let ours: Vec<_> = found.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let told = found.get_help().map(ToString::to_string).unwrap_or_default();
        let same =
            ours == [default] && !found.is_hide_default_value_set() || told.contains(&format!("[default: {default}"));
        (!same).then(|| format!("has the default {ours:?} and says {told:?}"))
    }

    /// `--provenance` and `--sbom` are texts that are `true` where none is given; here the value is attached.
    fn may_stand_alone(&self) -> bool {
        matches!(self.name, "provenance" | "sbom")
    }
}

fn find<'a>(command: &'a Command, words: &str) -> Option<&'a Command> {
    words.split_whitespace().try_fold(command, |command, word| command.find_subcommand(word))
}

#[test]
fn every_flag_of_the_reference_is_here_with_its_letter_kind_and_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recorded-flags.json");
    let text = std::fs::read_to_string(path).expect("the recorded flags");
    let recorded: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).expect("an object of lists");
    let ours = crate::args::readable_command();
    let mut faults = Vec::new();
    let mut count = 0;
    for (words, lines) in &recorded {
        let Some(command) = find(&ours, words) else {
            faults.push(format!("the command {words} is missing"));
            continue;
        };
        for line in lines {
            count += 1;
            let flag = Flag::read(line);
            if let Some(fault) = flag.fault(command) {
                faults.push(format!("{words} --{} {fault}; the reference: {line}", flag.name));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    // A file that was emptied by mistake would pass.
    assert!(count > 250, "only {count} flags are recorded");
}

#[test]
fn a_flag_that_differs_is_told() {
    let command = Command::new("c")
        .arg(Arg::new("a").long("all").short('a').action(clap::ArgAction::SetTrue))
        .arg(Arg::new("n").long("tail").default_value("7"));
    for (line, fault) in [
        ("-a --all bool", None),
        ("--other bool", Some("is missing")),
        ("-x --all bool", Some("has the letters")),
        ("--all string", Some("takes no value")),
        ("--tail stringArray", Some("is no list")),
        ("--tail string = all", Some("has the default")),
        ("--tail string = 7", None),
    ] {
        let told = Flag::read(line).fault(&command);
        assert_eq!(told.is_some(), fault.is_some(), "{line}: {told:?}");
        assert!(told.unwrap_or_default().contains(fault.unwrap_or_default()), "{line}");
    }
}
