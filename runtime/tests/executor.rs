//! The executor on the in-memory engine: order, failures, cancellation, waits.
#![allow(clippy::unwrap_used)] // The helpers are test code too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compose_model::names::ContainerName;
use compose_model::project::Place;
use compose_planner::capabilities::{Capabilities, Concurrency};
use compose_planner::op::Until;
use compose_planner::plan::Consent;
use compose_planner::spec::{
    BuildSpec, ContainerSpec, EndpointSpec, FileContent, FileSpec, HealthcheckSpec, HookSpec, MountSource, MountSpec,
    NetworkSpec, PortSpec, VolumeSpec,
};
use compose_planner::{Op, OpId, Plan, Reason, Step, Target, labels};
use compose_runtime::error::{Result, RuntimeError};
use compose_runtime::event::{Completion, Event};
use compose_runtime::executor::{Cancellation, ExecuteOptions, Report, execute};
use compose_runtime::fake::{Behaviour, Fake, HealthCourse};
use compose_runtime::port::ContentSource;
use tokio::sync::mpsc;

// ---------------------------------------------------------------- plans in few words

struct Contents;

impl ContentSource for Contents {
    fn read(&self, file: &FileContent, name: &str, secret: bool) -> Result<Vec<u8>> {
        match file {
            FileContent::Inline { text } => Ok(text.clone().into_bytes()),
            FileContent::Environment { variable } if secret => Err(RuntimeError::Local {
                message: format!("environment variable {variable:?} required by secret {name:?} is not set"),
            }),
            _ => Ok(Vec::new()),
        }
    }
}

fn id(text: &str) -> OpId {
    OpId(text.to_owned())
}

fn step(name: &str, op: Op, after: &[&str]) -> Step {
    Step {
        id: id(name),
        wave: 1,
        op,
        after: after.iter().map(|name| id(name)).collect(),
        because: Reason::Missing,
        service: None,
    }
}

fn plan(mut steps: Vec<Step>) -> Plan {
    for index in 0..steps.len() {
        let before = steps[index].after.iter().filter_map(|id| steps[..index].iter().find(|step| &step.id == id));
        steps[index].wave = before.map(|step| step.wave).max().unwrap_or(0) + 1;
    }
    Plan { version: 1, verb: "up".into(), project: "shop".into(), engine: "fake".into(), steps, ..Plan::default() }
}

fn target(of: &str) -> Target {
    Target::MadeBy { op: id(&format!("create:{of}")), name: name_of(of) }
}

fn name_of(of: &str) -> ContainerName {
    ContainerName::new(format!("shop-{}", of.replace('.', "-")))
}

fn spec(of: &str) -> ContainerSpec {
    let service = of.split('.').next().unwrap();
    ContainerSpec {
        name: name_of(of),
        service: service.into(),
        image: "img".into(),
        labels: BTreeMap::from([
            (labels::PROJECT.to_owned(), "shop".to_owned()),
            (labels::SERVICE.to_owned(), service.to_owned()),
        ]),
        networks: vec![EndpointSpec { network: "shop_default".into(), ..EndpointSpec::default() }],
        ..ContainerSpec::default()
    }
}

fn create(of: &str, after: &[&str]) -> Step {
    create_as(of, spec(of), after)
}

fn create_as(of: &str, spec: ContainerSpec, after: &[&str]) -> Step {
    step(&format!("create:{of}"), Op::CreateContainer { spec: Box::new(spec), replaces: None }, after)
}

fn start(of: &str, after: &[&str]) -> Step {
    let own = format!("create:{of}");
    let mut after = after.to_vec();
    after.push(&own);
    step(&format!("start:{of}"), Op::Start { container: target(of), ports: Vec::new() }, &after)
}

fn wait(of: &str, until: Until, required: bool, within: Option<u64>) -> Step {
    let op = Op::Await {
        container: target(of),
        service: of.split('.').next().unwrap().into(),
        until,
        within: within.map(|seconds| compose_model::units::Duration::from_seconds(seconds as i64)),
        required,
    };
    step(&format!("await:{of}"), op, &[&format!("start:{of}")])
}

fn network() -> Step {
    let spec = NetworkSpec { name: "shop_default".into(), ..NetworkSpec::default() };
    step("create-network:default", Op::CreateNetwork { spec: Box::new(spec) }, &[])
}

fn checked(of: &str) -> ContainerSpec {
    let check = HealthcheckSpec { test: vec!["CMD".into(), "true".into()], ..HealthcheckSpec::default() };
    ContainerSpec { healthcheck: Some(check), ..spec(of) }
}

/// A database with a volume and a health check, and two replicas that need it.
fn shop() -> Plan {
    let volume = VolumeSpec { name: "shop_data".into(), ..VolumeSpec::default() };
    let mount = MountSpec {
        target: "/data".into(),
        read_only: false,
        consistency: String::new(),
        source: MountSource::Volume {
            name: "shop_data".into(),
            nocopy: false,
            subpath: String::new(),
            labels: BTreeMap::new(),
            selinux: String::new(),
        },
        place: None,
    };
    let database = ContainerSpec { mounts: vec![mount], ..checked("db.1") };
    plan(vec![
        network(),
        step("create-volume:data", Op::CreateVolume { spec: Box::new(volume) }, &[]),
        create_as("db.1", database, &["create-network:default", "create-volume:data"]),
        create("web.1", &["create:db.1"]),
        create("web.2", &["create:db.1"]),
        start("db.1", &[]),
        wait("db.1", Until::Healthy, true, None),
        start("web.1", &["await:db.1"]),
        start("web.2", &["await:db.1"]),
    ])
}

async fn run(fake: &Fake, plan: &Plan) -> (Report, Vec<Event>) {
    run_with(fake, plan, &ExecuteOptions::default(), &Cancellation::default()).await
}

async fn run_with(
    fake: &Fake,
    plan: &Plan,
    options: &ExecuteOptions,
    cancellation: &Cancellation,
) -> (Report, Vec<Event>) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let report = execute(plan, fake, &Contents, options, cancellation, &sender).await;
    drop(sender);
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    (report, events)
}

/// Each step is in exactly one list of the report, and the events tell the same.
fn assert_complete(plan: &Plan, report: &Report, events: &[Event]) {
    let mut listed: Vec<&OpId> = report.done.iter().collect();
    listed.extend(report.failed.iter().map(|failure| &failure.id));
    listed.extend(report.tolerated.iter().map(|failure| &failure.id));
    listed.extend(report.skipped.iter().map(|(id, _)| id));
    listed.extend(&report.interrupted);
    listed.sort();
    let mut all: Vec<&OpId> = plan.steps.iter().map(|step| &step.id).collect();
    all.sort();
    assert_eq!(listed, all);

    let mut started = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for event in events {
        match event {
            Event::Started { id } => assert!(started.insert(id), "{id} started twice"),
            Event::Progress { id, .. } => assert!(started.contains(id) && !ended.contains(id), "{id} is not under way"),
            Event::Done { id, .. } | Event::Failed { id, .. } => {
                assert!(started.contains(id) && ended.insert(id), "{id} ended out of order");
            }
            Event::Skipped { id, .. } => assert!(ended.insert(id), "{id} ended twice"),
            Event::Cancelling => {}
        }
    }
    assert_eq!(ended.len(), plan.steps.len());
}

/// Nothing started before what it needs had ended well, or was tolerated.
fn assert_in_order(plan: &Plan, events: &[Event]) {
    let mut well = BTreeSet::new();
    for event in events {
        match event {
            Event::Started { id } => {
                for before in &plan.step(id).unwrap().after {
                    assert!(well.contains(before), "{id} started before {before} had ended");
                }
            }
            Event::Done { id, .. } | Event::Failed { id, tolerated: true, .. } => {
                well.insert(id.clone());
            }
            _ => {}
        }
    }
}

fn broken() -> RuntimeError {
    RuntimeError::Failed { message: "broken".into() }
}

fn texts(report: &Report) -> Vec<String> {
    report.failed.iter().map(|failure| format!("{}: {}", failure.id, failure.error)).collect()
}

// ---------------------------------------------------------------- order and bounds

#[tokio::test]
async fn a_plan_is_carried_out_in_its_order() {
    let fake = Fake::default().with_image("img");
    let plan = shop();
    let (report, events) = run(&fake, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    assert_complete(&plan, &report, &events);
    assert_in_order(&plan, &events);
    assert_eq!(
        fake.summary(),
        ["network shop_default", "shop-db-1 running", "shop-web-1 running", "shop-web-2 running", "volume shop_data"]
    );
    assert_eq!(report.made.len(), 3);
    assert_eq!(fake.subscriptions(), 1, "one subscription serves all waits");
}

/// What a run notes about a step must be on the disk before the engine is asked.
#[tokio::test]
async fn the_start_of_a_step_is_heard_of_before_its_first_call() {
    let fake = Fake::default().with_image("img");
    let plan = shop();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (options, cancellation) = (ExecuteOptions::default(), Cancellation::default());
    let work = execute(&plan, &fake, &Contents, &options, &cancellation, &sender);
    tokio::pin!(work);
    let mut heard = 0;
    loop {
        tokio::select! {
            biased;
            Some(event) = receiver.recv() => if let Event::Started { id } = event
                && let Op::CreateContainer { spec, .. } = &plan.step(&id).unwrap().op
            {
                let call = format!("create {}", spec.name);
                assert!(!fake.calls().contains(&call), "{call} was called before {id} was told of");
                heard += 1;
            },
            _ = &mut work => break,
        }
    }
    assert_eq!(heard, 3);
}

#[tokio::test]
async fn no_more_steps_of_a_class_run_than_the_backend_allows() {
    let mut capabilities = Capabilities::everything("fake");
    capabilities.concurrency = Concurrency { create: 3, remove: 2, transfer: 2, build: 1 };
    let fake = Fake::new(capabilities).with_image("img");
    let mut steps = vec![network()];
    let names: Vec<String> = (1..=12).map(|number| format!("web.{number}")).collect();
    for name in &names {
        steps.push(create(name, &["create-network:default"]));
        let op = Op::RemoveContainer { container: target(name), volumes: false, force: false };
        steps.push(step(&format!("remove:{name}"), op, &[&format!("create:{name}")]));
    }
    let plan = plan(steps);
    let (report, events) = run(&fake, &plan).await;
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    assert_complete(&plan, &report, &events);
    assert_eq!((fake.peak("create"), fake.peak("remove")), (3, 2), "the bounds are used and kept");
}

fn build(service: &str, after: &[&str]) -> Step {
    let spec = BuildSpec { service: service.into(), image: format!("shop-{service}").into(), ..BuildSpec::default() };
    step(&format!("build:{service}"), Op::Build { spec: Box::new(spec) }, after)
}

#[tokio::test]
async fn builds_go_in_one_go_where_the_builder_can_and_fail_together() {
    let mut capabilities = Capabilities::everything("fake");
    // The in-memory engine's word for a builder that can.
    capabilities.concurrency.build = 2;
    let plan = plan(vec![build("base", &[]), build("web", &["build:base"]), build("job", &[]), network()]);

    let fake = Fake::new(capabilities.clone());
    let (report, events) = run(&fake, &plan).await;
    assert_complete(&plan, &report, &events);
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    let started = events.iter().take_while(|event| matches!(event, Event::Started { .. })).count();
    assert_eq!(started, 4, "nothing waits for a slot, nor for what is built in the same go");

    let fake = Fake::new(capabilities);
    fake.fail("build", "shop-job", 1, broken());
    let (report, events) = run(&fake, &plan).await;
    assert_complete(&plan, &report, &events);
    assert_eq!(texts(&report), ["build:job: broken"]);
    let because = Some(id("build:job"));
    assert_eq!(report.skipped, [(id("build:base"), because.clone()), (id("build:web"), because)]);
    assert_eq!(report.done, [id("create-network:default")], "other work goes on");
}

#[tokio::test]
async fn parallel_one_makes_a_sequence() {
    let fake = Fake::default().with_image("img");
    let plan = shop();
    let options = ExecuteOptions { parallel: Some(1), ..ExecuteOptions::default() };
    let (report, events) = run_with(&fake, &plan, &options, &Cancellation::default()).await;
    assert!(report.failed.is_empty());
    assert_in_order(&plan, &events);
    assert_eq!(fake.peak("create"), 1);
}

#[tokio::test]
async fn work_that_is_done_already_is_said_to_be_so() {
    let fake = Fake::default().with_image("img");
    let first = vec![network(), create("web.1", &["create-network:default"]), start("web.1", &[])];
    let (report, _) = run(&fake, &plan(first)).await;
    let web = Target::Existing { id: report.made[&id("create:web.1")].clone(), name: name_of("web.1") };
    let gone = Target::Existing { id: "gone".into(), name: "gone".into() };
    let mut again = plan(vec![
        step("start:web.1", Op::Start { container: web, ports: Vec::new() }, &[]),
        step("stop:gone", Op::Stop { container: gone.clone(), timeout: None }, &[]),
        step("kill:gone", Op::Kill { container: gone.clone(), signal: "SIGKILL".into() }, &[]),
        step(
            "remove:gone",
            Op::RemoveContainer { container: gone, volumes: true, force: true },
            &["stop:gone", "kill:gone"],
        ),
        step("remove-network:gone", Op::RemoveNetwork { name: "gone".into(), id: String::new() }, &[]),
        step("remove-volume:gone", Op::RemoveVolume { name: "gone".into() }, &[]),
        step("remove-image:gone", Op::RemoveImage { image: "gone".into() }, &[]),
    ]);
    again.agreed.push(Consent::RemoveVolume { volume: "gone".into() });
    let (report, events) = run(&fake, &again).await;
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    let so = events.iter().filter(|event| matches!(event, Event::Done { how: Completion::AlreadySo, .. })).count();
    assert_eq!(so, again.steps.len());
}

#[tokio::test]
async fn what_others_use_stays_with_a_warning() {
    let fake = Fake::default().with_image("img");
    run(&fake, &plan(vec![network(), create("web.1", &["create-network:default"])])).await;
    let removal = plan(vec![
        step("remove-network:default", Op::RemoveNetwork { name: "shop_default".into(), id: String::new() }, &[]),
        step("remove-image:img", Op::RemoveImage { image: "img".into() }, &[]),
    ]);
    let (report, events) = run(&fake, &removal).await;
    assert_eq!(report.done.len(), 2);
    for event in events {
        if let Event::Done { how, .. } = event {
            assert_eq!(how, Completion::Warning("Resource is still in use".into()));
        }
    }
    assert_eq!(fake.summary(), ["network shop_default", "shop-web-1 created"]);
}

fn labelled(of: &str, hash: &str) -> ContainerSpec {
    let mut labelled = spec(of);
    labelled.labels.insert(labels::CONFIG_HASH.to_owned(), hash.to_owned());
    labelled
}

#[tokio::test]
async fn a_container_that_a_killed_run_made_late_is_taken_over() {
    let fake = Fake::default().with_image("img");
    run(&fake, &plan(vec![network(), create_as("web.1", labelled("web.1", "h"), &["create-network:default"])])).await;
    // Planned before the container could be seen.
    let late = plan(vec![create_as("web.1", labelled("web.1", "h"), &[]), start("web.1", &[])]);
    let (report, _) = run(&fake, &late).await;
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    assert_eq!(fake.summary(), ["network shop_default", "shop-web-1 running"]);
}

#[tokio::test(start_paused = true)]
async fn another_container_with_the_name_is_left_alone() {
    let fake = Fake::default().with_image("img");
    run(&fake, &plan(vec![network(), create_as("web.1", labelled("web.1", "old"), &["create-network:default"])])).await;
    let (report, _) = run(&fake, &plan(vec![create_as("web.1", labelled("web.1", "new"), &[])])).await;
    assert!(report.failed[0].error.is_conflict(), "{:?}", texts(&report));
    assert_eq!(fake.summary(), ["network shop_default", "shop-web-1 created"]);
}

// ---------------------------------------------------------------- failures

#[tokio::test]
async fn a_failure_skips_what_depends_on_it_and_names_it() {
    let fake = Fake::default().with_image("img");
    fake.fail("start", "shop-db-1", 1, broken());
    let plan = shop();
    let (report, events) = run(&fake, &plan).await;
    assert_complete(&plan, &report, &events);
    assert_eq!(texts(&report), ["start:db.1: broken"]);
    let because = Some(id("start:db.1"));
    assert_eq!(
        report.skipped,
        [(id("await:db.1"), because.clone()), (id("start:web.1"), because.clone()), (id("start:web.2"), because)]
    );
    assert!(!report.cancelled);
}

#[tokio::test]
async fn a_failure_at_any_step_leaves_the_rest_in_order() {
    let plan = shop();
    for failing in 1..=8 {
        let fake = Fake::default().with_image("img");
        fake.fail_nth(failing);
        let (report, events) = run(&fake, &plan).await;
        assert_complete(&plan, &report, &events);
        assert_in_order(&plan, &events);
        assert_eq!(report.failed.len(), 1, "call {failing}");
        let failed = &report.failed[0].id;
        for (skipped, because) in &report.skipped {
            assert_eq!(because.as_ref(), Some(failed));
            assert!(needs(&plan, skipped, failed), "{skipped} does not need {failed}");
        }
        for done in &report.done {
            assert!(!needs(&plan, done, failed), "{done} needs {failed}");
        }
    }
}

/// Whether a step needs another one, directly or through others.
fn needs(plan: &Plan, step: &OpId, other: &OpId) -> bool {
    plan.step(step).unwrap().after.iter().any(|before| before == other || needs(plan, before, other))
}

#[tokio::test]
async fn an_engine_that_goes_away_fails_what_remains_once() {
    let fake = Fake::default().with_image("img");
    fake.crash_after(3);
    let plan = shop();
    let (report, events) = run(&fake, &plan).await;
    assert_complete(&plan, &report, &events);
    assert!(!report.failed.is_empty());
    for failure in &report.failed {
        assert!(matches!(failure.error, RuntimeError::Unreachable { .. }));
    }
}

#[tokio::test]
async fn optional_steps_fail_without_failing_the_plan() {
    let fake = Fake::default().with_image("img");
    let pull =
        Op::Pull { image: "none".into(), platform: String::new(), services: Vec::new(), optional: true, place: None };
    let plan =
        plan(vec![step("pull:none", pull, &[]), network(), create("web.1", &["pull:none", "create-network:default"])]);
    let (report, events) = run(&fake, &plan).await;
    assert_complete(&plan, &report, &events);
    assert!(report.failed.is_empty());
    assert_eq!(report.tolerated.len(), 1);
    assert_eq!(fake.summary(), ["network shop_default", "shop-web-1 created"]);
}

#[tokio::test]
async fn a_taken_port_points_to_the_line_that_asks_for_it() {
    let fake = Fake::default().with_image("img");
    let place = Place { file: "compose.yaml".into(), line: 7, column: 9 };
    let port = PortSpec { target: 80, protocol: "tcp".into(), published: "8010".into(), ..PortSpec::default() };
    let publishing = |of: &str| ContainerSpec { ports: vec![port.clone()], ..spec(of) };
    let mut second = start("web.1", &["start:web.2"]);
    if let Op::Start { ports, .. } = &mut second.op {
        ports.push(("80/tcp".into(), Place { line: 3, ..place.clone() }));
        ports.push(("8010/tcp".into(), place.clone()));
    }
    let plan = plan(vec![
        network(),
        create_as("web.1", publishing("web.1"), &["create-network:default"]),
        create_as("web.2", publishing("web.2"), &["create-network:default"]),
        start("web.2", &[]),
        second,
    ]);
    let (report, _) = run(&fake, &plan).await;
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].place, Some(place));
    assert!(report.failed[0].error.to_string().contains("port is already allocated"));
}

#[tokio::test]
async fn an_unsound_plan_touches_nothing() {
    let fake = Fake::default().with_image("img");
    let plan = plan(vec![network(), create("web.1", &["create:none"])]);
    let (report, events) = run(&fake, &plan).await;
    assert_eq!(report.failed.len(), 1);
    assert!(report.failed[0].error.to_string().contains("create:none"), "{}", report.failed[0].error);
    assert!(fake.calls().is_empty());
    assert_eq!(events.len(), 2);
}

// ---------------------------------------------------------------- cancellation

#[tokio::test]
async fn cancelling_at_any_call_issues_nothing_further_and_finishes_what_runs() {
    let plan = shop();
    for number in 1..=8 {
        let fake = Fake::default().with_image("img");
        let cancellation = Cancellation::default();
        let gentle = cancellation.gentle.clone();
        fake.at_call(number, move || gentle.cancel());
        let (report, events) = run_with(&fake, &plan, &ExecuteOptions::default(), &cancellation).await;
        assert_complete(&plan, &report, &events);
        assert_in_order(&plan, &events);
        assert!(report.cancelled && report.failed.is_empty(), "call {number}: {:?}", texts(&report));
        assert!(report.interrupted.is_empty(), "short calls are waited for: {:?}", report.interrupted);
        let at = events.iter().position(|event| matches!(event, Event::Cancelling)).unwrap();
        assert!(!events[at..].iter().any(|event| matches!(event, Event::Started { .. })), "call {number}");
        assert!(report.skipped.iter().all(|(_, because)| because.is_none()));
    }
}

#[tokio::test]
async fn cancelling_at_once_gives_up_what_runs() {
    let plan = shop();
    for number in 1..=8 {
        let fake = Fake::default().with_image("img");
        let cancellation = Cancellation::default();
        let (gentle, at_once) = (cancellation.gentle.clone(), cancellation.at_once.clone());
        fake.at_call(number, move || {
            gentle.cancel();
            at_once.cancel();
        });
        let (report, events) = run_with(&fake, &plan, &ExecuteOptions::default(), &cancellation).await;
        assert_complete(&plan, &report, &events);
        assert!(report.cancelled && report.failed.is_empty());
        assert!(!report.interrupted.is_empty(), "call {number} was under way");
    }
}

#[tokio::test]
async fn a_cancelled_run_does_nothing() {
    let fake = Fake::default().with_image("img");
    let cancellation = Cancellation::default();
    cancellation.gentle.cancel();
    let plan = shop();
    let (report, events) = run_with(&fake, &plan, &ExecuteOptions::default(), &cancellation).await;
    assert_complete(&plan, &report, &events);
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn a_wait_is_given_up_at_the_first_cancellation() {
    let fake = Fake::default().with_image("img");
    fake.behave("db", Behaviour { health: HealthCourse::Never, ..Behaviour::default() });
    let plan = shop();
    let cancellation = Cancellation::default();
    let options = ExecuteOptions::default();
    let execution = run_with(&fake, &plan, &options, &cancellation);
    let interrupt = async {
        fake.until_called("inspect shop-db-1").await;
        cancellation.gentle.cancel();
    };
    let ((report, events), ()) = tokio::join!(execution, interrupt);
    assert_complete(&plan, &report, &events);
    assert_eq!(report.interrupted, [id("await:db.1")]);
}

// ---------------------------------------------------------------- waits

async fn wait_for_db(
    fake: &Fake,
    until: Until,
    required: bool,
    within: Option<u64>,
    healthy: bool,
) -> (Report, Vec<Event>) {
    let database = if healthy { checked("db.1") } else { spec("db.1") };
    let plan = plan(vec![
        network(),
        create_as("db.1", database, &["create-network:default"]),
        start("db.1", &[]),
        wait("db.1", until, required, within),
        create("web.1", &["create-network:default"]),
        start("web.1", &["await:db.1"]),
    ]);
    let (report, events) = run(fake, &plan).await;
    assert_complete(&plan, &report, &events);
    (report, events)
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_event_and_without_polling() {
    let fake = Fake::default().with_image("img");
    fake.behave("db", Behaviour { health: HealthCourse::HealthyAfter(Duration::from_secs(3)), ..Behaviour::default() });
    let before = tokio::time::Instant::now();
    let execution = wait_for_db(&fake, Until::Healthy, true, None, true);
    let healing = async {
        fake.until_called("inspect shop-db-1").await;
        fake.advance(Duration::from_secs(3));
    };
    let ((report, _), ()) = tokio::join!(execution, healing);
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    assert_eq!(before.elapsed(), Duration::ZERO, "no timer was needed");
}

#[tokio::test(start_paused = true)]
async fn a_wait_polls_when_the_event_stream_breaks() {
    let fake = Fake::default().with_image("img");
    fake.behave("db", Behaviour { health: HealthCourse::HealthyAfter(Duration::from_secs(3)), ..Behaviour::default() });
    let before = tokio::time::Instant::now();
    let execution = wait_for_db(&fake, Until::Healthy, true, None, true);
    let healing = async {
        fake.until_called("inspect shop-db-1").await;
        fake.break_events();
        fake.advance(Duration::from_secs(3));
    };
    let ((report, _), ()) = tokio::join!(execution, healing);
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    assert!(before.elapsed() <= Duration::from_millis(1100), "{:?}", before.elapsed());
}

#[tokio::test]
async fn an_unhealthy_dependency_fails_with_its_evidence() {
    let fake = Fake::default().with_image("img");
    fake.behave(
        "db",
        Behaviour {
            health: HealthCourse::UnhealthyAfter(Duration::ZERO),
            output: (1..=30).map(|line| format!("line {line}")).collect(),
            ..Behaviour::default()
        },
    );
    let (report, _) = wait_for_db(&fake, Until::Healthy, true, None, true).await;
    assert_eq!(texts(&report), ["await:db.1: dependency failed to start: container shop-db-1 is unhealthy"]);
    let evidence = report.failed[0].evidence.clone().unwrap();
    assert_eq!(evidence.probe, Some((1, "probe failed".into())));
    assert_eq!((evidence.log.len(), evidence.log[0].as_str()), (20, "line 11"));
    assert_eq!(fake.state("shop-web-1").unwrap().as_str(), "created", "the dependent is not started");
}

#[tokio::test]
async fn a_job_that_fails_is_told_with_its_code() {
    let fake = Fake::default().with_image("img");
    fake.behave("db", Behaviour { ends: Some((Duration::ZERO, 3)), ..Behaviour::default() });
    let (report, _) = wait_for_db(&fake, Until::Completed, true, None, false).await;
    assert_eq!(texts(&report), ["await:db.1: service \"db\" didn't complete successfully: exit 3"]);
    assert_eq!(report.failed[0].evidence.clone().unwrap().exit_code, Some(3));
}

#[tokio::test]
async fn an_optional_dependency_that_fails_is_tolerated_and_the_dependent_starts() {
    let fake = Fake::default().with_image("img");
    fake.behave("db", Behaviour { ends: Some((Duration::ZERO, 1)), ..Behaviour::default() });
    let (report, _) = wait_for_db(&fake, Until::Healthy, false, None, true).await;
    assert!(report.failed.is_empty());
    assert_eq!(
        report.tolerated[0].error.to_string(),
        "optional dependency \"db\" failed to start: container shop-db-1 exited (1)"
    );
    assert_eq!(fake.state("shop-web-1").unwrap().as_str(), "running");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline() {
    let fake = Fake::default().with_image("img");
    fake.behave("db", Behaviour { health: HealthCourse::Never, ..Behaviour::default() });
    let before = tokio::time::Instant::now();
    let (report, _) = wait_for_db(&fake, Until::Ready { allow_exit: false }, true, Some(7), true).await;
    assert_eq!(texts(&report), ["await:db.1: application not healthy after 7s"]);
    assert_eq!(before.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_container_without_health_check_cannot_become_healthy() {
    let fake = Fake::default().with_image("img");
    let (report, _) = wait_for_db(&fake, Until::Healthy, true, None, false).await;
    assert_eq!(
        texts(&report),
        ["await:db.1: dependency failed to start: container shop-db-1 has no healthcheck configured"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ends_at_once_is_not_ready() {
    for (ends, failed) in [(Duration::from_millis(100), true), (Duration::from_secs(60), false)] {
        let fake = Fake::default().with_image("img");
        fake.behave("db", Behaviour { ends: Some((ends, 4)), ..Behaviour::default() });
        let execution = wait_for_db(&fake, Until::Ready { allow_exit: false }, true, None, false);
        let ending = async {
            fake.until_called("inspect shop-db-1").await;
            fake.advance(Duration::from_millis(200));
        };
        let ((report, _), ()) = tokio::join!(execution, ending);
        let expected: &[&str] = if failed { &["await:db.1: container shop-db-1 exited (4)"] } else { &[] };
        assert_eq!(texts(&report), expected);
    }
}

// ---------------------------------------------------------------- hooks and files

fn hook(moment: &str, command: &str) -> Op {
    Op::RunHook {
        container: target("web.1"),
        service: "web".into(),
        hook: Box::new(HookSpec {
            moment: moment.into(),
            index: 0,
            command: command.split(' ').map(str::to_owned).collect(),
            user: String::new(),
            privileged: false,
            working_dir: String::new(),
            environment: BTreeMap::new(),
        }),
        optional: false,
    }
}

#[tokio::test]
async fn a_hook_that_fails_is_told_with_its_output_and_code() {
    let fake = Fake::default().with_image("img");
    fake.exec_result("warm up", 0, "warm\n");
    fake.exec_result("break down", 4, "it broke\n");
    let plan = plan(vec![
        network(),
        create("web.1", &["create-network:default"]),
        start("web.1", &[]),
        step("hook:web.1.0", hook("post_start", "warm up"), &["start:web.1"]),
        step("hook:web.1.1", hook("post_start", "break down"), &["hook:web.1.0"]),
    ]);
    let (report, events) = run(&fake, &plan).await;
    assert_complete(&plan, &report, &events);
    assert_eq!(texts(&report), ["hook:web.1.1: web hook exited with status 4: it broke"]);
    assert!(format!("{events:?}").contains("Output(\"warm\")"));
}

#[tokio::test]
async fn files_are_copied_with_owner_and_mode_and_a_missing_variable_is_named() {
    let fake = Fake::default().with_image("img");
    let file = |content: FileContent| FileSpec {
        object: String::new(),
        secret: true,
        name: "shop_key".into(),
        target: "/run/secrets/key".into(),
        content,
        uid: "7".into(),
        gid: "8".into(),
        mode: 0o400,
    };
    let copy = |of: &str, content: FileContent| {
        let op = Op::CopyIn { container: target(of), files: vec![file(content)] };
        step(&format!("copy-in:{of}"), op, &[&format!("create:{of}")])
    };
    let plan = plan(vec![
        network(),
        create("web.1", &["create-network:default"]),
        create("web.2", &["create-network:default"]),
        copy("web.1", FileContent::Inline { text: "hush".into() }),
        copy("web.2", FileContent::Environment { variable: "KEY".into() }),
    ]);
    let (report, _) = run(&fake, &plan).await;
    assert_eq!(
        texts(&report),
        ["copy-in:web.2: environment variable \"KEY\" required by secret \"shop_key\" is not set"]
    );
    let copied = &fake.files("shop-web-1")["/run/secrets/key"];
    assert_eq!((copied.content.as_slice(), copied.uid, copied.gid, copied.mode), (b"hush".as_slice(), 7, 8, 0o400));
}

#[tokio::test]
async fn a_provider_gives_variables_to_its_dependents() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("docker-cloud");
    std::fs::write(
        &program,
        "#!/bin/sh\n[ \"$2\" = metadata ] && exit 1\n\
         echo '{\"type\":\"info\",\"message\":\"asked for '\"$*\"'\"}'\necho '{\"type\":\"setenv\",\"message\":\"URL=x://y\"}'\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let provider = compose_model::project::Provider {
        kind: "cloud".into(),
        options: BTreeMap::from([("size".to_owned(), vec!["2".to_owned()])]),
        ..Default::default()
    };
    let run_provider = Op::RunProvider { service: "db".into(), provider: Box::new(provider), verb: "up".into() };
    let plan = plan(vec![
        network(),
        step("provider:db", run_provider, &[]),
        create("web.1", &["create-network:default", "provider:db"]),
    ]);
    let mut options = ExecuteOptions::default();
    options.providers.plugin_directories.push(directory.path().to_owned());
    let fake = Fake::default().with_image("img");
    let (report, events) = run_with(&fake, &plan, &options, &Cancellation::default()).await;
    assert!(report.failed.is_empty(), "{:?}", texts(&report));
    assert!(format!("{events:?}").contains("asked for compose --project-name=shop up --size=2 db"), "{events:?}");
    assert_eq!(fake.environment("shop-web-1").get("DB_URL"), Some(&Some("x://y".to_owned())));
}

#[tokio::test]
async fn a_provider_that_is_missing_is_named() {
    let provider = compose_model::project::Provider { kind: "no-such-provider".into(), ..Default::default() };
    let op = Op::RunProvider { service: "a".into(), provider: Box::new(provider), verb: "up".into() };
    let (report, _) = run(&Fake::default(), &plan(vec![step("provider:a", op, &[])])).await;
    assert_eq!(
        texts(&report),
        ["provider:a: provider:a exec: \"no-such-provider\": executable file not found in $PATH"]
    );
}
