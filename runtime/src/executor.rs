//! The executor: one loop that owns all state of a run; workers only send messages.
//!
//! The loop takes ready steps from the [`Queue`], as many of each class as the backend allows,
//! turns each into a worker (a future made by `dispatch`), and settles what the workers come back
//! with: events, the queue, the report. Workers share nothing but the port; what one of them
//! learns for another (a created container's identity, a provider's variables) passes through the
//! loop. Policy:
//!
//! - A failed step skips what depends on it, with the step's identity as the reason; what does
//!   not depend on it goes on.
//! - A failure of an optional step ([`Op::is_optional`](compose_planner::Op::is_optional)) is
//!   reported and its dependents go on.
//! - A container that does not get ready (`--wait`) decides the outcome: the others are not waited for
//!   any longer, which changes nothing.
//! - The first cancellation issues no further steps and waits for the short ones that run;
//!   waits, transfers and builds change nothing that matters and are given up at once.
//! - The second cancellation gives up everything. What was under way then is listed as interrupted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use compose_model::names::ContainerId;
use compose_model::project::Place;
use compose_planner::capabilities::Concurrency;
use compose_planner::op::{Class, Op, Until};
use compose_planner::{Observed, OpId, Plan, Step};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::build;
use crate::dispatch::{self, Context, Ending, Known};
use crate::error::RuntimeError;
use crate::event::{Completion, Event, Evidence};
use crate::port::{BuildOutput, Builder, ContentSource, Runtime};
use crate::queue::{Entry, Queue};
use crate::wait::Bulletin;

/// How a plan is to be carried out.
#[derive(Clone, Debug, Default)]
pub struct ExecuteOptions {
    /// Upper bound on steps of every class at once (`--parallel`), waits not counted; `None`: the
    /// backend's limits.
    pub parallel: Option<usize>,
    /// Containers made by earlier rounds, by the step that made them.
    pub made: BTreeMap<OpId, ContainerId>,
    /// What the programs of `provider` services and the Docker Model plugin need.
    pub providers: Providers,
    /// How builders tell what they do.
    pub build_output: BuildOutput,
}

/// What the programs of `provider` services and the Docker Model plugin need.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    /// Directories with plugins, see [`directories`](crate::plugins::directories).
    pub plugin_directories: Vec<PathBuf>,
    /// Variables of the project, set beside those of this process.
    pub environment: BTreeMap<String, String>,
    /// The project's directory; empty for that of this process.
    pub working_directory: PathBuf,
}

/// Two grades of cancellation: the first one issues no further steps and waits for those that
/// run, the second one gives up at once.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    /// No further steps.
    pub gentle: CancellationToken,
    /// Give up.
    pub at_once: CancellationToken,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps that ended well.
    pub done: Vec<OpId>,
    /// Steps that failed and make the command fail.
    pub failed: Vec<Failure>,
    /// Steps that failed and were tolerated.
    pub tolerated: Vec<Failure>,
    /// Steps that were not carried out, with the failed step that they needed (`None`: cancelled).
    pub skipped: Vec<(OpId, Option<OpId>)>,
    /// Steps that were under way when they were given up; whether the engine has finished them
    /// is not known.
    pub interrupted: Vec<OpId>,
    /// Containers that were made, by step.
    pub made: BTreeMap<OpId, ContainerId>,
    /// Whether it was cancelled.
    pub cancelled: bool,
}

/// A failed step.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The step.
    pub id: OpId,
    /// Why.
    pub error: RuntimeError,
    /// What shows the cause.
    pub evidence: Option<Evidence>,
    /// Where the file asks for what failed (a taken port, an image that is not there).
    pub place: Option<Place>,
}

/// Carries out a plan. Where the receiver of `events` is polled in the same task and before this, the start of a
/// step is heard of before its first call is made. The plan is checked first; a plan that fails the check is a fault of this
/// program and is reported without touching the engine.
pub async fn execute(
    plan: &Plan,
    runtime: &dyn Runtime,
    contents: &(dyn ContentSource + Sync),
    options: &ExecuteOptions,
    cancellation: &Cancellation,
    events: &UnboundedSender<Event>,
) -> Report {
    let context = Context {
        runtime,
        contents,
        project: &plan.project,
        providers: &options.providers,
        build_output: options.build_output,
        events,
    };
    let mut run = match Run::new(plan, context, options, cancellation) {
        Ok(run) => run,
        Err(fault) => return refused(plan, &fault, events),
    };
    if plan.steps.iter().any(|step| step.op.class() == Class::Wait) {
        // Before anything is issued, so that no event between a start and its wait is missed.
        let subscription = Bulletin::subscribe(runtime, &plan.project);
        run.bulletin = tokio::select! {
            bulletin = subscription => bulletin,
            () = cancellation.gentle.cancelled() => Bulletin::default(),
            () = cancellation.at_once.cancelled() => Bulletin::default(),
        };
    }
    run.work().await;
    run.report
}

/// The report on a plan that is no plan: nothing was tried.
fn refused(plan: &Plan, fault: &str, events: &UnboundedSender<Event>) -> Report {
    let error = RuntimeError::Invalid { message: format!("this plan cannot be carried out: {fault}") };
    let mut report = Report::default();
    let id = plan.steps.first().map(|step| step.id.clone()).unwrap_or_default();
    let _ = events.send(Event::Failed { id: id.clone(), error: error.clone(), evidence: None, tolerated: false });
    for step in plan.steps.iter().skip(1) {
        let _ = events.send(Event::Skipped { id: step.id.clone(), because: Some(id.clone()) });
        report.skipped.push((step.id.clone(), Some(id.clone())));
    }
    report.failed.push(Failure { id, error, evidence: None, place: None });
    report
}

/// How many steps of each class run, against how many may.
#[derive(Debug)]
struct Slots {
    limits: Concurrency,
    total: usize,
    running: BTreeMap<Class, usize>,
}

impl Slots {
    fn new(limits: Concurrency, parallel: Option<usize>) -> Self {
        Self { limits, total: parallel.map_or(usize::MAX, |limit| limit.max(1)), running: BTreeMap::new() }
    }

    fn admit(&self, class: Class) -> bool {
        let limit = match class {
            Class::Wait => return true,
            Class::Create => self.limits.create,
            Class::Remove => self.limits.remove,
            Class::Transfer => self.limits.transfer,
            Class::Build => self.limits.build,
        };
        let busy: usize = self.running.iter().filter(|(class, _)| **class != Class::Wait).map(|(_, count)| count).sum();
        busy < self.total && self.running.get(&class).copied().unwrap_or(0) < limit.max(1)
    }

    fn take(&mut self, class: Class) {
        *self.running.entry(class).or_default() += 1;
    }

    fn give_back(&mut self, class: Class) {
        if let Some(count) = self.running.get_mut(&class) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Whether it is one of the waits of `--wait`.
fn is_readiness(op: &Op) -> bool {
    matches!(op, Op::Await { until: Until::Ready { .. }, required: true, .. })
}

/// All state of a run.
struct Run<'a> {
    context: Context<'a>,
    cancellation: &'a Cancellation,
    steps: BTreeMap<&'a OpId, &'a Step>,
    queue: Queue<OpId, Class>,
    slots: Slots,
    known: Known,
    bulletin: Bulletin,
    /// Steps whose workers run, with the class of the slot that each has. Of builds in one go, one has it.
    under_way: BTreeMap<OpId, Option<Class>>,
    stopping: bool,
    /// The wait of `--wait` that failed first, and the end of all others.
    unready: Option<OpId>,
    readiness: CancellationToken,
    report: Report,
}

/// What a worker sends: its steps, and how each ended.
type Message<'a> = BoxFuture<'a, Vec<(OpId, Settled)>>;

/// How a step's worker ended.
enum Settled {
    /// By itself.
    Ended(Box<Ending>),
    /// It was given up, since the run was cancelled.
    GivenUp,
    /// It was given up, since this step failed, which was done in one go with it.
    Spoilt(OpId),
    /// It was given up, since another container does not get ready.
    Pointless,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a Plan,
        context: Context<'a>,
        options: &ExecuteOptions,
        cancellation: &'a Cancellation,
    ) -> Result<Self, String> {
        // What is there already was checked when the plan was made; here it is the plan itself.
        if let Some(violation) = compose_planner::check(plan, &Observed::default()).first() {
            return Err(violation.to_string());
        }
        let queue = Queue::new(plan.steps.iter().map(|step| Entry {
            key: step.id.clone(),
            class: step.op.class(),
            after: step.after.iter().cloned().collect(),
            tolerant: step.op.is_optional(),
        }))
        .map_err(|error| error.to_string())?;
        Ok(Self {
            slots: Slots::new(context.runtime.capabilities().concurrency, options.parallel),
            context,
            cancellation,
            steps: plan.steps.iter().map(|step| (&step.id, step)).collect(),
            queue,
            known: Known { made: options.made.clone(), variables: BTreeMap::new() },
            bulletin: Bulletin::default(),
            under_way: BTreeMap::new(),
            stopping: false,
            unready: None,
            readiness: CancellationToken::new(),
            report: Report::default(),
        })
    }

    async fn work(&mut self) {
        let mut workers = FuturesUnordered::new();
        let cancellation = self.cancellation;
        loop {
            // Asked here too, so that a cancellation that came before the first step, or between
            // two of them, is seen before anything else is issued.
            if cancellation.at_once.is_cancelled() || cancellation.gentle.is_cancelled() {
                self.stop_issuing();
            }
            let before = workers.len();
            while let Some(worker) = self.issue() {
                workers.push(worker);
            }
            if workers.len() > before {
                // Whoever asks for events before polling this has noted what begins before the engine is asked.
                tokio::task::yield_now().await;
            }
            if workers.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = cancellation.at_once.cancelled() => {
                    self.stop_issuing();
                    break;
                }
                () = cancellation.gentle.cancelled(), if !self.stopping => self.stop_issuing(),
                Some(ended) = workers.next() => {
                    for (id, settled) in ended {
                        self.settle(&id, settled);
                    }
                }
                () = self.bulletin.deliver() => {}
            }
        }
        // Dropping a worker ends its call on this side; the engine may still carry it through.
        drop(workers);
        for id in std::mem::take(&mut self.under_way).into_keys() {
            self.emit(Event::Skipped { id: id.clone(), because: None });
            self.report.interrupted.push(id);
        }
    }

    /// The worker of the next step that may run now.
    fn issue(&mut self) -> Option<Message<'a>> {
        let id = self.queue.dequeue(|class| self.slots.admit(class))?;
        let step = *self.steps.get(&id)?;
        let class = step.op.class();
        self.slots.take(class);
        self.under_way.insert(id.clone(), Some(class));
        self.emit(Event::Started { id: id.clone() });
        if class == Class::Build && self.context.runtime.builder().is_some_and(Builder::builds_together) {
            return Some(self.issue_builds(step));
        }
        let worker = dispatch::worker(self.context, step, &self.known, &mut self.bulletin);
        let gives_up = matches!(class, Class::Wait | Class::Transfer | Class::Build);
        let gentle = self.cancellation.gentle.clone();
        // Only the waits of `--wait` end with it: nothing comes after them.
        let readiness = if is_readiness(&step.op) { self.readiness.clone() } else { CancellationToken::new() };
        Some(Box::pin(async move {
            if !gives_up {
                return vec![(id, Settled::Ended(Box::new(worker.await)))];
            }
            tokio::select! {
                biased;
                ending = worker => vec![(id, Settled::Ended(Box::new(ending)))],
                () = gentle.cancelled() => vec![(id, Settled::GivenUp)],
                () = readiness.cancelled() => vec![(id, Settled::Pointless)],
            }
        }))
    }

    /// The worker of a build and of all others that can be done in one go with it.
    fn issue_builds(&mut self, first: &'a Step) -> Message<'a> {
        let mut steps = vec![first];
        for id in self.queue.dequeue_along(&first.id) {
            self.under_way.insert(id.clone(), None);
            steps.extend(self.steps.get(&id).copied());
            self.emit(Event::Started { id });
        }
        let (context, gentle) = (self.context, self.cancellation.gentle.clone());
        Box::pin(async move {
            let built = tokio::select! {
                biased;
                built = build::build(context, &steps) => Some(built),
                () = gentle.cancelled() => None,
            };
            let ids = steps.iter().map(|step| step.id.clone());
            match built {
                None => ids.map(|id| (id, Settled::GivenUp)).collect(),
                Some(Ok(done)) => ids
                    .zip(done)
                    .map(|(id, how)| (id, Settled::Ended(Box::new(Ending::from(Ok::<_, RuntimeError>(how))))))
                    .collect(),
                Some(Err(failure)) => {
                    let failed = steps[failure.position.min(steps.len() - 1)].id.clone();
                    let ending = Ending::from(Err::<Completion, _>(failure.error));
                    let others = ids.filter(|id| *id != failed).map(|id| (id, Settled::Spoilt(failed.clone())));
                    std::iter::once((failed.clone(), Settled::Ended(Box::new(ending)))).chain(others).collect()
                }
            }
        })
    }

    fn settle(&mut self, id: &OpId, settled: Settled) {
        // Of builds in one go, one may have been skipped already for another.
        let Some(slot) = self.under_way.remove(id) else { return };
        if let Some(class) = slot {
            self.slots.give_back(class);
        }
        let Some(step) = self.steps.get(id).copied() else { return };
        let ending = match settled {
            Settled::Ended(ending) => *ending,
            Settled::GivenUp => {
                self.queue.fail(id);
                self.emit(Event::Skipped { id: id.clone(), because: None });
                self.report.interrupted.push(id.clone());
                return;
            }
            Settled::Pointless => {
                self.queue.fail(id);
                self.emit(Event::Skipped { id: id.clone(), because: self.unready.clone() });
                self.report.skipped.push((id.clone(), self.unready.clone()));
                return;
            }
            Settled::Spoilt(failed) => {
                let skipped = self.queue.fail(id);
                self.skip([id.clone()].into_iter().chain(skipped), &failed);
                return;
            }
        };
        if let Some(container) = ending.made {
            self.known.made.insert(id.clone(), container.clone());
            self.report.made.insert(id.clone(), container);
        }
        if !ending.variables.is_empty() {
            self.known.variables.insert(id.clone(), ending.variables);
        }
        match ending.result {
            Ok(how) => self.succeed(id, how),
            Err(trouble) => {
                let tolerated = step.op.is_optional();
                self.emit(Event::Failed {
                    id: id.clone(),
                    error: trouble.error.clone(),
                    evidence: trouble.evidence.clone(),
                    tolerated,
                });
                let failure =
                    Failure { id: id.clone(), error: trouble.error, evidence: trouble.evidence, place: trouble.place };
                if tolerated {
                    self.queue.finish(id);
                    self.report.tolerated.push(failure);
                } else {
                    let skipped = self.queue.fail(id);
                    self.skip(skipped, id);
                    self.report.failed.push(failure);
                    if is_readiness(&step.op) {
                        self.unready.get_or_insert_with(|| id.clone());
                        self.readiness.cancel();
                    }
                }
            }
        }
    }

    fn skip(&mut self, skipped: impl IntoIterator<Item = OpId>, because: &OpId) {
        for id in skipped {
            if let Some(class) = self.under_way.remove(&id).flatten() {
                self.slots.give_back(class);
            }
            self.emit(Event::Skipped { id: id.clone(), because: Some(because.clone()) });
            self.report.skipped.push((id, Some(because.clone())));
        }
    }

    fn succeed(&mut self, id: &OpId, how: Completion) {
        self.queue.finish(id);
        self.emit(Event::Done { id: id.clone(), how });
        self.report.done.push(id.clone());
    }

    fn stop_issuing(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.report.cancelled = true;
        self.emit(Event::Cancelling);
        for id in self.queue.drain() {
            self.emit(Event::Skipped { id: id.clone(), because: None });
            self.report.skipped.push((id, None));
        }
    }

    /// Nobody listening is fine: the report tells the same.
    fn emit(&self, event: Event) {
        let _ = self.context.events.send(event);
    }
}
