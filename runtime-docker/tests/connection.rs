//! Reaching engines: deadlines, addresses, credentials, economy.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compose_runtime::port::{AttachOptions, EventQuery, ExecOptions, LogOptions, ObserveQuery};
use compose_runtime::{Runtime, RuntimeError};
use futures_util::StreamExt as _;
use runtime_docker::{Deadlines, DockerRuntime, Endpoint};
use support::{Bench, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

on_both_engines! {
    the_version_is_negotiated_and_an_override_is_obeyed
    a_stop_may_take_longer_than_any_deadline
    looking_at_a_project_takes_one_request_for_each_kind
    credentials_reach_the_registry
}

async fn failure(endpoint: &Endpoint) -> RuntimeError {
    DockerRuntime::connect(endpoint).await.err().expect("an error")
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_named_with_what_to_do() {
    let RuntimeError::Unreachable { address, message, help, .. } = failure(&Endpoint::at("unix:///no/such.sock")).await
    else {
        panic!("another error");
    };
    assert_eq!(address, "unix:///no/such.sock");
    assert!(message.contains("No such file"), "{message}");
    assert!(help.contains("systemctl start docker") && help.contains("DOCKER_HOST"), "{help}");
    let closed = failure(&Endpoint::at("tcp://127.0.0.1:1")).await.to_string();
    assert!(closed.contains("tcp://127.0.0.1:1") && closed.contains("refused"), "{closed}");
}

fn impatient(host: &str) -> Endpoint {
    let short = Duration::from_millis(300);
    let deadlines = Deadlines { connect: short, look: short, work: short, watchdog: short };
    Endpoint { deadlines, ..Endpoint::at(host) }
}

#[tokio::test]
async fn an_engine_that_keeps_silent_is_named_within_the_deadline() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("silent.sock");
    // Bound and never accepted: connections open, nothing answers.
    let _listener = UnixListener::bind(&path).expect("bound");
    let begun = Instant::now();
    let error = failure(&impatient(&format!("unix://{}", path.display()))).await;
    assert!(matches!(error, RuntimeError::Stalled { .. }), "{error}");
    assert!(error.to_string().contains("GET /_ping"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_engine_that_falls_silent_during_a_long_call_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("faint.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let (mut first, _) = listener.accept().await.expect("a client");
        let mut buffer = [0; 4096];
        assert!(first.read(&mut buffer).await.expect("a request") > 0);
        let answer =
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nServer: Docker/25.0.0 (linux)\r\nContent-Length: 2\r\n\r\nOK";
        first.write_all(answer).await.expect("answered");
        kept.push(first);
        while let Ok((other, _)) = listener.accept().await {
            kept.push(other);
        }
    });
    let runtime = DockerRuntime::connect(&impatient(&format!("unix://{}", path.display()))).await.expect("connected");
    assert_eq!(runtime.describe().version, "25.0.0");
    let error = runtime.containers().wait("x").await.expect_err("it never ends");
    assert!(matches!(&error, RuntimeError::Stalled { call, .. } if call == "POST /containers/x/wait"), "{error}");
}

/// An engine that answers the ping, opens streams, and then says nothing more.
async fn faint() -> (tempfile::TempDir, DockerRuntime) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("faint.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let count = client.read(&mut buffer).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let answer: &[u8] = if text.contains("GET /_ping") {
                b"HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nServer: Docker/25.0.0 (linux)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            } else if text.contains("/events") || text.contains("/logs") {
                b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            } else if text.contains("/attach") {
                b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            } else {
                b""
            };
            let _ = client.write_all(answer).await;
            kept.push(client);
        }
    });
    let runtime = DockerRuntime::connect(&impatient(&format!("unix://{}", path.display()))).await.expect("connected");
    (directory, runtime)
}

#[tokio::test]
async fn every_call_and_stream_of_an_engine_that_falls_silent_ends_with_its_name() {
    let (_directory, runtime) = faint().await;
    let stalled = |what: &str, error: RuntimeError| {
        assert!(matches!(error, RuntimeError::Stalled { .. }), "{what}: {error}");
    };
    let begun = Instant::now();
    stalled("list", runtime.list_containers(&[]).await.expect_err("a list"));
    let spec = compose_planner::spec::ContainerSpec { name: "x".into(), image: "x".into(), ..Default::default() };
    stalled("create", runtime.containers().create(&spec).await.expect_err("a container"));
    stalled("start", runtime.containers().start("x").await.expect_err("a start"));
    let streams = runtime.streams();
    let mut events = streams.events(&EventQuery::default()).await.expect("a stream");
    stalled("events", events.next().await.expect("an end").expect_err("an event"));
    assert!(events.next().await.is_none(), "it ends after its error");
    let mut log = streams.logs("x", &LogOptions { follow: true, ..LogOptions::default() }).await.expect("a stream");
    stalled("logs", log.next().await.expect("an end").expect_err("a line"));
    let options = AttachOptions { output: true, ..AttachOptions::default() };
    let mut session = streams.attach("x", &options).await.expect("a stream");
    stalled("attach", session.output.next().await.expect("an end").expect_err("a line"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

async fn the_version_is_negotiated_and_an_override_is_obeyed(bench: Arc<Bench>) {
    let proxy = Proxy::before(&bench.host);
    let runtime = DockerRuntime::connect(&Endpoint::at(&proxy.host)).await.expect("connected");
    let description = runtime.describe();
    assert_eq!(description.engine, "docker");
    assert!(description.version.starts_with("20.10.") || description.version.starts_with("28."), "{description:?}");
    runtime.list_containers(&[("no".into(), None)]).await.expect("listed");
    let expected = format!("GET /v{}/containers/json", description.api_version);
    let requests = proxy.counts.take_requests();
    assert_eq!(requests[0], "GET /_ping");
    assert!(requests[1].starts_with(&expected), "{requests:?}");
    assert_eq!(proxy.counts.connections.load(Ordering::SeqCst), 1, "the connection is kept");
    let old = Endpoint { api_version: Some("1.41".into()), ..Endpoint::at(&proxy.host) };
    let runtime = DockerRuntime::connect(&old).await.expect("connected");
    assert!(!runtime.capabilities().networks_at_create);
    assert_eq!(proxy.counts.take_requests(), ["GET /v1.41/_ping"]);
    let wrong = Endpoint { api_version: Some("9.99".into()), ..Endpoint::at(&proxy.host) };
    let error = failure(&wrong).await.to_string();
    assert!(error.contains("client version 9.99 is too new"), "{error}");
}

async fn a_stop_may_take_longer_than_any_deadline(bench: Arc<Bench>) {
    let deadlines = Deadlines { work: Duration::from_secs(2), ..Deadlines::default() };
    let patient = DockerRuntime::connect(&Endpoint { deadlines, ..bench.endpoint() }).await.expect("connected");
    for (name, own, given) in [("own", 5, None), ("given", 60, Some(4))] {
        let mut spec = bench.spec(name, "trap '' TERM; while :; do sleep 0.1; done");
        spec.stop_grace_period = Some(compose_model::units::Duration::from_seconds(own));
        let id = bench.started(&spec).await;
        let begun = Instant::now();
        patient.containers().stop(&id, given).await.expect("stopped");
        assert!(begun.elapsed() >= Duration::from_secs(3), "the wait was not kept");
        assert_eq!(bench.runtime.containers().inspect(&id).await.expect("there").exit_code, 137);
    }
}

async fn looking_at_a_project_takes_one_request_for_each_kind(bench: Arc<Bench>) {
    let proxy = Proxy::before(&bench.host);
    let project = bench.name("project").as_str().into();
    let runtime = DockerRuntime::connect_observing(&Endpoint::at(&proxy.host), &project).await.expect("connected");
    let query = ObserveQuery { project, networks: true, volumes: true, images: true, ..ObserveQuery::default() };
    runtime.observe(&query).await.expect("observed");
    let requests = proxy.counts.take_requests();
    assert_eq!(requests.len(), 4, "connecting included: {requests:?}");
    runtime.observe(&query).await.expect("observed again");
    assert_eq!(proxy.counts.take_requests().len(), 4, "the list of the connection serves once");
}

/// A registry in a container, on the engine's own loopback: it asks for a password.
async fn credentials_reach_the_registry(bench: Arc<Bench>) {
    let port = 20_000 + std::process::id() % 10_000 + u32::from(bench.runtime.capabilities().networks_at_create);
    let script = format!(
        "mkdir -p /www/v2; echo ok > /www/v2/index.html; echo '/v2:me:p?>>~~z' > /conf; \
         exec httpd -f -p 127.0.0.1:{port} -h /www -c /conf"
    );
    let mut spec = bench.spec("registry", &script);
    spec.network_mode = compose_planner::spec::NetworkMode::Host;
    bench.started(&spec).await;
    let image = format!("127.0.0.1:{port}/app:1").as_str().into();
    let anonymous = loop {
        let error = bench.runtime.images().pull(&image, "", &|_| {}).await.expect_err("no such image").to_string();
        if !error.contains("refused") {
            break error;
        }
    };
    assert!(anonymous.contains("no basic auth credentials"), "{anonymous}");
    // Base64 of these has `+` or `/` in the standard alphabet, which engines ignore.
    let config = tempfile::tempdir().expect("a directory");
    let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "me:p?>>~~z");
    let text = format!(r#"{{"auths": {{"127.0.0.1:{port}": {{"auth": "{auth}"}}}}}}"#);
    std::fs::write(config.path().join("config.json"), text).expect("written");
    let endpoint = Endpoint { config_directory: config.path().to_owned(), ..bench.endpoint() };
    let runtime = DockerRuntime::connect(&endpoint).await.expect("connected");
    let known = runtime.images().pull(&image, "", &|_| {}).await.expect_err("no such image").to_string();
    assert!(!known.contains("no basic auth") && !known.contains("unauthorized"), "{known}");
    assert!(known.contains("not found") || known.contains("404"), "{known}");
}

/// The engine loses an end that comes while it starts the process.
#[tokio::test]
async fn the_end_of_an_execs_input_is_passed_on_when_the_process_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let (happened, mut order) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let looks = Arc::new(AtomicUsize::new(0));
        while let Ok((mut client, _)) = listener.accept().await {
            let (looks, happened) = (Arc::clone(&looks), happened.clone());
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                loop {
                    let count = client.read(&mut buffer).await.unwrap_or(0);
                    if count == 0 {
                        // Of the connection that became the process's streams, or of an idle one.
                        let _ = happened.send("end".to_owned());
                        return;
                    }
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    let body = if text.contains("GET /_ping") {
                        String::new()
                    } else if text.contains("/containers/x/exec") {
                        r#"{"Id":"e1"}"#.to_owned()
                    } else if text.contains("/exec/e1/start") {
                        let upgraded = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
                        client.write_all(upgraded).await.expect("answered");
                        continue;
                    } else {
                        let pid = if looks.fetch_add(1, Ordering::SeqCst) < 2 { 0 } else { 7 };
                        let _ = happened.send(format!("pid {pid}"));
                        format!(r#"{{"Running":true,"ExitCode":null,"Pid":{pid}}}"#)
                    };
                    let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nServer: Docker/25.0.0 (linux)";
                    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    client.write_all(answer.as_bytes()).await.expect("answered");
                }
            });
        }
    });
    let runtime = DockerRuntime::connect(&impatient(&format!("unix://{}", path.display()))).await.expect("connected");
    let options = ExecOptions { command: vec!["sh".to_owned()], stdin: true, ..ExecOptions::default() };
    let exec = runtime.streams().exec("x", &options).await.expect("executed");
    let mut input = exec.session.expect("streams").input.expect("an input");
    input.shutdown().await.expect("passed on");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "end") {
        seen.push(order.recv().await.expect("what the engine saw"));
    }
    assert_eq!(seen, ["pid 0", "pid 0", "pid 7", "end"]);
}
