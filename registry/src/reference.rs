//! Image references: registry, repository, tag and digest, taken apart and checked.

use std::fmt;

use crate::digest::is_digest;
use crate::error::{RegistryError, Result};

/// The registry of names without one.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// The repository prefix of Docker Hub's names with one component.
const LIBRARY: &str = "library/";
/// The key of Docker's configuration for Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Longest repository.
const LONGEST_REPOSITORY: usize = 255;

/// A reference to an image or artifact. `busybox` is `docker.io/library/busybox:latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `host[:port]`.
    pub registry: String,
    /// The repository's path.
    pub repository: String,
    /// The tag; `latest` where neither tag nor digest is written.
    pub tag: Option<String>,
    /// `sha256:...`.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a reference by the rules of the distribution project.
    ///
    /// # Errors
    /// [`RegistryError::InvalidReference`].
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason| RegistryError::InvalidReference { text: text.to_owned(), reason };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let slash = name.rfind('/').map_or(0, |index| index + 1);
        let (name, tag) = match name[slash..].find(':') {
            Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
            None => (name, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.chars().any(|letter| letter.is_ascii_uppercase()) =>
            {
                (first, rest.to_owned())
            }
            _ => (DOCKER_HUB, name.to_owned()),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        let repository = if registry == DOCKER_HUB && !repository.contains('/') {
            format!("{LIBRARY}{repository}")
        } else {
            repository
        };
        if !is_registry(registry) {
            return Err(invalid("the registry is no host with an optional port"));
        }
        if repository.len() > LONGEST_REPOSITORY || !repository.split('/').all(is_component) {
            return Err(invalid(if repository.chars().any(|letter| letter.is_ascii_uppercase()) {
                "the repository must be lowercase"
            } else {
                "the repository is not made of lowercase letters, digits and single separators"
            }));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid("the tag is not made of at most 128 letters, digits, `_`, `.` and `-`"));
        }
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(invalid("the digest is not `sha256:` and 64 digits"));
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest: digest.map(str::to_owned) })
    }

    /// The same repository at a digest.
    #[must_use]
    pub fn at(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), tag: None, ..self.clone() }
    }

    /// What is asked for in the registry: the digest, else the tag.
    #[must_use]
    pub fn selector(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// The host that speaks for the registry.
    pub(crate) fn host(&self) -> &str {
        if self.registry == DOCKER_HUB { "registry-1.docker.io" } else { &self.registry }
    }

    /// The key that Docker's configuration has the registry's credentials under.
    #[must_use]
    pub fn credentials_key(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_KEY } else { &self.registry }
    }

    /// The shortest way to write it: without `docker.io/` and `library/`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        match full.strip_prefix(DOCKER_HUB).and_then(|rest| rest.strip_prefix('/')) {
            Some(path) => path.strip_prefix(LIBRARY).unwrap_or(path).to_owned(),
            None => full,
        }
    }
}

/// The canonical long form.
impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label)
        && port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// Lowercase letters and digits; between them one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends =
        bytes.first().is_some_and(|byte| alphanumeric(*byte)) && bytes.last().is_some_and(|byte| alphanumeric(*byte));
    ends && bytes.iter().all(|byte| alphanumeric(*byte) || b"._-".contains(byte))
        && text
            .split(|letter: char| letter.is_ascii_alphanumeric())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty() && text.len() <= 128 && !text.starts_with(['.', '-']) && text.bytes().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_the_distribution_project_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, canonical, familiar) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("shop/web:7", "docker.io/shop/web:7", "shop/web:7"),
            ("localhost/web", "localhost/web:latest", "localhost/web:latest"),
            ("registry.example:5000/a/b:1", "registry.example:5000/a/b:1", "registry.example:5000/a/b:1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest", "a__b/c--d.e:latest"),
        ] {
            let read = Reference::parse(text).expect(text);
            assert_eq!((read.to_string(), read.familiar()), (canonical.to_owned(), familiar.to_owned()), "{text}");
        }
        let pinned = Reference::parse(&format!("a:1@{digest}")).expect("pinned");
        assert_eq!((pinned.tag.as_deref(), pinned.selector()), (Some("1"), digest.as_str()));
        assert_eq!(Reference::parse(&format!("a@{digest}")).expect("pinned").tag, None);
    }

    #[test]
    fn what_could_leave_its_place_is_no_reference() {
        for wrong in [
            "",
            "UPPER",
            "a b",
            "../x",
            "a/../b",
            "a/./b",
            "a:",
            "a@sha256:12",
            "a//b",
            "-a",
            "a:\"x",
            "a..b",
            "a___b",
            "host:99999/a",
            "host:/a",
            "[::1/a",
            "a\n",
            "a?b=c",
            "a#b",
            "user@host/a",
            "https://host/a",
            "a/b:c/d",
            "é/a",
            ".",
            "host.example:5000/",
            "a:../b",
        ] {
            assert!(Reference::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn docker_hub_has_a_host_and_a_key_of_its_own() {
        let hub = Reference::parse("busybox").expect("read");
        assert_eq!((hub.host(), hub.credentials_key()), ("registry-1.docker.io", "https://index.docker.io/v1/"));
    }
}
