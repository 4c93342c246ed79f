//! `deploy`, and the device requests that it shares with `gpus`.

use crate::diagnostic::Diagnostics;
use crate::project::{
    Deploy, DeviceRequest, DiscreteResource, GenericResource, Placement, PlacementPreference, Resource, Resources,
    RestartPolicy, UpdateConfig,
};

use super::fields::Fields;

pub(super) fn deploy(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Deploy {
    Deploy {
        mode: fields.text("mode"),
        replicas: fields.optional_int("replicas", diagnostics),
        labels: fields.string_map("labels"),
        update_config: fields.map("update_config", |config| update_config(config, diagnostics)),
        rollback_config: fields.map("rollback_config", |config| update_config(config, diagnostics)),
        resources: fields
            .map("resources", |resources| Resources {
                limits: resources.map("limits", |limits| resource(limits, diagnostics)),
                reservations: resources.map("reservations", |limits| resource(limits, diagnostics)),
                extensions: resources.extensions(),
            })
            .unwrap_or_default(),
        restart_policy: fields.map("restart_policy", |policy| RestartPolicy {
            condition: policy.text("condition"),
            delay: policy.duration("delay", diagnostics),
            max_attempts: policy.optional_small("max_attempts", diagnostics),
            window: policy.duration("window", diagnostics),
            extensions: policy.extensions(),
        }),
        placement: fields
            .map("placement", |placement| Placement {
                constraints: placement.texts("constraints"),
                preferences: placement.items("preferences", |preference| PlacementPreference {
                    spread: preference.text("spread"),
                    extensions: preference.extensions(),
                }),
                max_replicas_per_node: placement.small("max_replicas_per_node", diagnostics),
                extensions: placement.extensions(),
            })
            .unwrap_or_default(),
        endpoint_mode: fields.text("endpoint_mode"),
        extensions: fields.extensions(),
    }
}

fn update_config(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> UpdateConfig {
    UpdateConfig {
        parallelism: fields.optional_small("parallelism", diagnostics),
        // Zero is what the reference has where nothing is written.
        delay: fields.duration("delay", diagnostics).filter(|delay| delay.0 != 0),
        failure_action: fields.text("failure_action"),
        monitor: fields.duration("monitor", diagnostics).filter(|monitor| monitor.0 != 0),
        max_failure_ratio: fields.float("max_failure_ratio", diagnostics),
        order: fields.text("order"),
        extensions: fields.extensions(),
    }
}

fn resource(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Resource {
    Resource {
        cpus: fields.float("cpus", diagnostics),
        memory: fields.bytes("memory", diagnostics),
        pids: fields.decimal("pids", diagnostics),
        devices: device_requests(fields, "devices", diagnostics),
        generic_resources: fields.items("generic_resources", |generic| GenericResource {
            discrete_resource_spec: generic.map("discrete_resource_spec", |discrete| DiscreteResource {
                kind: discrete.text("kind"),
                value: discrete.decimal("value", diagnostics),
                extensions: discrete.extensions(),
            }),
            extensions: generic.extensions(),
        }),
        extensions: fields.extensions(),
    }
}

pub(super) fn device_requests(fields: &Fields<'_>, key: &str, diagnostics: &mut Diagnostics) -> Vec<DeviceRequest> {
    fields.items(key, |device| DeviceRequest {
        capabilities: device.texts("capabilities"),
        driver: device.text("driver"),
        count: device_count(device, diagnostics),
        device_ids: device.texts("device_ids"),
        options: device.string_map("options"),
        extensions: device.extensions(),
    })
}

/// `all` is -1.
fn device_count(device: &Fields<'_>, diagnostics: &mut Diagnostics) -> i64 {
    let Some(node) = device.node("count") else { return 0 };
    let Some(text) = node.as_str() else { return device.int("count", diagnostics) };
    if text.eq_ignore_ascii_case("all") {
        return -1;
    }
    text.parse().unwrap_or_else(|_| {
        let reason = format!("invalid value {text:?}, the only value allowed is 'all' or a number");
        device.mistake("count", node, &reason, diagnostics);
        0
    })
}
