//! Networks, volumes, secrets, configs, models.

use crate::diagnostic::Diagnostics;
use crate::project::{Extensions, FileObject, Ipam, IpamPool, Model, Network, Volume};

use super::fields::Fields;

pub(super) fn network(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Network {
    Network {
        name: fields.text("name"),
        driver: fields.text("driver"),
        driver_opts: fields.string_map("driver_opts"),
        ipam: fields.map("ipam", ipam).unwrap_or_default(),
        external: fields.flag("external", diagnostics),
        internal: fields.flag("internal", diagnostics),
        attachable: fields.flag("attachable", diagnostics),
        labels: fields.string_map("labels"),
        enable_ipv4: fields.optional_flag("enable_ipv4", diagnostics),
        enable_ipv6: fields.optional_flag("enable_ipv6", diagnostics),
        extensions: fields.extensions(),
    }
}

fn ipam(fields: &Fields<'_>) -> Ipam {
    Ipam {
        driver: fields.text("driver"),
        config: fields.items("config", |pool| IpamPool {
            subnet: pool.text("subnet"),
            gateway: pool.text("gateway"),
            ip_range: pool.text("ip_range"),
            aux_addresses: pool.string_map("aux_addresses"),
            // The reference forgets these.
            extensions: Extensions::new(),
        }),
        options: fields.string_map("options"),
        extensions: fields.extensions(),
    }
}

pub(super) fn volume(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Volume {
    Volume {
        name: fields.text("name"),
        driver: fields.text("driver"),
        driver_opts: fields.string_map("driver_opts"),
        external: fields.flag("external", diagnostics),
        labels: fields.string_map("labels"),
        extensions: fields.extensions(),
    }
}

pub(super) fn file_object(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> FileObject {
    FileObject {
        name: fields.text("name"),
        file: fields.text("file"),
        environment: fields.text("environment"),
        content: fields.text("content"),
        external: fields.flag("external", diagnostics),
        labels: fields.string_map("labels"),
        driver: fields.text("driver"),
        driver_opts: fields.strict_map("driver_opts", diagnostics),
        template_driver: fields.text("template_driver"),
        extensions: fields.extensions(),
    }
}

pub(super) fn model(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Model {
    Model {
        name: fields.text("name"),
        model: fields.text("model"),
        context_size: fields.int("context_size", diagnostics),
        runtime_flags: fields.texts("runtime_flags"),
        extensions: fields.extensions(),
    }
}
