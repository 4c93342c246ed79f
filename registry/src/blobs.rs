//! Blobs, read: streamed, resumed where the connection breaks, checked against their digest.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::header::RANGE;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::client::{Call, Registry, success, what};
use crate::digest::{Hasher, is_digest};
use crate::document::Descriptor;
use crate::error::{RegistryError, Result};
use crate::exchange::{broken, unreachable};
use crate::reference::Reference;

/// Bytes of a blob that is to be uploaded.
pub type BoxedBytes = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// How often a download is taken up again without a single byte in between.
const ATTEMPTS: u32 = 4;
/// First pause before it is; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Silence after which a download is taken up again.
const SILENCE: Duration = Duration::from_secs(60);

/// A blob on its way here.
pub struct BlobStream(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>);

impl Stream for BlobStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

/// The state of a download.
struct Download {
    registry: Registry,
    reference: Reference,
    blob: Descriptor,
    /// Bytes that were given out.
    position: u64,
    /// `None` where the download did not begin with the first byte.
    hasher: Option<Hasher>,
    body: Option<Incoming>,
    /// Bytes of the answer that were there already.
    skip: u64,
    failures: u32,
}

impl Registry {
    /// Streams a blob from an offset on. A broken connection is resumed where it broke. The size
    /// is checked, and, of a download from the beginning, the digest: the stream then ends with
    /// [`RegistryError::WrongDigest`]. Who resumes at an offset checks the whole himself.
    ///
    /// # Errors
    /// As [`Self::document`]; later ones come in the stream.
    pub async fn blob(&self, reference: &Reference, blob: &Descriptor, offset: u64) -> Result<BlobStream> {
        if !is_digest(&blob.digest) {
            return Err(RegistryError::Unreadable {
                registry: reference.registry.clone(),
                what: reference.familiar(),
                message: "it names a blob by something that is no digest".to_owned(),
            });
        }
        let mut download = Download {
            registry: self.clone(),
            reference: reference.clone(),
            blob: blob.clone(),
            position: offset,
            hasher: (offset == 0).then(|| Hasher::like(&blob.digest)),
            body: None,
            skip: 0,
            failures: 0,
        };
        download.open().await?;
        Ok(BlobStream(Box::pin(futures_util::stream::try_unfold(download, Download::next))))
    }

    /// A small blob as a whole.
    ///
    /// # Errors
    /// As [`Self::blob`]; [`RegistryError::Unreadable`] beyond `limit` bytes.
    pub async fn small_blob(&self, reference: &Reference, blob: &Descriptor, limit: u64) -> Result<Bytes> {
        use futures_util::TryStreamExt as _;
        if blob.size > limit {
            return Err(RegistryError::Unreadable {
                registry: reference.registry.clone(),
                what: what(reference, &blob.digest),
                message: format!("{} bytes are more than the {limit} that it may have", blob.size),
            });
        }
        let stream = self.blob(reference, blob, 0).await?;
        let whole = stream.try_fold(Vec::new(), |mut whole, bytes| async move {
            whole.extend_from_slice(&bytes);
            Ok(whole)
        });
        Ok(Bytes::from(whole.await?))
    }
}

impl Download {
    async fn open(&mut self) -> Result<()> {
        let mut call = Call::pull(&self.reference, Method::GET, what(&self.reference, &self.blob.digest));
        if self.position > 0 {
            call = call.header(RANGE, &format!("bytes={}-", self.position));
        }
        let response = self.registry.call(&call, &format!("blobs/{}", self.blob.digest)).await?;
        let response: Response<Incoming> = success(&call, response).await?;
        // Who ignores the range sends it all.
        self.skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { self.position };
        self.body = Some(response.into_body());
        Ok(())
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            if self.position == self.blob.size {
                return self.finish().map(|()| None);
            }
            let cause = match self.piece().await {
                Ok(Some(bytes)) => {
                    self.failures = 0;
                    self.position += bytes.len() as u64;
                    if self.position > self.blob.size {
                        return Err(self.wrong(format!("more than {} bytes", self.blob.size)));
                    }
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&bytes);
                    }
                    return Ok(Some((bytes, self)));
                }
                Ok(None) => unreachable(
                    &self.reference.registry,
                    &format!("a blob ends after {} of {} bytes", self.position, self.blob.size),
                    "",
                ),
                Err(cause) => cause,
            };
            self.body = None;
            self.failures += 1;
            if self.failures > ATTEMPTS || !matches!(cause, RegistryError::Unreachable { .. }) {
                return Err(cause);
            }
            tracing::debug!(digest = self.blob.digest, position = self.position, %cause, "download resumed");
            tokio::time::sleep(PAUSE * 2u32.pow(self.failures - 1)).await;
        }
    }

    /// The next new bytes; `None` at the end of the answer.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.body.is_none() {
            self.open().await?;
        }
        let registry = &self.reference.registry;
        let Some(body) = &mut self.body else { return Ok(None) };
        loop {
            let frame = match tokio::time::timeout(SILENCE, body.frame()).await {
                Err(_) => return Err(unreachable(registry, "it stopped sending", "")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(cause))) => return Err(broken(registry, &cause)),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(mut bytes) = frame.into_data() else { continue };
            let skipped = self.skip.min(bytes.len() as u64);
            self.skip -= skipped;
            let bytes = bytes.split_off(usize::try_from(skipped).unwrap_or(bytes.len()));
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let actual = hasher.finish();
        if actual == self.blob.digest { Ok(()) } else { Err(self.wrong(actual)) }
    }

    fn wrong(&self, actual: String) -> RegistryError {
        RegistryError::WrongDigest {
            registry: self.reference.registry.clone(),
            expected: self.blob.digest.clone(),
            actual,
        }
    }
}
