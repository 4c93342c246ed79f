//! `build` and `develop`.

use crate::diagnostic::Diagnostics;
use crate::project::{Build, Develop, SshKey, WatchRule};
use crate::tree::Node;

use super::container::{file_references, hook};
use super::fields::Fields;

pub(super) fn build(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Build {
    let mut ssh: Vec<SshKey> = Vec::new();
    for (id, entry) in fields.node("ssh").and_then(Node::as_mapping).into_iter().flatten() {
        let path = entry.value.as_scalar().map(|path| path.to_text().to_string()).unwrap_or_default();
        ssh.push(SshKey { id: id.to_string(), path });
    }
    ssh.sort_by(|a, b| a.id.cmp(&b.id));
    Build {
        context: fields.text("context"),
        dockerfile: fields.text("dockerfile"),
        dockerfile_inline: fields.text("dockerfile_inline"),
        entitlements: fields.texts("entitlements"),
        args: fields.environment("args", diagnostics),
        provenance: fields.text("provenance"),
        sbom: fields.text("sbom"),
        ssh,
        labels: fields.string_map("labels"),
        cache_from: fields.texts("cache_from"),
        cache_to: fields.texts("cache_to"),
        no_cache: fields.flag("no_cache", diagnostics),
        no_cache_filter: fields.texts("no_cache_filter"),
        additional_contexts: fields.string_map("additional_contexts"),
        pull: fields.flag("pull", diagnostics),
        extra_hosts: fields.hosts("extra_hosts", diagnostics),
        isolation: fields.text("isolation"),
        network: fields.text("network"),
        target: fields.text("target"),
        secrets: file_references(fields, "secrets", diagnostics),
        shm_size: fields.bytes("shm_size", diagnostics),
        tags: fields.texts("tags"),
        ulimits: fields.ulimits(diagnostics),
        platforms: fields.texts("platforms"),
        privileged: fields.flag("privileged", diagnostics),
        extensions: fields.extensions(),
    }
}

pub(super) fn develop(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Develop {
    Develop {
        watch: fields.items("watch", |rule| WatchRule {
            path: rule.text("path"),
            action: rule.text("action"),
            target: rule.text("target"),
            exec: rule.map("exec", |exec| hook(exec, diagnostics)),
            include: rule.texts("include"),
            ignore: rule.texts("ignore"),
            initial_sync: rule.flag("initial_sync", diagnostics),
            extensions: rule.extensions(),
        }),
        extensions: fields.extensions(),
    }
}
