//! Networks: definitions in the directory of network configurations, in nerdctl's form; attaching
//! and detaching containers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use compose_model::names::{NetworkKey, NetworkName};
use compose_planner::labels::{CONFIG_HASH, NETWORK, PROJECT};
use compose_planner::observed;
use compose_planner::spec::{EndpointSpec, NetworkSpec};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{Networks, Outcome};
use serde_json::{Value, json};

use crate::client::{local, unsupported};
use crate::cni::{Attachment, Call};
use crate::content::digest_of;
use crate::core::{Core, name_of, write_atomically};
use crate::netns;
use crate::record::Record;
use crate::subnet::{Subnet, free_subnet};

/// A definition that is there.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) path: PathBuf,
    pub(crate) value: Value,
}

impl Definition {
    fn read(path: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        value["plugins"].is_array().then(|| Self { path: path.to_owned(), value })
    }

    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> &str {
        self.value["nerdctlID"].as_str().unwrap_or_default()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.value["nerdctlLabels"][key].as_str()
    }

    fn bridge(&self) -> &str {
        self.value["plugins"][0]["bridge"].as_str().unwrap_or_default()
    }

    fn subnets(&self) -> impl Iterator<Item = Subnet> {
        let ranges = self.value["plugins"][0]["ipam"]["ranges"].as_array().into_iter().flatten();
        ranges.filter_map(|range| Subnet::parse(range[0]["subnet"].as_str()?))
    }
}

fn valid(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn definitions_below(directory: &Path, depth: usize) -> Vec<Definition> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && depth > 0 {
            found.extend(definitions_below(&path, depth - 1));
        } else if path.extension().is_some_and(|extension| extension == "conflist") {
            found.extend(Definition::read(&path));
        }
    }
    found
}

impl Core {
    /// Directory of this namespace's definitions; the default namespace has the upper one.
    fn definitions_directory(&self) -> PathBuf {
        match self.client.namespace() {
            "default" => self.settings.network_directory.clone(),
            other => self.settings.network_directory.join(other),
        }
    }

    /// All networks of this namespace.
    pub(crate) fn definitions(&self) -> Vec<Definition> {
        let mut found = definitions_below(&self.definitions_directory(), 0);
        found.retain(|definition| !definition.id().is_empty());
        found.sort_by(|left, right| left.path.cmp(&right.path));
        found
    }

    /// A network by name or identity.
    pub(crate) fn definition(&self, network: &str) -> Option<Definition> {
        let all = self.definitions();
        all.into_iter().find(|definition| definition.name() == network || definition.id() == network)
    }

    pub(crate) fn observe_networks(&self) -> BTreeMap<NetworkName, Vec<observed::Network>> {
        let mut all: BTreeMap<NetworkName, Vec<observed::Network>> = BTreeMap::new();
        for definition in self.definitions() {
            all.entry(NetworkName::new(definition.name())).or_default().push(observed::Network {
                id: definition.id().to_owned(),
                project: definition.label(PROJECT).map(Into::into),
                key: definition.label(NETWORK).map(NetworkKey::from),
                config_hash: definition.label(CONFIG_HASH).map(str::to_owned),
                driver: definition.value["plugins"][0]["type"].as_str().unwrap_or_default().to_owned(),
            });
        }
        all
    }

    /// One run of plug-ins at a time on the whole machine: they race on iptables and addresses.
    async fn plugin_lock(&self) -> Result<crate::core::FileLock> {
        self.lock_at(&self.settings.state_root, "cni.lock").await
    }

    /// Where a container's network namespace is kept.
    pub(crate) fn namespace_path(&self, id: &str) -> PathBuf {
        self.state_directory(id).join("netns")
    }

    /// Makes sure that a container has its namespace and is attached to its networks. After an
    /// error nothing is left.
    pub(crate) async fn ensure_attached(&self, id: &str, record: &mut Record) -> Result<()> {
        let path = self.namespace_path(id);
        let complete = record.networks.iter().all(|one| record.attached.contains_key(one.network.as_str()));
        if netns::exists(&path) && complete {
            return Ok(());
        }
        // A namespace without complete results, or results without a namespace (a reboot): from
        // scratch, since a half attached namespace cannot be used.
        self.detach_all(id, record).await;
        if let Some(parent) = path.parent() {
            crate::core::private_directory(parent)?;
        }
        netns::create(&path).await?;
        let attached = self.attach_all(id, record, &path).await;
        if attached.is_err() {
            self.detach_all(id, record).await;
        }
        attached
    }

    async fn attach_all(&self, id: &str, record: &mut Record, path: &Path) -> Result<()> {
        let namespace = path.display().to_string();
        let loopback = json!({ "cniVersion": "1.0.0", "name": "loopback", "plugins": [{ "type": "loopback" }] });
        let _lock = self.plugin_lock().await?;
        self.call(id, &namespace, "lo", String::new()).add(&loopback).await?;
        for (index, endpoint) in record.networks.clone().into_iter().enumerate() {
            let interface = format!("eth{index}");
            let network = endpoint.network.as_str().to_owned();
            // The same address as before, if nobody has it now.
            let again = record.addresses.get(&network).filter(|_| endpoint.ipv4_address.is_empty());
            let again = again.map(|address| EndpointSpec { ipv4_address: address.clone(), ..endpoint.clone() });
            let attachment = match again {
                Some(again) => match self.attach(id, &namespace, &interface, &again).await {
                    Ok(attachment) => attachment,
                    Err(error) => {
                        tracing::info!(container = id, %error, "another address than before");
                        self.attach(id, &namespace, &interface, &endpoint).await?
                    }
                },
                None => self.attach(id, &namespace, &interface, &endpoint).await?,
            };
            record.addresses.insert(network.clone(), attachment.address.clone());
            record.attached.insert(network, attachment);
        }
        Ok(())
    }

    /// Attaches to one network; a failed attempt is taken back.
    async fn attach(&self, id: &str, namespace: &str, interface: &str, endpoint: &EndpointSpec) -> Result<Attachment> {
        let wanted = endpoint.network_id.as_deref().unwrap_or(endpoint.network.as_str());
        let Some(definition) = self.definition(wanted) else {
            return Err(RuntimeError::NotFound { message: format!("network {} not found", endpoint.network) });
        };
        let mut arguments = "IgnoreUnknown=1".to_owned();
        for (key, value) in [("IP", &endpoint.ipv4_address), ("MAC", &endpoint.mac_address)] {
            if !value.is_empty() {
                arguments.push_str(&format!(";{key}={value}"));
            }
        }
        if !endpoint.ipv6_address.is_empty() {
            return Err(unsupported("give a container an `ipv6_address`"));
        }
        let call = self.call(id, namespace, interface, arguments);
        let attached = call.add(&definition.value).await;
        if attached.is_err() {
            let _ = call.delete(&definition.value, &Value::Null).await;
        }
        attached
    }

    pub(crate) fn call<'a>(
        &'a self,
        id: &'a str,
        namespace: &'a str,
        interface: &'a str,
        arguments: String,
    ) -> Call<'a> {
        Call { directories: &self.settings.plugin_directories, container: id, namespace, interface, arguments }
    }

    /// Gives back addresses, rules and the namespace. Goes on after errors, which are logged: what
    /// stays behind must not keep the rest.
    pub(crate) async fn detach_all(&self, id: &str, record: &mut Record) {
        let path = self.namespace_path(id);
        if record.attached.is_empty() && !path.exists() {
            return;
        }
        let _lock = self.plugin_lock().await.ok();
        let namespace = if netns::exists(&path) { path.display().to_string() } else { String::new() };
        let mut attached: Vec<Attachment> = std::mem::take(&mut record.attached).into_values().collect();
        // What a kill left between plug-in and record is taken back through the definition.
        for (index, endpoint) in record.networks.iter().enumerate() {
            let interface = format!("eth{index}");
            let known = attached.iter().any(|one| one.network["name"] == endpoint.network.as_str());
            if let Some(definition) = self.definition(endpoint.network.as_str()).filter(|_| !known) {
                let network = definition.value;
                attached.push(Attachment { interface, network, ..Attachment::default() });
            }
        }
        for one in attached {
            let call = self.call(id, &namespace, &one.interface, String::new());
            if let Err(error) = call.delete(&one.network, &one.result).await {
                tracing::warn!(container = id, %error, "detaching from a network");
            }
        }
        if let Err(error) = netns::remove(&path) {
            tracing::warn!(container = id, %error, "removing a network namespace");
        }
    }

    /// The gateway of a container's first network.
    pub(crate) fn gateway_of(&self, record: &Record) -> Option<String> {
        let first = record.networks.first()?;
        let attached = record.attached.get(first.network.as_str())?;
        Some(attached.gateway.clone()).filter(|gateway| !gateway.is_empty())
    }

    /// The plug-in configuration for a network.
    fn describe_network(&self, spec: &NetworkSpec) -> Result<Value> {
        let name = spec.name.as_str();
        if !matches!(spec.driver.as_str(), "" | "default" | "bridge") {
            return Err(unsupported(&format!("use the network driver `{}`: only `bridge` is there", spec.driver)));
        }
        if spec.enable_ipv6 == Some(true) || spec.enable_ipv4 == Some(false) {
            return Err(unsupported(&format!("give network {name} IPv6 addresses (`enable_ipv6`)")));
        }
        if !matches!(spec.ipam.driver.as_str(), "" | "default" | "host-local") {
            return Err(unsupported(&format!("use the address driver `{}`", spec.ipam.driver)));
        }
        let wrong =
            |text: &str| RuntimeError::Invalid { message: format!("network {name}: `{text}` is no IPv4 subnet") };
        let pool = spec.ipam.config.iter().find(|pool| !pool.subnet.is_empty());
        let subnet = match pool {
            Some(pool) => Subnet::parse(&pool.subnet).ok_or_else(|| wrong(&pool.subnet))?,
            None => {
                let definitions = definitions_below(&self.settings.network_directory, 1);
                let used: Vec<Subnet> =
                    definitions.iter().flat_map(Definition::subnets).chain(host_subnets()).collect();
                free_subnet(&used).ok_or_else(|| RuntimeError::Failed {
                    message: format!("network {name}: no free subnet is left in 10.4.0.0/14"),
                })?
            }
        };
        let mut range = json!({ "subnet": subnet.to_string() });
        let gateway = pool.map(|pool| pool.gateway.clone()).filter(|text| !text.is_empty());
        range["gateway"] = gateway.unwrap_or_else(|| subnet.nth(1).to_string()).into();
        if let Some(part) = pool.map(|pool| &pool.ip_range).filter(|text| !text.is_empty()) {
            let part = Subnet::parse(part).ok_or_else(|| wrong(part))?;
            range["rangeStart"] = part.nth(1.min(part.size() - 1)).to_string().into();
            range["rangeEnd"] = part.nth(part.size().saturating_sub(2).max(1)).to_string().into();
        }
        let routes = if spec.internal { json!([]) } else { json!([{ "dst": "0.0.0.0/0" }]) };
        // Under another namespace the same name is another network.
        let identity = match self.client.namespace() {
            "default" => digest_of(name.as_bytes()),
            other => digest_of(format!("{other}/{name}").as_bytes()),
        };
        let id = identity.trim_start_matches("sha256:");
        let addresses = self.namespaced(&self.settings.state_root, "addresses");
        Ok(json!({
            "cniVersion": "1.0.0",
            "name": name,
            "nerdctlID": id,
            "nerdctlLabels": spec.labels,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": bridge_name(spec, id),
                    "isGateway": true,
                    "ipMasq": !spec.internal,
                    "hairpinMode": true,
                    "ipam": {
                        "type": "host-local", "ranges": [[range]], "routes": routes,
                        "dataDir": addresses.display().to_string(),
                    },
                },
                { "type": "portmap", "capabilities": { "portMappings": true } },
                { "type": "firewall", "ingressPolicy": "same-bridge" },
                { "type": "tuning" },
            ],
        }))
    }
}

/// A device's name has at most 15 characters.
fn bridge_name(spec: &NetworkSpec, id: &str) -> String {
    let wanted = spec.driver_opts.get("com.docker.network.bridge.name").map(String::as_str).unwrap_or_default();
    if wanted.is_empty() || wanted.len() > 15 || !valid(wanted) {
        format!("br-{}", &id[..12.min(id.len())])
    } else {
        wanted.to_owned()
    }
}

/// Subnets that the host has routes to.
fn host_subnets() -> Vec<Subnet> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok().map(u32::swap_bytes);
            let (address, mask) = (number(1)?, number(7)?);
            (mask != 0).then(|| Subnet::new(Ipv4Addr::from(address), mask.leading_ones()))
        })
        .collect()
}

#[async_trait]
impl Networks for Core {
    async fn create(&self, spec: &NetworkSpec) -> Result<String> {
        if !valid(spec.name.as_str()) {
            return Err(RuntimeError::Invalid { message: format!("`{}` is no valid network name", spec.name) });
        }
        let _lock = self.plugin_lock().await?;
        if let Some(there) = self.definition(spec.name.as_str()) {
            return Ok(there.id().to_owned());
        }
        let value = self.describe_network(spec)?;
        let directory = self.definitions_directory();
        std::fs::create_dir_all(&directory).map_err(|error| local(directory.display(), error))?;
        let path = directory.join(format!("nerdctl-{}.conflist", spec.name));
        let bytes = serde_json::to_vec_pretty(&value).map_err(|error| local(path.display(), error))?;
        write_atomically(&path, &bytes)?;
        Ok(value["nerdctlID"].as_str().unwrap_or_default().to_owned())
    }

    async fn remove(&self, network: &str) -> Result<Outcome> {
        let Some(definition) = self.definition(network) else { return Ok(Outcome::AlreadySo) };
        let name = definition.name().to_owned();
        for container in self.records(&[]).await? {
            let uses = |record: Record| record.networks.iter().any(|one| one.network.as_str() == name);
            if Record::of(&container).is_some_and(uses) {
                return Err(RuntimeError::Conflict {
                    message: format!("network {name} has active endpoints: {}", name_of(&container)),
                });
            }
        }
        let _lock = self.plugin_lock().await?;
        let bridge = definition.bridge().to_owned();
        if !bridge.is_empty() {
            crate::firewall::forget_bridge(&bridge).await?;
            netns::delete_device(&bridge)?;
        }
        let addresses = self.namespaced(&self.settings.state_root, "addresses").join(&name);
        let _ = std::fs::remove_dir_all(addresses);
        std::fs::remove_file(&definition.path).map_err(|error| local(definition.path.display(), error))?;
        let _ = std::fs::remove_dir(self.definitions_directory());
        Ok(Outcome::Done)
    }

    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> Result<Outcome> {
        let (found, _) = self.find_own(container).await?;
        let _own = self.lock(&found.id).await?;
        let (found, mut record) = self.find_own(&found.id).await?;
        let name = endpoint.network.as_str();
        if record.networks.iter().any(|one| one.network.as_str() == name) {
            return Ok(Outcome::AlreadySo);
        }
        if !matches!(record.network_mode.as_str(), "networks" | "none") {
            return Err(RuntimeError::Conflict {
                message: format!("container {container} shares a network and cannot be connected to {name}"),
            });
        }
        let path = self.namespace_path(&found.id);
        if netns::exists(&path) {
            let used: Vec<&str> = record.attached.values().map(|one| one.interface.as_str()).collect();
            let interface = (0..).map(|index| format!("eth{index}")).find(|name| !used.contains(&name.as_str()));
            let namespace = path.display().to_string();
            let _lock = self.plugin_lock().await?;
            let attachment =
                self.attach(&found.id, &namespace, interface.as_deref().unwrap_or("eth0"), endpoint).await?;
            record.attached.insert(name.to_owned(), attachment);
        } else if self.definition(name).is_none() {
            return Err(RuntimeError::NotFound { message: format!("network {name} not found") });
        }
        record.networks.push(endpoint.clone());
        record.network_mode = "networks".to_owned();
        self.set_record(&found.id, &record).await?;
        Ok(Outcome::Done)
    }

    async fn disconnect(&self, container: &str, network: &NetworkName) -> Result<Outcome> {
        let (found, _) = self.find_own(container).await?;
        let _own = self.lock(&found.id).await?;
        let (found, mut record) = self.find_own(&found.id).await?;
        let before = record.networks.len();
        record.networks.retain(|one| one.network != *network);
        if record.networks.len() == before {
            return Ok(Outcome::AlreadySo);
        }
        if let Some(one) = record.attached.remove(network.as_str()) {
            let path = self.namespace_path(&found.id);
            let namespace = if netns::exists(&path) { path.display().to_string() } else { String::new() };
            let _lock = self.plugin_lock().await?;
            self.call(&found.id, &namespace, &one.interface, String::new()).delete(&one.network, &one.result).await?;
        }
        self.set_record(&found.id, &record).await?;
        Ok(Outcome::Done)
    }
}
