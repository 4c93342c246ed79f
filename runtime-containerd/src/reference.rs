//! Image names: the canonical form that containerd's image store uses, and the short forms that
//! people and files use.

/// The domain and path prefix that a bare name stands for.
const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_PATH: &str = "library";

/// The long form: domain, path, and a tag or digest. Text that is no valid reference comes back
/// as `None`.
pub(crate) fn canonical(reference: &str) -> Option<String> {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let slash = name.rfind('/').map_or(0, |index| index + 1);
    let (name, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
        None => (name, None),
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => (DEFAULT_DOMAIN, name.to_owned()),
        None => (DEFAULT_DOMAIN, format!("{DEFAULT_PATH}/{name}")),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    let path = if domain == DEFAULT_DOMAIN && !path.contains('/') { format!("{DEFAULT_PATH}/{path}") } else { path };
    let component = |text: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        text.bytes().all(inner)
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric())
    };
    let domain_valid = domain.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
        && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let tag_valid = tag
        .is_none_or(|tag| !tag.is_empty() && tag.len() <= 128 && !tag.starts_with(['.', '-']) && tag.bytes().all(word));
    let digest_valid = digest.is_none_or(|digest| {
        digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    if !domain_valid || !tag_valid || !digest_valid || path.len() > 255 || !path.split('/').all(component) {
        return None;
    }
    Some(match (tag, digest) {
        (Some(tag), Some(digest)) => format!("{domain}/{path}:{tag}@{digest}"),
        (None, Some(digest)) => format!("{domain}/{path}@{digest}"),
        (tag, None) => format!("{domain}/{path}:{}", tag.unwrap_or("latest")),
    })
}

/// Every form under which a stored name may be written, the shortest one first.
pub(crate) fn spellings(stored: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(path) = stored.strip_prefix(DEFAULT_DOMAIN).and_then(|rest| rest.strip_prefix('/')) {
        if let Some(short) = path.strip_prefix(DEFAULT_PATH).and_then(|rest| rest.strip_prefix('/')) {
            names.push(short.to_owned());
        }
        names.push(path.to_owned());
        if let Some(short) = names.first().filter(|first| first.as_str() != path) {
            names.push(format!("{DEFAULT_DOMAIN}/{short}"));
        }
    }
    names.push(stored.to_owned());
    let untagged: Vec<String> =
        names.iter().filter_map(|name| name.strip_suffix(":latest")).map(str::to_owned).collect();
    names.extend(untagged);
    names
}

/// The form that people read.
pub(crate) fn familiar(stored: &str) -> String {
    spellings(stored).into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_canonical_as_the_other_clients_store_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (given, wanted) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("shop/web:7", "docker.io/shop/web:7"),
            ("localhost/web", "localhost/web:latest"),
            ("registry.example:5000/a/b:1", "registry.example:5000/a/b:1"),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(wanted), "{given}");
        }
        assert_eq!(canonical(&format!("a@{digest}")), Some(format!("docker.io/library/a@{digest}")));
        for wrong in ["", "UPPER", "a b", "../x", "a/../b", "a:", "a@sha256:12", "a//b", "-a", "a:\"x"] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_spelling_of_a_stored_name_leads_back_to_it() {
        for stored in ["docker.io/library/busybox:latest", "docker.io/shop/web:7", "localhost/x:latest"] {
            for spelling in spellings(stored) {
                assert_eq!(canonical(&spelling).as_deref(), Some(stored), "{spelling}");
            }
        }
        assert_eq!(familiar("docker.io/library/busybox:latest"), "busybox:latest");
    }
}
