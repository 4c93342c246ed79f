//! Planner and executor together on the in-memory engine: whatever stops a run, and wherever, the
//! next one ends in the state of an undisturbed run; and planning after that finds nothing to do.
#![allow(clippy::unwrap_used)] // The helpers are test code too.

use compose_model::project::{
    Condition, Dependency, Healthcheck, Mount, Network, Project, Service, ServiceNetwork, Volume,
};
use compose_planner::intent::{Down, Recreate, Up};
use compose_planner::spec::FileContent;
use compose_planner::{Intent, plan};
use compose_runtime::Runtime as _;
use compose_runtime::error::Result;
use compose_runtime::executor::{Cancellation, ExecuteOptions, Report, execute};
use compose_runtime::fake::Fake;
use compose_runtime::port::{ContentSource, ObserveQuery};
use tokio::sync::mpsc;

struct NoContents;

impl ContentSource for NoContents {
    fn read(&self, _: &FileContent, _: &str, _: bool) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

fn service(name: &str, scale: i64, log: &str) -> Service {
    Service {
        name: name.into(),
        image: "img".into(),
        scale: Some(scale),
        environment: [("LOG".to_owned(), Some(log.to_owned()))].into(),
        networks: [("default".into(), Some(ServiceNetwork::default()))].into(),
        ..Service::default()
    }
}

/// A database with a health check and volumes, two replicas that wait for it and restart with
/// it, and a companion in the database's network.
fn shop(log: &str) -> Project {
    let mut db = service("db", 1, log);
    db.healthcheck = Some(Healthcheck { test: vec!["CMD".into(), "true".into()], ..Healthcheck::default() });
    let mount = |kind: &str, source: &str, target: &str| Mount {
        kind: kind.into(),
        source: source.into(),
        target: target.into(),
        ..Mount::default()
    };
    db.volumes = vec![mount("volume", "data", "/data"), mount("volume", "", "/scratch")];
    let mut web = service("web", 2, log);
    let terms = Dependency { condition: Condition::ServiceHealthy, restart: true, ..Dependency::default() };
    web.depends_on = [("db".into(), terms)].into();
    let mut side = service("side", 1, "same");
    side.networks.clear();
    side.network_mode = "service:db".into();
    side.depends_on = [("db".into(), Dependency { restart: true, ..Dependency::default() })].into();
    Project {
        name: "shop".into(),
        services: [db, web, side].into_iter().map(|service| (service.name.clone(), service)).collect(),
        networks: [("default".into(), Network { name: "shop_default".into(), ..Network::default() })].into(),
        volumes: [("data".into(), Volume { name: "shop_data".into(), driver: "local".into(), ..Volume::default() })]
            .into(),
        ..Project::default()
    }
}

fn query() -> ObserveQuery {
    ObserveQuery { project: "shop".into(), networks: true, volumes: true, images: true, ..ObserveQuery::default() }
}

async fn run(fake: &Fake, project: &Project, intent: &Intent, cancellation: &Cancellation) -> (usize, Report) {
    let observed = fake.look(&query());
    let plan = plan(project, &observed, intent, fake.capabilities()).expect("a plan");
    let violations = compose_planner::check(&plan, &observed);
    assert!(violations.is_empty(), "{violations:?}\n{}", compose_planner::text::text(&plan));
    let (sender, _receiver) = mpsc::unbounded_channel();
    let report = execute(&plan, fake, &NoContents, &ExecuteOptions::default(), cancellation, &sender).await;
    (plan.steps.len(), report)
}

async fn undisturbed(fake: &Fake, project: &Project, intent: &Intent) -> usize {
    let (steps, report) = run(fake, project, intent, &Cancellation::default()).await;
    let failed: Vec<String> =
        report.failed.iter().map(|failure| format!("{}: {}", failure.id, failure.error)).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(report.done.len(), steps);
    steps
}

fn up(recreate: Recreate) -> Intent {
    Intent::Up(Up { recreate, recreate_dependencies: recreate, ..Up::default() })
}

fn engine() -> Fake {
    Fake::default().with_image("img")
}

/// What an undisturbed `up` leaves, without the names of anonymous volumes.
fn state(fake: &Fake) -> Vec<String> {
    fake.summary().into_iter().filter(|line| !line.starts_with("volume 0")).collect()
}

const RUNNING: [&str; 6] = [
    "network shop_default",
    "shop-db-1 running",
    "shop-side-1 running",
    "shop-web-1 running",
    "shop-web-2 running",
    "volume shop_data",
];

/// How a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Gentle,
    AtOnce,
    Failure,
    Crash,
}

const STOPS: [Stop; 4] = [Stop::Gentle, Stop::AtOnce, Stop::Failure, Stop::Crash];

/// Runs `intent` and stops it at its `number`th changing call; `false` if it has fewer.
async fn stopped_at(fake: &Fake, project: &Project, intent: &Intent, stop: Stop, number: usize) -> bool {
    let before = fake.calls().len();
    let cancellation = Cancellation::default();
    match stop {
        Stop::Gentle => {
            let token = cancellation.gentle.clone();
            fake.at_call(before + number, move || token.cancel());
        }
        Stop::AtOnce => {
            let token = cancellation.at_once.clone();
            fake.at_call(before + number, move || token.cancel());
        }
        Stop::Failure => fake.fail_nth(number),
        Stop::Crash => fake.crash_after(number),
    }
    run(fake, project, intent, &cancellation).await;
    fake.revive();
    fake.calls().len() >= before + number
}

#[tokio::test]
async fn planning_after_execution_finds_nothing_to_do() {
    let fake = engine();
    let project = shop("info");
    let steps = undisturbed(&fake, &project, &up(Recreate::Diverged)).await;
    assert!(steps > 10);
    assert_eq!(state(&fake), RUNNING);
    assert_eq!(undisturbed(&fake, &project, &up(Recreate::Diverged)).await, 0);
}

#[tokio::test]
async fn a_first_up_that_is_stopped_anywhere_converges() {
    let project = shop("info");
    for stop in STOPS {
        for number in 1.. {
            let fake = engine();
            let reached = stopped_at(&fake, &project, &up(Recreate::Diverged), stop, number).await;
            undisturbed(&fake, &project, &up(Recreate::Diverged)).await;
            assert_eq!(state(&fake), RUNNING, "{stop:?} at call {number}");
            assert_eq!(undisturbed(&fake, &project, &up(Recreate::Diverged)).await, 0, "{stop:?} at call {number}");
            if !reached {
                assert!(number > 10, "the plan has more calls than {number}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_replacement_that_is_stopped_anywhere_converges_with_names_and_data() {
    for stop in STOPS {
        for number in 1.. {
            let fake = engine();
            undisturbed(&fake, &shop("info"), &up(Recreate::Diverged)).await;
            let volumes = fake.summary().into_iter().filter(|line| line.starts_with("volume")).collect::<Vec<_>>();
            let changed = shop("debug");
            let reached = stopped_at(&fake, &changed, &up(Recreate::Diverged), stop, number).await;
            let wreck = fake.summary();
            undisturbed(&fake, &changed, &up(Recreate::Diverged)).await;
            assert_eq!(state(&fake), RUNNING, "{stop:?} at call {number}; after the stop: {wreck:#?}");
            for name in ["shop-db-1", "shop-web-1", "shop-web-2"] {
                assert_eq!(
                    fake.environment(name).get("LOG"),
                    Some(&Some("debug".to_owned())),
                    "{name}: {stop:?} {number}"
                );
            }
            let after = fake.summary().into_iter().filter(|line| line.starts_with("volume")).collect::<Vec<_>>();
            assert_eq!(
                after, volumes,
                "volumes are carried over: {stop:?} at call {number}; after the stop: {wreck:#?}"
            );
            assert_eq!(undisturbed(&fake, &changed, &up(Recreate::Diverged)).await, 0, "{stop:?} at call {number}");
            if !reached {
                assert!(number > 10, "the plan has more calls than {number}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_down_that_is_stopped_anywhere_is_finished_by_the_next() {
    let down = Intent::Down(Down { volumes: true, remove_orphans: true, ..Down::default() });
    for stop in STOPS {
        for number in 1.. {
            let fake = engine();
            let project = shop("info");
            undisturbed(&fake, &project, &up(Recreate::Diverged)).await;
            let reached = stopped_at(&fake, &project, &down, stop, number).await;
            undisturbed(&fake, &project, &down).await;
            assert_eq!(fake.summary(), Vec::<String>::new(), "{stop:?} at call {number}");
            if !reached {
                assert!(number > 8, "the plan has more calls than {number}");
                break;
            }
        }
    }
}
