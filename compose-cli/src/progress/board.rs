//! The state behind the live display: one row for each resource, fed by events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use compose_planner::observed::Health;
use compose_planner::{Note, OpId, Plan};
use compose_runtime::event::{Completion, Event, Progress};
use indexmap::IndexMap;

use super::wording::{self, Wording};

/// How a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Something is being done.
    Working,
    /// All is well.
    Done,
    /// Worth a look.
    Warning,
    /// It failed.
    Error,
}

impl Status {
    /// The word of the JSON form.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Working => "Working",
            Self::Done => "Done",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

/// Something to show: the unit of the plain and JSON forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// `Container shop-web-1`.
    pub(crate) resource: String,
    /// How it is.
    pub(crate) status: Status,
    /// `Created`.
    pub(crate) text: String,
    /// More words; may be empty.
    pub(crate) details: String,
    /// Bytes done and in all, for transfers.
    pub(crate) amount: Option<(u64, u64)>,
    /// Only for the live display.
    pub(crate) live_only: bool,
}

/// A row of the live display.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// How it is.
    pub(crate) status: Status,
    /// `Creating`.
    pub(crate) text: String,
    /// Why, or what happens at the moment.
    pub(crate) details: String,
    /// Layers of a transfer: bytes done and in all.
    pub(crate) layers: BTreeMap<String, (u64, u64)>,
    /// When it began.
    pub(crate) started: Instant,
    /// When a wait ends one way or the other.
    pub(crate) deadline: Option<Instant>,
    /// When it ended.
    pub(crate) ended: Option<Instant>,
}

/// All rows.
#[derive(Debug)]
pub(crate) struct Board {
    wordings: BTreeMap<OpId, Wording>,
    /// The rows, in the order in which they appeared.
    pub(crate) rows: IndexMap<String, Row>,
    /// How many steps of the plan are still ahead for a resource.
    ahead: BTreeMap<String, usize>,
    /// Resources of the whole plan.
    pub(crate) total: usize,
    /// The verb, for the title.
    pub(crate) title: String,
}

impl Board {
    /// A board for a verb.
    pub(crate) fn new(title: &str) -> Self {
        Self {
            wordings: BTreeMap::new(),
            rows: IndexMap::new(),
            ahead: BTreeMap::new(),
            total: 0,
            title: title.to_owned(),
        }
    }

    /// Takes a plan on board and tells what is left alone.
    pub(crate) fn begin(&mut self, plan: &Plan, now: Instant) -> Vec<Line> {
        self.wordings = wording::of_plan(plan);
        for wording in self.wordings.values() {
            *self.ahead.entry(wording.resource.clone()).or_default() += 1;
        }
        self.total = self.ahead.len();
        let mut lines = Vec::new();
        for note in &plan.notes {
            let line = match note {
                Note::LeftAlone { container, running: true, .. } => {
                    Line::new(format!("Container {container}"), Status::Done, "Running", "")
                }
                // What the reference says of one that is still already.
                Note::LeftAlone { container, running: false, .. } if plan.verb == "stop" => {
                    let resource = format!("Container {container}");
                    lines.push(self.apply(Line::new(resource.clone(), Status::Working, "Stopping", ""), now));
                    Line::new(resource, Status::Done, "Stopped", "")
                }
                Note::Skipped { what, why } => Line::new(what.clone(), Status::Warning, "Skipped", why),
                _ => continue,
            };
            lines.push(self.apply(line, now));
        }
        self.total = self.total.max(self.rows.len());
        lines
    }

    /// Tells of something that is no event of the executor.
    pub(crate) fn apply(&mut self, line: Line, now: Instant) -> Line {
        let row = self.rows.entry(line.resource.clone()).or_insert_with(|| Row {
            status: Status::Working,
            text: String::new(),
            details: String::new(),
            layers: BTreeMap::new(),
            started: now,
            deadline: None,
            ended: None,
        });
        row.status = line.status;
        if !line.text.is_empty() {
            row.text.clone_from(&line.text);
        }
        row.details.clone_from(&line.details);
        row.ended = (line.status != Status::Working).then_some(now);
        if row.ended.is_some() {
            row.deadline = None;
        }
        line
    }

    /// Takes an event on board; the lines that it means for the plain forms come back.
    pub(crate) fn event(&mut self, event: &Event, now: Instant) -> Vec<Line> {
        let (Event::Started { id }
        | Event::Progress { id, .. }
        | Event::Done { id, .. }
        | Event::Failed { id, .. }
        | Event::Skipped { id, .. }) = event
        else {
            return Vec::new();
        };
        let Some(wording) = self.wordings.get(id).cloned() else { return Vec::new() };
        if !matches!(event, Event::Started { .. } | Event::Progress { .. })
            && let Some(ahead) = self.ahead.get_mut(&wording.resource)
        {
            *ahead = ahead.saturating_sub(1);
        }
        let Some(line) = self.line_of(event, &wording) else { return Vec::new() };
        let mut lines = Vec::new();
        if wording.tells_stop && matches!(event, Event::Started { .. }) {
            lines.push(Line::new(wording.resource.clone(), Status::Working, "Stopping", ""));
            lines.push(Line::new(wording.resource.clone(), Status::Done, "Stopped", ""));
        }
        let line = self.apply(line, now);
        if let Event::Progress { progress: Progress::Health { left, .. }, .. } = event
            && let Some(row) = self.rows.get_mut(&line.resource)
        {
            row.deadline = left.and_then(|left| now.checked_add(left));
        }
        if !line.live_only {
            lines.push(line);
        }
        lines
    }

    fn line_of(&mut self, event: &Event, wording: &Wording) -> Option<Line> {
        let resource = wording.resource.clone();
        Some(match event {
            Event::Started { .. } if wording.working.is_empty() => {
                if wording.detail.is_empty() {
                    return None;
                }
                Line { live_only: true, ..Line::new(resource, Status::Working, "", &wording.detail) }
            }
            Event::Started { .. } => Line::new(resource, Status::Working, wording.working, &wording.reason),
            Event::Progress { progress, .. } => self.progress_line(resource, wording, progress)?,
            Event::Done { how: Completion::Warning(text), .. } => Line::new(resource, Status::Warning, text, ""),
            Event::Done { .. } if wording.done.is_empty() => {
                Line { live_only: true, ..Line::new(resource, self.resting(wording), "", &wording.reason) }
            }
            Event::Done { .. } => Line::new(resource, Status::Done, wording.done, &wording.reason),
            Event::Failed { error, tolerated, .. } => {
                let status = if *tolerated { Status::Warning } else { Status::Error };
                let text = if *tolerated { "Warning" } else { "Error" };
                let words = error.to_string();
                // "Error" stands in front already.
                Line::new(resource, status, text, words.strip_prefix("Error response from daemon: ").unwrap_or(&words))
            }
            Event::Skipped { because, .. } => {
                let why = because.as_ref().map_or_else(|| "cancelled".to_owned(), |id| format!("{id} failed"));
                Line { live_only: true, ..Line::new(resource, Status::Warning, "Skipped", &why) }
            }
            Event::Cancelling => return None,
        })
    }

    /// Whether more is to come for the resource of a silent step that has ended.
    fn resting(&self, wording: &Wording) -> Status {
        let more = self.ahead.get(&wording.resource).is_some_and(|ahead| *ahead > 0);
        if more { Status::Working } else { Status::Done }
    }

    fn progress_line(&mut self, resource: String, wording: &Wording, progress: &Progress) -> Option<Line> {
        let live = |details: String| Line {
            live_only: true,
            ..Line::new(resource.clone(), Status::Working, wording.working, &details)
        };
        Some(match progress {
            Progress::Transfer(transfer) => {
                if transfer.layer.is_empty() {
                    live(transfer.status.clone())
                } else {
                    let row = self.rows.get_mut(&resource)?;
                    let layer = row.layers.entry(transfer.layer.clone()).or_default();
                    if transfer.total > 0 {
                        *layer = (transfer.current, transfer.total);
                    } else if transfer.status.ends_with("complete") || transfer.status == "Already exists" {
                        layer.1 = layer.1.max(1);
                        layer.0 = layer.1;
                    }
                    let (done, all) = row.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
                    Line { amount: Some((done, all)), ..live(transfer.status.clone()) }
                }
            }
            Progress::Output(text) if wording.speaks => {
                Line::new(resource.clone(), Status::Working, text.trim_end(), "")
            }
            Progress::Output(text) => live(text.trim_end().to_owned()),
            Progress::Health { health, .. } => live(
                match health {
                    Health::Healthy => "healthy",
                    Health::Unhealthy => "unhealthy so far",
                    Health::Starting => "health check has not passed yet",
                    Health::None => "running",
                }
                .to_owned(),
            ),
        })
    }

    /// Resources that have ended.
    pub(crate) fn ended(&self) -> usize {
        self.rows.values().filter(|row| row.status != Status::Working).count()
    }
}

impl Line {
    /// A line without amounts.
    pub(crate) fn new(resource: impl Into<String>, status: Status, text: &str, details: &str) -> Self {
        Self {
            resource: resource.into(),
            status,
            text: text.to_owned(),
            details: details.to_owned(),
            amount: None,
            live_only: false,
        }
    }

    /// The plain form of the reference: ` Container shop-web-1 Created `. Reasons are left out
    /// there, since scripts read these lines; errors and warnings keep their words.
    pub(crate) fn plain(&self) -> String {
        let details = if self.status == Status::Working || self.status == Status::Done { "" } else { &self.details };
        let details = details.lines().next().unwrap_or_default();
        format!(" {} {} {details}\n", self.resource, self.text)
    }

    /// The JSON form.
    pub(crate) fn json(&self, dry_run: bool) -> String {
        let mut object = serde_json::Map::new();
        if dry_run {
            object.insert("dry-run".to_owned(), true.into());
        }
        object.insert("id".to_owned(), self.resource.clone().into());
        object.insert("status".to_owned(), self.status.word().into());
        if !self.text.is_empty() {
            object.insert("text".to_owned(), self.text.clone().into());
        }
        if !self.details.is_empty() {
            object.insert("details".to_owned(), self.details.clone().into());
        }
        if let Some((current, total)) = self.amount {
            object.insert("current".to_owned(), current.into());
            object.insert("total".to_owned(), total.into());
            let percent = current.saturating_mul(100).checked_div(total).unwrap_or(0);
            object.insert("percent".to_owned(), percent.into());
        }
        format!("{}\n", serde_json::Value::Object(object))
    }
}

/// A length of time as the right edge shows it.
pub(crate) fn elapsed(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds < 600 {
        format!("{:.1}s", length.as_secs_f64())
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}
