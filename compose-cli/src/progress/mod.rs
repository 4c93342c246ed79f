//! Shows the progress of a plan: live on a terminal, line by line, as JSON, or not at all.
//!
//! Reads nothing but the plan and the executor's events. Everything goes to standard error.

pub(crate) mod board;
mod frame;
mod screen;
pub(crate) mod wording;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use compose_planner::{Op, OpId, Plan};
use compose_runtime::Event;
use compose_runtime::event::Progress;

use crate::output::{Output, ProgressMode};
use board::{Board, Line, Status};
pub(crate) use frame::cut;
use screen::Screen;

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// Lines of a build that are kept for the case that it fails.
const BUILD_LINES: usize = 200;

/// Finds the moment at which an attached `up` shows logs instead of its live display: when the first
/// container starts, and no other is in the middle of being made, since its row would stay
/// unfinished on the screen.
#[derive(Debug, Default)]
pub(crate) struct LogsTurn {
    making: BTreeSet<OpId>,
    started: bool,
    over: bool,
}

impl LogsTurn {
    /// Whether the moment has come with this event. It comes once.
    pub(crate) fn comes_with(&mut self, event: &Event) -> bool {
        match event {
            Event::Started { id } if id.0.starts_with("create:") => drop(self.making.insert(id.clone())),
            Event::Started { id } if id.0.starts_with("start:") => self.started = true,
            Event::Done { id, .. } | Event::Failed { id, .. } | Event::Skipped { id, .. } => {
                self.making.remove(id);
            }
            _ => {}
        }
        let comes = self.started && self.making.is_empty() && !self.over;
        self.over |= comes;
        comes
    }
}

/// A build of a plan.
#[derive(Debug, Default)]
struct Build {
    service: String,
    /// Whether it has said something: an empty line begins no output.
    begun: bool,
    /// Its last lines, where they are not shown as they come.
    kept: VecDeque<String>,
}

/// A line of a builder with the service that is built, as builders write it that build several at once:
/// `#7 [2/2] RUN make` becomes `#7 [web 2/2] RUN make`.
fn named<'a>(line: &'a str, service: &str) -> Cow<'a, str> {
    let parts = line.strip_prefix('#').and_then(|rest| rest.split_once(' '));
    let Some((number, rest)) =
        parts.filter(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    else {
        return Cow::Borrowed(line);
    };
    if rest.contains("load local bake definitions") {
        return Cow::Borrowed(line);
    }
    if let Some(rest) = rest.strip_prefix('[') {
        return Cow::Owned(format!("#{number} [{service} {rest}"));
    }
    match rest.starts_with("exporting to ") || rest.starts_with("resolving provenance") {
        true => Cow::Owned(format!("#{number} [{service}] {rest}")),
        false => Cow::Borrowed(line),
    }
}

/// Whether a builder's line names one of these services, since it builds several in one go.
fn names_itself(line: &str, services: &BTreeSet<String>) -> bool {
    let named = line.split_once('[').and_then(|(_, rest)| rest.split_once([' ', ']']));
    named.is_some_and(|(name, _)| services.contains(name))
}

/// A progress display.
pub(crate) struct Display<'a> {
    output: &'a Output,
    board: Board,
    mode: ProgressMode,
    dry_run: bool,
    screen: Screen,
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
    turn: LogsTurn,
    /// Every line is printed then, not only those that need attention.
    tell_all: bool,
    pulls: BTreeSet<String>,
    builds: BTreeMap<OpId, Build>,
    /// Lines of builds name the service, since there are several.
    names_builds: bool,
    /// Services that are built, as builders name them.
    services: BTreeSet<String>,
}

impl<'a> Display<'a> {
    /// A display titled by a verb.
    pub(crate) fn new(output: &'a Output, title: &str, dry_run: bool) -> Self {
        Self {
            output,
            board: Board::new(title),
            mode: output.progress(),
            dry_run,
            screen: Screen::default(),
            quiet_pull: false,
            quiet_build: false,
            build_is_data: false,
            urgent: false,
            yields_to_logs: false,
            yielded: false,
            turn: LogsTurn::default(),
            tell_all: false,
            pulls: BTreeSet::new(),
            builds: BTreeMap::new(),
            names_builds: false,
            services: BTreeSet::new(),
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
                Op::Build { spec } => {
                    // As builders name it.
                    let build = Build { service: spec.service.as_str().replace('.', "_"), ..Build::default() };
                    self.services.insert(build.service.clone());
                    drop(self.builds.insert(step.id.clone(), build));
                }
                _ => {}
            }
        }
        self.names_builds |= self.builds.len() > 1;
        let lines = self.board.begin(plan, Instant::now());
        self.print(&lines);
    }

    /// Takes an event.
    pub(crate) fn event(&mut self, event: &Event) {
        self.build_output(event);
        let gives_way = self.yields_to_logs && self.turn.comes_with(event);
        // The frame that stays shows how what ends with this event has ended.
        let begins = matches!(event, Event::Started { .. });
        if gives_way && begins {
            self.give_way();
        }
        let lines = self.board.event(event, Instant::now());
        self.print(&lines);
        if gives_way && !begins {
            self.give_way();
        }
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
                let Some(build) = self.builds.get_mut(id) else { return };
                let text = text.trim_end_matches('\n');
                build.begun |= !text.is_empty();
                if !build.begun {
                    return;
                }
                let text = match self.names_builds && !names_itself(text, &self.services) {
                    true => named(text, &build.service),
                    false => Cow::Borrowed(text),
                };
                // In JSON the lines are BuildKit's own objects.
                let streams = matches!(self.mode, ProgressMode::Plain | ProgressMode::Json) && !self.quiet_build;
                match (streams, self.build_is_data) {
                    (true, true) => drop(self.output.line(text)),
                    (true, false) => self.output.message(format!("{text}\n")),
                    (false, _) => {
                        if build.kept.len() >= BUILD_LINES {
                            build.kept.pop_front();
                        }
                        build.kept.push_back(text.into_owned());
                    }
                }
            }
            Event::Failed { id, .. } => {
                // With `--progress json` every line is an object, and the error says it.
                if let Some(Build { kept, .. }) = self.builds.remove(id)
                    && !kept.is_empty()
                    && self.mode != ProgressMode::Json
                {
                    self.clear();
                    self.output.message(format!("{}\n", Vec::from(kept).join("\n")));
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
        self.screen.leave();
        self.show_cursor();
    }

    /// Takes the display off the screen, so that something else can be printed.
    pub(crate) fn clear(&mut self) {
        let (columns, _) = crate::terminal::progress_size();
        if let Some(bytes) = self.screen.clear(usize::from(columns)) {
            self.output.message(bytes);
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
        if let Some(bytes) = self.screen.update(lines, columns) {
            self.output.message(bytes);
        }
    }

    fn show_cursor(&mut self) {
        if let Some(bytes) = self.screen.show_cursor() {
            self.output.message(bytes);
        }
    }
}

impl Drop for Display<'_> {
    fn drop(&mut self) {
        self.show_cursor();
    }
}

#[cfg(test)]
mod tests {
    use compose_runtime::event::Completion;

    use super::*;

    #[test]
    fn lines_of_several_builds_name_their_service() {
        for (line, expected) in [
            ("#7 [2/2] RUN make", "#7 [web 2/2] RUN make"),
            ("#2 [internal] load .dockerignore", "#2 [web internal] load .dockerignore"),
            ("#9 exporting to image", "#9 [web] exporting to image"),
            ("#9 exporting layers done", "#9 exporting layers done"),
            ("#1 [internal] load local bake definitions", "#1 [internal] load local bake definitions"),
            ("#7 0.5 [not a stage]", "#7 0.5 [not a stage]"),
            ("# [heading]", "# [heading]"),
            ("", ""),
        ] {
            assert_eq!(named(line, "web"), expected);
        }
    }

    #[test]
    fn logs_wait_for_what_is_being_made_and_come_once() {
        let started = |id: &str| Event::Started { id: OpId(id.to_owned()) };
        let done = |id: &str| Event::Done { id: OpId(id.to_owned()), how: Completion::Done };
        let mut turn = LogsTurn::default();
        let story = [started("create:a"), started("create:b"), done("create:a"), started("start:a"), done("create:b")];
        let came: Vec<bool> = story.iter().map(|event| turn.comes_with(event)).collect();
        assert_eq!(came, [false, false, false, false, true]);
        assert!(!turn.comes_with(&started("start:b")));
        assert!(LogsTurn::default().comes_with(&started("start:a")), "nothing is to be made");
    }
}
