//! The HTTP client: kept connections, API version, deadlines, raw streams.
//!
//! Unary calls share a small pool, so that an engine never sees more connections than it can
//! bear. Streams have a connection of their own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::Reader;
use futures_util::{Stream, StreamExt};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, UPGRADE, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::ReaderStream;

use crate::endpoint::{Deadlines, Endpoint};
use crate::error;
use crate::wire::{self, Address};

/// The newest API version whose rules this backend knows.
pub(crate) const NEWEST: ApiVersion = ApiVersion(1, 51);
/// The oldest one that it can work with.
pub(crate) const OLDEST: ApiVersion = ApiVersion(1, 40);

type RequestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The other half of a connection, which moves its bytes.
type Wired = Connection<TokioIo<Box<dyn wire::Wire>>, RequestBody>;
/// A connection that has left HTTP.
pub(crate) type Raw = TokioIo<hyper::upgrade::Upgraded>;

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
    call: String,
}

impl Answer {
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

/// An answer whose body is still coming.
pub(crate) struct Streaming {
    pub(crate) headers: HeaderMap,
    pub(crate) body: ByteStream,
}

/// The body of a streamed answer; the connection lives as long as it does.
pub(crate) struct ByteStream {
    body: Incoming,
    call: String,
    /// The connection, where no task of its own drives it. The engine sends each log line in a
    /// chunk of its own: handing each from task to task costs more than all the rest.
    connection: Option<Driven>,
    /// What came after the bytes that were given out last.
    last: Option<Result<()>>,
    _sender: SendRequest<RequestBody>,
    _permit: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// A connection that whoever reads from it drives.
type Driven = Pin<Box<dyn Future<Output = ()> + Send>>;

/// So much is given out at once where more is there already.
const BULK: usize = 64 * 1024;

impl ByteStream {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        use hyper::body::Body as _;
        loop {
            return match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => Poll::Ready(None),
                Some(Err(cause)) => Poll::Ready(Some(Err(error::broken(&self.call, &cause)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => continue,
                    Ok(bytes) => Poll::Ready(Some(Ok(bytes))),
                    Err(_) => continue,
                },
            };
        }
    }

    /// As much as is there.
    fn poll_bulk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match self.last.take() {
            Some(Ok(())) => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {}
        }
        let mut gathered = BytesMut::new();
        while gathered.len() < BULK {
            let mut piece = self.poll_piece(context);
            if piece.is_pending()
                && let Some(connection) = &mut self.connection
            {
                if connection.as_mut().poll(context).is_ready() {
                    self.connection = None;
                }
                piece = self.poll_piece(context);
            }
            match piece {
                Poll::Ready(Some(Ok(bytes))) if gathered.is_empty() && bytes.len() >= BULK => {
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Poll::Ready(Some(Ok(bytes))) => gathered.extend_from_slice(&bytes),
                Poll::Ready(Some(Err(error))) if gathered.is_empty() => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) if gathered.is_empty() => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    self.last = Some(Err(error));
                    break;
                }
                Poll::Ready(None) => {
                    self.last = Some(Ok(()));
                    break;
                }
                Poll::Pending if gathered.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(gathered.freeze())))
    }
}

/// Waits for something that comes over the connection.
async fn drive<T>(connection: &mut Option<Driven>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(move |context| {
        if let Poll::Ready(value) = work.as_mut().poll(context) {
            return Poll::Ready(value);
        }
        if connection.as_mut().is_some_and(|connection| connection.as_mut().poll(context).is_ready()) {
            *connection = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.connection.is_some() || self.last.is_some() {
            self.poll_bulk(context)
        } else {
            self.poll_piece(context)
        }
    }
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    display: String,
    authority: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    deadlines: Deadlines,
    idle: Mutex<Vec<SendRequest<RequestBody>>>,
    unary: Arc<Semaphore>,
    // Streams that may count against the connections of unary calls.
    streams: Arc<Semaphore>,
    version: OnceLock<ApiVersion>,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self> {
        let address = Address::of(endpoint)?;
        let mut headers = Vec::new();
        for (name, value) in &endpoint.headers {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Err(RuntimeError::Invalid { message: format!("`{name}` is no valid HTTP header") });
            };
            headers.push((name, value));
        }
        let version = OnceLock::new();
        if let Some(wanted) = endpoint.api_version.as_deref().filter(|text| !text.is_empty()) {
            let parsed = ApiVersion::parse(wanted).ok_or_else(|| RuntimeError::Invalid {
                message: format!("`{wanted}` is no API version such as 1.44"),
            })?;
            version.get_or_init(|| parsed);
        }
        let connections = address.connections();
        Ok(Self {
            inner: Arc::new(Inner {
                authority: address.authority(),
                display: wire::display(endpoint),
                headers,
                deadlines: endpoint.deadlines,
                idle: Mutex::new(Vec::new()),
                unary: Arc::new(Semaphore::new(connections)),
                streams: Arc::new(Semaphore::new(1)),
                version,
                address,
            }),
        })
    }

    /// The engine's address, for people.
    pub(crate) fn display(&self) -> &str {
        &self.inner.display
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.inner.deadlines
    }

    /// The API version in use; before the first answer the newest one that we know.
    pub(crate) fn version(&self) -> ApiVersion {
        self.inner.version.get().copied().unwrap_or(NEWEST)
    }

    /// Whether the engine's API is at least that.
    pub(crate) fn at_least(&self, minor: u32) -> bool {
        self.version() >= ApiVersion(1, minor)
    }

    /// A short call: sent on a kept connection, answered as a whole.
    pub(crate) async fn unary(&self, call: Call) -> Result<Answer> {
        let name = call.name();
        let deadline = match call.class {
            Class::Look => self.inner.deadlines.look,
            Class::Work => self.inner.deadlines.work,
            Class::WorkAfter(wait) => wait + self.inner.deadlines.work,
            Class::Long => return self.watched(&name, self.exchange(call, &name)).await,
        };
        // Waiting for a free connection is our own doing, not the engine's silence.
        let _permit = self.permit().await?;
        match tokio::time::timeout(deadline, self.exchange(call, &name)).await {
            Ok(answer) => answer,
            Err(_) => Err(error::stalled(&name, deadline)),
        }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.inner.unary).acquire_owned().await;
        permit.map_err(|_| error::local("the connection pool is closed"))
    }

    async fn exchange(&self, call: Call, name: &str) -> Result<Answer> {
        let (sender, response) = self.send(call, name, true).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|cause| error::broken(name, &cause))?.to_bytes();
        let mut idle = self.idle();
        if !sender.is_closed() && idle.len() < self.inner.address.connections() {
            idle.push(sender);
        }
        drop(idle);
        Ok(Answer { status: parts.status, headers: parts.headers, body, call: name.to_owned() })
    }

    /// A call whose answer is read as it comes. An error answer is read and turned into an error.
    pub(crate) async fn stream(&self, call: Call) -> Result<Streaming> {
        let name = call.name();
        let permit = self.stream_permit();
        let (sender, response) = self.opening(call, &name, permit.is_some()).await?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let body = body.collect().await.map_err(|cause| error::broken(&name, &cause))?.to_bytes();
            return Err(error::from_answer(parts.status, &body));
        }
        let body = ByteStream { body, call: name, connection: None, last: None, _sender: sender, _permit: permit };
        Ok(Streaming { headers: parts.headers, body })
    }

    /// As [`Self::stream`], for many small pieces: on a connection of its own, which is driven by
    /// whoever reads.
    pub(crate) async fn bulk(&self, call: Call) -> Result<Streaming> {
        let name = call.name();
        let request = self.request(call, &name)?;
        let (mut sender, connection) = self.handshake().await?;
        let mut connection: Option<Driven> = Some(Box::pin(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "a connection to the engine ended");
            }
        }));
        let deadline = self.inner.deadlines.look;
        let sending = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let response = match tokio::time::timeout(deadline, drive(&mut connection, sending)).await {
            Ok(response) => response.map_err(|cause| self.cut(&name, true, &cause))?,
            Err(_) => return Err(error::stalled(&name, deadline)),
        };
        self.learn(response.headers())?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let body = drive(&mut connection, body.collect()).await;
            let body = body.map_err(|cause| error::broken(&name, &cause))?.to_bytes();
            return Err(error::from_answer(parts.status, &body));
        }
        let body = ByteStream { body, call: name, connection, last: None, _sender: sender, _permit: None };
        Ok(Streaming { headers: parts.headers, body })
    }

    /// A call that turns the connection into a raw stream.
    pub(crate) async fn hijack(&self, mut call: Call) -> Result<(HeaderMap, Raw)> {
        let name = call.name();
        call.headers.push((CONNECTION, "Upgrade".to_owned()));
        call.headers.push((UPGRADE, "tcp".to_owned()));
        let (_sender, response) = self.opening(call, &name, false).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|cause| error::broken(&name, &cause))?.to_bytes();
            if status.is_success() {
                return Err(error::unreadable(&name, &format!("the connection was not upgraded ({status})")));
            }
            return Err(error::from_answer(status, &body));
        }
        let headers = response.headers().clone();
        let raw = hyper::upgrade::on(response).await.map_err(|cause| error::broken(&name, &cause))?;
        Ok((headers, TokioIo::new(raw)))
    }

    /// Sends a streaming call and waits for the head of the answer.
    async fn opening(
        &self,
        call: Call,
        name: &str,
        reuse: bool,
    ) -> Result<(SendRequest<RequestBody>, Response<Incoming>)> {
        let deadline = match call.class {
            Class::Look => self.inner.deadlines.look,
            Class::Work => self.inner.deadlines.work,
            Class::WorkAfter(wait) => wait + self.inner.deadlines.work,
            Class::Long => return self.watched(name, self.send(call, name, reuse)).await,
        };
        match tokio::time::timeout(deadline, self.send(call, name, reuse)).await {
            Ok(answer) => answer,
            Err(_) => Err(error::stalled(name, deadline)),
        }
    }

    /// Keeps an eye on the engine while something takes as long as it takes.
    pub(crate) async fn watched<T>(&self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        let mut silent = Duration::ZERO;
        loop {
            tokio::select! {
                result = &mut work => return result,
                () = tokio::time::sleep(self.inner.deadlines.watchdog) => {
                    silent += self.inner.deadlines.watchdog;
                    let look = self.inner.deadlines.look;
                    tokio::select! {
                        result = &mut work => return result,
                        answers = self.answers() => if !answers {
                            return Err(error::stalled(name, silent + look));
                        },
                    }
                }
            }
        }
    }

    /// Whether a ping is answered, be it by an error, within the deadline for looks.
    pub(crate) async fn answers(&self) -> bool {
        let call = Call::new(Method::HEAD, "/_ping", Class::Look);
        tokio::time::timeout(self.inner.deadlines.look, self.exchange(call, "HEAD /_ping")).await.is_ok()
    }

    /// Only one stream at a time (events, as a rule) takes the place of a unary call; more would
    /// starve them.
    fn stream_permit(&self) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let first = Arc::clone(&self.inner.streams).try_acquire_owned().ok()?;
        let place = Arc::clone(&self.inner.unary).try_acquire_owned().ok()?;
        Some((first, place))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<RequestBody>>> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prefix(&self) -> String {
        self.inner.version.get().map_or_else(String::new, |version| format!("/v{version}"))
    }

    async fn send(
        &self,
        call: Call,
        name: &str,
        reuse: bool,
    ) -> Result<(SendRequest<RequestBody>, Response<Incoming>)> {
        let mut request = self.request(call, name)?;
        loop {
            let kept = if reuse { self.idle().pop() } else { None };
            let fresh = kept.is_none();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.open().await?,
            };
            if sender.ready().await.is_err() {
                if fresh {
                    return Err(error::broken(name, &std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
                }
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.learn(response.headers())?;
                    return Ok((sender, response));
                }
                Err(mut failure) => match failure.take_message() {
                    // A kept connection was closed meanwhile and nothing was sent.
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(self.cut(name, fresh, &failure.into_error())),
                },
            }
        }
    }

    /// A call broke off. What ssh says on a first try is that the engine is out of reach.
    fn cut(&self, name: &str, fresh: bool, cause: &dyn std::error::Error) -> RuntimeError {
        let first = fresh && self.inner.version.get().is_none();
        if first && matches!(self.inner.address, Address::Ssh(..)) {
            let mut innermost = cause;
            while let Some(source) = innermost.source() {
                innermost = source;
            }
            return wire::failed_to_open(&self.inner.display, &std::io::Error::other(innermost.to_string()));
        }
        error::broken(name, cause)
    }

    async fn open(&self) -> Result<SendRequest<RequestBody>> {
        let (sender, connection) = self.handshake().await?;
        tokio::spawn(async move {
            if let Err(cause) = connection.with_upgrades().await {
                tracing::debug!(%cause, "a connection to the engine ended");
            }
        });
        Ok(sender)
    }

    async fn handshake(&self) -> Result<(SendRequest<RequestBody>, Wired)> {
        let opening = async {
            let wire = self.inner.address.open().await?;
            let handshake = http1::Builder::new().handshake(TokioIo::new(wire)).await;
            handshake.map_err(std::io::Error::other)
        };
        let limit = self.inner.deadlines.connect;
        let opened = tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            let message = format!("no connection after {} s", limit.as_secs());
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, message))
        });
        opened.map_err(|cause| wire::failed_to_open(&self.inner.display, &cause))
    }

    fn request(&self, call: Call, name: &str) -> Result<Request<RequestBody>> {
        let never = |never: std::convert::Infallible| match never {};
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.prefix(), call.path))
            .header(HOST, &self.inner.authority)
            .header(USER_AGENT, concat!("compose/", env!("CARGO_PKG_VERSION")));
        for (key, value) in &self.inner.headers {
            request = request.header(key, value);
        }
        for (key, value) in call.headers {
            request = request.header(key, value);
        }
        let body = match call.payload {
            Payload::Empty => Empty::new().map_err(never).boxed_unsync(),
            Payload::Json(json) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Full::new(Bytes::from(json)).map_err(never).boxed_unsync()
            }
            Payload::Archive(reader) => {
                request = request.header(CONTENT_TYPE, "application/x-tar");
                let frames = ReaderStream::with_capacity(reader, 64 * 1024).map(|piece| piece.map(Frame::data));
                StreamBody::new(frames).boxed_unsync()
            }
        };
        request
            .body(body)
            .map_err(|cause| RuntimeError::Invalid { message: format!("`{name}` cannot be sent: {cause}") })
    }

    /// Learns the API version from the first answer that tells it.
    fn learn(&self, headers: &HeaderMap) -> Result<()> {
        if self.inner.version.get().is_some() {
            return Ok(());
        }
        let Some(offered) = header(headers, "api-version").and_then(ApiVersion::parse) else {
            return Ok(());
        };
        if offered < OLDEST {
            return Err(error::unsupported(format!(
                "be used: it speaks API {offered}, and {OLDEST} (Docker Engine 19.03) is the oldest that is supported"
            )));
        }
        self.inner.version.get_or_init(|| offered.min(NEWEST));
        Ok(())
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
