//! Shows the progress of a plan: live on a terminal, line by line, as JSON, or not at all.
//!
//! Reads nothing but the plan and the executor's events. Everything goes to standard error.

pub(crate) mod board;
mod frame;
pub(crate) mod wording;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use compose_planner::{Op, OpId, Plan};
use compose_runtime::Event;
use compose_runtime::event::Progress;
use unicode_width::UnicodeWidthStr;

use crate::output::{Output, ProgressMode};
use board::{Board, Line, Status};

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// Lines of a build that are kept for the case that it fails.
const BUILD_LINES: usize = 200;

/// A progress display.
pub(crate) struct Display<'a> {
    output: &'a Output,
    board: Board,
    mode: ProgressMode,
    dry_run: bool,
    /// Widths of the lines that the last frame left on the screen.
    drawn: Vec<usize>,
    cursor_hidden: bool,
    /// No lines about pulling.
    pub(crate) quiet_pull: bool,
    /// No lines of builds.
    pub(crate) quiet_build: bool,
    /// Lines of builds are data.
    pub(crate) build_is_data: bool,
    /// The first signal already ends the work at once.
    pub(crate) urgent: bool,
    /// The live part ends when the first container starts.
    pub(crate) yields_to_logs: bool,
    /// It has ended.
    yielded: bool,
    /// Every line is printed then, not only those that need attention.
    tell_all: bool,
    pulls: BTreeSet<String>,
    builds: BTreeMap<OpId, Vec<String>>,
}

impl<'a> Display<'a> {
    /// A display titled by a verb.
    pub(crate) fn new(output: &'a Output, title: &str, dry_run: bool) -> Self {
        Self {
            output,
            board: Board::new(title),
            mode: output.progress(),
            dry_run,
            drawn: Vec::new(),
            cursor_hidden: false,
            quiet_pull: false,
            quiet_build: false,
            build_is_data: false,
            urgent: false,
            yields_to_logs: false,
            yielded: false,
            tell_all: false,
            pulls: BTreeSet::new(),
            builds: BTreeMap::new(),
        }
    }

    /// Whether frames have to be drawn as time goes by.
    pub(crate) fn is_live(&self) -> bool {
        self.mode == ProgressMode::Terminal && !self.yielded
    }

    /// The time to wait between two frames.
    pub(crate) const fn pace() -> Duration {
        FRAME
    }

    /// Takes a plan on board.
    pub(crate) fn begin(&mut self, plan: &Plan) {
        for step in &plan.steps {
            match &step.op {
                Op::Pull { image, .. } if self.quiet_pull => drop(self.pulls.insert(format!("Image {image}"))),
                Op::Build { .. } => drop(self.builds.insert(step.id.clone(), Vec::new())),
                _ => {}
            }
        }
        let lines = self.board.begin(plan, Instant::now());
        self.print(&lines);
    }

    /// Takes an event.
    pub(crate) fn event(&mut self, event: &Event) {
        if self.yields_to_logs
            && let Event::Started { id } = event
            && id.0.starts_with("start:")
        {
            self.give_way();
        }
        self.build_output(event);
        let lines = self.board.event(event, Instant::now());
        self.print(&lines);
    }

    /// Shows every event in a line of its own, since log lines are printed meanwhile.
    pub(crate) fn stay_among_logs(&mut self) {
        if self.is_live() {
            self.yielded = true;
            self.tell_all = true;
        }
    }

    /// Ends the live part: what comes later is told in single lines between those of logs.
    pub(crate) fn give_way(&mut self) {
        if self.is_live() {
            self.finish();
            self.yielded = true;
        }
    }

    /// Output of builds: as it comes where lines are printed, after a failure where the display
    /// is live.
    fn build_output(&mut self, event: &Event) {
        match event {
            Event::Progress { id, progress: Progress::Output(text) } => {
                let Some(kept) = self.builds.get_mut(id) else { return };
                let text = text.trim_end_matches('\n');
                match self.mode {
                    _ if self.quiet_build => {}
                    ProgressMode::Plain if self.build_is_data => drop(self.output.line(text)),
                    ProgressMode::Plain => self.output.message(format!("{text}\n")),
                    ProgressMode::Terminal => {
                        if kept.len() >= BUILD_LINES {
                            kept.remove(0);
                        }
                        kept.push(text.to_owned());
                    }
                    ProgressMode::Json | ProgressMode::Quiet => {}
                }
            }
            Event::Failed { id, .. } => {
                if let Some(kept) = self.builds.remove(id)
                    && !kept.is_empty()
                {
                    self.clear();
                    self.output.message(format!("{}\n", kept.join("\n")));
                }
            }
            _ => {}
        }
    }

    /// A sentence between the lines.
    pub(crate) fn note(&mut self, text: &str) {
        match self.mode {
            ProgressMode::Terminal => {
                self.clear();
                self.output.message(format!("{text}\n"));
            }
            ProgressMode::Plain => self.output.message(format!(" {text}\n")),
            ProgressMode::Json | ProgressMode::Quiet => {}
        }
    }

    /// Tells every step of a plan as if it were done (`--dry-run`).
    pub(crate) fn pretend(&mut self, plan: &Plan) {
        self.begin(plan);
        for step in &plan.steps {
            self.event(&Event::Started { id: step.id.clone() });
            self.event(&Event::Done { id: step.id.clone(), how: compose_runtime::event::Completion::Done });
        }
    }

    fn print(&self, lines: &[Line]) {
        for line in lines {
            if self.pulls.contains(&line.resource) && line.status != Status::Error {
                continue;
            }
            match self.mode {
                ProgressMode::Terminal if self.yielded && (self.tell_all || line.status >= Status::Warning) => {
                    self.output.message(line.plain());
                }
                ProgressMode::Plain => self.output.message(line.plain()),
                ProgressMode::Json => self.output.message(line.json(self.dry_run)),
                ProgressMode::Terminal | ProgressMode::Quiet => {}
            }
        }
    }

    /// Draws a frame over the last one, in one write.
    pub(crate) fn draw(&mut self) {
        self.paint(false);
    }

    /// Draws the frame that stays, and gives the cursor back.
    pub(crate) fn finish(&mut self) {
        self.paint(true);
        self.drawn.clear();
        self.show_cursor();
    }

    /// Takes the display off the screen, so that something else can be printed.
    pub(crate) fn clear(&mut self) {
        if self.mode == ProgressMode::Terminal && !self.drawn.is_empty() {
            let (columns, _) = crate::terminal::progress_size();
            let mut bytes = String::new();
            go_up(&mut bytes, &self.drawn, usize::from(columns));
            bytes.push_str("\u{1b}[J");
            self.output.message(bytes);
            self.drawn.clear();
        }
        self.show_cursor();
    }

    fn paint(&mut self, last: bool) {
        if !self.is_live() {
            return;
        }
        let (columns, rows) = crate::terminal::progress_size();
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        let lines = frame::frame(&self.board, Instant::now(), columns, rows, self.output.colour_on_stderr(), last);
        if lines.is_empty() {
            return;
        }
        // Marked as one update, where the terminal knows that.
        let mut bytes = String::from("\u{1b}[?2026h");
        if !self.cursor_hidden {
            bytes.push_str("\u{1b}[?25l");
            self.cursor_hidden = true;
        }
        go_up(&mut bytes, &self.drawn, columns);
        for line in &lines {
            bytes.push_str(line);
            bytes.push_str("\u{1b}[K\n");
        }
        bytes.push_str("\u{1b}[J\u{1b}[?2026l");
        self.output.message(bytes);
        self.drawn = lines.iter().map(|line| visible(line)).collect();
    }

    fn show_cursor(&mut self) {
        if self.cursor_hidden {
            self.output.message("\u{1b}[?25h");
            self.cursor_hidden = false;
        }
    }
}

impl Drop for Display<'_> {
    fn drop(&mut self) {
        self.show_cursor();
    }
}

/// Moves the cursor to the first line of the last frame. A window that has become narrower has
/// wrapped its lines.
fn go_up(bytes: &mut String, drawn: &[usize], columns: usize) {
    let lines: usize = drawn.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
    if lines > 0 {
        bytes.push_str(&format!("\u{1b}[{lines}A\r"));
    }
}

/// Columns of a line without its colour codes.
fn visible(line: &str) -> usize {
    let mut width = 0;
    for (index, part) in line.split('\u{1b}').enumerate() {
        let part = if index == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) };
        width += part.width();
    }
    width
}
