//! An in-memory engine, for tests only: it has state, a clock that only tests move, and faults on
//! demand. It is stricter than the real engines: what they happen to allow and a plan should not
//! rely on (a volume that a mount makes by itself, two networks of one name, connecting twice) is
//! refused, so that wrong assumptions fail in microseconds.
//!
//! `mod.rs` has what tests drive it with, `world` its state and
//! rules, `view` what it tells of them, `port` the traits.

mod port;
mod view;
mod world;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compose_model::names::ImageRef;
use compose_planner::Capabilities;
use compose_planner::observed::{Observed, State};
use tokio::sync::watch;

use crate::error::{Result, RuntimeError};
use crate::port::ObserveQuery;
use world::World;

/// The engine.
pub struct Fake {
    capabilities: Capabilities,
    world: Mutex<World>,
    calls: watch::Sender<usize>,
}

/// What the process of a container does.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Ends by itself so long after its start, with this exit code.
    pub ends: Option<(Duration, i64)>,
    /// What its health check, where it has one, comes to.
    pub health: HealthCourse,
    /// What it writes when it starts.
    pub output: Vec<String>,
}

/// What a health check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCourse {
    /// Healthy so long after the start.
    HealthyAfter(Duration),
    /// Unhealthy so long after the start.
    UnhealthyAfter(Duration),
    /// Stays in `starting`.
    Never,
}

impl Default for HealthCourse {
    fn default() -> Self {
        Self::HealthyAfter(Duration::ZERO)
    }
}

/// A fault that waits for its call.
#[derive(Debug)]
struct Fault {
    call: String,
    target: String,
    /// Calls left until it strikes; 0: it has struck.
    left: usize,
    error: RuntimeError,
}

/// Something to be done at a call.
type Action = Box<dyn FnOnce() + Send>;

impl Default for Fake {
    fn default() -> Self {
        Self::new(Capabilities::everything("fake"))
    }
}

impl Fake {
    /// An empty engine.
    #[must_use]
    pub fn new(capabilities: Capabilities) -> Self {
        Self { capabilities, world: Mutex::new(World::default()), calls: watch::Sender::new(0) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic of one test thread is reported there; the state is plain data.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an image in the engine.
    #[must_use]
    pub fn with_image(self, image: &str) -> Self {
        self.world().add_image(&ImageRef::from(image));
        self
    }

    /// Has an image in the registry, so that it can be pulled.
    #[must_use]
    pub fn with_registry_image(self, image: &str) -> Self {
        self.world().registry.insert(ImageRef::from(image));
        self
    }

    /// Lets a tag point to another image.
    pub fn retag(&self, image: &str) {
        self.world().add_image(&ImageRef::from(image));
    }

    /// What containers of this name, or of this service, do.
    pub fn behave(&self, container_or_service: &str, behaviour: Behaviour) {
        self.world().behaviours.insert(container_or_service.to_owned(), behaviour);
    }

    /// The exit code and output of a command that is executed, by its words joined by blanks.
    pub fn exec_result(&self, command: &str, code: i64, output: &str) {
        self.world().exec_results.insert(command.to_owned(), (code, output.to_owned()));
    }

    /// Lets the `nth` (from 1) of these calls fail. `call` is the verb as in [`Fake::calls`],
    /// `target` a name; either may be empty for any.
    pub fn fail(&self, call: &str, target: &str, nth: usize, error: RuntimeError) {
        self.world().faults.push(Fault { call: call.to_owned(), target: target.to_owned(), left: nth.max(1), error });
    }

    /// Lets the changing call with this number (from 1, counted from now) fail, whatever it is.
    pub fn fail_nth(&self, nth: usize) {
        self.fail("", "", nth, RuntimeError::Failed { message: "it was told to fail".to_owned() });
    }

    /// Lets the caller seem to be killed: after so many further changing calls, nothing answers
    /// until [`Fake::revive`].
    pub fn crash_after(&self, calls: usize) {
        self.world().calls_left = Some(calls);
    }

    /// Answers again.
    pub fn revive(&self) {
        self.world().calls_left = None;
    }

    /// Does something when the changing call with this number (from 1, counted from the first
    /// call ever) comes in, before it takes effect.
    pub fn at_call(&self, number: usize, action: impl FnOnce() + Send + 'static) {
        self.world().actions.insert(number, Box::new(action));
    }

    /// Breaks all event streams.
    pub fn break_events(&self) {
        self.world().subscribers.clear();
    }

    /// Lets time pass: health checks come to their ends, processes end.
    pub fn advance(&self, time: Duration) {
        self.world().advance(time);
        self.calls.send_modify(|count| *count += 1);
    }

    /// All changing calls so far, `VERB TARGET`.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.world().calls.clone()
    }

    /// The largest number of calls of a class (`create`, `remove`, `transfer`, `build`) that were
    /// under way at one moment.
    #[must_use]
    pub fn peak(&self, class: &str) -> usize {
        self.world().peaks.get(class).copied().unwrap_or(0)
    }

    /// How many event streams were ever opened.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.world().subscriptions
    }

    /// Returns once the call was made (looks count here too).
    pub async fn until_called(&self, call: &str) {
        let mut calls = self.calls.subscribe();
        loop {
            if self.world().seen.contains(call) {
                return;
            }
            // The sender lives as long as `self`.
            if calls.changed().await.is_err() {
                return;
            }
        }
    }

    /// The containers: name to state, as one line each, sorted.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        self.world().summary()
    }

    /// The files that were copied into a container: path to content, owner, group and mode.
    #[must_use]
    pub fn files(&self, container: &str) -> BTreeMap<String, CopiedFile> {
        self.world().find(container).map(|found| found.files.clone()).unwrap_or_default()
    }

    /// The environment that a container was created with.
    #[must_use]
    pub fn environment(&self, container: &str) -> BTreeMap<String, Option<String>> {
        self.world().find(container).map(|found| found.spec.environment.clone()).unwrap_or_default()
    }

    /// A container's state; `None` if it is not there.
    #[must_use]
    pub fn state(&self, container: &str) -> Option<State> {
        self.world().find(container).ok().map(|found| found.state)
    }

    /// As `observe` of the port, without waiting.
    #[must_use]
    pub fn look(&self, query: &ObserveQuery) -> Observed {
        self.world().observe(query)
    }

    /// Notes a changing call; fails where a fault was ordered. The guard counts it as under way.
    async fn enter(&self, class: &'static str, call: &str, target: &str) -> Result<UnderWay<'_>> {
        let action = self.world().enter(class, call, target);
        let guard = UnderWay { fake: self, class };
        self.calls.send_modify(|count| *count += 1);
        if let Some(action) = action {
            action();
        }
        // Real calls take a while: others come in between.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.world().strike(call, target)?;
        Ok(guard)
    }

    /// Notes a call that changes nothing.
    fn glance(&self, call: &str, target: &str) -> Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        world.seen.insert(format!("{call} {target}"));
        self.calls.send_modify(|count| *count += 1);
        world.answers()?;
        Ok(world)
    }
}

/// A file that was copied into a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopiedFile {
    /// Its content.
    pub content: Vec<u8>,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Permission bits.
    pub mode: u32,
}

/// A call that is under way.
struct UnderWay<'a> {
    fake: &'a Fake,
    class: &'static str,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.fake.world().running.get_mut(self.class) {
            *count -= 1;
        }
    }
}
