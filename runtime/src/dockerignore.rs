//! `.dockerignore`: which files of a build context are left out.
//!
//! The rules are not those of `.gitignore`: a pattern without a slash matches at the root only,
//! the last pattern that matches wins, and `!` brings back what lies below a left-out directory.
//! `ignore` and `include` of `develop.watch` have the same form.

use crate::RuntimeError;
use crate::error::Result;
use regex::Regex;

/// The patterns of a `.dockerignore` file.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<(Regex, bool)>,
}

impl Ignore {
    /// Reads patterns, one a line.
    ///
    /// # Errors
    /// A line is no pattern; the message names it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut patterns = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (line, back) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
            let clean = clean(line);
            if line.is_empty() || clean.is_empty() {
                continue;
            }
            let regex = Regex::new(&expression(&clean)).map_err(|_| RuntimeError::Invalid {
                message: format!(".dockerignore:{}: `{line}` is no valid pattern", number + 1),
            })?;
            patterns.push((regex, back));
        }
        Ok(Self { patterns })
    }

    /// Whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether some pattern brings something back, so that left-out directories must be searched.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|(_, back)| *back)
    }

    /// Whether a path (relative, with slashes) is left out.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        let mut out = false;
        for (regex, back) in &self.patterns {
            if *back == out && matches(regex, path) {
                out = !back;
            }
        }
        out
    }
}

/// A pattern matches a path or any directory above it.
fn matches(regex: &Regex, path: &str) -> bool {
    let above = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
    above.chain([path]).any(|path| regex.is_match(path))
}

/// As Go's `filepath.Clean`, without a leading slash.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn expression(pattern: &str) -> String {
    let mut expression = String::from("^");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                if rest.peek() == Some(&'/') {
                    rest.next();
                }
                expression.push_str(if rest.peek().is_none() { ".*" } else { "(.*/)?" });
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '\\' => expression.push_str(&regex::escape(&rest.next().unwrap_or('\\').to_string())),
            '[' | ']' => expression.push(character),
            '^' | '-' => expression.push(character),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_leave_out_what_docker_leaves_out() {
        let table: &[(&str, &str, bool)] = &[
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a", "a", true),
            ("**/a", "b/c/a", true),
            ("**/a", "a", true),
            ("*.log", "x.log", true),
            ("*.log", "d/x.log", false),
            ("*/x", "d/x", true),
            ("*/x", "d/e/x", false),
            ("d/**", "d/e/x", true),
            ("d/**/x", "d/x", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[ab]", "b", true),
            ("a.c", "abc", false),
            ("# x\n\n./d/", "d/y", true),
            ("*\n!keep", "keep", false),
            ("*\n!keep", "other", true),
            ("d\n!d/keep", "d/keep", false),
            ("d\n!d/keep", "d/other", true),
            ("!x\nx", "x", true),
            ("*.md\n!R*.md\nRSECRET.md", "RSECRET.md", true),
            ("*.md\n!R*.md\nRSECRET.md", "README.md", false),
        ];
        for (patterns, path, out) in table {
            assert_eq!(Ignore::parse(patterns).expect("patterns").leaves_out(path), *out, "{patterns:?} on {path}");
        }
        assert!(Ignore::parse("ok\n[").expect_err("no pattern").to_string().contains(".dockerignore:2"));
    }
}
