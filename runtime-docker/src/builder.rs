//! Builds.

use async_trait::async_trait;
use compose_planner::spec::BuildSpec;
use compose_runtime::error::Result;
use compose_runtime::port::{Builder, ContentSource, ProgressSink};

use crate::auth::Credentials;
use crate::endpoint::Endpoint;
use crate::transport::Transport;

/// The engine's builder.
pub(crate) struct ImageBuilder;

impl ImageBuilder {
    pub(crate) fn new(_transport: Transport, _credentials: Credentials, _endpoint: &Endpoint) -> Self {
        Self
    }
}

#[async_trait]
impl Builder for ImageBuilder {
    async fn build(
        &self,
        _spec: &BuildSpec,
        _secrets: &(dyn ContentSource + Sync),
        _output: ProgressSink<'_, String>,
    ) -> Result<String> {
        Err(crate::error::unsupported("build yet"))
    }
}
