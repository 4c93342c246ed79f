//! Paths as text: cleaned, joined, split. Nothing here asks a file system; which attributes are
//! paths is the business of `paths`.

/// Whether a path is absolute.
#[must_use]
pub fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
}

/// The shortest equal path: no `.`, no `a/..`, no double or trailing slash; `.` for nothing.
#[must_use]
pub fn clean(path: &str) -> String {
    let absolute = is_absolute(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") => parts.push(".."),
                Some(_) => {
                    parts.pop();
                }
                None if absolute => {}
                None => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// A path below a directory; an absolute path stays what it is.
#[must_use]
pub fn join(directory: &str, path: &str) -> String {
    if is_absolute(path) || directory.is_empty() { clean(path) } else { clean(&format!("{directory}/{path}")) }
}

/// The directory part.
#[must_use]
pub fn directory(path: &str) -> String {
    match path.rfind('/') {
        Some(0) => "/".to_owned(),
        Some(at) => clean(&path[..at]),
        None => ".".to_owned(),
    }
}

/// The last part; `/` for the root.
#[must_use]
pub fn base_name(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// The path from an absolute directory to an absolute path.
#[must_use]
pub fn relative(from: &str, to: &str) -> String {
    let (from, to) = (clean(from), clean(to));
    let parts = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (parts(&from), parts(&to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut out: Vec<&str> = vec![".."; from.len() - common];
    out.extend(to.iter().skip(common).map(String::as_str));
    if out.is_empty() { ".".to_owned() } else { out.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_joined_and_split() {
        for (path, expected) in
            [("", "."), ("a/../b", "b"), ("../a", "../a"), ("/../a//b/", "/a/b"), ("./", "."), ("a/../../b", "../b")]
        {
            assert_eq!(clean(path), expected, "{path:?}");
        }
        assert_eq!(join("/p", "../x"), "/x");
        assert_eq!(join("", "x"), "x");
        assert_eq!(join("sub", "./x"), "sub/x");
        assert_eq!(directory("/a/b.yaml"), "/a");
        assert_eq!(directory("/a"), "/");
        assert_eq!(directory("b"), ".");
        assert_eq!(base_name("/a/b/"), "b");
        assert_eq!(relative("/a/b", "/a/c/d"), "../c/d");
        assert_eq!(relative("/a", "/a"), ".");
    }
}
