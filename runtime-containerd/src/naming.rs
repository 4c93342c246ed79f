//! Names of containers, which containerd does not know, and of hosts.

use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::Outcome;

use crate::core::Core;
use crate::record::{NAME, label};

/// Names that containers may have, as dockerd's.
pub(crate) fn valid_name(name: &str) -> bool {
    (2..=200).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// What becomes part of a line in `hosts` or `resolv.conf` must not make a line of its own.
pub(crate) fn one_line_each(spec: &ContainerSpec) -> Result<()> {
    let single = [&spec.hostname, &spec.domainname];
    let lists = [&spec.extra_hosts, &spec.dns, &spec.dns_search, &spec.dns_opt];
    let aliases = spec.networks.iter().flat_map(|endpoint| endpoint.aliases.iter());
    let mut all = single.into_iter().chain(lists.into_iter().flatten()).chain(aliases);
    match all.find(|text| text.chars().any(char::is_control)) {
        Some(text) => Err(RuntimeError::Invalid { message: format!("{text:?} is no host name: it has a line break") }),
        None => Ok(()),
    }
}

impl Core {
    pub(crate) async fn name_is_free(&self, name: &str) -> Result<()> {
        let holders = self.records(&[format!("labels.\"{NAME}\"==\"{name}\"")]).await?;
        match holders.first() {
            None => Ok(()),
            Some(holder) => Err(RuntimeError::Conflict {
                message: format!("the container name \"{name}\" is already in use by container {}", holder.id),
            }),
        }
    }

    /// Renames a container.
    pub(crate) async fn rename_container(&self, container: &str, to: &str) -> Result<Outcome> {
        if !valid_name(to) {
            return Err(RuntimeError::Invalid { message: format!("`{to}` is no valid container name") });
        }
        let found = self.find(container).await?;
        if label(&found, NAME) == to {
            return Ok(Outcome::AlreadySo);
        }
        let _names = self.lock_names().await?;
        self.name_is_free(to).await?;
        self.set_labels(&found.id, &[(NAME, Some(to.to_owned()))]).await?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_have_no_line_breaks() {
        let of = |host: &str| ContainerSpec { extra_hosts: vec![host.to_owned()], ..ContainerSpec::default() };
        assert!(one_line_each(&of("a:1.2.3.4")).is_ok());
        let error = one_line_each(&of("a\n6.6.6.6 bank:1.2.3.4")).unwrap_err().to_string();
        assert!(error.contains("a\\n6.6.6.6"), "{error}");
    }

    #[test]
    fn container_names_cannot_be_paths_or_filters() {
        assert!(valid_name("shop-web-1"));
        for wrong in ["", "a", "../x", "a\"b", "-a", "a/b"] {
            assert!(!valid_name(wrong), "{wrong}");
        }
    }
}
