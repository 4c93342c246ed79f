//! The connection: service clients, namespace and lease headers, deadlines, errors.

use std::future::Future;
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::introspection_client::IntrospectionClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::version_client::VersionClient;
use containerd_client::services::v1::{CreateRequest, DeleteRequest};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Response, Status};

/// This backend's word for the engine in messages.
pub(crate) const ENGINE: &str = "containerd";
/// containerd's own limit; tonic's default of 4 MiB would make `List` fail on one fat container.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;
/// Time after which a short call counts as stalled.
const SHORT: Duration = Duration::from_secs(60);
/// Time for calls that unpack layers or start programs.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A connection to one containerd and one of its namespaces. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
    address: String,
}

macro_rules! services {
    ($($function:ident: $client:ident;)*) => {$(
        pub(crate) fn $function(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT)
        }
    )*};
}

impl Client {
    /// Connects. containerd answers no call yet; see [`Client::call`].
    pub(crate) async fn connect(address: &str, namespace: &str) -> Result<Self> {
        let path = address.strip_prefix("unix://").unwrap_or(address);
        let valid = !namespace.is_empty()
            && namespace.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let header = valid.then(|| MetadataValue::try_from(namespace).ok()).flatten();
        let Some(header) = header else {
            return Err(RuntimeError::Invalid {
                message: format!(
                    "`{namespace}` is no containerd namespace: letters, digits, `-`, `_` and `.` are allowed"
                ),
            });
        };
        let unreachable = |message: String| RuntimeError::Unreachable {
            engine: ENGINE.to_owned(),
            address: path.to_owned(),
            message,
            help: "start containerd (`systemctl start containerd`), or set CONTAINERD_ADDRESS to its socket; root \
                   rights are needed"
                .to_owned(),
        };
        // tonic hides the cause ("transport error"): the socket is tried by itself first.
        tokio::net::UnixStream::connect(path).await.map_err(|error| unreachable(error.to_string()))?;
        let channel = containerd_client::connect(path).await.map_err(|error| unreachable(error.to_string()))?;
        Ok(Self { channel, namespace: header, lease: None, address: path.to_owned() })
    }

    services! {
        containers: ContainersClient;
        content: ContentClient;
        diff: DiffClient;
        events: EventsClient;
        images: ImagesClient;
        introspection: IntrospectionClient;
        leases: LeasesClient;
        snapshots: SnapshotsClient;
        tasks: TasksClient;
        version: VersionClient;
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn namespace(&self) -> &str {
        self.namespace.to_str().unwrap_or_default()
    }

    /// A request with the namespace's and the lease's headers.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &self.lease {
            request.metadata_mut().insert("containerd-lease", lease.clone());
        }
        request
    }

    /// Awaits a short call, with a deadline and our errors.
    pub(crate) async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T> {
        self.call_within(SHORT, what, call).await
    }

    /// Awaits a call, with a deadline and our errors.
    pub(crate) async fn call_within<T>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(&status)),
            Err(_) => Err(RuntimeError::Stalled { engine: ENGINE.to_owned(), call: what.to_owned(), after: limit }),
        }
    }

    /// containerd's error in the port's terms.
    pub(crate) fn error(&self, status: &Status) -> RuntimeError {
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => RuntimeError::NotFound { message },
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => RuntimeError::Conflict { message },
            Code::InvalidArgument | Code::OutOfRange => RuntimeError::Invalid { message },
            Code::Unimplemented => RuntimeError::Unsupported { engine: ENGINE.to_owned(), what: message },
            Code::Unavailable => self.gone(message),
            Code::Unknown if message.contains("transport error") => self.gone(message),
            _ => RuntimeError::Failed { message },
        }
    }

    fn gone(&self, message: String) -> RuntimeError {
        RuntimeError::Unreachable {
            engine: ENGINE.to_owned(),
            address: self.address.clone(),
            message,
            help: "containerd went away; start it again and repeat the command".to_owned(),
        }
    }

    /// A lease: what is made through [`Lease::client`] is safe from garbage collection until the
    /// lease is ended, and for a day at most.
    pub(crate) async fn lease(&self) -> Result<Lease> {
        let id = format!("compose-{}", random_hex(16)?);
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let labels = [("containerd.io/gc.expire".to_owned(), expires.to_string())].into();
        let request = self.request(CreateRequest { id: id.clone(), labels });
        self.call("Leases.Create", self.leases().create(request)).await?;
        let mut client = self.clone();
        client.lease = MetadataValue::try_from(id.as_str()).ok();
        Ok(Lease { client, id })
    }
}

/// See [`Client::lease`]. One that is not ended (a crash) expires.
pub(crate) struct Lease {
    /// Makes its calls under the lease.
    pub(crate) client: Client,
    id: String,
}

impl Lease {
    /// Ends it.
    pub(crate) async fn end(self) {
        let request = self.client.request(DeleteRequest { id: self.id.clone(), sync: false });
        if let Err(error) = self.client.call("Leases.Delete", self.client.leases().delete(request)).await {
            tracing::debug!(lease = self.id, %error, "lease not ended, it will expire");
        }
    }
}

/// A lease that several share who work at the same time: to make and end one costs as much as what is
/// made under it.
#[derive(Default)]
pub(crate) struct SharedLease {
    lease: Option<Lease>,
    holders: usize,
}

impl SharedLease {
    /// Joins in; a client that makes its calls under the lease.
    pub(crate) async fn join(&mut self, client: &Client) -> Result<Client> {
        let lease = match self.lease.take() {
            Some(lease) => lease,
            None => client.lease().await?,
        };
        self.holders += 1;
        Ok(self.lease.insert(lease).client.clone())
    }

    /// Leaves; the lease to end, if nobody else holds it.
    pub(crate) fn leave(&mut self) -> Option<Lease> {
        self.holders = self.holders.saturating_sub(1);
        if self.holders == 0 { self.lease.take() } else { None }
    }
}

/// `Ok(None)` where the object is not there.
pub(crate) fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// `Ok(false)` where the object is not there.
pub(crate) fn existed<T>(result: Result<T>) -> Result<bool> {
    optional(result).map(|value| value.is_some())
}

/// A failure of this machine: what was tried, and the system's words.
pub(crate) fn local(what: impl std::fmt::Display, error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Local { message: format!("{what}: {error}") }
}

/// Something this backend cannot do.
pub(crate) fn unsupported(what: &str) -> RuntimeError {
    RuntimeError::Unsupported { engine: ENGINE.to_owned(), what: what.to_owned() }
}

/// Random bytes as hexadecimal text of twice the length.
pub(crate) fn random_hex(bytes: usize) -> Result<String> {
    use std::io::Read;
    let mut buffer = vec![0; bytes];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut buffer))
        .map_err(|error| local("/dev/urandom", error))?;
    Ok(hex(&buffer))
}

/// Lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
