//! Connecting, and the [`Runtime`] that hands out the capability traits.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use compose_model::names::ProjectName;
use compose_planner::Capabilities;
use compose_planner::observed::{Container, Observed};
use compose_registry::Credentials;
use compose_runtime::error::Result;
use compose_runtime::port::{
    Builder, Containers, Description, Images, Networks, ObserveQuery, Runtime, Streams, Volumes,
};
use http::Method;

use crate::builder::ImageBuilder;
use crate::endpoint::Endpoint;
use crate::observe::{self, ContainerSummary};
use crate::transport::{Call, Class, Transport, header};
use crate::{capabilities, containers, images, networks, streams, volumes};

/// How long the list that was fetched when connecting may stand for the present.
const FRESH: Duration = Duration::from_secs(5);

/// A Docker engine.
pub struct DockerRuntime {
    transport: Transport,
    description: Description,
    capabilities: Capabilities,
    containers: containers::DockerContainers,
    networks: networks::DockerNetworks,
    volumes: volumes::DockerVolumes,
    images: images::DockerImages,
    streams: streams::DockerStreams,
    builder: ImageBuilder,
    first: Mutex<Option<(ProjectName, Instant, Vec<ContainerSummary>)>>,
}

impl DockerRuntime {
    /// Connects with a ping.
    ///
    /// # Errors
    /// [`compose_runtime::RuntimeError::Unreachable`] with the address and what to do,
    /// [`compose_runtime::RuntimeError::Stalled`], or a fault of the endpoint.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self> {
        let transport = Transport::new(endpoint)?;
        let answer = transport.unary(Call::new(Method::GET, "/_ping", Class::Look)).await?.success()?;
        Ok(Self::with(endpoint, transport, &answer.headers))
    }

    /// Connects with the call that a command on a project needs anyway, the list of its
    /// containers. The first [`Runtime::observe`] of that project uses it: one request less.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_observing(endpoint: &Endpoint, project: &ProjectName) -> Result<Self> {
        let transport = Transport::new(endpoint)?;
        let answer = transport.unary(observe::containers_of(project)).await?.success()?;
        let headers = answer.headers.clone();
        let list = answer.decode()?;
        let runtime = Self::with(endpoint, transport, &headers);
        *runtime.first.lock().unwrap_or_else(PoisonError::into_inner) = Some((project.clone(), Instant::now(), list));
        Ok(runtime)
    }

    fn with(endpoint: &Endpoint, transport: Transport, headers: &http::HeaderMap) -> Self {
        // `Docker/28.5.2 (linux)`, `Libpod/4.3.1 (linux)`
        let server = header(headers, "server").unwrap_or_default();
        let (engine, version) = server.split_once('/').unwrap_or(("Docker", ""));
        let version = version.split_whitespace().next().unwrap_or_default().to_owned();
        let is_podman = engine.eq_ignore_ascii_case("libpod");
        let engine = if is_podman { "podman" } else { "docker" };
        let description = Description {
            engine: engine.to_owned(),
            version: version.clone(),
            api_version: transport.version().to_string(),
            address: transport.display().to_owned(),
            why: endpoint.why.clone(),
        };
        let credentials = Credentials::new(&endpoint.config_directory, endpoint.auth_config.as_deref());
        Self {
            capabilities: capabilities::of(transport.version(), &version, is_podman),
            containers: containers::DockerContainers::new(transport.clone(), endpoint, is_podman),
            networks: networks::DockerNetworks::new(transport.clone(), is_podman),
            volumes: volumes::DockerVolumes::new(transport.clone()),
            images: images::DockerImages::new(transport.clone(), credentials.clone(), endpoint),
            streams: streams::DockerStreams::new(transport.clone(), !is_podman),
            builder: ImageBuilder::new(transport.clone(), credentials, endpoint),
            first: Mutex::new(None),
            description,
            transport,
        }
    }

    fn fetched(&self, project: &ProjectName) -> Option<Vec<ContainerSummary>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (of, when, list) = first?;
        (of == *project && when.elapsed() < FRESH).then_some(list)
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn describe(&self) -> Description {
        self.description.clone()
    }

    async fn observe(&self, query: &ObserveQuery) -> Result<Observed> {
        let fetched = self.fetched(&query.project);
        observe::observe(&self.transport, query, fetched).await
    }

    async fn list_containers(&self, labels: &[(String, Option<String>)]) -> Result<Vec<Container>> {
        observe::list_containers(&self.transport, labels).await
    }

    fn containers(&self) -> &dyn Containers {
        &self.containers
    }

    fn networks(&self) -> &dyn Networks {
        &self.networks
    }

    fn volumes(&self) -> &dyn Volumes {
        &self.volumes
    }

    fn images(&self) -> &dyn Images {
        &self.images
    }

    fn streams(&self) -> &dyn Streams {
        &self.streams
    }

    fn builder(&self) -> Option<&dyn Builder> {
        Some(&self.builder)
    }
}
