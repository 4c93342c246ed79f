//! What two runs of one view have in common.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::process::Output;

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Whether the program said no.
    pub(crate) fn is_refusal(&self) -> bool {
        self.code != Some(0)
    }

    /// The same without the moments in front of warnings.
    pub(crate) fn without_times(mut self) -> Self {
        let lines = self.err.lines().map(|line| match line.find("level=warning") {
            Some(start) => &line[start..],
            None => line,
        });
        self.err = lines.map(|line| format!("{line}\n")).collect();
        self
    }

    /// Whether the program broke: a crash of the reference, or its failure on its own output, is no
    /// verdict on the file.
    fn is_crash(&self) -> bool {
        self.code == Some(2) && self.err.contains("goroutine ") || self.err.contains("error calling MarshalJSON")
    }

    /// Whether both have lines with the same first words.
    pub(crate) fn has_names_of(&self, other: &Self) -> bool {
        let names = |text: &str| -> BTreeSet<String> {
            text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
        };
        self.code == other.code && names(&self.out) == names(&other.out)
    }

    /// The warnings, each once, without the time in front.
    fn warnings(&self) -> BTreeSet<&str> {
        let lines = self.err.lines().filter_map(|line| line.find("level=warning").map(|start| &line[start..]));
        lines.collect()
    }

    /// The first line that is no warning.
    fn complaint(&self) -> &str {
        self.err.lines().find(|line| !line.trim().is_empty() && !line.contains("level=warning")).unwrap_or_default()
    }
}

/// The first thing that differs, in words.
pub(crate) fn difference(ours: &Said, reference: &Said, view: &[&str]) -> Option<String> {
    if reference.is_crash() {
        return None;
    }
    if ours.code != reference.code {
        return Some(format!(
            "exit {:?} instead of {:?}\n  ours:      {}\n  reference: {}",
            ours.code,
            reference.code,
            ours.complaint(),
            reference.complaint()
        ));
    }
    if reference.is_refusal() {
        let said = ours.err.to_lowercase();
        let lost: Vec<String> =
            names(&reference.err).into_iter().filter(|name| !said.contains(&name.to_lowercase())).collect();
        return (!lost.is_empty()).then(|| {
            format!(
                "the message does not name {}\n  ours:      {}\n  reference: {}",
                lost.join(", "),
                ours.complaint(),
                reference.complaint()
            )
        });
    }
    // Lists of names come in the order of an unordered map.
    let is_list = matches!(view, [name] if !matches!(*name, "--no-interpolate"));
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if is_list {
            lines.sort();
        }
        lines
    };
    if let Some(line) = first_difference(&lines(&ours.out), &lines(&reference.out)) {
        return Some(line);
    }
    if !is_list && ours.out != reference.out {
        return Some("the ends of lines or of the text".to_owned());
    }
    let (one, two) = (ours.warnings(), reference.warnings());
    (one != two).then(|| {
        let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| a.difference(b).copied().collect::<Vec<_>>().join("\n    ");
        format!("warnings\n  ours:      {}\n  reference: {}", only(&one, &two), only(&two, &one))
    })
}

fn first_difference(ours: &[String], reference: &[String]) -> Option<String> {
    let length = ours.len().max(reference.len());
    let index = (0..length).find(|&index| ours.get(index) != reference.get(index))?;
    let show = |lines: &[String]| lines.get(index).map_or("(end)", String::as_str).to_owned();
    Some(format!("line {}\n  ours:      {}\n  reference: {}", index + 1, show(ours), show(reference)))
}

/// What a person needs to find the place: quoted words, steps of paths, names of files.
fn names(message: &str) -> BTreeSet<String> {
    const SECTIONS: [&str; 7] = ["services", "jobs", "volumes", "networks", "secrets", "configs", "models"];
    let mut found = BTreeSet::new();
    for line in message.lines().filter(|line| !line.contains("level=warning")) {
        for quote in ['"', '\'', '`'] {
            found.extend(line.split(quote).skip(1).step_by(2).map(|word| word.trim().to_owned()));
        }
        let is_part = |letter: char| letter.is_alphanumeric() || "._-/@[]".contains(letter);
        for word in line.split(|letter| !is_part(letter)) {
            let word = word.trim_end_matches('.');
            let mut steps = word.split('.');
            if steps.next().is_some_and(|first| SECTIONS.contains(&first)) {
                found.extend(steps.map(str::to_owned));
            }
            if [".yaml", ".yml", ".env"].iter().any(|end| word.ends_with(end)) {
                found.extend(word.rsplit('/').next().map(str::to_owned));
            }
        }
    }
    // A quotation that crosses another is none; single digits are in every message; punctuation
    // and the names of Go's types name nothing of the user's.
    found.retain(|name| {
        let says_something = name.chars().any(char::is_alphanumeric) && !matches!(name.as_bytes(), [b'0'..=b'9']);
        says_something && name.len() <= 80 && !name.starts_with("map[string]")
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, out: &str, err: &str) -> Said {
        Said { code: Some(code), out: out.to_owned(), err: err.to_owned() }
    }

    #[test]
    fn the_first_line_that_differs_is_shown() {
        let found = difference(&said(0, "a\nb\n", ""), &said(0, "a\nc\n", ""), &[]).unwrap();
        assert_eq!(found, "line 2\n  ours:      b\n  reference: c");
        assert_eq!(difference(&said(0, "a\n", ""), &said(0, "a\n", ""), &[]), None);
        assert_eq!(difference(&said(0, "a\n", ""), &said(0, "a\n\n", ""), &[]).unwrap().lines().next(), Some("line 2"));
    }

    #[test]
    fn lists_are_compared_in_any_order() {
        let (one, two) = (said(0, "a\nb\n", ""), said(0, "b\na\n", ""));
        assert_eq!(difference(&one, &two, &["--volumes"]), None);
        assert!(difference(&one, &two, &["--format", "json"]).is_some());
    }

    #[test]
    fn refusals_have_to_name_the_same() {
        let reference = said(1, "", "services.web.ports must be a \"list\" in /a/b/compose.yaml");
        assert_eq!(difference(&said(1, "", "compose.yaml: web: ports is no list"), &reference, &[]), None);
        let found = difference(&said(1, "", "compose.yaml: web: a list is wanted"), &reference, &[]).unwrap();
        assert!(found.contains("does not name ports"), "{found}");
        assert!(difference(&said(0, "", ""), &reference, &[]).is_some());
    }

    #[test]
    fn warnings_are_compared_without_their_time() {
        let one = said(0, "", "time=\"1\" level=warning msg=\"x\"\n");
        assert_eq!(difference(&one, &said(0, "", "time=\"2\" level=warning msg=\"x\"\n"), &[]), None);
        assert!(difference(&one, &said(0, "", ""), &[]).is_some());
    }
}
