//! Waiting for containers.
//!
//! One subscription to the engine's events serves all waits of an execution. It is opened before
//! the first step is issued; a wait first takes its place at the [`Bulletin`] and then inspects,
//! so that nothing between the two is missed. Only when the stream breaks do the waits poll.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_model::names::{ContainerName, ProjectName, ServiceName};
use compose_planner::observed::{Health, State};
use compose_planner::op::Until;
use compose_planner::{OpId, labels};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::dispatch::{Context, Ending, Trouble};
use crate::error::RuntimeError;
use crate::event::{Completion, Evidence, Progress};
use crate::port::{EngineEvent, EventQuery, Inspection, Items, LogOptions, Runtime};

/// Time between two looks when there is no event stream.
const POLL: Duration = Duration::from_millis(500);
/// Time between two looks while the stream is there. It only guards against an event that the
/// engine lost: Docker answers a subscription a moment before it takes effect.
const DOUBT: Duration = Duration::from_secs(5);
/// How long a container without health check has to stay up to count as ready. One that ends at
/// once is up for a moment too; the reference looks half a second after the start.
const SETTLE: Duration = Duration::from_millis(500);
/// How many restarts of a container without health check, during a wait, are a crash loop: engines
/// wait twice as long before each, so this takes some three seconds.
const RESTARTS: i64 = 5;
/// As [`RESTARTS`] where a health check says when it is up: some 25 seconds, since such containers
/// may be written to fail until what they need is there.
const RESTARTS_WITH_CHECK: i64 = 8;
/// Longest time that is spent on collecting evidence of a failure.
const EVIDENCE: Duration = Duration::from_secs(3);
/// Log lines shown with a failure.
const LOG_LINES: u64 = 20;

/// What a wait is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    /// There is no (longer an) event stream: look from time to time.
    silent: bool,
    /// The last event said that it is healthy.
    healthy: bool,
}

/// Hands the engine's events to the waits that they concern. Owned by the executor's loop.
#[derive(Default)]
pub(crate) struct Bulletin {
    stream: Option<Items<EngineEvent>>,
    boards: BTreeMap<String, watch::Sender<News>>,
}

impl Bulletin {
    /// Subscribes to the events of a project's containers.
    pub(crate) async fn subscribe(runtime: &dyn Runtime, project: &ProjectName) -> Self {
        let query = EventQuery {
            labels: vec![(labels::PROJECT.to_owned(), Some(project.to_string()))],
            ..EventQuery::default()
        };
        let stream = match runtime.streams().events(&query).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!(%error, "no engine events: waits poll");
                None
            }
        };
        Self { stream, boards: BTreeMap::new() }
    }

    /// The news of one container.
    pub(crate) fn watch(&mut self, container: &str) -> watch::Receiver<News> {
        let silent = self.stream.is_none();
        let board = self
            .boards
            .entry(container.to_owned())
            .or_insert_with(|| watch::Sender::new(News { silent, healthy: false }));
        let mut receiver = board.subscribe();
        receiver.mark_unchanged();
        receiver
    }

    /// Waits for the next event and passes it on. Never returns without a stream. Safe to drop.
    pub(crate) async fn deliver(&mut self) {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        match stream.next().await {
            Some(Ok(event)) if tells_something(&event.action) => {
                let healthy = event.action == "health_status: healthy";
                for key in [event.container.as_str(), event.name.as_str()] {
                    if let Some(board) = self.boards.get(key) {
                        board.send_replace(News { silent: false, healthy });
                    }
                }
            }
            Some(Ok(_)) => {}
            ended => {
                if let Some(Err(error)) = ended {
                    tracing::debug!(%error, "engine events broke off: waits poll");
                }
                self.stream = None;
                for board in self.boards.values() {
                    board.send_replace(News { silent: true, healthy: false });
                }
            }
        }
    }
}

/// Whether an event can end a wait. Health probes alone make several events a second.
fn tells_something(action: &str) -> bool {
    !["exec_", "attach", "top", "resize", "copy", "archive-path", "extract-to-dir"]
        .iter()
        .any(|noise| action.starts_with(noise))
}

/// One wait.
pub(crate) struct Wait<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) id: &'a OpId,
    pub(crate) name: &'a ContainerName,
    pub(crate) service: &'a ServiceName,
    /// By which the engine finds it.
    pub(crate) container: String,
    pub(crate) until: Until,
    pub(crate) required: bool,
    pub(crate) within: Option<Duration>,
}

impl Wait<'_> {
    pub(crate) async fn run(self, mut news: watch::Receiver<News>) -> Result<Completion, Trouble> {
        // A wait of more than a century is no deadline.
        let began = Instant::now();
        let deadline = self.within.and_then(|within| began.checked_add(within));
        let mut last_health = None;
        let mut settled: Option<(String, Instant)> = None;
        let mut restarts_before = None;
        loop {
            let inspection = match self.context.runtime.containers().inspect(&self.container).await {
                Ok(inspection) => inspection,
                Err(error) if error.is_not_found() => {
                    let message = format!("container {} was removed while it was waited for", self.name);
                    return Err(RuntimeError::NotFound { message }.into());
                }
                Err(error) => return Err(error.into()),
            };
            if last_health.replace(inspection.health) != Some(inspection.health) && inspection.has_healthcheck {
                // Counted from the first look: the engine's clock may be another one.
                let patience = inspection.patience.filter(|_| inspection.health == Health::Starting);
                let end = patience.and_then(|patience| began.checked_add(patience)).into_iter().chain(deadline).min();
                let left = end.map(|end| end.saturating_duration_since(Instant::now()));
                self.context.progress(self.id, Progress::Health { health: inspection.health, left });
            }
            // Without a health check there is nothing to wait for, but one that ends at once is better told so.
            let unchecked = matches!(self.until, Until::Healthy) && !inspection.has_healthcheck;
            let left = SETTLE.saturating_sub(began.elapsed());
            if unchecked && inspection.state == State::Running && !left.is_zero() {
                tokio::select! {
                    _ = news.changed() => {}
                    () = tokio::time::sleep(left) => {}
                }
                continue;
            }
            let restarts = inspection.restart_count - *restarts_before.get_or_insert(inspection.restart_count);
            if let Some(message) = crash_loop(self.until, self.name, &inspection, restarts) {
                let message = if self.required { message } else { optional(self.service, &message) };
                return Err(self.trouble(message, &inspection).await);
            }
            match judge(self.until, self.name, self.service, &inspection) {
                Verdict::Reached => return Ok(Completion::Done),
                Verdict::Hopeless(message) => {
                    let message = if self.required { message } else { optional(self.service, &message) };
                    return Err(self.trouble(message, &inspection).await);
                }
                Verdict::NotYet => settled = None,
                Verdict::Settling => {
                    // Up in two looks is not up between them: a restart begins anew.
                    match settled.as_ref().filter(|(run, _)| *run == inspection.started_at) {
                        Some((_, end)) if Instant::now() >= *end => return Ok(Completion::Done),
                        Some(_) => {}
                        None => settled = Some((inspection.started_at.clone(), Instant::now() + SETTLE)),
                    }
                }
            }
            let pause = match &settled {
                Some((_, end)) => end.saturating_duration_since(Instant::now()),
                None if news.borrow().silent => POLL,
                None => DOUBT,
            };
            tokio::select! {
                // The sender is in the loop that drives this future.
                _ = news.changed() => {
                    // The engine has just said what another look could only repeat.
                    let asks = matches!(self.until, Until::Healthy | Until::Ready { .. });
                    let watched = inspection.has_healthcheck && inspection.state == State::Running;
                    if asks && watched && news.borrow().healthy {
                        return Ok(Completion::Done);
                    }
                }
                () = tokio::time::sleep(pause) => {}
                () = at(deadline) => {
                    let seconds = self.within.unwrap_or_default().as_secs_f64();
                    let message = match self.until {
                        Until::Ready { .. } => format!("application not healthy after {seconds}s"),
                        _ => format!(
                            "timeout waiting for dependencies: service {:?} is not there after {seconds}s",
                            self.service.as_str()
                        ),
                    };
                    return Err(self.trouble(message, &inspection).await);
                }
            }
        }
    }

    async fn trouble(&self, message: String, inspection: &Inspection) -> Trouble {
        let evidence = gather(self.context.runtime, &self.container, self.name.as_str(), inspection).await;
        Trouble { error: RuntimeError::Failed { message }, evidence: Some(evidence), place: None }
    }
}

impl From<Result<Completion, Trouble>> for Ending {
    fn from(result: Result<Completion, Trouble>) -> Self {
        Self { result, made: None, variables: Vec::new() }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What a look at a container says about a wait.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    NotYet,
    /// Reached if it stays so for a moment.
    Settling,
    /// It will not come true; in the words of the reference.
    Hopeless(String),
}

fn judge(until: Until, name: &ContainerName, service: &ServiceName, seen: &Inspection) -> Verdict {
    let ended = matches!(seen.state, State::Exited | State::Dead);
    let code = seen.exit_code;
    let exited = format!("container {name} exited ({code})");
    match until {
        Until::Started if seen.state == State::Created => Verdict::NotYet,
        // One that has ended has been started.
        Until::Started => Verdict::Reached,
        Until::Completed if ended && code == 0 => Verdict::Reached,
        Until::Completed if ended => {
            Verdict::Hopeless(format!("service {:?} didn't complete successfully: exit {code}", service.as_str()))
        }
        Until::Completed => Verdict::NotYet,
        Until::Healthy if ended => Verdict::Hopeless(format!("dependency failed to start: {exited}")),
        Until::Healthy if !seen.has_healthcheck => {
            Verdict::Hopeless(format!("dependency failed to start: container {name} has no healthcheck configured"))
        }
        Until::Healthy => healthy(seen, || format!("dependency failed to start: container {name} is unhealthy")),
        Until::Ready { allow_exit } if ended => {
            if allow_exit && code == 0 {
                Verdict::Reached
            } else {
                Verdict::Hopeless(exited)
            }
        }
        Until::Ready { .. } if !seen.has_healthcheck => {
            if seen.state == State::Running {
                Verdict::Settling
            } else {
                Verdict::NotYet
            }
        }
        Until::Ready { .. } => healthy(seen, || format!("container {name} is unhealthy")),
    }
}

/// The message on a container that its restart policy starts again and again.
fn crash_loop(until: Until, name: &ContainerName, seen: &Inspection, restarts: i64) -> Option<String> {
    let limit = if seen.has_healthcheck { RESTARTS_WITH_CHECK } else { RESTARTS };
    let waits = matches!(until, Until::Ready { .. } | Until::Healthy);
    let loops = waits && restarts >= limit && seen.state == State::Restarting;
    loops.then(|| {
        format!(
            "container {name} keeps restarting: exited ({}) {restarts} times while it was waited for",
            seen.exit_code
        )
    })
}

fn healthy(seen: &Inspection, message: impl FnOnce() -> String) -> Verdict {
    match seen.health {
        Health::Healthy => Verdict::Reached,
        Health::Unhealthy => Verdict::Hopeless(message()),
        Health::None | Health::Starting => Verdict::NotYet,
    }
}

/// The message on a dependency with `required: false`, whose failure is a warning.
fn optional(service: &ServiceName, message: &str) -> String {
    let dependency = format!("optional dependency {:?}", service.as_str());
    if let Some(rest) = message.strip_prefix(&format!("service {:?} ", service.as_str())) {
        return format!("{dependency} {rest}");
    }
    let cause = message.strip_prefix("dependency failed to start: ").unwrap_or(message);
    format!("{dependency} failed to start: {cause}")
}

/// What shows why a container is not as it should be.
pub(crate) async fn evidence(runtime: &dyn Runtime, container: &str) -> Evidence {
    match runtime.containers().inspect(container).await {
        Ok(inspection) => gather(runtime, container, inspection.name.as_str(), &inspection).await,
        Err(_) => Evidence { container: container.to_owned(), ..Evidence::default() },
    }
}

async fn gather(runtime: &dyn Runtime, container: &str, name: &str, seen: &Inspection) -> Evidence {
    let ended = matches!(seen.state, State::Exited | State::Dead | State::Restarting);
    Evidence {
        container: name.to_owned(),
        exit_code: ended.then_some(seen.exit_code),
        probe: seen.last_probe.clone(),
        log: tokio::time::timeout(EVIDENCE, last_lines(runtime, container)).await.unwrap_or_default(),
        error: seen.error.clone(),
    }
}

/// The last log lines; none where the log cannot be read, since the failure itself matters more.
async fn last_lines(runtime: &dyn Runtime, container: &str) -> Vec<String> {
    let options = LogOptions { tail: Some(LOG_LINES), ..LogOptions::default() };
    let Ok(mut chunks) = runtime.streams().logs(container, &options).await else { return Vec::new() };
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        bytes.extend_from_slice(&chunk.bytes);
        if !chunk.bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: State, health: Option<Health>, exit_code: i64) -> Inspection {
        Inspection {
            state,
            has_healthcheck: health.is_some(),
            health: health.unwrap_or_default(),
            exit_code,
            ..Inspection::default()
        }
    }

    #[test]
    fn a_crash_loop_is_told_from_a_few_restarts() {
        let told = |until, check: Option<Health>, state, restarts| {
            crash_loop(until, &"P-x-1".into(), &seen(state, check, 3), restarts)
        };
        let ready = Until::Ready { allow_exit: false };
        assert_eq!(told(ready, None, State::Restarting, 4), None);
        assert_eq!(told(ready, None, State::Running, 9), None);
        assert_eq!(told(Until::Completed, None, State::Restarting, 9), None);
        assert_eq!(told(Until::Healthy, Some(Health::Starting), State::Restarting, 5), None);
        assert_eq!(
            told(ready, None, State::Restarting, 5).as_deref(),
            Some("container P-x-1 keeps restarting: exited (3) 5 times while it was waited for")
        );
        assert!(told(ready, Some(Health::Starting), State::Restarting, 8).is_some());
    }

    #[test]
    fn verdicts_are_those_of_the_reference() {
        let ready = Until::Ready { allow_exit: false };
        let job = Until::Ready { allow_exit: true };
        let cases = [
            (Until::Started, seen(State::Created, None, 0), "not yet"),
            (Until::Started, seen(State::Running, None, 0), "reached"),
            (Until::Started, seen(State::Exited, None, 1), "reached"),
            (Until::Healthy, seen(State::Running, Some(Health::Starting), 0), "not yet"),
            (Until::Healthy, seen(State::Running, Some(Health::Healthy), 0), "reached"),
            (
                Until::Healthy,
                seen(State::Running, Some(Health::Unhealthy), 0),
                "dependency failed to start: container P-x-1 is unhealthy",
            ),
            (
                Until::Healthy,
                seen(State::Running, None, 0),
                "dependency failed to start: container P-x-1 has no healthcheck configured",
            ),
            (
                Until::Healthy,
                seen(State::Exited, Some(Health::Unhealthy), 1),
                "dependency failed to start: container P-x-1 exited (1)",
            ),
            (Until::Completed, seen(State::Running, None, 0), "not yet"),
            (Until::Completed, seen(State::Exited, None, 0), "reached"),
            (Until::Completed, seen(State::Exited, None, 3), "service \"x\" didn't complete successfully: exit 3"),
            (ready, seen(State::Running, None, 0), "settling"),
            (ready, seen(State::Restarting, None, 0), "not yet"),
            (ready, seen(State::Running, Some(Health::Starting), 0), "not yet"),
            (ready, seen(State::Running, Some(Health::Unhealthy), 0), "container P-x-1 is unhealthy"),
            (ready, seen(State::Exited, None, 4), "container P-x-1 exited (4)"),
            (ready, seen(State::Exited, None, 0), "container P-x-1 exited (0)"),
            (job, seen(State::Exited, None, 0), "reached"),
            (job, seen(State::Exited, None, 4), "container P-x-1 exited (4)"),
        ];
        for (until, inspection, expected) in cases {
            let verdict = match judge(until, &"P-x-1".into(), &"x".into(), &inspection) {
                Verdict::Reached => "reached".to_owned(),
                Verdict::NotYet => "not yet".to_owned(),
                Verdict::Settling => "settling".to_owned(),
                Verdict::Hopeless(message) => message,
            };
            assert_eq!(verdict, expected, "{until:?} {inspection:?}");
        }
    }
}
