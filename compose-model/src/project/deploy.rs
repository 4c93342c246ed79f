//! `deploy`, and the requests for devices that it shares with `gpus`.

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Duration};

use super::{Extensions, StringMap, is_zero};

/// `deploy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct Deploy {
    #[serde(skip_serializing_if = "is_zero")]
    pub mode: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: Option<i64>,
    #[serde(skip_serializing_if = "is_zero")]
    pub labels: StringMap,
    #[serde(skip_serializing_if = "is_zero")]
    pub update_config: Option<UpdateConfig>,
    #[serde(skip_serializing_if = "is_zero")]
    pub rollback_config: Option<UpdateConfig>,
    pub resources: Resources,
    #[serde(skip_serializing_if = "is_zero")]
    pub restart_policy: Option<RestartPolicy>,
    pub placement: Placement,
    #[serde(skip_serializing_if = "is_zero")]
    pub endpoint_mode: String,
    #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
}

complete! {
    /// `discrete_resource_spec`.
    DiscreteResource {
        kind: String,
        value: i64,
    }
}

plain! {
    /// `deploy.update_config`, `deploy.rollback_config`.
    UpdateConfig {
        parallelism: Option<u64>,
        delay: Option<Duration>,
        failure_action: String,
        monitor: Option<Duration>,
        max_failure_ratio: f32,
        order: String,
    }
    /// `deploy.resources`.
    Resources {
        limits: Option<Resource>,
        reservations: Option<Resource>,
    }
    /// `deploy.resources.limits`, `.reservations`.
    Resource {
        cpus: f32,
        memory: ByteSize,
        pids: i64,
        devices: Vec<DeviceRequest>,
        generic_resources: Vec<GenericResource>,
    }
    /// One `generic_resources` entry.
    GenericResource {
        discrete_resource_spec: Option<DiscreteResource>,
    }
    /// `deploy.restart_policy`.
    RestartPolicy {
        condition: String,
        delay: Option<Duration>,
        max_attempts: Option<u64>,
        window: Option<Duration>,
    }
    /// `deploy.placement`.
    Placement {
        constraints: Vec<String>,
        preferences: Vec<PlacementPreference>,
        max_replicas_per_node: u64,
    }
    /// One placement preference.
    PlacementPreference {
        spread: String,
    }
    /// One `gpus` or `reservations.devices` entry.
    DeviceRequest {
        capabilities: Vec<String>,
        driver: String,
        count: i64,
        device_ids: Vec<String>,
        options: StringMap,
    }
}
