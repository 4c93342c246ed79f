//! Builds: through the `docker-buildx` plugin where it is installed, else the classic builder.

use std::path::PathBuf;

use async_trait::async_trait;
use compose_planner::spec::BuildSpec;
use compose_registry::Credentials;
use compose_runtime::bake::{self, Connection};
use compose_runtime::error::Result;
use compose_runtime::port::{BuildFailure, BuildOutput, Builder, Builds, Images, ProgressSink};

use crate::endpoint::Endpoint;
use crate::images::DockerImages;
use crate::transport::Transport;
use crate::{classic, error};

/// The engine's builder.
pub(crate) struct ImageBuilder {
    transport: Transport,
    credentials: Credentials,
    images: DockerImages,
    endpoint: Endpoint,
}

impl ImageBuilder {
    pub(crate) fn new(transport: Transport, credentials: Credentials, endpoint: &Endpoint) -> Self {
        let images = DockerImages::new(transport.clone(), credentials.clone(), endpoint);
        Self { transport, credentials, images, endpoint: endpoint.clone() }
    }
}

/// The plugin speaks to the engine that we speak to.
fn connection(endpoint: &Endpoint) -> Connection {
    let mut environment: Vec<(&str, Option<std::ffi::OsString>)> = match &endpoint.context {
        Some(context) => vec![("DOCKER_CONTEXT", Some(context.into())), ("DOCKER_HOST", None)],
        None => vec![("DOCKER_HOST", Some(crate::wire::display(endpoint).into())), ("DOCKER_CONTEXT", None)],
    };
    if !endpoint.config_directory.as_os_str().is_empty() {
        environment.push(("DOCKER_CONFIG", Some(endpoint.config_directory.clone().into())));
    }
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Connection { environment, default_platform: endpoint.default_platform.clone(), ..Connection::default() }
}

impl ImageBuilder {
    /// The plugin, where it builds.
    fn plugin(&self) -> Option<PathBuf> {
        if self.endpoint.classic_builds { None } else { bake::plugin(&self.endpoint.config_directory) }
    }

    async fn build_classic(&self, spec: &BuildSpec, output: ProgressSink<'_, String>) -> Result<String> {
        if spec.check {
            return Err(error::unsupported(format!(
                "check the build of service \"{}\": that needs the docker-buildx plugin",
                spec.service
            )));
        }
        let platform = spec.single_platform(&self.endpoint.default_platform);
        let id = classic::build(&self.transport, &self.credentials, spec, platform, output).await?;
        if spec.push {
            self.images.push(&spec.image, &|progress| output(progress.status)).await?;
        }
        Ok(id)
    }
}

#[async_trait]
impl Builder for ImageBuilder {
    fn builds_together(&self) -> bool {
        self.plugin().is_some()
    }

    async fn build(&self, builds: &Builds<'_>) -> std::result::Result<Vec<String>, BuildFailure> {
        let mut identities = Vec::new();
        let Some(plugin) = self.plugin() else {
            for (position, spec) in builds.specs.iter().enumerate() {
                let output = |line| {
                    if builds.form == BuildOutput::Plain {
                        (builds.output)((position, line));
                    }
                };
                let built = self.build_classic(spec, &output).await;
                identities.push(built.map_err(|error| BuildFailure { position, error })?);
            }
            return Ok(identities);
        };
        let told = bake::build(&plugin, &connection(&self.endpoint), builds).await?;
        for (spec, told) in builds.specs.iter().zip(told) {
            // What the plugin calls the image's digest is not what every engine calls its identity.
            let image = if spec.check { None } else { self.images.inspect(spec.image.as_str()).await? };
            identities.push(image.map_or(told, |image| image.id));
        }
        Ok(identities)
    }

    fn caution(&self) -> Option<String> {
        // With DOCKER_BUILDKIT=0 the classic builder was asked for.
        let fell_back = !self.endpoint.classic_builds && self.plugin().is_none();
        fell_back.then(|| {
            "buildx Docker CLI plugin not found: falling back to the classic builder. BuildKit-only build features \
             (multi-arch, secrets, ssh, additional contexts, ...) will not be available"
                .to_owned()
        })
    }

    fn definition(&self, specs: &[BuildSpec]) -> Result<String> {
        bake::definition(specs, &self.endpoint.default_platform)
    }
}
