//! Services, jobs, and what they wait for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{NetworkKey, ProjectName, ServiceName};
use crate::units::{ByteSize, Duration};

use super::{
    BlkioConfig, Build, CredentialSpec, Deploy, Develop, DeviceMapping, DeviceRequest, EnvFile, Environment,
    Extensions, FileReference, Healthcheck, Hook, Hosts, Logging, Mount, Port, Provider, ServiceModel, ServiceNetwork,
    Sorted, StringMap, Ulimit, is_false, is_zero, number_as_text,
};

/// One service, resolved. Field order is the hash order of the reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct Service {
    #[serde(skip)]
    pub name: ServiceName,
    #[serde(skip)]
    pub profiles: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub annotations: StringMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub develop: Option<Develop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blkio_config: Option<BlkioConfig>,
    #[serde(skip_serializing_if = "is_zero")]
    pub cap_add: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub cap_drop: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub cgroup_parent: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub cgroup: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_count: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_percent: f32,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_quota: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_rt_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_rt_runtime: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpus: f32,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpuset: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_shares: i64,
    /// `None` keeps the image's command; an empty list clears it.
    pub command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub configs: Vec<FileReference>,
    #[serde(skip_serializing_if = "is_zero")]
    pub container_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_spec: Option<CredentialSpec>,
    #[serde(skip_serializing_if = "is_zero")]
    pub depends_on: Sorted<ServiceName, Dependency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<Deploy>,
    #[serde(skip_serializing_if = "is_zero")]
    pub device_cgroup_rules: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub devices: Vec<DeviceMapping>,
    #[serde(skip_serializing_if = "is_zero")]
    pub dns: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub dns_opt: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub dns_search: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub dockerfile: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub domainname: String,
    /// `None` keeps the image's entrypoint; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    #[serde(skip_serializing_if = "is_zero")]
    pub environment: Environment,
    #[serde(skip_serializing_if = "is_zero")]
    pub env_file: Vec<EnvFile>,
    #[serde(skip_serializing_if = "is_zero")]
    pub expose: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub external_links: Vec<String>,
    /// `host=address`, in the order of the reference.
    #[serde(skip_serializing_if = "is_zero")]
    pub extra_hosts: Hosts,
    #[serde(skip_serializing_if = "is_zero")]
    pub group_add: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub gpus: Vec<DeviceRequest>,
    #[serde(skip_serializing_if = "is_zero")]
    pub hostname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "is_zero")]
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    pub ipc: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub isolation: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub labels: StringMap,
    #[serde(skip_serializing_if = "is_zero")]
    pub label_file: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub links: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_limit: ByteSize,
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_reservation: ByteSize,
    #[serde(skip_serializing_if = "is_zero")]
    pub memswap_limit: ByteSize,
    /// Per cent; printed and hashed as text, as the reference does.
    #[serde(skip_serializing_if = "is_zero", with = "number_as_text")]
    pub mem_swappiness: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub mac_address: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub models: Sorted<String, Option<ServiceModel>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub network_mode: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub networks: Sorted<NetworkKey, Option<ServiceNetwork>>,
    #[serde(skip_serializing_if = "is_false")]
    pub oom_kill_disable: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub oom_score_adj: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub pid: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub pids_limit: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub platform: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub ports: Vec<Port>,
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub pull_policy: String,
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub restart: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub runtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<i64>,
    #[serde(skip_serializing_if = "is_zero")]
    pub secrets: Vec<FileReference>,
    #[serde(skip_serializing_if = "is_zero")]
    pub security_opt: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub shm_size: ByteSize,
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    #[serde(skip_serializing_if = "is_zero")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub storage_opt: StringMap,
    #[serde(skip_serializing_if = "is_zero")]
    pub sysctls: StringMap,
    #[serde(skip_serializing_if = "is_zero")]
    pub tmpfs: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub ulimits: Sorted<String, Ulimit>,
    #[serde(skip_serializing_if = "is_false")]
    pub use_api_socket: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub user: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub userns_mode: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub uts: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "is_zero")]
    pub volumes_from: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub working_dir: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub pre_start: Vec<PreStartHook>,
    #[serde(skip_serializing_if = "is_zero")]
    pub post_start: Vec<Hook>,
    #[serde(skip_serializing_if = "is_zero")]
    pub pre_stop: Vec<Hook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_refresh_after: Option<String>,
    /// `x-*`; not part of the hash.
    #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
}

impl Service {
    /// How many replicas the file asks for: `scale`, else `deploy.replicas`, else 1.
    #[must_use]
    pub fn replicas(&self) -> usize {
        let wanted = self.scale.or_else(|| self.deploy.as_ref().and_then(|deploy| deploy.replicas)).unwrap_or(1);
        usize::try_from(wanted).unwrap_or(0)
    }

    /// The image that its containers run: `image:`, or for a service that is only built, `PROJECT-SERVICE`.
    #[must_use]
    pub fn image_reference(&self, project: &ProjectName) -> String {
        if self.image.is_empty() { format!("{project}-{}", self.name) } else { self.image.clone() }
    }
}

/// A `jobs:` entry: a service that only `run` starts, with its triggers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The container attributes.
    #[serde(flatten)]
    pub service: Service,
    /// `triggers`, as written.
    pub triggers: Value,
}

/// When a dependency counts as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its containers run.
    #[default]
    ServiceStarted,
    /// Its health checks pass.
    ServiceHealthy,
    /// Its containers ended with code 0.
    ServiceCompletedSuccessfully,
}

impl Condition {
    /// The word of the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceStarted => "service_started",
            Self::ServiceHealthy => "service_healthy",
            Self::ServiceCompletedSuccessfully => "service_completed_successfully",
        }
    }
}

/// One entry of `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What to wait for.
    pub condition: Condition,
    /// Restart the dependent when the dependency is restarted or recreated.
    #[serde(default, skip_serializing_if = "is_false")]
    pub restart: bool,
    /// Whether a failure of the dependency stops the dependent.
    pub required: bool,
    /// `x-*`.
    #[serde(default, rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
}

impl Default for Dependency {
    fn default() -> Self {
        Self { condition: Condition::ServiceStarted, restart: false, required: true, extensions: Extensions::new() }
    }
}

/// A `pre_start` hook: a container of its own that runs before the first start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreStartHook {
    /// The container attributes; `image` and others are inherited from the service when unset.
    #[serde(flatten)]
    pub service: Box<Service>,
    /// Run once for each replica.
    #[serde(skip_serializing_if = "is_false")]
    pub per_replica: bool,
    /// What the hook's `env_file` says; below its `environment`. Printed and hashed is only where
    /// the files are, as the reference does.
    #[serde(skip)]
    pub from_files: Environment,
}
