//! Volumes: create, remove, list.

use async_trait::async_trait;
use compose_model::names::VolumeName;
use compose_planner::spec::VolumeSpec;
use compose_runtime::error::Result;
use compose_runtime::port::{Outcome, VolumeDescription, Volumes};
use http::StatusCode;
use serde_json::json;

use crate::observe;
use crate::transport::{Call, Transport, encode};

/// The engine's volumes.
pub(crate) struct DockerVolumes {
    transport: Transport,
}

impl DockerVolumes {
    pub(crate) const fn new(transport: Transport) -> Self {
        Self { transport }
    }
}

#[async_trait]
impl Volumes for DockerVolumes {
    async fn create(&self, spec: &VolumeSpec) -> Result<Outcome> {
        let mut body = json!({"Name": spec.name, "Labels": spec.labels, "DriverOpts": spec.driver_opts});
        if !spec.driver.is_empty() {
            body["Driver"] = json!(spec.driver);
        }
        // The engine takes a volume of that name as it is, with the same answer.
        self.transport.unary(Call::post("/volumes/create").json(&body)?).await?.success()?;
        Ok(Outcome::Done)
    }

    async fn remove(&self, volume: &VolumeName) -> Result<Outcome> {
        let answer = self.transport.unary(Call::delete(format!("/volumes/{}", encode(volume.as_str())))).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Outcome::AlreadySo);
        }
        answer.success().map(|_| Outcome::Done)
    }

    async fn list(&self, labels: &[(String, Option<String>)]) -> Result<Vec<VolumeDescription>> {
        let filters = (!labels.is_empty()).then(|| json!({"label": observe::label_filters(labels)}));
        let mut volumes: Vec<VolumeDescription> = observe::list_volumes(&self.transport, filters)
            .await?
            .into_iter()
            .map(|volume| VolumeDescription {
                name: volume.name,
                driver: volume.driver,
                mountpoint: volume.mountpoint,
                scope: volume.scope,
                labels: volume.labels.unwrap_or_default(),
            })
            .collect();
        volumes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(volumes)
    }
}
