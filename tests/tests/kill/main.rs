//! The kill test: a command is killed with SIGKILL after every change that the engine has answered
//! (and at random moments); then the next command has to end in the state of an undisturbed run.
//!
//! A proxy in front of the engine stops the world at the wanted answer, so that nothing else
//! happens before the client is dead. On containerd every plan has a daemon of its own, and nothing
//! but images may be left of it afterwards. Its supervisor is killed too, at random moments under
//! traffic ([`supervisor`]). `cargo xtask kill-test` runs everything; in the suite a few kills of
//! each plan are tried, on the newer engines.
//!
//! | variable | meaning |
//! |---|---|
//! | `COMPOSE_TEST_KILLS` | `all`, or at most so many of each plan (2) |
//! | `COMPOSE_TEST_RANDOM_KILLS` | so many of each plan at random moments (0) |
//! | `COMPOSE_TEST_SUPERVISOR_KILLS` | so many of the supervisor (3) |
#![allow(clippy::print_stdout)] // The figures are what the one who runs it wants.

mod plans;
mod state;
mod supervisor;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compose_tests::engine::setting;
use compose_tests::private_containerd::PrivateContainerd;
use compose_tests::{CaseResult, Engine, Project, Proxy, eventually};
use libtest_mimic::{Arguments, Failed, Trial};

use plans::Plan;
use state::State;

/// Longest time that a command may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Longest time until the engine has dropped what the dead client had asked for.
const SETTLING: Duration = Duration::from_secs(20);

static TRIED: AtomicUsize = AtomicUsize::new(0);
static CONVERGED: AtomicUsize = AtomicUsize::new(0);

/// Plans that the suite tries on containerd; the others are for `cargo xtask kill-test`.
const ON_CONTAINERD: [&str; 3] = ["fresh_up", "recreate_after_a_change", "down_with_volumes"];

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let engines = Engine::all();
    let everything = setting("KILLS").is_some();
    let mut trials = Vec::new();
    for plan in plans::all() {
        let plan = std::sync::Arc::new(plan);
        if engines.is_empty() {
            let trial = Trial::test(format!("no engine::{}", plan.name), || Ok(())).with_ignored_flag(true);
            trials.push(trial.with_kind("no engine is named by COMPOSE_TEST_..."));
        }
        for engine in &engines {
            let (owned, plan) = (engine.clone(), std::sync::Arc::clone(&plan));
            let name = plan.name;
            let trial =
                Trial::test(format!("{}::{name}", engine.name), move || try_plan(&owned, &plan).map_err(Failed::from));
            let left_out = !everything
                && match engine.name.as_str() {
                    "docker20" => engines.iter().any(|other| other.name == "docker28"),
                    "containerd1" => true,
                    "containerd2" => !ON_CONTAINERD.contains(&name),
                    _ => false,
                };
            trials.push(with_reason(trial, engine, left_out));
        }
    }
    for engine in engines.iter().filter(|engine| !engine.is_docker()) {
        let owned = engine.clone();
        let trial = Trial::test(format!("{}::supervisor", engine.name), move || {
            supervisor::kills(&owned).map_err(Failed::from)
        });
        let left_out = setting("SUPERVISOR_KILLS").is_none() && engine.name == "containerd1";
        trials.push(with_reason(trial, engine, left_out));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let tried = TRIED.load(Ordering::Relaxed);
    if tried > 0 {
        println!("kills that converged: {} of {tried}", CONVERGED.load(Ordering::Relaxed));
    }
    conclusion.exit_code()
}

fn with_reason(trial: Trial, engine: &Engine, left_out: bool) -> Trial {
    let reason = format!("run by `cargo xtask kill-test --engine {}`", engine.name);
    trial.with_ignored_flag(left_out).with_kind(if left_out { reason } else { String::new() })
}

/// When the command dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// When the engine has answered so many changes.
    After(usize),
    /// After this time.
    At(Duration),
}

fn try_plan(engine: &Engine, plan: &Plan) -> CaseResult {
    let bench = Bench::new(engine, plan)?;
    let undisturbed = bench.undisturbed()?;
    let mut moments: Vec<Moment> = (1..=undisturbed.changes).map(Moment::After).collect();
    if let Ok(most) = setting("KILLS").unwrap_or_else(|| "2".to_owned()).parse::<usize>() {
        // Spread over the whole.
        let step = moments.len().div_ceil(most.max(1)).max(1);
        moments = moments.into_iter().skip(step / 2).step_by(step).take(most).collect();
    }
    let random = setting("RANDOM_KILLS").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut dice = Dice::new();
    moments.extend((0..random).map(|_| Moment::At(undisturbed.time.mul_f64(dice.throw()))));
    let mut wrong = Vec::new();
    for moment in &moments {
        TRIED.fetch_add(1, Ordering::Relaxed);
        match bench.disturbed(*moment, &undisturbed.state) {
            Ok(()) => _ = CONVERGED.fetch_add(1, Ordering::Relaxed),
            Err(message) => wrong.push(format!("killed {moment:?}: {message}")),
        }
        bench.clear().map_err(|error| format!("killed {moment:?}, put right, then: {error}"))?;
    }
    println!("{}: {}: {} of {} kills converged", engine.name, plan.name, moments.len() - wrong.len(), moments.len());
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n\n")) }
}

struct Bench<'a> {
    plan: &'a Plan,
    /// Speaks through the proxy.
    project: Project,
    place: Place,
}

/// What is behind the proxy.
enum Place {
    /// An engine that others use too.
    Shared(Proxy),
    /// A containerd of the bench's own.
    Private(PrivateContainerd),
}

impl Place {
    fn proxy(&self) -> &Proxy {
        match self {
            Self::Shared(proxy) => proxy,
            Self::Private(private) => private.proxy(),
        }
    }

    /// What is on the machine of containers and networks, where nobody else has any.
    fn traces(&self) -> Result<Vec<String>, String> {
        match self {
            Self::Shared(_) => Ok(Vec::new()),
            Self::Private(private) => private.traces(),
        }
    }
}

struct Undisturbed {
    state: State,
    changes: usize,
    time: Duration,
}

impl<'a> Bench<'a> {
    fn new(engine: &Engine, plan: &'a Plan) -> Result<Self, String> {
        if engine.is_docker() {
            let proxy = Proxy::before(engine)?;
            let mut project = Project::new(engine)?;
            project.set("DOCKER_HOST", &proxy.host());
            return Ok(Self { plan, project, place: Place::Shared(proxy) });
        }
        let private = PrivateContainerd::start_behind_a_proxy(engine)?;
        Ok(Self { plan, project: Project::new(&private.engine)?, place: Place::Private(private) })
    }

    /// The state that the command finds.
    fn prepare(&self) -> CaseResult {
        self.project.write("compose.yaml", &self.plan.before())?;
        if self.plan.started {
            self.project.compose(&["up", "-d"])?.ok()?;
        }
        self.project.write("compose.yaml", &self.plan.after())
    }

    fn recover(&self) -> Result<compose_tests::Run, String> {
        self.project.compose(&self.plan.recover())?.ok()
    }

    /// The same commands without a kill.
    fn undisturbed(&self) -> Result<Undisturbed, String> {
        self.prepare()?;
        self.place.proxy().reset(None);
        let start = Instant::now();
        self.project.compose(&self.plan.command())?.ok()?;
        let time = start.elapsed();
        let changes = self.place.proxy().requests().iter().filter(|request| request.changes()).count();
        self.recover()?;
        let state = State::of(&self.project)?;
        self.clear()?;
        Ok(Undisturbed { state, changes, time })
    }

    fn disturbed(&self, moment: Moment, expected: &State) -> CaseResult {
        self.prepare()?;
        let stop_after = match moment {
            Moment::After(count) => Some(count),
            Moment::At(_) => None,
        };
        self.place.proxy().reset(stop_after);
        let mut running = self.project.spawn(&self.plan.command())?;
        match moment {
            Moment::After(_) => {
                let child = &mut running.child;
                self.place.proxy().wait_stopped(LIMIT, || !matches!(child.try_wait(), Ok(None)));
            }
            Moment::At(time) => {
                let child = &mut running.child;
                let start = Instant::now();
                self.place
                    .proxy()
                    .wait_stopped(LIMIT, || start.elapsed() >= time || !matches!(child.try_wait(), Ok(None)));
            }
        }
        let _ = running.child.kill();
        self.place.proxy().release();
        let last =
            self.place.proxy().requests().iter().rev().find(|request| request.changes()).map(ToString::to_string);
        let last = last.unwrap_or_default();
        let killed = running.finish(LIMIT)?;
        let found = State::of(&self.project)?;
        let run = self.recover().map_err(|error| {
            format!("last change {last:?}; found {found}\nthe next command failed: {error}\nthe killed one: {killed}")
        })?;
        for name in found.temporary() {
            if !run.stderr.contains(name) {
                return Err(format!("last change {last:?}: {name} was found and not told of: {run}"));
            }
        }
        eventually(SETTLING, || {
            let state = State::of(&self.project)?;
            if state == *expected { Ok(()) } else { Err(format!("got {state}\nexpected {expected}")) }
        })
        .map_err(|error| format!("last change {last:?}; found {found}\n{error}\n{run}"))
    }

    /// Everything goes, by the program itself; nothing may be left.
    fn clear(&self) -> CaseResult {
        let run = self.project.compose(&["down", "-v", "-t", "0", "--remove-orphans"])?.ok()?;
        eventually(SETTLING, || {
            let state = State::of(&self.project)?;
            let traces = self.place.traces()?;
            if !state.is_empty() {
                Err(format!("`down` left {state}\n{run}"))
            } else if !traces.is_empty() {
                Err(format!("`down` left {}\n{run}", traces.join("\n    ")))
            } else {
                Ok(())
            }
        })
    }
}

/// Random numbers; which ones does not matter.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, Hasher};
        Self(std::hash::RandomState::new().build_hasher().finish() | 1)
    }

    /// From 0 to 1.
    pub(crate) fn throw(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
