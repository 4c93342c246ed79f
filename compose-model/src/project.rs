//! The typed model: what a Compose file means once everything is read, merged and resolved.
//!
//! Plain data with public fields. The order of the fields is the order in which the reference
//! hashes them (`config-hash`), so it must not be changed; serde's output of [`Service`] is the
//! base of that hash. Unset, empty, zero and false fields are left out of the output, as the
//! reference does. How text becomes these types is in `decode`; how they are printed, in
//! `canonical`.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{ConfigKey, NetworkKey, ProjectName, SecretKey, ServiceName, VolumeKey};
use crate::units::{ByteSize, Duration, FileMode};

/// Maps whose order is that of their keys, as the reference prints and hashes them.
pub type Sorted<K, V> = std::collections::BTreeMap<K, V>;
/// `x-*` attributes, kept as they were written.
pub type Extensions = IndexMap<String, Value>;
/// `KEY: value`; `None` is a variable without a value (taken from the host, absent if unset there).
pub type Environment = Sorted<String, Option<String>>;
/// `key: value` labels, annotations, driver options.
pub type StringMap = Sorted<String, String>;

fn is_false(value: &bool) -> bool {
    !*value
}
/// A number whose serialised form is text.
mod number_as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn is_true(value: &bool) -> bool {
    *value
}
fn is_none_or_true(value: &Option<bool>) -> bool {
    value.unwrap_or(true)
}
fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A loaded project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// The name that every resource of the project carries.
    pub name: ProjectName,
    /// Absolute directory that relative paths start from.
    pub working_directory: String,
    /// Absolute paths of the files it was read from, in merge order.
    pub files: Vec<String>,
    /// Absolute paths of `--env-file` arguments; empty when only the default `.env` was read.
    pub environment_files: Vec<String>,
    /// Services that are enabled, selected and kept.
    pub services: Sorted<ServiceName, Service>,
    /// Services that the file declares but no active profile enables. Their containers are no orphans.
    pub disabled_services: Sorted<ServiceName, Service>,
    /// `jobs:` entries (started by `run` only). `up` never starts them.
    pub jobs: Sorted<ServiceName, Job>,
    /// Networks that some service uses (all of them with `--all-resources`).
    pub networks: Sorted<NetworkKey, Network>,
    /// Volumes.
    pub volumes: Sorted<VolumeKey, Volume>,
    /// Secrets.
    pub secrets: Sorted<SecretKey, FileObject>,
    /// Configs.
    pub configs: Sorted<ConfigKey, FileObject>,
    /// Models.
    pub models: Sorted<String, Model>,
    /// Top-level `x-*`.
    #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
    /// The environment that interpolation saw (process, `.env`, `COMPOSE_PROJECT_NAME`);
    /// secrets and configs with `environment:` are read from it. Never printed or serialised.
    #[serde(skip)]
    pub environment: Sorted<String, String>,
    /// Where attributes were written, by dotted path (`services.web.environment.LOG`,
    /// `services.web.ports.0`). Serves reasons and error messages.
    #[serde(skip)]
    pub origins: Origins,
}

/// A place in a file, for people: 1-based line and column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file as it was named when loading, or relative to the working directory.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// The places of all attributes of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    places: std::collections::BTreeMap<String, Place>,
}

impl Origins {
    /// Notes where the attribute with this dotted path was written.
    pub fn insert(&mut self, path: impl Into<String>, place: Place) {
        self.places.insert(path.into(), place);
    }

    /// The place of the attribute, or of the nearest attribute above it that has one.
    #[must_use]
    pub fn nearest(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind('.')?];
        }
    }

    /// The place of exactly this attribute.
    #[must_use]
    pub fn exact(&self, path: &str) -> Option<&Place> {
        self.places.get(path)
    }

    /// All places, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(path, place)| (path.as_str(), place))
    }
}

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

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        #[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
        pub struct $name {
            $(
                $(#[$attribute])*
                #[serde(skip_serializing_if = "is_zero")]
                pub $field: $type,
            )*
            #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
            pub extensions: Extensions,
        }
    )*};
}

/// Structures whose fields are written even when they hold nothing.
macro_rules! complete {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        #[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
        pub struct $name {
            $(pub $field: $type,)*
            #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
            pub extensions: Extensions,
        }
    )*};
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
    /// `discrete_resource_spec`.
    DiscreteResource {
        kind: String,
        value: i64,
    }
}

plain! {
    /// `build`.
    Build {
        context: String,
        dockerfile: String,
        dockerfile_inline: String,
        entitlements: Vec<String>,
        args: Environment,
        provenance: String,
        sbom: String,
        ssh: Vec<SshKey>,
        labels: StringMap,
        cache_from: Vec<String>,
        cache_to: Vec<String>,
        no_cache: bool,
        no_cache_filter: Vec<String>,
        additional_contexts: StringMap,
        pull: bool,
        extra_hosts: Hosts,
        isolation: String,
        network: String,
        target: String,
        secrets: Vec<FileReference>,
        shm_size: ByteSize,
        tags: Vec<String>,
        ulimits: Sorted<String, Ulimit>,
        platforms: Vec<String>,
        privileged: bool,
    }
    /// `develop`.
    Develop {
        watch: Vec<WatchRule>,
    }
    /// One `develop.watch` rule.
    WatchRule {
        path: String,
        action: String,
        target: String,
        exec: Option<Hook>,
        include: Vec<String>,
        ignore: Vec<String>,
        initial_sync: bool,
    }
    /// `blkio_config`.
    BlkioConfig {
        weight: u16,
        weight_device: Vec<WeightDevice>,
        device_read_bps: Vec<ThrottleDevice>,
        device_read_iops: Vec<ThrottleDevice>,
        device_write_bps: Vec<ThrottleDevice>,
        device_write_iops: Vec<ThrottleDevice>,
    }
    /// A service's use of a secret or config.
    FileReference {
        source: String,
        target: String,
        uid: String,
        gid: String,
        mode: Option<FileMode>,
    }
    /// `credential_spec`.
    CredentialSpec {
        config: String,
        file: String,
        registry: String,
    }
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
    /// One `devices` entry.
    DeviceMapping {
        source: String,
        target: String,
        permissions: String,
    }
    /// One `gpus` or `reservations.devices` entry.
    DeviceRequest {
        capabilities: Vec<String>,
        driver: String,
        count: i64,
        device_ids: Vec<String>,
        options: StringMap,
    }
    /// `provider`.
    Provider {
        #[serde(rename = "type")]
        kind: String,
        options: Sorted<String, Vec<String>>,
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
    /// `logging`.
    Logging {
        driver: String,
        options: StringMap,
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
    /// One mount, long form.
    Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
        #[serde(rename = "type")]
        kind: String,
        /// Absolute path, volume key or image; empty: an anonymous volume.
        source: String,
        target: String,
        read_only: bool,
        consistency: String,
        bind: Option<BindOptions>,
        volume: Option<VolumeOptions>,
        tmpfs: Option<TmpfsOptions>,
        image: Option<ImageOptions>,
    }
    /// `volume` of a mount.
    VolumeOptions {
        labels: StringMap,
        nocopy: bool,
        subpath: String,
    }
    /// `tmpfs` of a mount.
    TmpfsOptions {
        size: ByteSize,
        mode: u32,
    }
    /// `image` of a mount.
    ImageOptions {
        subpath: String,
    }
    /// `post_start`, `pre_stop`: a command executed in the container.
    Hook {
        command: Option<Vec<String>>,
        user: String,
        privileged: bool,
        working_dir: String,
        environment: Environment,
    }
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

/// One `build.ssh` entry. The serialised form is text: `default`, or `id: path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct SshKey {
    /// The name by which a build asks for it.
    pub id: String,
    /// Absolute path of a key or of an agent's socket; empty: the agent of the user.
    pub path: String,
}

impl From<SshKey> for String {
    fn from(key: SshKey) -> Self {
        if key.path.is_empty() { key.id } else { format!("{}: {}", key.id, key.path) }
    }
}

impl From<String> for SshKey {
    fn from(text: String) -> Self {
        let (id, path) = text.split_once(": ").unwrap_or((&text, ""));
        Self { id: id.to_owned(), path: path.to_owned() }
    }
}

/// `bind` of a mount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct BindOptions {
    #[serde(skip_serializing_if = "is_zero")]
    pub selinux: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub propagation: String,
    /// Unset means yes; printed and hashed only where it is `false`.
    #[serde(skip_serializing_if = "is_none_or_true")]
    pub create_host_path: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    pub recursive: String,
    #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
}

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
