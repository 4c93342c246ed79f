//! What the terminal holds of the live display, and the bytes that bring the next frame onto it.

use unicode_width::UnicodeWidthStr;

/// The frame that is on the screen.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    lines: Vec<String>,
    cursor_hidden: bool,
}

impl Screen {
    /// Whether nothing of the display is on the screen.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The bytes of the next frame, to be written at once; none where it shows what is there.
    /// They only write over what changes: nothing is taken off the screen first.
    pub(crate) fn update(&mut self, lines: Vec<String>, columns: usize) -> Option<String> {
        if lines.is_empty() || lines == self.lines {
            return None;
        }
        // Marked as one update, where the terminal knows that.
        let mut bytes = String::from("\u{1b}[?2026h");
        if !self.cursor_hidden {
            bytes.push_str("\u{1b}[?25l");
            self.cursor_hidden = true;
        }
        self.go_up(&mut bytes, columns);
        for line in &lines {
            bytes.push_str(line);
            bytes.push_str("\u{1b}[K\r\n");
        }
        bytes.push_str("\u{1b}[J\u{1b}[?2026l");
        self.lines = lines;
        Some(bytes)
    }

    /// The frame stays where it is; the next one is drawn below it.
    pub(crate) fn leave(&mut self) {
        self.lines.clear();
    }

    /// The bytes that take the frame off the screen.
    pub(crate) fn clear(&mut self, columns: usize) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut bytes = String::new();
        self.go_up(&mut bytes, columns);
        bytes.push_str("\u{1b}[J");
        self.lines.clear();
        Some(bytes)
    }

    /// The bytes that give the cursor back.
    pub(crate) fn show_cursor(&mut self) -> Option<&'static str> {
        std::mem::take(&mut self.cursor_hidden).then_some("\u{1b}[?25h")
    }

    /// Moves the cursor to the first line of the frame. A window that has become narrower has
    /// wrapped its lines.
    fn go_up(&self, bytes: &mut String, columns: usize) {
        let lines: usize = self.lines.iter().map(|line| visible(line).div_ceil(columns.max(1)).max(1)).sum();
        if lines > 0 {
            bytes.push_str(&format!("\u{1b}[{lines}A\r"));
        }
    }
}

/// Columns of a line without its colour codes.
pub(crate) fn visible(line: &str) -> usize {
    let mut width = 0;
    for (index, part) in line.split('\u{1b}').enumerate() {
        let part = if index == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) };
        width += part.width();
    }
    width
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use compose_runtime::event::Event;

    use super::*;
    use crate::progress::board::{Board, Line, Status};
    use crate::progress::frame::frame;

    const PROMPT: &str = "$ compose up -d";

    /// A terminal with a prompt, and what the display has drawn on it.
    struct Terminal {
        emulator: vt100::Parser,
        screen: Screen,
        size: (u16, u16),
    }

    impl Terminal {
        fn new(columns: u16, rows: u16) -> Self {
            let mut emulator = vt100::Parser::new(rows, columns, 1000);
            emulator.process(format!("{PROMPT}\r\n").as_bytes());
            Self { emulator, screen: Screen::default(), size: (columns, rows) }
        }

        fn draw(&mut self, board: &Board, now: Instant, last: bool) {
            let (columns, rows) = (usize::from(self.size.0), usize::from(self.size.1));
            let lines = frame(board, now, columns, rows, true, last);
            if let Some(bytes) = self.screen.update(lines, columns) {
                self.emulator.process(bytes.as_bytes());
            }
        }

        fn shown(&self) -> String {
            self.emulator.screen().contents()
        }
    }

    fn transfer(resource: &str, board: &mut Board, now: Instant, done: u64, all: u64) {
        let row = Line { amount: Some((done, all)), ..Line::new(resource, Status::Working, "Pulling", "Downloading") };
        board.apply(row, now);
        if let Some(row) = board.rows.get_mut(resource) {
            row.layers.insert("layer".to_owned(), (done, all));
        }
    }

    /// A run with everything that is shown: a pull, a build, a wait, reasons, a failure.
    fn story(board: &mut Board, step: usize, now: Instant) {
        let working = |resource: &str, text: &str, details: &str| Line::new(resource, Status::Working, text, details);
        match step {
            0 => transfer("Image registry.example/shop/web:1", board, now, 0, 40_000_000),
            1 => {
                board.apply(working("Image shop-db", "Building", "[2/5] RUN make all"), now);
                transfer("Image registry.example/shop/web:1", board, now, 13_500_000, 40_000_000);
            }
            2 => {
                board.apply(Line::new("Image registry.example/shop/web:1", Status::Done, "Pulled", ""), now);
                board.apply(Line::new("Image shop-db", Status::Done, "Built", ""), now);
                board.apply(Line::new("Network shop_default", Status::Done, "Created", ""), now);
            }
            3 => {
                board.apply(working("Container shop-db-1", "Waiting", "health check has not passed yet"), now);
                if let Some(row) = board.rows.get_mut("Container shop-db-1") {
                    row.deadline = now.checked_add(Duration::from_secs(75));
                }
                board.apply(
                    working(
                        "Container shop-web-1",
                        "Recreate",
                        "environment LOG \"info\" -> \"debug\" (compose.yaml:12)",
                    ),
                    now,
                );
            }
            _ => {
                board.apply(Line::new("Container shop-db-1", Status::Done, "Healthy", ""), now);
                board
                    .apply(Line::new("Container shop-web-1", Status::Error, "Error", "port is already allocated"), now);
            }
        }
    }

    fn screens_of(columns: u16, rows: u16) -> String {
        let start = Instant::now();
        let mut terminal = Terminal::new(columns, rows);
        let mut board = Board::new("up");
        board.total = 5;
        let mut shown = String::new();
        for step in 0..5 {
            let now = start + Duration::from_millis(1_300 * step as u64);
            story(&mut board, step, now);
            terminal.draw(&board, now + Duration::from_millis(400), step == 4);
            shown.push_str(&format!("---- {step}\n{}\n", terminal.shown()));
        }
        shown
    }

    #[test]
    fn the_screen_of_80_columns() {
        insta::assert_snapshot!(screens_of(80, 24));
    }

    #[test]
    fn the_screen_of_200_columns() {
        insta::assert_snapshot!(screens_of(200, 24));
    }

    #[test]
    fn the_screen_of_5_rows() {
        insta::assert_snapshot!(screens_of(60, 5));
    }

    /// The law: whatever happens and however the window is resized, the screen holds the prompt and
    /// the last frame, and nothing of the frames before it.
    #[test]
    fn no_frame_leaves_anything_behind() {
        let start = Instant::now();
        for (columns, rows) in [(80, 24), (200, 50), (41, 12), (39, 9), (12, 4), (5, 3)] {
            let mut terminal = Terminal::new(columns, rows);
            let mut board = Board::new("up");
            for step in 0..300_usize {
                let now = start + Duration::from_millis(37 * step as u64);
                let status = match step % 7 {
                    0 => Status::Working,
                    5 => Status::Warning,
                    6 => Status::Error,
                    _ => Status::Done,
                };
                let name = format!("Container many-web-{}", step * 31 % 120);
                board.apply(Line::new(name, status, "Started", &"wörds 漢字 \u{1b}[31m".repeat(step % 9)), now);
                terminal.draw(&board, now, false);
                let wanted = frame(&board, now, columns.into(), rows.into(), false, false);
                assert!(wanted.len() < usize::from(rows), "{columns}x{rows}: {} lines", wanted.len());
                let shown: Vec<String> = terminal.emulator.screen().rows(0, columns).collect();
                let text = shown.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n");
                let plain = wanted.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n");
                assert!(text.trim_end().ends_with(&plain), "{columns}x{rows}, step {step}:\n{text}\n----\n{plain}");
                assert_eq!(text.matches("[+]").count(), 1, "{columns}x{rows}:\n{text}");
            }
        }
    }

    #[test]
    fn a_frame_that_shows_nothing_new_is_not_written() {
        let now = Instant::now();
        let mut board = Board::new("down");
        board.apply(Line::new("Network shop_default", Status::Done, "Removed", ""), now);
        let mut screen = Screen::default();
        let lines = |board: &Board| frame(board, now, 80, 24, true, false);
        assert!(screen.update(lines(&board), 80).is_some());
        assert_eq!(screen.update(lines(&board), 80), None);
        board.event(&Event::Cancelling, now);
        assert_eq!(screen.update(lines(&board), 80), None);
    }

    #[test]
    fn clearing_takes_the_display_off_and_leaves_the_prompt() {
        let mut terminal = Terminal::new(80, 24);
        let mut board = Board::new("up");
        let now = Instant::now();
        for step in 0..4 {
            story(&mut board, step, now);
        }
        terminal.draw(&board, now, false);
        let bytes = terminal.screen.clear(80).unwrap();
        terminal.emulator.process(bytes.as_bytes());
        assert_eq!(terminal.shown().trim_end(), PROMPT);
        assert!(terminal.emulator.screen().hide_cursor());
        terminal.emulator.process(terminal.screen.show_cursor().unwrap().as_bytes());
        assert!(!terminal.emulator.screen().hide_cursor());
    }
}
