//! What stands beside the services: networks, volumes, secrets, configs, models.

use serde::{Deserialize, Serialize};

use super::{Extensions, StringMap, is_zero};

/// A top-level network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct Network {
    #[serde(skip_serializing_if = "is_zero")]
    pub name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub driver: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub driver_opts: StringMap,
    pub ipam: Ipam,
    #[serde(skip_serializing_if = "is_zero")]
    pub external: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub internal: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub attachable: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub labels: StringMap,
    #[serde(skip_serializing_if = "is_zero")]
    pub enable_ipv4: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    pub enable_ipv6: Option<bool>,
    #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
}

plain! {
    /// `ipam` of a network.
    Ipam {
        driver: String,
        config: Vec<IpamPool>,
        options: StringMap,
    }
    /// One address pool.
    IpamPool {
        subnet: String,
        gateway: String,
        ip_range: String,
        aux_addresses: StringMap,
    }
    /// A top-level volume.
    Volume {
        name: String,
        driver: String,
        driver_opts: StringMap,
        external: bool,
        labels: StringMap,
    }
    /// A top-level secret or config.
    FileObject {
        name: String,
        /// Absolute path of the source file.
        file: String,
        /// The variable that holds the content.
        environment: String,
        /// Inline content (configs only).
        content: String,
        external: bool,
        labels: StringMap,
        driver: String,
        driver_opts: StringMap,
        template_driver: String,
    }
    /// A top-level model.
    Model {
        name: String,
        model: String,
        context_size: i64,
        runtime_flags: Vec<String>,
    }
}
