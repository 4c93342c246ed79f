//! Repositories, by the `git` program: `https://host/x.git#ref:folder`, `git@host:x.git`, `ssh://`,
//! `git://`, `github.com/owner/x`.

use std::path::{Component, Path};
use std::process::{Command, Output, Stdio};

use super::{cache, complete, text_of};
use crate::environment::Environment;

/// Names of a Compose file in a folder, best first.
const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Where in which repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GitReference {
    /// As it was written.
    text: String,
    /// What `git` is given.
    remote: String,
    /// Branch, tag or commit; the default branch if empty.
    revision: String,
    /// Folder or file in the repository.
    path: String,
}

impl GitReference {
    /// Reads a reference; `None` if the text is none, an error if it is one that contradicts itself.
    pub(super) fn parse(text: &str) -> Option<Result<Self, String>> {
        let (location, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (location, query) = location.split_once('?').unwrap_or((location, ""));
        let remote = if location.starts_with("github.com/") {
            format!("https://{location}")
        } else if let Some((scheme, _)) = location.split_once("://") {
            let ends_well = location.ends_with(".git");
            match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" if ends_well => location.to_owned(),
                "ssh" | "git" => location.to_owned(),
                _ => return None,
            }
        } else {
            let (user, rest) = location.split_once('@')?;
            let (host, path) = rest.split_once(':')?;
            let is_word = |text: &str, more: &str| {
                let letter = |letter: char| letter.is_ascii_alphanumeric() || more.contains(letter);
                !text.is_empty() && !text.starts_with('-') && text.chars().all(letter)
            };
            if !is_word(user, "-_") || !is_word(host, "-.") || path.is_empty() {
                return None;
            }
            location.to_owned()
        };
        let (revision, path) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut reference =
            Self { text: text.to_owned(), remote, revision: revision.to_owned(), path: path.to_owned() };
        Some(reference.add_query(query).map(|()| reference))
    }

    /// `?ref=`, `?branch=`, `?tag=`, `?commit=`, `?subdir=`.
    fn add_query(&mut self, query: &str) -> Result<(), String> {
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let (place, value) = match key {
                "ref" | "commit" | "checksum" => (&mut self.revision, value.to_owned()),
                "tag" => (&mut self.revision, format!("refs/tags/{}", value.trim_start_matches("refs/tags/"))),
                "branch" => (&mut self.revision, format!("refs/heads/{}", value.trim_start_matches("refs/heads/"))),
                "subdir" => (&mut self.path, value.to_owned()),
                "keep-git-dir" | "submodules" => continue,
                _ => return Err(format!("unexpected query {key:?} in {}", self.text)),
            };
            if !place.is_empty() && *place != value {
                return Err(format!("{}: {key} conflicts: {place:?} vs {value:?}", self.text));
            }
            *place = value;
        }
        Ok(())
    }

    /// Fetches the commit if it is not there, and gives the path of the Compose file.
    pub(super) fn fetch(&self, environment: &Environment) -> Result<String, String> {
        let commit = self.commit(environment)?;
        let place = cache(environment)?.join(&commit);
        complete(&place, |folder| self.check_out(&commit, folder, environment))?;
        let mut path = place.clone();
        for part in Path::new(&self.path).components() {
            match part {
                Component::Normal(name) => path.push(name),
                // Never above the repository.
                Component::ParentDir if path != place => _ = path.pop(),
                _ => {}
            }
        }
        let missing = |path: &Path| format!("{}: stat {}: no such file or directory", self.text, path.display());
        let real = path.canonicalize().map_err(|_| missing(&path))?;
        if !place.canonicalize().is_ok_and(|place| real.starts_with(place)) {
            return Err(format!("{}: {} leads out of the repository", self.text, self.path));
        }
        if path.is_dir() {
            let found = FILE_NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file());
            path = found.ok_or_else(|| format!("{}: no Compose file in {}", self.text, path.display()))?;
        }
        text_of(&path)
    }

    /// The commit that the revision names now.
    fn commit(&self, environment: &Environment) -> Result<String, String> {
        if is_commit(&self.revision) {
            return Ok(self.revision.clone());
        }
        let revision = if self.revision.is_empty() { "HEAD" } else { &self.revision };
        let output = git(environment, &["ls-remote", "--exit-code", "--", &self.remote, revision], None)?;
        let said = String::from_utf8_lossy(&output.stdout);
        match output.status.code() {
            Some(0) => {}
            Some(2) => {
                return Err(format!(
                    "repository does not contain ref {}, output: {:?}: exit status 2",
                    self.text,
                    said.trim()
                ));
            }
            _ => {
                let reason = String::from_utf8_lossy(&output.stderr);
                return Err(format!("failed to access repository at {}:\n {}", self.remote, reason.trim_end()));
            }
        }
        // The pattern is compared with the ends of names, hence others may be listed too.
        let lines: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once('\t')).collect();
        let names = ["", "refs/", "refs/tags/", "refs/heads/"].map(|above| format!("{above}{revision}"));
        let found = names.iter().find_map(|name| lines.iter().find(|(_, known)| known == name));
        match found {
            Some((commit, _)) if is_commit(commit) => Ok((*commit).to_owned()),
            _ => Err(format!("unexpected git command output: {said:?}")),
        }
    }

    fn check_out(&self, commit: &str, folder: &Path, environment: &Environment) -> Result<(), String> {
        let steps: [&[&str]; 4] = [
            &["init", "--quiet"],
            &["remote", "add", "origin", &self.remote],
            &["fetch", "--quiet", "--depth=1", "origin", commit],
            &["checkout", "--quiet", commit],
        ];
        for step in steps {
            let output = git(environment, step, Some(folder))?;
            if !output.status.success() {
                let reason = String::from_utf8_lossy(&output.stderr);
                return Err(format!("cannot fetch {}: git {}: {}", self.text, step[0], reason.trim_end()));
            }
        }
        Ok(())
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn git(environment: &Environment, arguments: &[&str], folder: Option<&Path>) -> Result<Output, String> {
    let mut command = Command::new("git");
    command.args(arguments).stdin(Stdio::null());
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    // Nobody is asked for a password in the middle of loading, unless the user wants it.
    if environment.get("GIT_TERMINAL_PROMPT").is_none() {
        command.env("GIT_TERMINAL_PROMPT", "0");
    }
    if environment.get("GIT_SSH").is_none() && environment.get("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", "ssh -o ControlMaster=no -o BatchMode=yes");
    }
    command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "git is not installed; it is needed for files in repositories".to_owned(),
        _ => format!("cannot run git: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match GitReference::parse(text) {
            None => "none".to_owned(),
            Some(Err(message)) => message,
            Some(Ok(found)) => format!("{} | {} | {}", found.remote, found.revision, found.path),
        }
    }

    #[test]
    fn references_are_told_from_paths() {
        for (text, expected) in [
            ("https://h/x.git", "https://h/x.git |  | "),
            ("https://h/x.git#v1", "https://h/x.git | v1 | "),
            ("https://h/x.git#v1:a/b.yaml", "https://h/x.git | v1 | a/b.yaml"),
            ("https://h/x.git#:a", "https://h/x.git |  | a"),
            ("https://h/x.git?tag=v1&subdir=a", "https://h/x.git | refs/tags/v1 | a"),
            ("https://h/x.git?ref=a#b", "https://h/x.git?ref=a#b: ref conflicts: \"b\" vs \"a\""),
            ("git@h:o/x.git#main", "git@h:o/x.git | main | "),
            ("ssh://git@h/x", "ssh://git@h/x |  | "),
            ("github.com/o/x", "https://github.com/o/x |  | "),
            ("https://h/x", "none"),
            ("ftp://h/x.git", "none"),
            ("file:///x.git", "none"),
            ("git@h", "none"),
            ("-x@h:y", "none"),
            ("./a@b:c", "none"),
            ("compose.yaml", "none"),
            ("C:\\x\\compose.yaml", "none"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
