//! containerd, the supervisor and the machine go away and come back.

use std::time::Duration;

use compose_tests::private_containerd::PrivateContainerd;
use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually, http};

crate::cases! { PrivateContainerd:
    containers_go_on_without_containerd_and_without_the_supervisor,
    an_application_comes_back_in_order_when_the_machine_starts_again,
    a_service_takes_over_and_tells_when_it_is_ready,
}

const LIMIT: Duration = Duration::from_secs(60);

const TEXT: &str = "
services:
  db:
    image: busybox
    command: sh -c 'sleep 1; touch /ready; echo started >> /data/log; exec sleep 1000'
    stop_signal: SIGKILL
    restart: always
    volumes: ['data:/data']
    healthcheck: {test: test -e /ready, interval: 200ms, retries: 100}
  web:
    image: busybox
    command: sh -c \"mkdir -p /www && cat /run/secrets/word > /www/index.html && exec httpd -f -p 80 -h /www\"
    stop_signal: SIGKILL
    restart: unless-stopped
    ports: ['80']
    secrets: [{source: word, mode: 0440}]
    depends_on: {db: {condition: service_healthy}}
  away:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
volumes:
  data: {}
secrets:
  word: {file: ./word}
";

fn ready(project: &Project) -> CaseResult {
    eventually(LIMIT, || {
        for service in ["db", "web"] {
            let state = project.only(service)?.state;
            ensure!(state == "running", "{service} is {state}");
        }
        let health = project.only("db")?.inspect["State"]["Health"]["Status"].clone();
        ensure!(health == "healthy", "db is {health}");
        let run = project.compose(&["exec", "-T", "web", "nslookup", "db", "127.0.0.11"])?.ok()?;
        let address = project.only("db")?.inspect["NetworkSettings"]["Networks"]
            [format!("{}_default", project.name)]["IPAddress"]
            .clone();
        ensure!(run.stdout.contains(address.as_str().unwrap_or("?")), "the answer for db ({address}): {run}");
        Ok(())
    })
}

fn crash(project: &Project, service: &str) -> CaseResult {
    let before = project.only(service)?;
    let pid = before.inspect["State"]["Pid"].to_string();
    std::process::Command::new("kill").args(["-9", &pid]).status().map_err(|error| error.to_string())?;
    eventually(LIMIT, || {
        let now = project.only(service)?;
        let back = now.state == "running" && now.started_at != before.started_at && now.id == before.id;
        if back { Ok(()) } else { Err(format!("{service} is {} after its crash", now.state)) }
    })
}

fn containers_go_on_without_containerd_and_without_the_supervisor(engine: &Engine) -> CaseResult {
    let mut private = PrivateContainerd::start(engine)?;
    let project = Project::with(&private.engine, TEXT)?;
    project.write("word", "hush\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    ready(&project)?;
    let starts = || -> Result<Vec<String>, String> {
        Ok(project.containers()?.into_iter().map(|container| container.started_at).collect())
    };
    for signal in ["TERM", "KILL"] {
        let before = starts()?;
        private.down(signal)?;
        private.up()?;
        ready(&project)?;
        ensure_eq!(starts()?, before, "starts after containerd's end by {signal}");
        // The same supervisor hears events again.
        crash(&project, "db")?;
        ready(&project)?;
    }
    private.kill_supervisor()?;
    let before = starts()?;
    project.compose(&["ps"])?.ok()?;
    ready(&project)?;
    ensure_eq!(starts()?, before, "starts under the next supervisor");
    crash(&project, "web")?;
    ready(&project)?;
    project.compose(&["down", "-v"])?.ok()?;
    Ok(())
}

fn an_application_comes_back_in_order_when_the_machine_starts_again(engine: &Engine) -> CaseResult {
    let mut private = PrivateContainerd::start(engine)?;
    let project = Project::with(&private.engine, TEXT)?;
    project.write("word", "hush\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    ready(&project)?;
    let address = |service: &str| -> Result<serde_json::Value, String> {
        Ok(project.only(service)?.inspect["NetworkSettings"]["Networks"].clone())
    };
    let before = (project.only("db")?.id, project.only("web")?.id, address("db")?, address("web")?);
    private.lose_power()?;
    private.up()?;
    // As the service of the system would: any command starts the supervisor here.
    project.compose(&["ps"])?.ok()?;
    ready(&project)?;
    let (db, web) = (project.only("db")?, project.only("web")?);
    ensure_eq!((db.id, web.id, address("db")?, address("web")?), before, "containers and addresses");
    ensure!(web.started_at > db.started_at, "web was started before db");
    ensure_eq!(project.only("away")?.state, "exited", "the one without a policy");
    let data = project.compose(&["exec", "-T", "db", "cat", "/data/log"])?.ok()?;
    ensure_eq!(data.stdout, "started\nstarted\n", "db's data");
    let secret =
        project.compose(&["exec", "-T", "web", "sh", "-c", "stat -c %a /run/secrets/word; cat /run/secrets/word"])?;
    ensure_eq!(secret.ok()?.stdout, "440\nhush\n", "the secret");
    let port = project.only("web")?.published("80/tcp").ok_or("no port is published")?;
    let page = eventually(LIMIT, || http::get("127.0.0.1", port, "/"))?;
    ensure_eq!(page.body, "hush\n", "what the published port answers");
    project.compose(&["down", "-v"])?.ok()?;
    Ok(())
}

fn a_service_takes_over_and_tells_when_it_is_ready(engine: &Engine) -> CaseResult {
    let private = PrivateContainerd::start(engine)?;
    let project = Project::with(&private.engine, TEXT)?;
    project.write("word", "hush\n")?;
    project.compose(&["up", "-d", "db"])?.ok()?;
    let failed = |error: std::io::Error| error.to_string();
    let path = project.folder().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).map_err(failed)?;
    manager.set_read_timeout(Some(LIMIT)).map_err(failed)?;
    let binary = compose_tests::engine::setting("BINARY").ok_or("COMPOSE_TEST_BINARY is not set")?;
    let mut service = std::process::Command::new(binary)
        .args(["supervisor", "run"])
        .envs(private.engine.environment())
        .env("NOTIFY_SOCKET", &path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(failed)?;
    let checked = (|| {
        let mut message = [0; 64];
        let length = manager.recv(&mut message).map_err(failed)?;
        ensure_eq!(&message[..length], b"READY=1", "what the service manager is told");
        let status = project.compose(&["supervisor", "status"])?.ok()?;
        ensure!(status.stdout.contains(&format!("pid {} ", service.id())), "the other one is still there: {status}");
        project.compose(&["supervisor", "status", "--dry-run"])?.ok()?;
        project.compose(&["supervisor", "stop", "--dry-run"])?.ok()?.says("would end: pid")?;
        crash(&project, "db")
    })();
    let _ = std::process::Command::new("kill").arg(service.id().to_string()).status();
    let ended = service.wait().map_err(failed)?;
    checked?;
    ensure!(ended.success(), "the service ended with {ended}");
    project.compose(&["ps"])?.ok()?;
    project.compose(&["supervisor", "stop"])?.ok()?;
    let status = project.compose(&["supervisor", "status"])?.exits(1)?;
    ensure!(status.stdout.contains("not running"), "the supervisor after its end: {status}");
    project.compose(&["down", "-v"])?.ok()?;
    Ok(())
}
