//! The HTTP client: kept connections, API version, deadlines, raw streams.
//!
//! Unary calls share a small pool, so that an engine never sees more connections than it can
//! bear. Streams have a connection of their own.

mod byte_stream;
mod call;
mod plain;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use futures_util::StreamExt;
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

pub(crate) use byte_stream::ByteStream;
pub(crate) use call::{Answer, ApiVersion, Call, Class, Payload, Query, encode, encode_path, header};
pub(crate) use plain::{PlainAnswer, PlainBody};

/// The newest API version whose rules this backend knows.
pub(crate) const NEWEST: ApiVersion = ApiVersion(1, 51);
/// The oldest one that it can work with.
pub(crate) const OLDEST: ApiVersion = ApiVersion(1, 40);

type RequestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The other half of a connection, which moves its bytes.
type Wired = Connection<TokioIo<Box<dyn wire::Wire>>, RequestBody>;
/// A connection that has left HTTP.
pub(crate) type Raw = TokioIo<hyper::upgrade::Upgraded>;

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

/// How often a look is repeated that failed for an image that was just removed.
const IMAGES_GONE: usize = 4;

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
        // Podman fails when an image goes while it lists all, or looks at one of the same layers.
        for _ in 0..IMAGES_GONE {
            let Some(try_now) = call.again() else { break };
            let answer = self.unary_once(try_now).await?;
            if answer.status != StatusCode::INTERNAL_SERVER_ERROR || !answer.says("image not known") {
                return Ok(answer);
            }
        }
        self.unary_once(call).await
    }

    async fn unary_once(&self, call: Call) -> Result<Answer> {
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
    pub(crate) async fn stream(&self, call: Call) -> Result<ByteStream> {
        let name = call.name();
        let permit = self.stream_permit();
        let (sender, response) = self.opening(call, &name, permit.is_some()).await?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let body = body.collect().await.map_err(|cause| error::broken(&name, &cause))?.to_bytes();
            return Err(error::from_answer(parts.status, &body));
        }
        Ok(ByteStream { body, call: name, _sender: sender, _permit: permit })
    }

    /// As [`Self::stream`], for very many small pieces: on a connection of its own. The call has no
    /// body.
    pub(crate) async fn plain(&self, call: Call) -> Result<PlainAnswer> {
        let name = call.name();
        let request = self.request(call, &name)?.map(drop);
        let wire = self.connect().await?;
        let deadline = self.inner.deadlines.look;
        let asking = async {
            let answer = plain::ask(wire, &request).await.map_err(|cause| self.cut(&name, true, &cause))?;
            self.learn(&answer.headers)?;
            answer.success(&name).await
        };
        tokio::time::timeout(deadline, asking).await.unwrap_or_else(|_| Err(error::stalled(&name, deadline)))
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
        let wire = TokioIo::new(self.connect().await?);
        http1::Builder::new().handshake(wire).await.map_err(|cause| error::broken("a new connection", &cause))
    }

    async fn connect(&self) -> Result<Box<dyn wire::Wire>> {
        let limit = self.inner.deadlines.connect;
        let opened = tokio::time::timeout(limit, self.inner.address.open()).await.unwrap_or_else(|_| {
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
