//! Networks: create, remove, connect, disconnect.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bollard::models;
use compose_model::names::NetworkName;
use compose_model::project::StringMap;
use compose_planner::spec::{EndpointSpec, NetworkSpec};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{Networks, Outcome};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::create_body::endpoint_settings;
use crate::transport::{Call, Transport, encode};

/// The engine's networks.
pub(crate) struct DockerNetworks {
    transport: Transport,
    /// Podman's service removes a network that containers of others are still on, where a Docker
    /// engine refuses.
    takes_used_networks: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IdBody {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    containers: Option<BTreeMap<String, Member>>,
}

/// A container on a network.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Member {
    name: String,
}

fn map(map: &StringMap) -> Option<HashMap<String, String>> {
    Some(map)
        .filter(|map| !map.is_empty())
        .map(|map| map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn some(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

impl DockerNetworks {
    pub(crate) const fn new(transport: Transport, takes_used_networks: bool) -> Self {
        Self { transport, takes_used_networks }
    }

    /// Fails as a Docker engine does when containers are still on the network.
    async fn refuse_in_use(&self, network: &str) -> Result<()> {
        let answer = self.transport.unary(Call::get(format!("/networks/{}", encode(network)))).await?;
        // One that is not there any more is not in use.
        let members = if answer.status.is_success() { answer.decode::<Inspected>()?.containers } else { None };
        let names: Vec<String> = members.unwrap_or_default().into_values().map(|member| member.name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let message = format!("network {network} has active endpoints ({})", names.join(", "));
        Err(RuntimeError::Conflict { message })
    }
}

#[async_trait]
impl Networks for DockerNetworks {
    async fn create(&self, spec: &NetworkSpec) -> Result<String> {
        let ipam = &spec.ipam;
        let pools = ipam.config.iter().map(|pool| models::IpamConfig {
            subnet: some(&pool.subnet),
            ip_range: some(&pool.ip_range),
            gateway: some(&pool.gateway),
            auxiliary_addresses: map(&pool.aux_addresses),
        });
        let ipam = models::Ipam {
            driver: some(&ipam.driver),
            config: Some(pools.collect::<Vec<_>>()).filter(|pools| !pools.is_empty()),
            options: map(&ipam.options),
        };
        let body = models::NetworkCreateRequest {
            name: spec.name.as_str().to_owned(),
            driver: some(&spec.driver),
            internal: Some(spec.internal),
            attachable: Some(spec.attachable),
            ipam: Some(ipam).filter(|ipam| *ipam != models::Ipam::default()),
            enable_ipv4: spec.enable_ipv4.filter(|_| self.transport.at_least(48)),
            enable_ipv6: spec.enable_ipv6,
            options: map(&spec.driver_opts),
            labels: map(&spec.labels),
            ..models::NetworkCreateRequest::default()
        };
        let mut body = serde_json::to_value(body)
            .map_err(|cause| crate::error::local(format!("cannot write a request: {cause}")))?;
        // Engine 20.10 makes a second network of the same name where this is not said.
        body["CheckDuplicate"] = json!(true);
        let answer = self.transport.unary(Call::post("/networks/create").json(&body)?).await?;
        if answer.status == StatusCode::CONFLICT && answer.says("already exists") {
            let call = Call::get(format!("/networks/{}", encode(spec.name.as_str())));
            let there: Inspected = self.transport.unary(call).await?.decode()?;
            let labels = there.labels.unwrap_or_default();
            if spec.labels.iter().all(|(key, value)| labels.get(key) == Some(value)) {
                return Ok(there.id);
            }
        }
        Ok(answer.decode::<IdBody>()?.id)
    }

    async fn remove(&self, network: &str) -> Result<Outcome> {
        if self.takes_used_networks {
            self.refuse_in_use(network).await?;
        }
        let answer = self.transport.unary(Call::delete(format!("/networks/{}", encode(network)))).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Outcome::AlreadySo);
        }
        let in_use = answer.says("has active endpoints");
        match answer.success() {
            Ok(_) => Ok(Outcome::Done),
            // The engine forbids (403) what is a conflict for everybody else.
            Err(RuntimeError::Failed { message }) if in_use => Err(RuntimeError::Conflict { message }),
            Err(error) => Err(error),
        }
    }

    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> Result<Outcome> {
        let network = endpoint.network_id.as_deref().unwrap_or(endpoint.network.as_str());
        let body = json!({
            "Container": container,
            "EndpointConfig": endpoint_settings(endpoint, self.transport.version()),
        });
        let call = || Call::post(format!("/networks/{}/connect", encode(network))).json(&body);
        let mut answer = self.transport.unary(call()?).await?;
        if crate::doubles::settle(&self.transport, &answer).await {
            answer = self.transport.unary(call()?).await?;
        }
        if !answer.status.is_success() && answer.says("already exists in network") {
            return Ok(Outcome::AlreadySo);
        }
        answer.success().map(|_| Outcome::Done)
    }

    async fn disconnect(&self, container: &str, network: &NetworkName) -> Result<Outcome> {
        let body = json!({"Container": container, "Force": true});
        let call = Call::post(format!("/networks/{}/disconnect", encode(network.as_str()))).json(&body)?;
        let answer = self.transport.unary(call).await?;
        if !answer.status.is_success() && (answer.says("is not connected to") || answer.says("not found")) {
            return Ok(Outcome::AlreadySo);
        }
        answer.success().map(|_| Outcome::Done)
    }
}
