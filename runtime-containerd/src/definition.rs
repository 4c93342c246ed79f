//! Definitions of networks in the directory of network configurations, in nerdctl's form.

use std::path::{Path, PathBuf};

use compose_model::project::IpamPool;
use compose_planner::spec::NetworkSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde_json::{Value, json};

use crate::client::unsupported;
use crate::content::digest_of;
use crate::core::Core;
use crate::subnet::{Subnet, Subnet6, free_subnet};

/// A definition that is there.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) path: PathBuf,
    pub(crate) value: Value,
}

impl Definition {
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        value["plugins"].is_array().then(|| Self { path: path.to_owned(), value })
    }

    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> &str {
        self.value["nerdctlID"].as_str().unwrap_or_default()
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.value["nerdctlLabels"][key].as_str()
    }

    /// The subnets that reach the world outside under the machine's address, by a rule of ours.
    pub(crate) fn outward_subnets(&self) -> impl Iterator<Item = &str> {
        let ranges = self.value["plugins"][0]["ipam"]["ranges"].as_array().into_iter().flatten();
        let outward = self.value["plugins"][0]["outward"] == true;
        ranges.filter(move |_| outward).filter_map(|range| range[0]["subnet"].as_str())
    }

    /// Whether what lets containers through is to be said once for the network.
    pub(crate) fn accepts_as_a_whole(&self) -> bool {
        self.value["plugins"][0]["acceptAll"] == true
    }

    pub(crate) fn bridge(&self) -> &str {
        self.value["plugins"][0]["bridge"].as_str().unwrap_or_default()
    }

    pub(crate) fn subnets(&self) -> impl Iterator<Item = Subnet> {
        let ranges = self.value["plugins"][0]["ipam"]["ranges"].as_array().into_iter().flatten();
        ranges.filter_map(|range| Subnet::parse(range[0]["subnet"].as_str()?))
    }
}

pub(crate) fn valid(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

pub(crate) fn definitions_below(directory: &Path, depth: usize) -> Vec<Definition> {
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
    /// The plug-in configuration for a network.
    pub(crate) fn describe_network(&self, spec: &NetworkSpec) -> Result<Value> {
        let name = spec.name.as_str();
        if !matches!(spec.driver.as_str(), "" | "default" | "bridge") {
            return Err(unsupported(&format!("use the network driver `{}`: only `bridge` is there", spec.driver)));
        }
        if !matches!(spec.ipam.driver.as_str(), "" | "default" | "host-local") {
            return Err(unsupported(&format!("use the address driver `{}`", spec.ipam.driver)));
        }
        // Under another namespace the same name is another network.
        let identity = match self.client.namespace() {
            "default" => digest_of(name.as_bytes()),
            other => digest_of(format!("{other}/{name}").as_bytes()),
        };
        let id = identity.trim_start_matches("sha256:");
        let (mut ranges, mut routes) = (Vec::new(), Vec::new());
        if spec.enable_ipv4 != Some(false) {
            ranges.push(json!([self.range(spec)?]));
            routes.push(json!({ "dst": "0.0.0.0/0" }));
        }
        if spec.enable_ipv6 == Some(true) {
            ranges.push(json!([range6(spec, id)?]));
            routes.push(json!({ "dst": "::/0" }));
        }
        if ranges.is_empty() {
            return Err(RuntimeError::Invalid {
                message: format!("network {name}: `enable_ipv4: false` needs `enable_ipv6: true`"),
            });
        }
        if spec.internal {
            routes.clear();
        }
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
                    // One rule for the network instead of six for each container.
                    "ipMasq": false,
                    "outward": !spec.internal,
                    "acceptAll": true,
                    "hairpinMode": true,
                    "ipam": {
                        "type": "host-local", "ranges": ranges, "routes": routes,
                        "dataDir": addresses.display().to_string(),
                    },
                },
                { "type": "portmap", "capabilities": { "portMappings": true } },
                { "type": "firewall", "ingressPolicy": "same-bridge" },
                { "type": "tuning" },
            ],
        }))
    }

    /// The IPv4 addresses: the first pool of the file, or a subnet that nobody has.
    fn range(&self, spec: &NetworkSpec) -> Result<Value> {
        let name = spec.name.as_str();
        let wrong =
            |text: &str| RuntimeError::Invalid { message: format!("network {name}: `{text}` is no IPv4 subnet") };
        let pool = pool(spec, false);
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
        Ok(range)
    }
}

/// The first pool with a subnet of the family.
fn pool(spec: &NetworkSpec, ipv6: bool) -> Option<&IpamPool> {
    spec.ipam.config.iter().find(|pool| !pool.subnet.is_empty() && pool.subnet.contains(':') == ipv6)
}

/// The IPv6 addresses: the first pool of the file, or a unique local subnet (RFC 4193) that follows
/// from the network's identity.
fn range6(spec: &NetworkSpec, id: &str) -> Result<Value> {
    let wrong =
        |text: &str| RuntimeError::Invalid { message: format!("network {}: `{text}` is no IPv6 subnet", spec.name) };
    let pool = pool(spec, true);
    let subnet = match pool {
        Some(pool) => Subnet6::parse(&pool.subnet).ok_or_else(|| wrong(&pool.subnet))?,
        None => Subnet6::unique_local(id),
    };
    let mut range = json!({ "subnet": subnet.to_string() });
    let gateway = pool.map(|pool| pool.gateway.clone()).filter(|text| !text.is_empty());
    range["gateway"] = gateway.unwrap_or_else(|| subnet.nth(1).to_string()).into();
    if let Some(part) = pool.map(|pool| &pool.ip_range).filter(|text| !text.is_empty()) {
        let part = Subnet6::parse(part).ok_or_else(|| wrong(part))?;
        range["rangeStart"] = part.nth(1).to_string().into();
        range["rangeEnd"] = part.last().to_string().into();
    }
    Ok(range)
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
            (mask != 0).then(|| Subnet::new(std::net::Ipv4Addr::from(address), mask.leading_ones()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_range_comes_from_the_file_or_from_the_networks_identity() {
        let spec = |pools: &[(&str, &str, &str)]| {
            let mut spec = NetworkSpec::default();
            spec.ipam.config = pools
                .iter()
                .map(|(subnet, gateway, part)| IpamPool {
                    subnet: (*subnet).to_owned(),
                    gateway: (*gateway).to_owned(),
                    ip_range: (*part).to_owned(),
                    ..IpamPool::default()
                })
                .collect();
            spec
        };
        let id = "0123456789abcdef0123";
        for (pools, wanted) in [
            (vec![], json!({ "subnet": "fd01:2345:6789:abcd::/64", "gateway": "fd01:2345:6789:abcd::1" })),
            (
                vec![("10.0.0.0/24", "", ""), ("2001:db8::/64", "", "")],
                json!({ "subnet": "2001:db8::/64", "gateway": "2001:db8::1" }),
            ),
            (
                vec![("2001:db8::/64", "2001:db8::9", "2001:db8::100/120")],
                json!({
                    "subnet": "2001:db8::/64", "gateway": "2001:db8::9", "rangeStart": "2001:db8::101",
                    "rangeEnd": "2001:db8::1ff"
                }),
            ),
        ] {
            assert_eq!(range6(&spec(&pools), id).unwrap(), wanted);
        }
        assert!(range6(&spec(&[("2001:db8::/129", "", "")]), id).is_err());
    }
}
