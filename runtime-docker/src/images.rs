//! Images: pull, push, remove, inspect, load.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use compose_model::names::ImageRef;
use compose_registry::{Credentials, Login};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{ImageDescription, ImageSummary, Images, Outcome, ProgressSink, Reader, TransferProgress};
use futures_util::{Stream, StreamExt};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::endpoint::Endpoint;
use crate::observe::label_filters;
use crate::reference::Reference;
use crate::transport::{Call, Class, Payload, Query, Transport, encode_path};
use crate::{error, frames};

/// The engine's images.
pub(crate) struct DockerImages {
    transport: Transport,
    credentials: Credentials,
    platform: String,
    /// One push at a time for each repository.
    pushing: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A line of the progress of pull, push, load and build.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Message {
    pub(crate) status: String,
    pub(crate) id: String,
    pub(crate) stream: String,
    pub(crate) error: String,
    pub(crate) error_detail: Option<ErrorDetail>,
    pub(crate) progress_detail: Option<ProgressDetail>,
    pub(crate) aux: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorDetail {
    pub(crate) message: String,
    pub(crate) code: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProgressDetail {
    current: i64,
    total: i64,
}

impl Message {
    /// The error that the line tells, if it tells one.
    pub(crate) fn failure(&self) -> Option<&str> {
        let detail = self.error_detail.as_ref().map(|detail| detail.message.as_str()).unwrap_or_default();
        let text = if detail.is_empty() { self.error.as_str() } else { detail };
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Reads a progress stream to its end; the first error in it is the call's.
pub(crate) async fn follow(
    transport: &Transport,
    call: &str,
    body: impl Stream<Item = Result<Bytes>> + Send,
    mut each: impl FnMut(Message) + Send,
) -> Result<()> {
    let mut lines = std::pin::pin!(frames::lines(body));
    let mut failure = None;
    // A silent stream is accompanied by pings: the engine may work, but must be there.
    while let Some(line) = transport.watched(call, async { Ok(lines.next().await) }).await? {
        let line = line?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let message: Message = serde_json::from_slice(&line).map_err(|cause| error::unreadable(call, &cause))?;
        if failure.is_none() {
            failure = message.failure().map(str::to_owned);
        }
        each(message);
    }
    match failure {
        Some(message) => Err(sorted(message)),
        None => Ok(()),
    }
}

/// Errors that come in a stream have no status; their words tell what they are.
fn sorted(message: String) -> RuntimeError {
    if message.contains("not found") || message.contains("manifest unknown") {
        RuntimeError::NotFound { message }
    } else {
        RuntimeError::Failed { message }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DistributionBody {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageBody {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    size: u64,
    created: Option<String>,
    metadata: Option<Metadata>,
    os: String,
    architecture: String,
    variant: String,
    config: Option<ImageConfig>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Metadata {
    last_tag_time: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageConfig {
    volumes: Option<BTreeMap<String, serde_json::Value>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: String,
    working_dir: String,
    env: Option<Vec<String>>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
}

/// An image as the engine lists it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SummaryBody {
    id: String,
    parent_id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: i64,
    size: u64,
    labels: Option<BTreeMap<String, String>>,
}

impl SummaryBody {
    fn summary(self) -> ImageSummary {
        // Where there is none, older engines say so in words.
        let named = |names: Option<Vec<String>>| {
            names.unwrap_or_default().into_iter().filter(|name| !name.starts_with("<none>")).collect()
        };
        ImageSummary {
            id: self.id,
            parent: self.parent_id,
            tags: named(self.repo_tags),
            digests: named(self.repo_digests),
            created: self.created,
            size: self.size,
            labels: self.labels.unwrap_or_default(),
        }
    }
}

impl ImageBody {
    fn description(self) -> ImageDescription {
        let config = self.config.unwrap_or_default();
        let parts = [self.os, self.architecture, self.variant];
        let platform: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let tagged = self.metadata.unwrap_or_default().last_tag_time;
        ImageDescription {
            id: self.id,
            tags: self.repo_tags.unwrap_or_default(),
            digests: self.repo_digests.unwrap_or_default(),
            size: self.size,
            created: self.created.unwrap_or_default(),
            // The engine writes the year 1 where it does not know.
            last_tagged: Some(tagged).filter(|time| !time.starts_with("0001-")).unwrap_or_default(),
            platform: platform.join("/"),
            volumes: config.volumes.unwrap_or_default().into_keys().collect(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            user: config.user,
            working_dir: config.working_dir,
            environment: config.env.unwrap_or_default(),
            exposed: config.exposed_ports.unwrap_or_default().into_keys().collect(),
        }
    }
}

impl DockerImages {
    pub(crate) fn new(transport: Transport, credentials: Credentials, endpoint: &Endpoint) -> Self {
        Self { transport, credentials, platform: endpoint.default_platform.clone(), pushing: Mutex::default() }
    }

    /// The turn of a repository. Tags of one image have the same layers: pushed at once each would be
    /// sent as often as there are tags, and a registry may fail on two uploads of the same.
    fn turn(&self, reference: &Reference) -> Arc<tokio::sync::Mutex<()>> {
        let mut pushing = self.pushing.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pushing.entry(reference.familiar()).or_default())
    }

    async fn auth(&self, reference: &Reference) -> Result<String> {
        let login = self.credentials.of(reference.credentials_key()).await.map_err(error::credentials)?;
        Ok(auth_header(&login))
    }
}

/// The value of `X-Registry-Auth`. The engine reads the URL-safe alphabet and ignores, without a
/// word, what it cannot read.
fn auth_header(login: &Login) -> String {
    URL_SAFE.encode(serde_json::to_vec(login).unwrap_or_default())
}

/// Passes a line on as progress.
fn report(progress: ProgressSink<'_, TransferProgress>, message: Message) {
    if message.status.is_empty() {
        return;
    }
    let detail = message.progress_detail.unwrap_or_default();
    progress(TransferProgress {
        layer: message.id,
        status: message.status,
        current: u64::try_from(detail.current).unwrap_or(0),
        total: u64::try_from(detail.total).unwrap_or(0),
    });
}

#[async_trait]
impl Images for DockerImages {
    async fn pull(&self, image: &ImageRef, platform: &str, progress: ProgressSink<'_, TransferProgress>) -> Result<()> {
        let reference = Reference::parse(image.as_str());
        let tag = if reference.digest.is_empty() { &reference.tag } else { &reference.digest };
        let platform = if platform.is_empty() { &self.platform } else { platform };
        let query = Query::new().with("fromImage", &reference.familiar()).with("tag", tag).maybe("platform", platform);
        let call = Call::post(format!("/images/create{query}"))
            .header("x-registry-auth", self.auth(&reference).await?)
            .class(Class::Long);
        let name = call.name();
        let answer = self.transport.stream(call).await?;
        follow(&self.transport, &name, answer, |message| report(progress, message)).await
    }

    async fn push(&self, image: &ImageRef, progress: ProgressSink<'_, TransferProgress>) -> Result<()> {
        let reference = Reference::parse(image.as_str());
        let turn = self.turn(&reference);
        let _mine = turn.lock().await;
        let query = Query::new().with("tag", &reference.tag);
        let call = Call::post(format!("/images/{}/push{query}", encode_path(&reference.familiar())))
            .header("x-registry-auth", self.auth(&reference).await?)
            .class(Class::Long);
        let name = call.name();
        let answer = self.transport.stream(call).await?;
        follow(&self.transport, &name, answer, |message| report(progress, message)).await
    }

    async fn remove(&self, image: &ImageRef) -> Result<Outcome> {
        let call = Call::delete(format!("/images/{}", encode_path(image.as_str())));
        let answer = self.transport.unary(call).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Outcome::AlreadySo);
        }
        answer.success().map(|_| Outcome::Done)
    }

    async fn inspect(&self, image: &str) -> Result<Option<ImageDescription>> {
        let answer = self.transport.unary(Call::get(format!("/images/{}/json", encode_path(image)))).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.decode::<ImageBody>()?.description()))
    }

    async fn load(&self, archive: Reader) -> Result<Vec<String>> {
        let mut call = Call::new(Method::POST, "/images/load?quiet=1", Class::Long);
        call.payload = Payload::Archive(archive);
        let name = call.name();
        let answer = self.transport.stream(call).await?;
        let mut names = Vec::new();
        follow(&self.transport, &name, answer, |message| {
            let text = message.stream.trim();
            let loaded = text.strip_prefix("Loaded image: ").or_else(|| text.strip_prefix("Loaded image ID: "));
            names.extend(loaded.map(str::to_owned));
        })
        .await?;
        Ok(names)
    }

    async fn list(&self, label: &str, value: &str) -> Result<Vec<ImageSummary>> {
        let filters = json!({"label": label_filters(&[(label.to_owned(), Some(value.to_owned()))])});
        let query = Query::new().with("filters", &filters.to_string());
        let bodies: Vec<SummaryBody> =
            self.transport.unary(Call::get(format!("/images/json{query}"))).await?.decode()?;
        Ok(bodies.into_iter().map(SummaryBody::summary).collect())
    }

    async fn resolve_digest(&self, image: &ImageRef) -> Result<String> {
        let reference = Reference::parse(image.as_str());
        // The registry is asked, which may take its time.
        let call = Call::get(format!("/distribution/{}/json", encode_path(image.as_str())))
            .header("x-registry-auth", self.auth(&reference).await?)
            .class(Class::Long);
        let body: DistributionBody = self.transport.unary(call).await?.decode()?;
        Ok(body.descriptor.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_url_safe_alphabet() {
        let login = Login { username: "u".into(), password: "??>>~~ÿÿ".into(), ..Login::default() };
        let header = auth_header(&login);
        assert!(!header.contains(['+', '/']), "{header}");
        assert!(header.contains(['-', '_']), "{header}: a weak example");
    }
}
