//! Short mount forms: `[SOURCE:]TARGET[:OPTION,...]`.

use crate::tree::{Entry, Node, Origin, Scalar, Value};

use super::mapping_of;

/// A short form, split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShortMount {
    source: String,
    target: String,
    read_only: bool,
    nocopy: bool,
    selinux: String,
    propagation: String,
    /// One or two characters are a target and nothing else.
    tiny: bool,
}

impl ShortMount {
    pub(super) fn into_node(self, origin: &Origin) -> Node {
        let is_bind = is_file_path(&self.source);
        let mut entries = vec![("type", Scalar::text(if is_bind { "bind" } else { "volume" }))];
        if !self.source.is_empty() {
            entries.push(("source", Scalar::text(self.source)));
        }
        entries.push(("target", Scalar::text(clean_path(&self.target))));
        if self.read_only {
            entries.push(("read_only", Scalar::bool(true)));
        }
        let mut node = mapping_of(origin, entries);
        let mut add = |key: &str, value: Node| {
            if let Value::Mapping(mapping) = &mut node.value {
                mapping.insert(key.into(), Entry { key: origin.clone(), value });
            }
        };
        let mut bind = Vec::new();
        if !self.selinux.is_empty() {
            bind.push(("selinux", Scalar::text(self.selinux)));
        }
        if !self.propagation.is_empty() {
            bind.push(("propagation", Scalar::text(self.propagation)));
        }
        if is_bind {
            bind.push(("create_host_path", Scalar::bool(true)));
        }
        if !bind.is_empty() {
            add("bind", mapping_of(origin, bind));
        }
        if self.nocopy {
            add("volume", mapping_of(origin, [("nocopy", Scalar::bool(true))]));
        } else if !is_bind && !self.tiny {
            add("volume", mapping_of(origin, []));
        }
        node
    }
}

/// Splits a short form. The error is the reference's message.
pub(super) fn parse(spec: &str) -> Result<ShortMount, String> {
    match spec.len() {
        0 => return Err("invalid empty volume spec".to_owned()),
        1 | 2 => return Ok(ShortMount { target: spec.to_owned(), tiny: true, ..ShortMount::default() }),
        _ => {}
    }
    let mut mount = ShortMount::default();
    let mut start = 0;
    let mut depth = 0_usize;
    let bytes = spec.as_bytes();
    for index in 0..=bytes.len() {
        let byte = bytes.get(index).copied();
        match byte {
            // A colon inside `${X:-y}` (kept by --no-interpolate) separates nothing.
            Some(b'{') if index > 0 && bytes.get(index - 1) == Some(&b'$') => depth += 1,
            Some(b'}') => depth = depth.saturating_sub(1),
            Some(b':') if depth > 0 => {}
            Some(b':') | None => {
                let part = &spec[start..index];
                if byte.is_some() && is_drive_letter(part) {
                    continue;
                }
                fill(&mut mount, part, byte.is_none()).map_err(|error| format!("invalid spec: {spec}: {error}"))?;
                start = index + 1;
            }
            Some(_) => {}
        }
    }
    Ok(mount)
}

fn fill(mount: &mut ShortMount, part: &str, last: bool) -> Result<(), &'static str> {
    if part.is_empty() {
        return Err("empty section between colons");
    }
    if mount.source.is_empty() {
        if last {
            part.clone_into(&mut mount.target);
        } else {
            part.clone_into(&mut mount.source);
        }
        return Ok(());
    }
    if mount.target.is_empty() {
        part.clone_into(&mut mount.target);
        return Ok(());
    }
    if !last {
        return Err("too many colons");
    }
    for option in part.split(',') {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.nocopy = true,
            "z" | "Z" => option.clone_into(&mut mount.selinux),
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                option.clone_into(&mut mount.propagation);
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_drive_letter(part: &str) -> bool {
    let mut characters = part.chars();
    characters.next().is_some_and(char::is_alphabetic) && characters.next().is_none()
}

/// Whether a mount source names a path of the host rather than a volume.
fn is_file_path(source: &str) -> bool {
    if source.starts_with(['.', '/', '~']) || source.starts_with(r"\\") {
        return true;
    }
    source.split_once(':').is_some_and(|(drive, _)| is_drive_letter(drive))
}

/// A slash-separated path in its shortest form, as Go's `path.Clean`; empty stays empty.
#[must_use]
pub(crate) fn clean_path(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !rooted => parts.push(".."),
                _ => {
                    parts.pop();
                }
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_as_go_cleans_it() {
        for (path, clean) in [
            ("/a//b/../c/", "/a/c"),
            ("/..", "/"),
            ("./x/", "x"),
            ("..", ".."),
            ("a/../..", ".."),
            ("./", "."),
            ("", ""),
        ] {
            assert_eq!(clean_path(path), clean, "{path}");
        }
    }

    #[test]
    fn a_short_mount_is_split_or_refused_as_the_reference_does() {
        let shown = |spec: &str| match parse(spec) {
            Err(message) => message,
            Ok(mount) => {
                format!("{}|{}|{}{}{}", mount.source, mount.target, mount.read_only, mount.selinux, mount.propagation)
            }
        };
        for (spec, expected) in [
            ("/a", "|/a|false"),
            ("./a:/b:ro,z", "./a|/b|truez"),
            ("vol:/b:rshared,foo", "vol|/b|falsershared"),
            ("v:/v", "|v:/v|false"),
            ("C:\\x:/v", "C:\\x|/v|false"),
            ("${A:-/b}/c:/d", "${A:-/b}/c|/d|false"),
            (":/x", "invalid spec: :/x: empty section between colons"),
            ("/a:/b:ro:z", "invalid spec: /a:/b:ro:z: too many colons"),
            ("", "invalid empty volume spec"),
        ] {
            assert_eq!(shown(spec), expected, "{spec}");
        }
    }
}
