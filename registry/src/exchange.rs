//! One request and its answer, over kept connections, following redirects.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use crate::blobs::BoxedBytes;
use crate::connector::Connector;
use crate::error::{RegistryError, Result};
use crate::hosts::{Proxies, Settings};
use crate::tls::TlsRules;

/// Most redirects in a row.
const REDIRECTS: usize = 10;
/// Time until the answer to a short question begins.
const ANSWER: Duration = Duration::from_secs(60);
/// Time until an upload is answered: registries check what they got before they do.
const UPLOAD: Duration = Duration::from_secs(3600);
/// Longest document (manifest, index, token, error).
pub(crate) const DOCUMENT_LIMIT: usize = 8 * 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a request carries.
pub(crate) enum Payload {
    None,
    Bytes(Bytes),
    /// A stream of so many bytes.
    Stream(BoxedBytes, u64),
}

/// Sends requests.
pub(crate) struct Exchange {
    clients: Mutex<BTreeMap<String, Client<Connector, Body>>>,
    proxies: Arc<Matcher>,
}

impl Exchange {
    pub(crate) fn new(proxies: &Proxies) -> Self {
        let matcher =
            Matcher::builder().http(proxies.http.clone()).https(proxies.https.clone()).no(proxies.no.clone()).build();
        Self { clients: Mutex::default(), proxies: Arc::new(matcher) }
    }

    fn client(&self, url: &Url, rules: &TlsRules) -> Result<Client<Connector, Body>> {
        let key = format!("{} {rules:?}", origin(url));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let connector = Connector::new(rules.configuration()?, Arc::clone(&self.proxies));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// Sends a request and gives the answer, whatever its status. Redirects are followed where
    /// the payload is empty; the authorization goes to the first host only.
    pub(crate) async fn send(
        &self,
        settings: &Settings,
        rules: &TlsRules,
        method: Method,
        mut url: Url,
        mut headers: HeaderMap,
        payload: Payload,
    ) -> Result<Response<Incoming>> {
        let first = url.clone();
        let registry = authority(&url);
        let follow = matches!(payload, Payload::None);
        let deadline = if follow { ANSWER } else { UPLOAD };
        let mut rules = rules.clone();
        let mut body = Some(body_of(payload, &mut headers));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("compose/", env!("CARGO_PKG_VERSION"))));
        for _ in 0..=REDIRECTS {
            let uri: Uri = url.as_str().parse().map_err(|_| unreachable(&registry, "its address is not valid", ""))?;
            let mut request = Request::new(body.take().unwrap_or_else(empty));
            *request.method_mut() = method.clone();
            *request.headers_mut() = headers.clone();
            if url.scheme() == "http"
                && let Some(auth) = self.proxies.intercept(&uri).as_ref().and_then(|proxy| proxy.basic_auth())
            {
                request.headers_mut().insert(PROXY_AUTHORIZATION, auth.clone());
            }
            *request.uri_mut() = uri;
            tracing::debug!(method = %method, host = url.host_str(), path = url.path(), "registry request");
            let sent = tokio::time::timeout(deadline, self.client(&url, &rules)?.request(request)).await;
            let response = match sent {
                Err(_) => return Err(unreachable(&registry, "it does not answer in time", "")),
                Ok(Err(cause)) => return Err(broken(&authority(&url), &cause)),
                Ok(Ok(response)) => response,
            };
            let target = response.status().is_redirection().then(|| response.headers().get(LOCATION)).flatten();
            let Some(target) = target.filter(|_| follow) else { return Ok(response) };
            let next = target.to_str().ok().and_then(|target| url.join(target).ok());
            let Some(next) = next.filter(|next| may_follow(&first, next)) else {
                return Err(unreachable(&registry, "it redirects to an address that is not to be followed", ""));
            };
            if origin(&next) != origin(&url) {
                headers.remove(AUTHORIZATION);
                rules = settings.rules(&authority(&next))?;
                rules.skip_verification = settings.is_insecure(&authority(&next));
            }
            url = next;
        }
        Err(unreachable(&registry, "it redirects for ever", ""))
    }
}

/// From TLS to plain HTTP is no way to go on.
fn may_follow(first: &Url, next: &Url) -> bool {
    match next.scheme() {
        "https" => true,
        "http" => first.scheme() == "http",
        _ => false,
    }
}

/// Scheme, host and port.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Host and, where it is written, port.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn body_of(payload: Payload, headers: &mut HeaderMap) -> Body {
    match payload {
        Payload::None => empty(),
        Payload::Bytes(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
        Payload::Stream(stream, length) => {
            headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
            StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync()
        }
    }
}

/// The whole of a short answer.
pub(crate) async fn document(registry: &str, response: Response<Incoming>) -> Result<Bytes> {
    let reading = Limited::new(response.into_body(), DOCUMENT_LIMIT).collect();
    match tokio::time::timeout(ANSWER, reading).await {
        Err(_) => Err(unreachable(registry, "its answer stops half-way", "")),
        Ok(Err(cause)) => Err(unreachable(registry, &cause.to_string(), "")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

pub(crate) fn unreachable(registry: &str, message: &str, help: &str) -> RegistryError {
    RegistryError::Unreachable { registry: registry.to_owned(), message: message.to_owned(), help: help.to_owned() }
}

/// A request that failed on the way, with all causes.
pub(crate) fn broken(registry: &str, cause: &dyn std::error::Error) -> RegistryError {
    let mut message = String::new();
    let mut next = Some(cause);
    while let Some(one) = next {
        let text = one.to_string();
        // hyper's own words come first and say nothing ("client error (Connect)").
        if one.source().is_none() || !(text.starts_with("client error") || message.contains(&text)) {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&text);
        }
        next = one.source();
    }
    let help = if message.contains("certificate") {
        format!(
            "; if you trust it, put its authority's certificate into /etc/docker/certs.d/{registry}/ca.crt, or name it \
             with --insecure-registry"
        )
    } else {
        String::new()
    };
    unreachable(registry, &message, &help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leads_from_tls_to_plain_text() {
        let url = |text: &str| Url::parse(text).expect("an address");
        assert!(may_follow(&url("https://a/"), &url("https://b/")));
        assert!(may_follow(&url("http://a/"), &url("http://b/")));
        assert!(!may_follow(&url("https://a/"), &url("http://a/")));
        assert!(!may_follow(&url("http://a/"), &url("file:///etc/passwd")));
    }
}
