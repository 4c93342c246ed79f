//! Image references: their parts, and every way to write the same one.

/// A reference, taken apart. `busybox` has the parts `docker.io`, `library/busybox`, `latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) registry: String,
    pub(crate) repository: String,
    /// Empty where a digest alone is given.
    pub(crate) tag: String,
    /// `sha256:...`, or empty.
    pub(crate) digest: String,
}

impl Reference {
    pub(crate) fn parse(text: &str) -> Self {
        let (name, digest) = text.split_once('@').unwrap_or((text, ""));
        let (name, tag) = match name.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => (before, tag),
            _ => (name, ""),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => ("docker.io", name),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let repository = if registry == "docker.io" && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        let tag = if tag.is_empty() && digest.is_empty() { "latest" } else { tag };
        Self { registry: registry.to_owned(), repository, tag: tag.to_owned(), digest: digest.to_owned() }
    }

    /// The name without tag and digest, as the engine prints it.
    pub(crate) fn familiar(&self) -> String {
        if self.registry == "docker.io" {
            self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned()
        } else {
            format!("{}/{}", self.registry, self.repository)
        }
    }

    /// All names that stand for the same, without tag and digest.
    fn names(&self) -> Vec<String> {
        let mut names = vec![format!("{}/{}", self.registry, self.repository)];
        if self.registry == "docker.io" {
            names.push(format!("index.docker.io/{}", self.repository));
            names.push(self.repository.clone());
            if let Some(short) = self.repository.strip_prefix("library/") {
                names.push(short.to_owned());
                names.push(format!("docker.io/{short}"));
                names.push(format!("index.docker.io/{short}"));
            }
        }
        names
    }

    /// Every way to write it.
    pub(crate) fn spellings(&self) -> Vec<String> {
        let mut spellings = Vec::new();
        for name in self.names() {
            if !self.digest.is_empty() {
                spellings.push(format!("{name}@{}", self.digest));
                if !self.tag.is_empty() {
                    spellings.push(format!("{name}:{}@{}", self.tag, self.digest));
                }
                continue;
            }
            spellings.push(format!("{name}:{}", self.tag));
            if self.tag == "latest" {
                spellings.push(name);
            }
        }
        spellings
    }

    /// The key that Docker's configuration has the registry's credentials under.
    pub(crate) fn credentials_key(&self) -> &str {
        if self.registry == "docker.io" { "https://index.docker.io/v1/" } else { &self.registry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart_as_the_engine_does() {
        let of = |text: &str| {
            let reference = Reference::parse(text);
            format!("{} {} {} {}", reference.registry, reference.repository, reference.tag, reference.digest)
        };
        assert_eq!(of("busybox"), "docker.io library/busybox latest ");
        assert_eq!(of("me/app:7"), "docker.io me/app 7 ");
        assert_eq!(of("localhost/app"), "localhost app latest ");
        assert_eq!(of("host:5000/a/b"), "host:5000 a/b latest ");
        assert_eq!(of("host:5000/a/b:1@sha256:ff"), "host:5000 a/b 1 sha256:ff");
        assert_eq!(of("busybox@sha256:ff"), "docker.io library/busybox  sha256:ff");
        assert_eq!(Reference::parse("index.docker.io/library/busybox").familiar(), "busybox");
        assert_eq!(Reference::parse("me/app").credentials_key(), "https://index.docker.io/v1/");
    }

    #[test]
    fn a_tag_is_found_in_every_spelling() {
        let all = Reference::parse("busybox:latest").spellings();
        for spelling in [
            "busybox",
            "busybox:latest",
            "library/busybox",
            "docker.io/busybox:latest",
            "docker.io/library/busybox:latest",
        ] {
            assert!(all.iter().any(|one| one == spelling), "{spelling}");
        }
        assert_eq!(Reference::parse("host:5000/a:1").spellings(), ["host:5000/a:1"]);
    }
}
