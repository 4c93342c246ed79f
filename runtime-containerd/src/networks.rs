//! Networks: attaching and detaching containers. How a network is described is in
//! [`crate::definition`].

use std::collections::BTreeMap;
use std::net::IpAddr;
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

use crate::client::local;
use crate::cni::{self, Attachment, Call};
use crate::core::{Core, name_of, write_atomically};
use crate::definition::{Definition, definitions_below, valid};
use crate::netns;
use crate::record::Record;
use crate::rules::{FIREWALL, Rules};

/// File of the lock on the machine's networks.
const PLUGIN_LOCK: &str = "cni.lock";
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

    /// Held alone while the devices and chains of a network are made or removed, on the whole machine:
    /// the plug-ins race on them.
    async fn plugin_lock(&self) -> Result<crate::locks::FileLock> {
        self.lock_at(&self.settings.state_root, PLUGIN_LOCK).await
    }

    /// Held together while containers come and go in networks that are there: then the plug-ins and
    /// iptables have locks of their own.
    async fn shared_plugin_lock(&self) -> Result<crate::locks::FileLock> {
        self.share_lock_at(&self.settings.state_root, PLUGIN_LOCK).await
    }

    /// The lock for attaching a container: held alone if a network of it is not there yet.
    async fn attaching_lock(&self, networks: &[EndpointSpec]) -> Result<crate::locks::FileLock> {
        let there = networks.iter().all(|endpoint| {
            let wanted = endpoint.network_id.as_deref().unwrap_or(endpoint.network.as_str());
            self.definition(wanted).is_some_and(|definition| {
                let there = definition.bridge().is_empty() || netns::device_index(definition.bridge()).is_some();
                there && (!definition.accepts_as_a_whole() || self.rules_of(&definition).is_some())
            })
        });
        if there { self.shared_plugin_lock().await } else { self.plugin_lock().await }
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
        let _lock = self.attaching_lock(&record.networks).await?;
        for (index, endpoint) in record.networks.clone().into_iter().enumerate() {
            let interface = format!("eth{index}");
            let network = endpoint.network.as_str().to_owned();
            // The same addresses as before, if nobody has them now.
            let again = record.addresses.get(&network).map(|before| with_addresses(&endpoint, before));
            let attachment = match again.filter(|again| *again != endpoint) {
                Some(again) => match self.attach(id, &namespace, &interface, &again).await {
                    Ok(attachment) => attachment,
                    Err(error) => {
                        tracing::info!(container = id, %error, "another address than before");
                        self.attach(id, &namespace, &interface, &endpoint).await?
                    }
                },
                None => self.attach(id, &namespace, &interface, &endpoint).await?,
            };
            let addresses: Vec<&str> = attachment.addresses().collect();
            record.addresses.insert(network.clone(), addresses.join(" "));
            record.attached.insert(network, attachment);
        }
        Ok(())
    }

    /// Attaches to one network; a failed attempt is taken back.
    async fn attach(&self, id: &str, namespace: &str, interface: &str, endpoint: &EndpointSpec) -> Result<Attachment> {
        let wanted = endpoint.network_id.as_deref().unwrap_or(endpoint.network.as_str());
        let Some(mut definition) = self.definition(wanted) else {
            return Err(RuntimeError::NotFound { message: format!("network {} not found", endpoint.network) });
        };
        let mut arguments = "IgnoreUnknown=1".to_owned();
        if !endpoint.mac_address.is_empty() {
            arguments.push_str(&format!(";MAC={}", endpoint.mac_address));
        }
        // By the configuration: the variable holds a single address.
        let fixed: Vec<&str> =
            [&endpoint.ipv4_address, &endpoint.ipv6_address].into_iter().map(String::as_str).collect();
        let fixed: Vec<&str> = fixed.into_iter().filter(|address| !address.is_empty()).collect();
        if !fixed.is_empty() {
            definition.value["plugins"][0]["args"] = json!({ "cni": { "ips": fixed } });
        }
        // A machine that has been started has neither device nor rules.
        if !definition.bridge().is_empty() && netns::device_index(definition.bridge()).is_none() {
            crate::firewall::masquerade(definition.bridge(), definition.outward_subnets()).await?;
        }
        let rules = self.rules_of(&definition).filter(|_| definition.accepts_as_a_whole());
        if rules == Some(Rules::Network) {
            definition.value = cni::without(&definition.value, FIREWALL);
        }
        let call = self.call(id, namespace, interface, arguments);
        let mut attached = call.add(&definition.value).await;
        match &mut attached {
            Ok(attachment) if rules.is_none() && definition.accepts_as_a_whole() => {
                self.settle_rules(&definition, &call, attachment).await;
            }
            Ok(_) => {}
            Err(_) => drop(call.delete(&definition.value, &Value::Null).await),
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
        let _lock = self.shared_plugin_lock().await.ok();
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
        let remove = || {
            if let Err(error) = netns::remove(&path) {
                tracing::warn!(container = id, %error, "removing a network namespace");
            }
        };
        // The kernel takes the devices of many namespaces away at once; one by one, each costs tens of
        // milliseconds under a lock of the whole machine.
        if attached.iter().all(Attachment::goes_with_namespace) && !self.joined_mark(id).exists() {
            remove();
            self.release_names(id).await;
        }
        let namespace = if netns::exists(&path) { path.display().to_string() } else { String::new() };
        for one in attached {
            let call = self.call(id, &namespace, &one.interface, String::new());
            if let Err(error) = call.delete(&one.network, &one.result).await {
                tracing::warn!(container = id, %error, "detaching from a network");
            }
            // The plug-in makes its directory anew where the network went first.
            let network = one.network["name"].as_str().unwrap_or_default();
            if valid(network) && self.definition(network).is_none() {
                self.forget_addresses(network);
            }
        }
        remove();
    }

    /// The file that says that other containers have joined the network namespace of this one.
    fn joined_mark(&self, id: &str) -> PathBuf {
        self.state_directory(id).join("joined")
    }

    /// Notes that another container joins the network namespace of this one, which then does not end
    /// with it.
    pub(crate) fn note_joined(&self, id: &str) -> Result<()> {
        let path = self.joined_mark(id);
        std::fs::write(&path, []).map_err(|error| local(path.display(), error))
    }

    /// Takes away what the address plug-in keeps of a network.
    fn forget_addresses(&self, network: &str) {
        let addresses = self.namespaced(&self.settings.state_root, "addresses").join(network);
        let _ = std::fs::remove_dir_all(addresses);
    }

    /// The gateway of a container's first network.
    pub(crate) fn gateway_of(&self, record: &Record) -> Option<String> {
        let first = record.networks.first()?;
        let attached = record.attached.get(first.network.as_str())?;
        Some(attached.gateway.clone()).filter(|gateway| !gateway.is_empty())
    }
}

/// An endpoint that asks for the addresses that it had, apart from those that are fixed.
fn with_addresses(endpoint: &EndpointSpec, before: &str) -> EndpointSpec {
    let mut again = endpoint.clone();
    for address in before.split(' ') {
        let place = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => &mut again.ipv4_address,
            Ok(IpAddr::V6(_)) => &mut again.ipv6_address,
            Err(_) => continue,
        };
        if place.is_empty() {
            address.clone_into(place);
        }
    }
    again
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
            crate::firewall::forget_bridge(&bridge, &definition.subnets().collect::<Vec<_>>()).await?;
            netns::delete_device(&bridge)?;
        }
        self.forget_addresses(&name);
        let _ = std::fs::remove_file(self.rules_mark(&name));
        std::fs::remove_file(&definition.path).map_err(|error| local(definition.path.display(), error))?;
        let _ = std::fs::remove_dir(self.definitions_directory());
        Ok(Outcome::Done)
    }

    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> Result<Outcome> {
        let (found, _) = self.find_own(container).await?;
        let (_own, found, mut record) = self.lock_own(&found.id).await?;
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
            let interface = interface.unwrap_or_else(|| "eth0".to_owned());
            let namespace = path.display().to_string();
            let _lock = self.attaching_lock(std::slice::from_ref(endpoint)).await?;
            // Left by a command that was killed before it could write down what it had made.
            let left = interface.clone();
            if netns::inside(&path, move || Ok(netns::device_index(&left).is_some())).await?
                && let Some(definition) = self.definition(name)
            {
                let call = self.call(&found.id, &namespace, &interface, String::new());
                call.delete(&definition.value, &Value::Null).await?;
            }
            let attachment = self.attach(&found.id, &namespace, &interface, endpoint).await?;
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
        let (_own, found, mut record) = self.lock_own(&found.id).await?;
        let before = record.networks.len();
        record.networks.retain(|one| one.network != *network);
        if record.networks.len() == before {
            return Ok(Outcome::AlreadySo);
        }
        if let Some(one) = record.attached.remove(network.as_str()) {
            let path = self.namespace_path(&found.id);
            let namespace = if netns::exists(&path) { path.display().to_string() } else { String::new() };
            let _lock = self.shared_plugin_lock().await?;
            self.call(&found.id, &namespace, &one.interface, String::new()).delete(&one.network, &one.result).await?;
        }
        self.set_record(&found.id, &record).await?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_before_are_asked_for_unless_they_are_fixed() {
        let fixed = EndpointSpec { ipv4_address: "10.0.0.9".to_owned(), ..EndpointSpec::default() };
        let again = with_addresses(&fixed, "10.0.0.2 fd00::2");
        assert_eq!((again.ipv4_address.as_str(), again.ipv6_address.as_str()), ("10.0.0.9", "fd00::2"));
        assert_eq!(with_addresses(&fixed, ""), fixed);
    }
}
