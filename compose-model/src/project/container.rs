//! The attributes of a container that have parts of their own.

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Duration, FileMode};

use super::{Environment, Extensions, Sorted, StringMap, is_true, is_zero};

/// One `env_file` entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct EnvFile {
    #[serde(skip_serializing_if = "is_zero")]
    pub path: String,
    /// Whether a missing file is an error; printed and hashed only where it is not.
    #[serde(skip_serializing_if = "is_true")]
    pub required: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub format: String,
    #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
}

impl Default for EnvFile {
    fn default() -> Self {
        Self { path: String::new(), required: true, format: String::new(), extensions: Extensions::new() }
    }
}

/// The lines of `extra_hosts`, `host=address`. A list that was written but holds nothing is printed
/// and hashed, other than none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hosts(Option<Vec<String>>);

impl From<Vec<String>> for Hosts {
    fn from(lines: Vec<String>) -> Self {
        Self(Some(lines))
    }
}

impl std::ops::Deref for Hosts {
    type Target = [String];

    fn deref(&self) -> &[String] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// One `ulimits` entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ulimit {
    /// One number for both limits.
    Single(i64),
    /// Soft and hard limit.
    Pair {
        /// Soft limit.
        soft: i64,
        /// Hard limit.
        hard: i64,
    },
}

complete! {
    /// A device with a weight.
    WeightDevice {
        path: String,
        weight: u16,
    }
    /// A device with a rate limit.
    ThrottleDevice {
        path: String,
        rate: ByteSize,
    }
}

plain! {
    /// `blkio_config`.
    BlkioConfig {
        weight: u16,
        weight_device: Vec<WeightDevice>,
        device_read_bps: Vec<ThrottleDevice>,
        device_read_iops: Vec<ThrottleDevice>,
        device_write_bps: Vec<ThrottleDevice>,
        device_write_iops: Vec<ThrottleDevice>,
    }
    /// `credential_spec`.
    CredentialSpec {
        config: String,
        file: String,
        registry: String,
    }
    /// One `devices` entry.
    DeviceMapping {
        source: String,
        target: String,
        permissions: String,
    }
    /// A service's use of a secret or config.
    FileReference {
        source: String,
        target: String,
        uid: String,
        gid: String,
        mode: Option<FileMode>,
    }
    /// `healthcheck`.
    Healthcheck {
        test: Vec<String>,
        timeout: Option<Duration>,
        interval: Option<Duration>,
        retries: Option<u64>,
        start_period: Option<Duration>,
        start_interval: Option<Duration>,
        disable: bool,
    }
    /// `post_start`, `pre_stop`: a command executed in the container.
    Hook {
        command: Option<Vec<String>>,
        user: String,
        privileged: bool,
        working_dir: String,
        environment: Environment,
    }
    /// `logging`.
    Logging {
        driver: String,
        options: StringMap,
    }
    /// One published port, long form.
    Port {
        name: String,
        mode: String,
        host_ip: String,
        target: u32,
        /// A number or a range; empty: the engine chooses.
        published: String,
        protocol: String,
        app_protocol: String,
    }
    /// `provider`.
    Provider {
        #[serde(rename = "type")]
        kind: String,
        options: Sorted<String, Vec<String>>,
    }
    /// A service's use of a model.
    ServiceModel {
        endpoint_var: String,
        model_var: String,
    }
    /// A service's place in a network.
    ServiceNetwork {
        aliases: Vec<String>,
        driver_opts: StringMap,
        gw_priority: i64,
        interface_name: String,
        ipv4_address: String,
        ipv6_address: String,
        link_local_ips: Vec<String>,
        mac_address: String,
        priority: i64,
    }
}

impl DeviceMapping {
    /// Whether the source is no file but a name, `vendor.com/class=name`, of the Container Device Interface:
    /// <https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>
    #[must_use]
    pub fn is_named(&self) -> bool {
        let named = |(kind, name): (&str, &str)| kind.contains('/') && !name.is_empty();
        !self.source.starts_with('/') && self.source.split_once('=').is_some_and(named)
    }
}
