//! Shows the progress of a plan: live on a terminal, line by line, as JSON, or not at all.
//!
//! Reads nothing but the plan and the executor's events. Everything goes to standard error.

pub(crate) mod board;
mod frame;
pub(crate) mod wording;

use std::time::{Duration, Instant};

use compose_planner::Plan;
use compose_runtime::Event;
use unicode_width::UnicodeWidthStr;

use crate::output::{Output, ProgressMode};
use board::{Board, Line, Status};

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// A progress display.
pub(crate) struct Display<'a> {
    output: &'a Output,
    board: Board,
    mode: ProgressMode,
    dry_run: bool,
    /// Widths of the lines that the last frame left on the screen.
    drawn: Vec<usize>,
    cursor_hidden: bool,
}

impl<'a> Display<'a> {
    /// A display titled by a verb.
    pub(crate) fn new(output: &'a Output, title: &str, dry_run: bool) -> Self {
        Self {
            output,
            board: Board::new(title, Instant::now()),
            mode: output.progress(),
            dry_run,
            drawn: Vec::new(),
            cursor_hidden: false,
        }
    }

    /// Whether frames have to be drawn as time goes by.
    pub(crate) fn is_live(&self) -> bool {
        self.mode == ProgressMode::Terminal
    }

    /// The time to wait between two frames.
    pub(crate) const fn pace() -> Duration {
        FRAME
    }

    /// Takes a plan on board.
    pub(crate) fn begin(&mut self, plan: &Plan) {
        let lines = self.board.begin(plan, Instant::now());
        self.print(&lines);
    }

    /// Takes an event.
    pub(crate) fn event(&mut self, event: &Event) {
        let lines = self.board.event(event, Instant::now());
        self.print(&lines);
    }

    /// Shows something that is no event of a plan.
    pub(crate) fn line(&mut self, line: Line) {
        let line = self.board.apply(line, Instant::now());
        self.print(&[line]);
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
            match self.mode {
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
        if self.mode != ProgressMode::Terminal {
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

    /// Whether some resource failed.
    pub(crate) fn has_errors(&self) -> bool {
        self.board.rows.values().any(|row| row.status == Status::Error)
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
