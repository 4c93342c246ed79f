//! The registry client: calls with authorization, documents, errors in the registry's words.

use std::sync::{Arc, Mutex, PoisonError};

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use url::Url;

use crate::auth::{Authorizations, Granted, Scope, authorize};
use crate::digest::{Hasher, digest_of, is_digest};
use crate::document::{Descriptor, Manifest, media};
use crate::error::{RegistryError, Result};
use crate::exchange::{Exchange, Payload, authority, document, origin};
use crate::hosts::{Endpoint, Settings};
use crate::platform::Platform;
use crate::reference::Reference;

/// Documents that are understood.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, */*";
/// How many indexes may lie within each other.
const DEPTH: usize = 4;
/// Longest message of a registry that is shown.
const WORDS: usize = 500;

/// A client of every registry. Cheap to clone; connections and tokens are shared.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) exchange: Exchange,
    pub(crate) authorizations: Authorizations,
    /// Which of a registry's endpoints has answered.
    answering: Mutex<BTreeMap<String, usize>>,
}

/// A manifest or index as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes that the digest is of.
    pub bytes: Bytes,
    /// What they say.
    pub manifest: Manifest,
}

/// A request that can be sent again.
pub(crate) struct Call<'a> {
    pub(crate) reference: &'a Reference,
    pub(crate) scope: Scope,
    pub(crate) method: Method,
    /// What is asked for, in messages.
    pub(crate) what: String,
    pub(crate) headers: HeaderMap,
}

impl<'a> Call<'a> {
    pub(crate) fn pull(reference: &'a Reference, method: Method, what: impl Into<String>) -> Self {
        Self { reference, scope: Scope::pull(reference), method, what: what.into(), headers: HeaderMap::new() }
    }

    pub(crate) fn push(reference: &'a Reference, method: Method, what: impl Into<String>) -> Self {
        Self { reference, scope: Scope::push(reference), method, what: what.into(), headers: HeaderMap::new() }
    }

    pub(crate) fn header(mut self, name: http::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl Registry {
    /// A client; nothing is reached yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let exchange = Exchange::new(&settings.proxies);
        let inner =
            Inner { settings, exchange, authorizations: Authorizations::default(), answering: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The document that a reference names.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Unauthorized`], [`RegistryError::Unreachable`],
    /// [`RegistryError::WrongDigest`] and the like.
    pub async fn document(&self, reference: &Reference) -> Result<Document> {
        let what = what(reference, reference.selector());
        let call = Call::pull(reference, Method::GET, &what).header(ACCEPT, ACCEPTED);
        let response = self.call(&call, &format!("manifests/{}", reference.selector())).await?;
        let registry = reference.registry.clone();
        let response = success(&call, response).await?;
        let media_type = header(response.headers(), CONTENT_TYPE.as_str());
        let promised = header(response.headers(), "docker-content-digest");
        let bytes = document(&registry, response).await?;
        let expected = reference.digest.clone().or_else(|| promised.filter(|digest| is_digest(digest)));
        let digest = match expected {
            Some(expected) => {
                verify(&registry, &bytes, &expected)?;
                expected
            }
            None => digest_of(&bytes),
        };
        let unreadable =
            |message: String| RegistryError::Unreadable { registry: registry.clone(), what: what.clone(), message };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|cause| unreadable(format!("no manifest: {cause}")))?;
        if manifest.schema_version != 2 {
            return Err(unreadable(format!(
                "it has the image format {}; formats before 2 are of 2016 and no longer read. Push it again with a \
                 current client",
                manifest.schema_version
            )));
        }
        let media_type = match (manifest.media_type.as_str(), media_type) {
            ("", Some(media_type)) if !media_type.starts_with("text/") => {
                media_type.split(';').next().unwrap_or_default().trim().to_owned()
            }
            ("", _) => if manifest.is_index() { media::INDEX } else { media::MANIFEST }.to_owned(),
            (own, _) => own.to_owned(),
        };
        let descriptor = Descriptor { media_type, digest, size: bytes.len() as u64, ..Descriptor::default() };
        Ok(Document { descriptor, bytes, manifest })
    }

    /// The digest that a reference's tag has now, by a question without a body where the registry
    /// answers it.
    ///
    /// # Errors
    /// As [`Self::document`].
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        let what = what(reference, reference.selector());
        let call = Call::pull(reference, Method::HEAD, &what).header(ACCEPT, ACCEPTED);
        let response = self.call(&call, &format!("manifests/{}", reference.selector())).await?;
        if response.status().is_success() {
            let digest = header(response.headers(), "docker-content-digest").filter(|digest| is_digest(digest));
            let media_type = header(response.headers(), CONTENT_TYPE.as_str());
            let size = header(response.headers(), "content-length").and_then(|size| size.parse().ok());
            if let (Some(digest), Some(media_type), Some(size)) = (digest, media_type, size)
                && reference.digest.as_ref().is_none_or(|wanted| *wanted == digest)
            {
                return Ok(Descriptor { media_type, digest, size, ..Descriptor::default() });
            }
        }
        // A refused HEAD has no body that could say why.
        Ok(self.document(reference).await?.descriptor)
    }

    /// The manifest of a platform: the document itself, or what its index has for the platform.
    ///
    /// # Errors
    /// [`RegistryError::NoPlatform`] with what there is; otherwise as [`Self::document`].
    pub async fn image(&self, reference: &Reference, platform: &Platform) -> Result<Document> {
        let mut document = self.document(reference).await?;
        for _ in 0..DEPTH {
            if !document.manifest.is_index() {
                return Ok(document);
            }
            let Some(entry) = platform.choose(&document.manifest.manifests) else {
                return Err(no_platform(reference, platform, &document.manifest));
            };
            if !is_digest(&entry.digest) {
                break;
            }
            document = self.document(&reference.at(&entry.digest)).await?;
        }
        Err(RegistryError::Unreadable {
            registry: reference.registry.clone(),
            what: what(reference, reference.selector()),
            message: "its indexes lead nowhere".to_owned(),
        })
    }

    /// Puts a manifest or index under the reference's tag, or its digest where there is no tag.
    ///
    /// # Errors
    /// As [`Self::document`].
    pub async fn push_document(&self, reference: &Reference, media_type: &str, bytes: Bytes) -> Result<Descriptor> {
        let digest = digest_of(&bytes);
        let selector = reference.tag.as_deref().unwrap_or(&digest);
        let call = Call::push(reference, Method::PUT, what(reference, selector)).header(CONTENT_TYPE, media_type);
        let path = format!("manifests/{selector}");
        let response = self.call_with(&call, &path, || Payload::Bytes(bytes.clone())).await?;
        let response = success(&call, response).await?;
        drain(&reference.registry, response).await;
        Ok(Descriptor { media_type: media_type.to_owned(), digest, size: bytes.len() as u64, ..Descriptor::default() })
    }

    /// Sends a call without a payload to the first endpoint that answers.
    pub(crate) async fn call(&self, call: &Call<'_>, path: &str) -> Result<Response<Incoming>> {
        self.call_with(call, path, || Payload::None).await
    }

    /// Sends a call to the first endpoint that answers.
    pub(crate) async fn call_with(
        &self,
        call: &Call<'_>,
        path: &str,
        payload: impl Fn() -> Payload,
    ) -> Result<Response<Incoming>> {
        let endpoints = self.inner.settings.endpoints(call.reference)?;
        let known = self.answering().get(&call.reference.registry).copied();
        let mut last = None;
        for (index, endpoint) in endpoints.iter().enumerate() {
            if known.is_some_and(|known| known != index) {
                continue;
            }
            let url = endpoint
                .base
                .join(&format!("{}/{path}", call.reference.repository))
                .map_err(|cause| RegistryError::local(format!("{}: no address: {cause}", call.what)))?;
            match self.authorized(endpoint, call, &url, &payload).await {
                Err(error @ RegistryError::Unreachable { .. }) => last = Some(error),
                other => {
                    if other.is_ok() {
                        self.answering().insert(call.reference.registry.clone(), index);
                    }
                    return other;
                }
            }
        }
        Err(last.unwrap_or_else(|| RegistryError::local(format!("{}: no way to reach its registry", call.what))))
    }

    fn answering(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.inner.answering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint that has answered for a reference's registry.
    pub(crate) fn endpoint(&self, reference: &Reference) -> Result<Endpoint> {
        let known = self.answering().get(&reference.registry).copied().unwrap_or(0);
        let endpoints = self.inner.settings.endpoints(reference)?;
        endpoints.into_iter().nth(known).ok_or_else(|| RegistryError::local("no endpoint"))
    }

    /// Sends a call to one address, with authorization where it is the endpoint's.
    pub(crate) async fn authorized(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        url: &Url,
        payload: &impl Fn() -> Payload,
    ) -> Result<Response<Incoming>> {
        let inner = &self.inner;
        let ours = origin(url) == origin(&endpoint.base);
        let rules = if ours { endpoint.tls.clone() } else { inner.settings.rules(&authority(url))? };
        let mut granted = false;
        loop {
            let mut headers = call.headers.clone();
            if let Some(value) = inner.authorizations.of(&endpoint.base, &call.scope).filter(|_| ours) {
                headers.insert(AUTHORIZATION, value);
            }
            let response = inner
                .exchange
                .send(&inner.settings, &rules, call.method.clone(), url.clone(), headers, payload())
                .await?;
            if response.status() != StatusCode::UNAUTHORIZED || !ours || granted {
                return Ok(response);
            }
            inner.authorizations.forget(&endpoint.base, &call.scope);
            let challenged = response.headers().clone();
            drain(&call.reference.registry, response).await;
            match authorize(inner, endpoint, &call.scope, &challenged).await? {
                Granted::Yes => granted = true,
                Granted::No { known, message } => {
                    return Err(RegistryError::Unauthorized {
                        registry: call.reference.registry.clone(),
                        repository: call.reference.repository.clone(),
                        message,
                        known,
                    });
                }
            }
        }
    }
}

fn no_platform(reference: &Reference, platform: &Platform, manifest: &Manifest) -> RegistryError {
    let mut available: Vec<String> =
        manifest.manifests.iter().filter_map(|entry| Some(entry.platform.as_ref()?.to_string())).collect();
    available.retain(|platform| platform != "unknown/unknown");
    available.dedup();
    RegistryError::NoPlatform {
        reference: reference.familiar(),
        platform: platform.to_string(),
        available: available.join(", "),
    }
}

/// `repository:tag` or `repository@digest`.
pub(crate) fn what(reference: &Reference, selector: &str) -> String {
    let separator = if selector.contains(':') { '@' } else { ':' };
    format!("{}{separator}{selector}", reference.repository)
}

/// Fails where the bytes are not those of the digest.
pub(crate) fn verify(registry: &str, bytes: &[u8], expected: &str) -> Result<()> {
    let mut hasher = Hasher::like(expected);
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual == expected {
        return Ok(());
    }
    Err(RegistryError::WrongDigest { registry: registry.to_owned(), expected: expected.to_owned(), actual })
}

pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Reads the rest of an answer, so that its connection can be used again.
pub(crate) async fn drain(registry: &str, response: Response<Incoming>) {
    let _ = document(registry, response).await;
}

/// The answer if it is a success, else the error that it stands for.
pub(crate) async fn success(call: &Call<'_>, response: Response<Incoming>) -> Result<Response<Incoming>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let registry = call.reference.registry.clone();
    let body = document(&registry, response).await.unwrap_or_default();
    let message = words(status, &body);
    let what = call.what.clone();
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Unauthorized {
            registry,
            repository: call.reference.repository.clone(),
            message,
            // The token that was got in exchange did not suffice.
            known: true,
        },
        StatusCode::NOT_FOUND => RegistryError::NotFound { registry, what, message },
        StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { registry, message },
        _ => RegistryError::Refused { registry, what, message },
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Errors {
    errors: Vec<OneError>,
    // Token services say it this way.
    details: String,
    message: String,
    error_description: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OneError {
    code: String,
    message: String,
}

/// What a registry says, on one line and without anything that could steer a terminal.
pub(crate) fn words(status: StatusCode, body: &[u8]) -> String {
    let read: Errors = serde_json::from_slice(body).unwrap_or_default();
    let mut said: Vec<String> = read
        .errors
        .into_iter()
        .map(|error| if error.message.is_empty() { error.code.to_lowercase() } else { error.message })
        .chain([read.details, read.message, read.error_description])
        .filter(|text| !text.is_empty())
        .collect();
    said.dedup();
    let text = if said.is_empty() {
        let text = String::from_utf8_lossy(body);
        if text.trim().is_empty() || text.trim_start().starts_with('<') {
            status.to_string()
        } else {
            text.into_owned()
        }
    } else {
        said.join("; ")
    };
    text.split(|letter: char| letter.is_control() || letter.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_words_fit_on_a_line_and_steer_no_terminal() {
        let said = |body: &str| words(StatusCode::NOT_FOUND, body.as_bytes());
        assert_eq!(
            said(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
            "manifest unknown"
        );
        assert_eq!(said(r#"{"errors":[{"code":"DENIED"}]}"#), "denied");
        assert_eq!(said(r#"{"details":"incorrect username or password"}"#), "incorrect username or password");
        assert_eq!(said("<html>"), "404 Not Found");
        assert_eq!(said(""), "404 Not Found");
        assert_eq!(said("no \u{1b}[31mred\n\nlines"), "no [31mred lines");
        assert_eq!(said(&"x".repeat(10_000)).len(), WORDS);
    }
}
