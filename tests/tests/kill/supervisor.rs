//! The supervisor is killed at random moments, while containers crash and are started again, names
//! are asked for and pages are served. No container may be lost, no line of a log that is
//! written, no policy; names are answered again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compose_tests::engine::setting;
use compose_tests::private_containerd::PrivateContainerd;
use compose_tests::{CaseResult, ContainerState, Engine, Project, ensure, ensure_eq, eventually, http};

use crate::{CONVERGED, Dice, TRIED};

const LIMIT: Duration = Duration::from_secs(60);
/// The latest moment of a kill after a crash.
const LATEST: Duration = Duration::from_millis(1000);
/// Among others one that logs a line every few milliseconds.
const TEXT: &str = r#"
services:
  web:
    image: busybox
    command: sh -c "mkdir -p /www; echo page > /www/index.html; exec httpd -f -p 80 -h /www"
    stop_signal: SIGKILL
    restart: unless-stopped
    ports: ['127.0.0.1::80']
  db:
    image: busybox
    command: sleep 100000
    stop_signal: SIGKILL
    restart: always
    scale: 6
    healthcheck: {test: 'true', interval: 300ms}
  counter:
    image: busybox
    command: sh -c "i=0; while true; do echo line $$i; i=$$((i+1)); usleep 20000; done"
    stop_signal: SIGKILL
  once:
    image: busybox
    command: 'true'
    restart: on-failure:3
"#;

/// So many kills of the supervisor.
pub(crate) fn kills(engine: &Engine) -> CaseResult {
    let count = setting("SUPERVISOR_KILLS").and_then(|text| text.parse().ok()).unwrap_or(3);
    let private = PrivateContainerd::start(engine)?;
    let project = Project::with(&private.engine, TEXT)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = policies(&project)?;
    let port = project.only("web")?.published("80/tcp").ok_or("no port is published")?;
    let traffic = Traffic::start(port);
    let mut dice = Dice::new();
    let mut wrong = Vec::new();
    for round in 1..=count {
        TRIED.fetch_add(1, Ordering::Relaxed);
        match kill(&private, &project, &before, &mut dice) {
            Ok(()) => _ = CONVERGED.fetch_add(1, Ordering::Relaxed),
            Err(error) => wrong.push(format!("kill {round}: {error}")),
        }
        if round % 10 == 0 {
            println!("{}: supervisor: {} of {round} kills converged", engine.name, round - wrong.len());
        }
    }
    let (answered, refused) = traffic.end();
    let lines = whole_log(&project)?;
    println!(
        "{}: supervisor: {} of {count} kills converged; {answered} pages served, {refused} not; {lines} lines logged, \
         none lost",
        engine.name,
        count - wrong.len()
    );
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    ensure_eq!(refused, 0, "pages that were not served");
    project.compose(&["down", "-t", "0"])?.ok()?;
    eventually(LIMIT, || {
        let left = private.traces()?;
        if left.is_empty() { Ok(()) } else { Err(format!("`down` left {left:#?}")) }
    })
}

/// One kill, at a random moment after a container has crashed, and what has to be true afterwards.
fn kill(
    private: &PrivateContainerd,
    project: &Project,
    before: &BTreeMap<String, String>,
    dice: &mut Dice,
) -> CaseResult {
    // The one that has run longest: after many short runs the policy would wait longer and longer.
    let mut all = project.service("db")?;
    all.sort_by(|left, right| left.started_at.cmp(&right.started_at));
    let victim = all.first().ok_or("there is no db")?;
    let pid = victim.inspect["State"]["Pid"].to_string();
    ensure!(pid != "0", "{} is {}", victim.name, victim.state);
    std::process::Command::new("kill").args(["-9", &pid]).status().map_err(|error| error.to_string())?;
    let moment = LATEST.mul_f64(dice.throw());
    rest(moment);
    private.kill_supervisor()?;
    let killed = Instant::now();
    // Where no service of the system brings it back, the next command does.
    project.compose(&["ps", "-a"])?.ok()?;
    eventually(LIMIT, || {
        let now = project.containers()?;
        let found = policies_of(&now);
        ensure!(found == *before, "containers and policies\n  got:      {found:?}\n  expected: {before:?}");
        for one in &now {
            let state = if one.service == "once" { "exited" } else { "running" };
            ensure!(one.state == state, "{} is {}", one.name, one.state);
        }
        let now = now.iter().find(|one| one.id == victim.id).ok_or("the crashed one is gone")?;
        ensure!(now.started_at != victim.started_at, "the crashed one was not started again");
        Ok(())
    })
    .and_then(|()| names(project))
    .map_err(|error| {
        format!(
            "{} crashed and the supervisor was killed {moment:?} later, {:?} ago: {error}",
            victim.name,
            killed.elapsed()
        )
    })
}

/// Passes time: a random moment, and the pace of the traffic, are no events.
#[allow(clippy::disallowed_methods)]
fn rest(time: Duration) {
    std::thread::sleep(time);
}

/// Every replica is found by the service's name, under the address that it has.
fn names(project: &Project) -> CaseResult {
    eventually(LIMIT, || {
        let run = project.compose(&["exec", "-T", "web", "nslookup", "db", "127.0.0.11"])?.ok()?;
        let network = format!("{}_default", project.name);
        for one in project.service("db")? {
            let address = one.inspect["NetworkSettings"]["Networks"][&network]["IPAddress"].clone();
            ensure!(
                run.stdout.contains(address.as_str().unwrap_or("?")),
                "{} ({address}) is not among {run}",
                one.name
            );
        }
        Ok(())
    })
}

/// Identities and restart policies.
fn policies(project: &Project) -> Result<BTreeMap<String, String>, String> {
    eventually(LIMIT, || {
        let once = project.only("once")?.state;
        ensure!(once == "exited", "once is {once}");
        Ok(())
    })?;
    Ok(policies_of(&project.containers()?))
}

fn policies_of(containers: &[ContainerState]) -> BTreeMap<String, String> {
    let policy = |one: &ContainerState| one.inspect["HostConfig"]["RestartPolicy"].to_string();
    containers.iter().map(|one| (format!("{} {}", one.name, one.id), policy(one))).collect()
}

/// How many lines the counter has logged; an error if one is missing.
fn whole_log(project: &Project) -> Result<usize, String> {
    let logs = project.compose(&["logs", "--no-log-prefix", "--no-color", "counter"])?.ok()?;
    for (index, line) in logs.stdout.lines().enumerate() {
        ensure_eq!(line, format!("line {index}"), "a line of the log");
    }
    let count = logs.stdout.lines().count();
    ensure!(count > 0, "nothing was logged");
    Ok(count)
}

/// Somebody who asks for a page without rest.
struct Traffic {
    end: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Traffic {
    fn start(port: u16) -> Self {
        let (end, answered, refused) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (ending, good, bad) = (Arc::clone(&end), Arc::clone(&answered), Arc::clone(&refused));
        let thread = std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let good = match http::get("127.0.0.1", port, "/") {
                    Ok(page) if page.body == "page\n" => &good,
                    _ => &bad,
                };
                good.fetch_add(1, Ordering::Relaxed);
                rest(Duration::from_millis(10));
            }
        });
        Self { end, answered, refused, thread }
    }

    /// Pages that were served, and those that were not.
    fn end(self) -> (usize, usize) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        (self.answered.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}
