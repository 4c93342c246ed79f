//! `volumes` and `ports` of a service, in their long forms.

use crate::diagnostic::Diagnostics;
use crate::project::{BindOptions, ImageOptions, Mount, Port, TmpfsOptions, VolumeOptions};
use crate::tree::Typed;

use super::fields::Fields;

pub(super) fn mounts(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Vec<Mount> {
    fields.items("volumes", |mount| Mount {
        kind: mount.text("type"),
        source: mount.text("source"),
        target: mount.text("target"),
        read_only: mount.flag("read_only", diagnostics),
        consistency: mount.text("consistency"),
        bind: mount.map("bind", |bind| BindOptions {
            selinux: bind.text("selinux"),
            propagation: bind.text("propagation"),
            create_host_path: bind.optional_flag("create_host_path", diagnostics),
            recursive: bind.text("recursive"),
            extensions: bind.extensions(),
        }),
        volume: mount.map("volume", |volume| VolumeOptions {
            labels: volume.string_map("labels"),
            nocopy: volume.flag("nocopy", diagnostics),
            subpath: volume.text("subpath"),
            extensions: volume.extensions(),
        }),
        tmpfs: mount.map("tmpfs", |tmpfs| TmpfsOptions {
            size: tmpfs.bytes("size", diagnostics),
            mode: tmpfs.unsigned("mode", "uint32", diagnostics),
            extensions: tmpfs.extensions(),
        }),
        image: mount
            .map("image", |image| ImageOptions { subpath: image.text("subpath"), extensions: image.extensions() }),
        extensions: mount.extensions(),
    })
}

pub(super) fn ports(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Vec<Port> {
    fields.items("ports", |port| {
        if let Some(node) = port.node("published")
            && node.as_scalar().is_some_and(|scalar| matches!(scalar.typed, Typed::Float(_)))
        {
            let reason = "expected type 'string', got unconvertible type 'float64'";
            port.mistake("published", node, reason, diagnostics);
        }
        Port {
            name: port.text("name"),
            mode: port.text("mode"),
            host_ip: port.text("host_ip"),
            target: port.small("target", diagnostics),
            published: port.text("published"),
            protocol: port.text("protocol"),
            app_protocol: port.text("app_protocol"),
            extensions: port.extensions(),
        }
    })
}
