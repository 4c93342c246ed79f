//! Engines that are not behind the usual socket: ssh, TLS, contexts of the Docker CLI, and the order in
//! which options, variables and contexts count.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use compose_tests::engine::SEARCH_PATH;
use compose_tests::wait::eventually;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

use crate::up::TWO;

crate::cases! { (Docker("containerd is reached by its socket on the same machine alone")):
    an_engine_behind_ssh_is_used_as_a_local_one,
    an_engine_behind_tls_is_used_and_verified,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Runs the Docker CLI with the project's own configuration.
fn docker(project: &Project, words: &[&str]) -> CaseResult {
    let run = project.other("docker", &[&["--config", "client"], words].concat())?;
    run.ok().map(drop)
}

/// One project's life over whatever way leads to the engine.
fn life(project: &Project, options: &[&str]) -> CaseResult {
    let compose = |words: &[&str]| project.compose(&[options, words].concat());
    compose(&["up", "-d"])?.ok()?;
    compose(&["ps", "--services"])?.ok()?.says("web")?;
    compose(&["logs"])?.ok()?;
    compose(&["down"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "containers after `down`");
    Ok(())
}

/// A stand-in for `ssh` writes down what it is told and runs the real far end here.
fn an_engine_behind_ssh_is_used_as_a_local_one(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, TWO)?;
    let folder = project.folder().to_owned();
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{}/asked\nexport DOCKER_HOST=unix://{}\nexec docker system dial-stdio\n",
        folder.display(),
        engine.socket
    );
    project.write("bin/ssh", &script)?;
    std::fs::set_permissions(folder.join("bin/ssh"), PermissionsExt::from_mode(0o755)).map_err(text)?;
    project.set("PATH", &format!("{}/bin:{SEARCH_PATH}", folder.display()));
    project.set("DOCKER_CONFIG", &format!("{}/client", folder.display()));
    project.unset("DOCKER_HOST");
    let host = "ssh://me@far.invalid:2222";
    project.compose(&["--host", host, "up", "-d"])?.ok()?;
    let exec = ["--host", host, "exec", "-T", "web", "sh", "-c", "echo over-there; exit 7"];
    project.compose(&exec)?.exits(7)?.says("over-there")?;
    life(&project, &["--host", host])?;
    let asked = std::fs::read_to_string(folder.join("asked")).map_err(text)?;
    let first = asked.lines().next().unwrap_or_default();
    for part in ["-l me", "-p 2222", "far.invalid", "docker system dial-stdio"] {
        ensure!(first.contains(part), "ssh is not told {part:?}: {first}");
    }
    docker(&project, &["context", "create", "far", "--docker", "host=ssh://you@away.invalid"])?;
    let asked = || std::fs::read_to_string(folder.join("asked")).unwrap_or_default();
    project.compose(&["--context", "far", "ps"])?.ok()?;
    ensure!(asked().contains("-l you"), "the context is not used: {}", asked());
    // The variable, then the chosen context, lead there too; a host that is named counts more.
    let before = asked().lines().count();
    docker(&project, &["context", "use", "far"])?;
    project.compose(&["ps"])?.ok()?;
    ensure!(asked().lines().count() > before, "the chosen context is not used");
    let before = asked().lines().count();
    project.compose(&["--host", &format!("unix://{}", engine.socket), "ps"])?.ok()?;
    ensure_eq!(asked().lines().count(), before, "calls of ssh for an engine that is here");
    // What cannot be reached is named.
    project.write("bin/ssh", "#!/bin/sh\nexec 0<&-\necho 'Host key verification failed.' >&2\nexit 255\n")?;
    let run = project.compose(&["ps"])?.exits(1)?;
    run.says("ssh://you@away.invalid")?.says("Host key verification failed.")?;
    Ok(())
}

/// A relay that speaks TLS on one side and the engine's socket on the other. Python, since this machine has
/// it anyway.
const RELAY: &str = "
import socket, ssl, sys, threading
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile='ca.pem')
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain('server-cert.pem', 'server-key.pem')
listener = socket.create_server(('127.0.0.1', 0))
open('port', 'w').write(str(listener.getsockname()[1]))

def pump(source, target, how):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    try:
        how()
    except (OSError, ValueError):
        pass

def end(client):
    client.settimeout(5)
    try:
        client.unwrap()
    finally:
        client.shutdown(socket.SHUT_RDWR)

def serve(connection):
    try:
        client = context.wrap_socket(connection, server_side=True)
    except (OSError, ssl.SSLError):
        return
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(sys.argv[1])
    threading.Thread(target=pump, args=(engine, client, lambda: end(client)), daemon=True).start()
    # What ends the input of an exec lets its output come.
    pump(client, engine, lambda: engine.shutdown(socket.SHUT_WR))

while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
";

/// Ends with the case.
struct Relay(Child);

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn an_engine_behind_tls_is_used_and_verified(engine: &Engine) -> CaseResult {
    let mut project = Project::with(engine, TWO)?;
    let folder = project.folder().to_owned();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for (path, extension) in [("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")] {
        project.write(&format!("{path}.ext"), extension)?;
    }
    let certificates = format!(
        "set -e
         openssl req -x509 {key} -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 2
         openssl req -x509 {key} -keyout other-key.pem -out other.pem -subj /CN=other -days 2
         for name in server client; do
           openssl req {key} -keyout $name-key.pem -out $name.csr -subj /CN=$name
           openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile $name.ext -out $name-cert.pem
         done
         mv client-key.pem key.pem; mv client-cert.pem cert.pem"
    );
    project.other("sh", &["-c", &certificates])?.ok()?;
    project.write("relay.py", RELAY)?;
    let _relay = Relay(
        Command::new("python3")
            .args(["relay.py", &engine.socket])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("python3: {error}"))?,
    );
    let port = eventually(Duration::from_secs(30), || {
        let port = std::fs::read_to_string(folder.join("port")).unwrap_or_default();
        if port.is_empty() { Err("the relay does not listen".to_owned()) } else { Ok(port) }
    })?;
    let host = format!("tcp://127.0.0.1:{port}");
    project.unset("DOCKER_HOST");
    let secure =
        ["--host", &host, "--tlsverify", "--tlscacert", "ca.pem", "--tlscert", "cert.pem", "--tlskey", "key.pem"];
    project.compose(&[&secure[..], &["up", "-d"]].concat())?.ok()?;
    let exec = ["exec", "-T", "web", "sh", "-c", "cat; echo over-there; exit 7"];
    project.compose(&[&secure[..], &exec].concat())?.exits(7)?.says("over-there")?;
    life(&project, &secure)?;
    project.set("DOCKER_CONFIG", &format!("{}/client", folder.display()));
    let endpoint = format!("host={host},ca=ca.pem,cert=cert.pem,key=key.pem");
    docker(&project, &["context", "create", "secure", "--docker", &endpoint])?;
    project.compose(&["--context", "secure", "ls"])?.ok()?;
    // As people have it in their environment; a certificate of somebody else is refused.
    project.set("DOCKER_HOST", &host);
    project.set("DOCKER_TLS_VERIFY", "1");
    project.set("DOCKER_CERT_PATH", &folder.display().to_string());
    project.compose(&["ls"])?.ok()?;
    let run = project.compose(&["--tlscacert", "other.pem", "--tlsverify", "ls"])?.exits(1)?;
    ensure!(run.stderr.to_lowercase().contains("certificate"), "the message does not name the certificate: {run}");
    Ok(())
}
