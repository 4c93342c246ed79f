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

// The macros come first: they are visible in the modules that follow them.
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

mod build;
mod container;
mod deploy;
mod mounts;
mod origins;
mod resources;
mod service;

pub use build::{Build, Develop, SshKey, WatchRule};
pub use container::{
    BlkioConfig, CredentialSpec, DeviceMapping, EnvFile, FileReference, Healthcheck, Hook, Hosts, Logging, Port,
    Provider, ServiceModel, ServiceNetwork, ThrottleDevice, Ulimit, WeightDevice,
};
pub use deploy::{
    Deploy, DeviceRequest, DiscreteResource, GenericResource, Placement, PlacementPreference, Resource, Resources,
    RestartPolicy, UpdateConfig,
};
pub use mounts::{BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
pub use origins::{Origins, Place};
pub use resources::{FileObject, Ipam, IpamPool, Model, Network, Volume};
pub use service::{Condition, Dependency, Job, PreStartHook, Service};

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
