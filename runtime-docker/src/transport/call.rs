//! What is asked of the engine and what it answers, before anything is sent.

use std::time::Duration;

use bytes::Bytes;
use compose_runtime::error::Result;
use compose_runtime::port::Reader;
use http::header::HeaderName;
use http::{HeaderMap, Method, StatusCode};

use crate::error;

/// `1.41`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(pub(crate) u32, pub(crate) u32);

impl ApiVersion {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().trim_start_matches('v').split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    /// Looking at something.
    Look,
    /// Changing something.
    Work,
    /// Work that waits by itself for so long.
    WorkAfter(Duration),
    /// As long as it takes, while the engine answers pings.
    Long,
}

/// The body of a request.
pub(crate) enum Payload {
    Empty,
    Json(Vec<u8>),
    Archive(Reader),
}

/// A request.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Percent-encoded path with its query, without the version.
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) payload: Payload,
    pub(crate) class: Class,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>, class: Class) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), payload: Payload::Empty, class }
    }

    /// The same once more, of a call that only looks.
    pub(crate) fn again(&self) -> Option<Self> {
        let looks = self.method == Method::GET && matches!(self.payload, Payload::Empty);
        looks.then(|| Self {
            method: Method::GET,
            path: self.path.clone(),
            headers: self.headers.clone(),
            payload: Payload::Empty,
            class: self.class,
        })
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Class::Look)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path, Class::Work)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, Class::Work)
    }

    pub(crate) const fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    pub(crate) fn json(mut self, body: &impl serde::Serialize) -> Result<Self> {
        let body =
            serde_json::to_vec(body).map_err(|cause| error::local(format!("cannot write a request: {cause}")))?;
        self.payload = Payload::Json(body);
        Ok(self)
    }

    /// The call as messages name it: method and path, no query (it may hold build arguments).
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(super) call: String,
}

impl Answer {
    /// Whether the body holds these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(words)
    }

    /// The answer where it is a success, else the error that it stands for.
    pub(crate) fn success(self) -> Result<Self> {
        if self.status.is_success() || self.status == StatusCode::NOT_MODIFIED {
            Ok(self)
        } else {
            Err(error::from_answer(self.status, &self.body))
        }
    }

    /// A success, decoded.
    pub(crate) fn decode<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        let answer = self.success()?;
        serde_json::from_slice(&answer.body).map_err(|cause| error::unreadable(&answer.call, &cause))
    }
}

/// A header's text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Percent-encodes one segment of a path or one value of a query.
pub(crate) fn encode(text: &str) -> String {
    encode_except(text, "")
}

/// Percent-encodes a path, leaving its slashes and colons (image names).
pub(crate) fn encode_path(text: &str) -> String {
    encode_except(text, "/:@")
}

fn encode_except(text: &str, also: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Builds a query string.
#[derive(Default)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(key);
        self.0.push('=');
        self.0.push_str(&encode(value));
        self
    }

    /// Only where there is a value.
    pub(crate) fn maybe(self, key: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(key, value) }
    }

    /// `1` where it holds.
    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        if value { self.with(key, "1") } else { self }
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_and_queries_are_percent_encoded() {
        assert_eq!(encode("a b/ü?&"), "a%20b%2F%C3%BC%3F%26");
        assert_eq!(encode_path("host:5000/a b@sha256:1"), "host:5000/a%20b@sha256:1");
        assert_eq!(Query::new().with("a", "x=y").maybe("b", "").flag("c", true).to_string(), "?a=x%3Dy&c=1");
    }

    #[test]
    fn versions_compare_by_number() {
        let of = |text| ApiVersion::parse(text);
        assert!(of("1.9") < of("1.41"));
        assert_eq!(of("v1.44"), Some(ApiVersion(1, 44)));
        assert_eq!(of("x"), None);
    }
}
