//! What the executor tells while it works. The progress display reads nothing else.

use std::time::Duration;

use compose_planner::{OpId, Reason};

use crate::error::RuntimeError;
use crate::port::TransferProgress;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step begins.
    Started {
        /// The step.
        id: OpId,
    },
    /// A step has moved on: pull bars, build lines, health waits.
    Progress {
        /// The step.
        id: OpId,
        /// How far it is.
        progress: Progress,
    },
    /// A step has ended well.
    Done {
        /// The step.
        id: OpId,
        /// How.
        how: Completion,
    },
    /// A step has failed.
    Failed {
        /// The step.
        id: OpId,
        /// Why.
        error: RuntimeError,
        /// What shows the cause: probe output, exit code, last log lines.
        evidence: Option<Evidence>,
        /// The failure does not fail the plan (`required: false`, `--ignore-pull-failures`).
        tolerated: bool,
    },
    /// A step is not carried out.
    Skipped {
        /// The step.
        id: OpId,
        /// The failed step, or `None` after a cancellation.
        because: Option<OpId>,
    },
    /// Cancellation was asked for.
    Cancelling,
}

/// How a step ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It did its work.
    Done,
    /// It found its work done already.
    AlreadySo,
    /// It could not, and that is fine; the text is for the user (`Resource is still in use`).
    Warning(String),
}

/// How far a step is.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Bytes of an image.
    Transfer(TransferProgress),
    /// A line of output of a build or a hook.
    Output(String),
    /// The health of the container that is waited for.
    Health {
        /// What the engine says.
        health: compose_planner::observed::Health,
        /// Longest time from now until the wait ends one way or the other, where that is known.
        left: Option<Duration>,
    },
}

/// What shows the cause of a failed wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The container.
    pub container: String,
    /// Its exit code, where it has ended.
    pub exit_code: Option<i64>,
    /// The last health probe's exit code and output.
    pub probe: Option<(i64, String)>,
    /// Its last log lines.
    pub log: Vec<String>,
    /// Words of the engine on a failed start.
    pub error: String,
}

/// Why an op was carried out, for displays that show it beside the event.
pub type Because = Reason;
