//! What the tests on real engines share: which engines there are, cleaning up, a counting proxy.
#![allow(dead_code)] // Not every test uses everything.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use compose_planner::spec::ContainerSpec;
use compose_runtime::Runtime;
use compose_runtime::port::{Channel, Items, LogChunk};
use futures_util::StreamExt;
use runtime_docker::{DockerRuntime, Endpoint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Label of everything that these tests make.
pub(crate) const TEST_LABEL: &str = "runtime-docker.test";

/// The engine's address in a variable, or `None` with a line that says so.
// Tests are told by variables which engines there are, and must say what was not run.
#[allow(clippy::disallowed_methods, clippy::print_stderr)]
pub(crate) fn engine(variable: &str) -> Option<String> {
    let host = std::env::var(variable).ok().filter(|host| !host.is_empty());
    if host.is_none() {
        eprintln!("not run: {variable} names no engine");
    }
    host
}

/// One test's place on an engine.
pub(crate) struct Bench {
    pub(crate) host: String,
    pub(crate) runtime: DockerRuntime,
    /// Unique prefix of names.
    pub(crate) name: String,
}

impl Bench {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::at(&self.host)
    }

    pub(crate) fn name(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    pub(crate) fn labels(&self) -> compose_model::project::StringMap {
        [(TEST_LABEL.to_owned(), self.name.clone())].into()
    }

    /// A container of busybox that runs a shell command.
    pub(crate) fn spec(&self, name: &str, command: &str) -> ContainerSpec {
        ContainerSpec {
            name: self.name(name).into(),
            image: "busybox".into(),
            command: Some(vec!["sh".into(), "-c".into(), command.into()]),
            labels: self.labels(),
            network_mode: compose_planner::spec::NetworkMode::None,
            ..ContainerSpec::default()
        }
    }

    pub(crate) async fn started(&self, spec: &ContainerSpec) -> String {
        let id = self.runtime.containers().create(spec).await.expect("created").id;
        self.runtime.containers().start(id.as_str()).await.expect("started");
        id.as_str().to_owned()
    }

    async fn clean(&self) {
        let mine = [(TEST_LABEL.to_owned(), Some(self.name.clone()))];
        for container in self.runtime.list_containers(&mine).await.expect("listed") {
            self.runtime.containers().remove(container.id.as_str(), true, true).await.expect("removed");
        }
        for volume in self.runtime.volumes().list(&mine).await.expect("listed") {
            self.runtime.volumes().remove(&volume.name.as_str().into()).await.expect("removed");
        }
        for name in ["a", "b", "c"] {
            self.runtime.networks().remove(&self.name(name)).await.expect("removed");
        }
    }
}

/// Runs a test on an engine and removes what it made, whatever its end.
pub(crate) async fn run<F, Fut>(variable: &str, test: &str, body: F)
where
    F: FnOnce(Arc<Bench>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let Some(host) = engine(variable) else { return };
    let runtime = DockerRuntime::connect(&Endpoint::at(&host)).await.expect("an engine");
    let name = format!("docker-{}-{}", test.replace('_', "-"), std::process::id());
    let bench = Arc::new(Bench { host, runtime, name });
    let result = tokio::spawn(body(Arc::clone(&bench))).await;
    bench.clean().await;
    if let Err(failure) = result {
        std::panic::resume_unwind(failure.into_panic());
    }
}

/// Defines each test once for both engines.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident)*) => {
        mod on_docker20 {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
                $crate::support::run("COMPOSE_TEST_DOCKER20", stringify!($test), super::$test).await;
            })*
        }
        mod on_docker28 {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
                $crate::support::run("COMPOSE_TEST_DOCKER28", stringify!($test), super::$test).await;
            })*
        }
    };
}

/// Everything that a process wrote, by stream.
pub(crate) async fn collect(mut items: Items<LogChunk>) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(chunk) = items.next().await {
        let chunk = chunk.expect("output");
        match chunk.channel {
            Channel::Stdout => out.extend_from_slice(&chunk.bytes),
            Channel::Stderr => err.extend_from_slice(&chunk.bytes),
        }
    }
    (out, err)
}

/// Counts of a proxy.
#[derive(Default)]
pub(crate) struct Counts {
    open: AtomicUsize,
    /// Connections at the same time, at most.
    pub(crate) most: AtomicUsize,
    /// Connections in all.
    pub(crate) connections: AtomicUsize,
    /// Requests, by their lines.
    pub(crate) requests: std::sync::Mutex<Vec<String>>,
}

impl Counts {
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("no panic"))
    }
}

/// A proxy before an engine's socket that counts connections and requests.
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) counts: Arc<Counts>,
    _directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) fn before(host: &str) -> Self {
        let engine = PathBuf::from(host.strip_prefix("unix://").expect("a Unix socket"));
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("proxy.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (engine, counts) = (engine.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    counts.connections.fetch_add(1, Ordering::SeqCst);
                    let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.most.fetch_max(open, Ordering::SeqCst);
                    let server = UnixStream::connect(&engine).await.expect("the engine");
                    let (client_in, client_out) = client.into_split();
                    let (server_in, server_out) = server.into_split();
                    let up = copy(client_in, server_out, Some(&counts));
                    let down = copy(server_in, client_out, None);
                    tokio::join!(up, down);
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { host: format!("unix://{}", path.display()), counts, _directory: directory, task }
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, counts: Option<&Counts>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            to.shutdown().await.ok();
            return;
        }
        if let Some(counts) = counts {
            let text = String::from_utf8_lossy(&buffer[..count]);
            let lines = text.lines().filter(|line| line.ends_with(" HTTP/1.1"));
            let mut requests = counts.requests.lock().expect("no panic");
            requests.extend(lines.map(|line| line.trim_end_matches(" HTTP/1.1").to_owned()));
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
