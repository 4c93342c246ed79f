//! What an engine goes on doing after the run that asked for it is gone: which steps are noted in the lock file,
//! and how the next run lets them finish before it looks at what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_model::Project;
use compose_model::names::{ContainerName, ProjectName};
use compose_planner::observed::{Container, State};
use compose_planner::{Op, OpId, Plan, Step, Target, labels};
use compose_runtime::port::{EngineEvent, EventQuery, Items, Naming, ObserveQuery};
use compose_runtime::{Event, Runtime};
use futures_util::StreamExt as _;

use crate::lock::ProjectLock;
use crate::output::Output;

/// Milliseconds within which an engine that was asked for something has begun with it. On an engine with ten times
/// more to do than processors to do it, 30 were measured.
const ARRIVAL: i64 = 1_000;
/// Milliseconds after which nobody waits for a creation or removal any more, whatever the engine says.
const LONGEST: i64 = 60_000;
/// What a busy engine may need beside the grace period of a container that stops.
const SLACK: i64 = 5_000;
/// The grace period where neither the command nor the file has another one.
const GRACE: i64 = 10_000;
/// Waits shorter than this are not told of.
const SILENT: Duration = Duration::from_millis(200);
/// Longest time between two looks while events are awaited: no event tells of a creation that has failed, of a
/// network, or of what the engine never began with.
const LOOK: Duration = Duration::from_millis(500);

/// What a run has asked an engine for without having heard how it ended. Times are milliseconds of Unix time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// A container is to stop, within a time.
    Stopping { until: i64, id: String, name: String },
    /// A container is to go.
    Removing { since: i64, id: String, name: String },
    /// A container is to be made.
    Container { since: i64, name: String },
    /// A network is to be made.
    Network { since: i64, name: String },
    /// A volume is to be made.
    Volume { since: i64, name: String },
}

impl Unfinished {
    /// The line of a lock file that tells of it.
    pub(crate) fn begun(&self) -> String {
        match self {
            Self::Stopping { until, id, name } => format!("begun stop {until} {id} {name}\n"),
            Self::Removing { since, id, name } => format!("begun remove {since} {id} {name}\n"),
            Self::Container { since, name } => format!("begun container {since} {name}\n"),
            Self::Network { since, name } => format!("begun network {since} {name}\n"),
            Self::Volume { since, name } => format!("begun volume {since} {name}\n"),
        }
    }

    /// The line that tells that it has ended, well or not.
    pub(crate) fn ended(&self) -> String {
        let (kind, key) = self.key();
        format!("ended {kind} {key}\n")
    }

    /// By which lines of a lock file belong together.
    fn key(&self) -> (&'static str, &str) {
        match self {
            Self::Stopping { id, .. } => ("stop", id),
            Self::Removing { id, .. } => ("remove", id),
            Self::Container { name, .. } => ("container", name),
            Self::Network { name, .. } => ("network", name),
            Self::Volume { name, .. } => ("volume", name),
        }
    }

    /// What in the lines of a lock file was begun and has not ended.
    pub(crate) fn read(text: &str) -> Vec<Self> {
        let mut open: Vec<Self> = Vec::new();
        // A last line without its end may be half a name.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            if let Some(begun) = line.strip_prefix("begun ") {
                open.extend(Self::parse(begun));
            } else if let Some((kind, key)) = line.strip_prefix("ended ").and_then(|rest| rest.split_once(' ')) {
                open.retain(|request| request.key() != (kind, key));
            }
        }
        open
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        let (time, rest) = rest.split_once(' ')?;
        let time = time.parse().ok()?;
        let known = || rest.split_once(' ').map(|(id, name)| (id.to_owned(), name.to_owned()));
        match kind {
            "stop" => known().map(|(id, name)| Self::Stopping { until: time, id, name }),
            "remove" => known().map(|(id, name)| Self::Removing { since: time, id, name }),
            "container" => Some(Self::Container { since: time, name: rest.to_owned() }),
            "network" => Some(Self::Network { since: time, name: rest.to_owned() }),
            "volume" => Some(Self::Volume { since: time, name: rest.to_owned() }),
            _ => None,
        }
    }

    /// For people.
    fn words(&self) -> String {
        match self {
            Self::Stopping { name, .. } => format!("stopped {name}"),
            Self::Removing { name, .. } => format!("removed {name}"),
            Self::Container { name, .. } => format!("created {name}"),
            Self::Network { name, .. } => format!("created network {name}"),
            Self::Volume { name, .. } => format!("created volume {name}"),
        }
    }

    /// Whether an event of a container is about it.
    fn concerned_by(&self, event: &EngineEvent) -> bool {
        match self {
            Self::Stopping { id, .. } | Self::Removing { id, .. } => event.container.as_str() == id,
            Self::Container { name, .. } => event.name.as_str() == name,
            Self::Network { .. } | Self::Volume { .. } => false,
        }
    }

    /// Whether it is still to come, by what the engine shows.
    fn is_open(&self, now: i64, there: &There) -> bool {
        // A clock that was set back tells nothing.
        let within = |since: i64, limit: i64| (0..limit).contains(&now.saturating_sub(since));
        let listed = |id: &String| there.containers.iter().find(|container| container.id.as_str() == id);
        match self {
            Self::Stopping { until, id, .. } => {
                listed(id).is_some_and(|container| container.state.is_up()) && now < *until
            }
            Self::Removing { since, id, .. } => listed(id).is_some_and(|container| {
                let begun = container.state.is_up() || matches!(container.state, State::Removing | State::Dead);
                within(*since, if begun { LONGEST } else { ARRIVAL })
            }),
            Self::Container { since, name } => match there.names.get(name) {
                Some(Naming::Taken) => false,
                Some(Naming::UnderWay) => within(*since, LONGEST),
                Some(Naming::Free) | None => within(*since, ARRIVAL),
            },
            Self::Network { since, name } => !there.networks.contains(name) && within(*since, ARRIVAL),
            Self::Volume { since, name } => !there.volumes.contains(name) && within(*since, ARRIVAL),
        }
    }
}

/// What an engine shows of what was asked for.
#[derive(Debug, Default)]
struct There {
    containers: Vec<Container>,
    networks: Vec<String>,
    volumes: Vec<String>,
    names: BTreeMap<String, Naming>,
}

impl There {
    async fn look(
        runtime: &dyn Runtime,
        project: &ProjectName,
        open: &[Unfinished],
    ) -> compose_runtime::error::Result<Self> {
        let networks = open.iter().any(|request| matches!(request, Unfinished::Network { .. }));
        let volumes = open.iter().any(|request| matches!(request, Unfinished::Volume { .. }));
        let query = ObserveQuery { project: project.clone(), networks, volumes, ..ObserveQuery::default() };
        let observed = runtime.observe(&query).await?;
        let mut there = Self {
            networks: observed.networks.keys().map(ToString::to_string).collect(),
            volumes: observed.volumes.keys().map(ToString::to_string).collect(),
            containers: observed.containers,
            ..Self::default()
        };
        for request in open {
            let Unfinished::Container { name, .. } = request else { continue };
            let listed = there.containers.iter().any(|container| container.name.as_str() == name);
            let name = ContainerName::new(name.as_str());
            let naming = if listed { Ok(Naming::Taken) } else { runtime.containers().naming(&name).await };
            if let Ok(naming) = naming {
                there.names.insert(name.to_string(), naming);
            }
        }
        Ok(there)
    }
}

/// Lets finish what an earlier run had asked for, so that what is observed then stays so. Hangs on the engine's
/// events; the longest it may take is told at the constants of this module.
pub(crate) async fn let_finish(runtime: &dyn Runtime, project: &ProjectName, lock: &ProjectLock, output: &Output) {
    let labels = vec![(labels::PROJECT.to_owned(), Some(project.to_string()))];
    let mut events = runtime.streams().events(&EventQuery { labels, ..EventQuery::default() }).await.ok();
    let mut open = lock.unfinished.clone();
    let began = tokio::time::Instant::now();
    let mut told = false;
    loop {
        // Who cannot look learns why when the command itself does.
        let Ok(there) = There::look(runtime, project, &open).await else { return };
        let now = now();
        open.retain(|request| request.is_open(now, &there));
        let Some(first) = open.first() else { return };
        let quiet = SILENT.saturating_sub(began.elapsed());
        if quiet.is_zero() && !told {
            told = true;
            let what = first.words();
            output.message(format!("{} ended while it {what}: waiting until that is done ...\n", lock.left_by));
        }
        let pause = if told { LOOK } else { quiet.min(LOOK) };
        tokio::select! {
            () = news(&mut events, &open) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Waits for an event that concerns one of these; without events for ever.
async fn news(events: &mut Option<Items<EngineEvent>>, open: &[Unfinished]) {
    while let Some(stream) = events {
        match stream.next().await {
            Some(Ok(event)) if open.iter().any(|request| request.concerned_by(&event)) => return,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => *events = None,
        }
    }
    std::future::pending::<()>().await;
}

fn now() -> i64 {
    crate::time_format::now().as_millisecond()
}

/// Notes in the lock file what a plan asks the engine for.
pub(crate) struct Notes<'p> {
    requests: BTreeMap<&'p OpId, Unfinished>,
}

impl<'p> Notes<'p> {
    pub(crate) fn of(plan: &'p Plan, project: &Project) -> Self {
        Self { requests: plan.steps.iter().filter_map(|step| Some((&step.id, request(step, project)?))).collect() }
    }

    /// Notes what an event tells.
    pub(crate) fn event(&self, event: &Event, lock: &ProjectLock) {
        let (Event::Started { id } | Event::Done { id, .. } | Event::Failed { id, .. }) = event else { return };
        let Some(request) = self.requests.get(id) else { return };
        if !matches!(event, Event::Started { .. }) {
            return lock.ended(request);
        }
        let mut request = request.clone();
        let (Unfinished::Stopping { until: time, .. }
        | Unfinished::Removing { since: time, .. }
        | Unfinished::Container { since: time, .. }
        | Unfinished::Network { since: time, .. }
        | Unfinished::Volume { since: time, .. }) = &mut request;
        *time = time.saturating_add(now());
        lock.begun(&request);
    }
}

/// What a step asks for; times count from its beginning.
fn request(step: &Step, project: &Project) -> Option<Unfinished> {
    let own = || project.services.get(step.service.as_ref()?)?.stop_grace_period;
    Some(match &step.op {
        Op::Stop { container: Target::Existing { id, name }, timeout } => {
            let grace = timeout.or_else(own).map_or(GRACE, |grace| grace.0 / 1_000_000).max(0);
            Unfinished::Stopping { until: grace.saturating_add(SLACK), id: id.to_string(), name: name.to_string() }
        }
        Op::RemoveContainer { container: Target::Existing { id, name }, .. } => {
            Unfinished::Removing { since: 0, id: id.to_string(), name: name.to_string() }
        }
        Op::CreateContainer { spec, .. } => Unfinished::Container { since: 0, name: spec.name.to_string() },
        Op::CreateNetwork { spec } => Unfinished::Network { since: 0, name: spec.name.to_string() },
        Op::CreateVolume { spec } => Unfinished::Volume { since: 0, name: spec.name.to_string() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn making(since: i64) -> Unfinished {
        Unfinished::Container { since, name: "p-web-1".to_owned() }
    }

    #[test]
    fn what_began_and_did_not_end_is_read_from_the_lines() {
        let all = [
            Unfinished::Stopping { until: 90, id: "bb".to_owned(), name: "p-db-1".to_owned() },
            Unfinished::Removing { since: 80, id: "bb".to_owned(), name: "p-db-1".to_owned() },
            making(70),
            Unfinished::Network { since: 60, name: "p_the back".to_owned() },
            Unfinished::Volume { since: 50, name: "p_data".to_owned() },
        ];
        let lines: String = all.iter().map(Unfinished::begun).collect();
        let text = format!("`compose up` (process 7)\n{lines}begun stop x cc p-c-1\nbegun container 5 p-half");
        assert_eq!(Unfinished::read(&text), all);
        assert_eq!(
            Unfinished::read(&format!("{text}\n{}", all[0].ended())).len(),
            5,
            "four, and one that is whole now"
        );
        let ended: String = all.iter().map(Unfinished::ended).collect();
        assert_eq!(Unfinished::read(&format!("{lines}{ended}")), []);
        assert_eq!(Unfinished::read(""), []);
    }

    #[test]
    fn a_creation_is_waited_for_while_its_name_is_reserved_or_may_still_be_asked_for() {
        let there = |naming| There { names: BTreeMap::from([("p-web-1".to_owned(), naming)]), ..There::default() };
        let cases = [
            (Naming::Free, 100, true),
            (Naming::Free, ARRIVAL, false),
            (Naming::UnderWay, ARRIVAL, true),
            (Naming::UnderWay, LONGEST, false),
            (Naming::Taken, 0, false),
            // A clock that was set back.
            (Naming::UnderWay, -5, false),
        ];
        for (naming, age, open) in cases {
            assert_eq!(making(1_000).is_open(1_000 + age, &there(naming)), open, "{naming:?} after {age}");
        }
        let network = Unfinished::Network { since: 0, name: "p_default".to_owned() };
        assert!(network.is_open(1, &There::default()));
        assert!(!network.is_open(ARRIVAL, &There::default()));
        assert!(!network.is_open(1, &There { networks: vec!["p_default".to_owned()], ..There::default() }));
        let volume = Unfinished::Volume { since: 0, name: "p_data".to_owned() };
        assert!(volume.is_open(1, &There::default()));
        assert!(!volume.is_open(ARRIVAL, &There::default()));
        assert!(!volume.is_open(1, &There { volumes: vec!["p_data".to_owned()], ..There::default() }));
    }

    #[test]
    fn an_ending_is_waited_for_while_the_engine_shows_that_it_is_under_way() {
        let there = |state| {
            let container = Container { id: "aa".into(), state, ..Container::default() };
            There { containers: vec![container], ..There::default() }
        };
        let (id, name) = ("aa".to_owned(), "p-web-1".to_owned());
        let stop = Unfinished::Stopping { until: 100, id: id.clone(), name: name.clone() };
        let remove = Unfinished::Removing { since: 0, id, name };
        let cases = [
            (&stop, Some(State::Running), 99, true),
            (&stop, Some(State::Running), 100, false),
            (&stop, Some(State::Exited), 0, false),
            (&stop, None, 0, false),
            (&remove, Some(State::Exited), 1, true),
            (&remove, Some(State::Exited), ARRIVAL, false),
            (&remove, Some(State::Removing), ARRIVAL, true),
            (&remove, Some(State::Running), LONGEST, false),
            (&remove, None, 0, false),
        ];
        for (request, state, now, open) in cases {
            let there = state.map_or_else(There::default, there);
            assert_eq!(request.is_open(now, &there), open, "{request:?} {state:?} at {now}");
        }
    }
}
