//! Blobs, written: what is there is left, what lies in another repository is mounted, the rest is
//! sent.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{Method, StatusCode};
use url::Url;

use crate::blobs::BoxedBytes;
use crate::client::{Call, Registry, drain, header, success, what};
use crate::document::Descriptor;
use crate::error::{RegistryError, Result};
use crate::exchange::{Payload, origin};
use crate::reference::Reference;

/// Where a blob's bytes come from; opened anew for each attempt.
#[derive(Clone)]
pub struct Source(Arc<dyn Fn() -> BoxFuture<'static, io::Result<BoxedBytes>> + Send + Sync>);

impl Source {
    /// From a function that opens a stream of the whole blob.
    pub fn new(open: impl Fn() -> BoxFuture<'static, io::Result<BoxedBytes>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    /// From memory.
    #[must_use]
    pub fn bytes(bytes: Bytes) -> Self {
        Self::new(move || {
            let stream: BoxedBytes = Box::pin(futures_util::stream::iter([Ok(bytes.clone())]));
            Box::pin(std::future::ready(Ok(stream)))
        })
    }
}

/// How a blob came to be in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there.
    Existed,
    /// It was taken from another repository of the registry.
    Mounted,
    /// It was sent.
    Sent,
}

/// How often an upload is tried.
const ATTEMPTS: u32 = 3;

impl Registry {
    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// As [`Self::document`].
    pub async fn has_blob(&self, reference: &Reference, digest: &str) -> Result<bool> {
        let call = Call::push(reference, Method::HEAD, what(reference, digest));
        let response = self.call(&call, &format!("blobs/{digest}")).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        success(&call, response).await.map(|_| true)
    }

    /// Makes sure that a repository has a blob. `elsewhere` names repositories of the same
    /// registry that may have it.
    ///
    /// # Errors
    /// As [`Self::document`].
    pub async fn push_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        elsewhere: &[String],
        source: &Source,
    ) -> Result<Uploaded> {
        if self.has_blob(reference, &blob.digest).await? {
            return Ok(Uploaded::Existed);
        }
        let mut failures = 0;
        loop {
            let begun = self.begin(reference, blob, elsewhere.get(failures as usize)).await?;
            let Some(location) = begun else { return Ok(Uploaded::Mounted) };
            match self.send(reference, blob, &location, source).await {
                Ok(()) => return Ok(Uploaded::Sent),
                Err(RegistryError::Unreachable { .. }) if failures + 1 < ATTEMPTS => failures += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins an upload and gives its address; `None` where the blob could be mounted.
    async fn begin(&self, reference: &Reference, blob: &Descriptor, from: Option<&String>) -> Result<Option<Url>> {
        let mut call = Call::push(reference, Method::POST, what(reference, &blob.digest)).header(CONTENT_LENGTH, "0");
        let mut path = "blobs/uploads/".to_owned();
        if let Some(from) = from.filter(|from| **from != reference.repository) {
            call.scope = call.scope.and_pull(from);
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("mount", &blob.digest)
                .append_pair("from", from)
                .finish();
            path = format!("{path}?{query}");
        }
        let response = success(&call, self.call(&call, &path).await?).await?;
        let status = response.status();
        let location = header(response.headers(), LOCATION.as_str());
        drain(&reference.registry, response).await;
        if status == StatusCode::CREATED {
            return Ok(None);
        }
        let base = self.endpoint(reference)?.base;
        let location = location.and_then(|location| base.join(&location).ok()).filter(|location| {
            // An upload that begins protected goes on protected.
            location.scheme() == base.scheme() || location.scheme() == "https"
        });
        location.map(Some).ok_or_else(|| RegistryError::Unreadable {
            registry: reference.registry.clone(),
            what: call.what,
            message: "it does not say where to upload".to_owned(),
        })
    }

    async fn send(&self, reference: &Reference, blob: &Descriptor, location: &Url, source: &Source) -> Result<()> {
        let call = Call::push(reference, Method::PUT, what(reference, &blob.digest))
            .header(CONTENT_TYPE, "application/octet-stream");
        let mut url = location.clone();
        url.query_pairs_mut().append_pair("digest", &blob.digest);
        let endpoint = self.endpoint(reference)?;
        let stream = source.0().await.map_err(|cause| RegistryError::local(format!("{}: {cause}", call.what)))?;
        let stream = std::sync::Mutex::new(Some(stream));
        let payload = || {
            let stream = stream.lock().ok().and_then(|mut stream| stream.take());
            let stream = stream.unwrap_or_else(|| {
                Box::pin(futures_util::stream::iter([Err(io::Error::other("the upload has to begin again"))]))
            });
            Payload::Stream(stream, blob.size)
        };
        tracing::debug!(digest = blob.digest, to = origin(&url), "upload");
        let response = self.authorized(&endpoint, &call, &url, &payload).await?;
        let response = success(&call, response).await?;
        drain(&reference.registry, response).await;
        Ok(())
    }
}
