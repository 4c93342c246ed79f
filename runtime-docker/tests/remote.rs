//! Engines behind TLS and ssh.

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use compose_runtime::port::AttachOptions;
use compose_runtime::{Runtime, RuntimeError};
use runtime_docker::{DockerRuntime, Endpoint, TlsFiles};
use support::{Bench, collect};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

on_both_engines! {
    an_engine_behind_tls_is_used_with_both_sides_verified
    an_engine_behind_ssh_is_used
}

/// Attaches, writes, closes the input, and reads what comes back.
async fn echo(bench: &Bench, runtime: &DockerRuntime, name: &str) {
    let mut spec = bench.spec(name, "cat");
    (spec.stdin_open, spec.stdin_once) = (true, true);
    let id = runtime.containers().create(&spec).await.expect("created").id;
    let options = AttachOptions { stdin: true, output: true, ..AttachOptions::default() };
    let mut session = runtime.streams().attach(id.as_str(), &options).await.expect("attached");
    runtime.containers().start(id.as_str()).await.expect("started");
    let mut input = session.input.take().expect("an input");
    input.write_all(b"hello").await.expect("written");
    input.shutdown().await.expect("closed");
    assert_eq!(collect(session.output).await.0, b"hello");
    assert_eq!(runtime.containers().wait(id.as_str()).await.expect("ended"), 0);
}

fn openssl(directory: &Path, arguments: &str) {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().expect("openssl");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn certificates(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(directory, &format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 2"));
    for (name, file, extension) in
        [("server", "server", "subjectAltName=IP:127.0.0.1"), ("client", "", "extendedKeyUsage=clientAuth")]
    {
        std::fs::write(directory.join("extension"), extension).expect("written");
        let prefix = if file.is_empty() { String::new() } else { format!("{file}-") };
        openssl(directory, &format!("req {key} -keyout {prefix}key.pem -out request.pem -subj /CN={name}"));
        openssl(
            directory,
            &format!(
                "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile extension -out {prefix}cert.pem"
            ),
        );
    }
}

fn acceptor(directory: &Path) -> TlsAcceptor {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.pem")).expect("a certificate")).expect("added");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let chain = vec![CertificateDer::from_pem_file(directory.join("server-cert.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(directory.join("server-key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(chain, key)
        .expect("a configuration");
    TlsAcceptor::from(Arc::new(config))
}

async fn an_engine_behind_tls_is_used_with_both_sides_verified(bench: Arc<Bench>) {
    let directory = tempfile::tempdir().expect("a directory");
    certificates(directory.path());
    let acceptor = acceptor(directory.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let host = format!("tcp://{}", listener.local_addr().expect("an address"));
    let engine = bench.host.trim_start_matches("unix://").to_owned();
    let server = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, engine) = (acceptor.clone(), engine.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut engine = UnixStream::connect(engine).await.expect("the engine");
                tokio::io::copy_bidirectional(&mut client, &mut engine).await.ok();
            });
        }
    });
    let files = TlsFiles::in_directory(directory.path(), false);
    let endpoint = Endpoint { tls: Some(files.clone()), ..Endpoint::at(&host) };
    let runtime = DockerRuntime::connect(&endpoint).await.expect("connected");
    assert_eq!(runtime.describe().address, host);
    echo(&bench, &runtime, "tls").await;

    let anyone = TlsFiles { authority: None, skip_verification: true, ..files.clone() };
    DockerRuntime::connect(&Endpoint { tls: Some(anyone), ..Endpoint::at(&host) }).await.expect("not verified");
    let stranger = TlsFiles { authority: None, ..files.clone() };
    let error = DockerRuntime::connect(&Endpoint { tls: Some(stranger), ..Endpoint::at(&host) }).await;
    let error = error.err().expect("an unknown authority");
    assert!(
        matches!(error, RuntimeError::Unreachable { .. }) && error.to_string().contains("UnknownIssuer"),
        "{error}"
    );
    let nobody = TlsFiles { certificate: None, key: None, ..files };
    assert!(DockerRuntime::connect(&Endpoint { tls: Some(nobody), ..Endpoint::at(&host) }).await.is_err());
    server.abort();
}

/// The real far end (`docker system dial-stdio`) behind a stand-in for `ssh` that runs its
/// command here.
async fn an_engine_behind_ssh_is_used(bench: Arc<Bench>) {
    let Some(docker) = support::engine("COMPOSE_TEST_DOCKER_CLI") else { return };
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("ssh");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {}\nwhile [ \"$1\" != docker ]; do shift; done\nshift\nDOCKER_HOST={} exec {docker} \"$@\"\n",
        directory.path().join("arguments").display(),
        bench.host
    );
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    let endpoint = Endpoint { ssh_program: Some(program.clone()), ..Endpoint::at("ssh://me@far:2222") };
    let runtime = DockerRuntime::connect(&endpoint).await.expect("connected");
    let arguments = std::fs::read_to_string(directory.path().join("arguments")).expect("written");
    assert_eq!(arguments.trim(), "-o ConnectTimeout=30 -T -l me -p 2222 -- far docker system dial-stdio");
    echo(&bench, &runtime, "ssh").await;

    std::fs::write(&program, "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n").expect("written");
    let error = DockerRuntime::connect(&endpoint).await.err().expect("an error");
    assert!(matches!(error, RuntimeError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("Permission denied (publickey)"), "{error}");
}
