//! One frame of the live display, as a pure function of the board, the time and the window.

use std::time::Instant;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::board::{Board, Row, Status, elapsed};

/// Below this width a line is only a name and a word.
const NARROW: usize = 40;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The lines of a frame, each at most `width - 1` columns wide, at most `height - 1` of them.
/// `last`: nothing is folded, since the frame stays on the screen.
pub(crate) fn frame(board: &Board, now: Instant, width: usize, height: usize, colour: bool, last: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if board.rows.is_empty() {
        return lines;
    }
    let ended = board.ended();
    let total = board.total.max(board.rows.len());
    let title = cut(&format!("[+] {} {ended}/{total}", board.title), width.saturating_sub(1));
    let title = paint(colour && ended == total, "\u{1b}[34m", &title);
    lines.push(title);
    let room = if last { usize::MAX } else { height.saturating_sub(3).max(1) };
    let shown = choose(board, room);
    let widest = shown.iter().map(|(name, _)| name.width()).max().unwrap_or(0).min(width / 2);
    for (name, row) in &shown {
        lines.push(line(name, row, now, widest, width, colour));
    }
    let hidden = board.rows.len() - shown.len();
    if hidden > 0 {
        let working = board.rows.values().filter(|row| row.status == Status::Working).count();
        let waiting = total.saturating_sub(board.rows.len());
        let text = cut(
            &format!("   … {hidden} more ({ended} done, {working} working, {waiting} to come)"),
            width.saturating_sub(1),
        );
        lines.push(paint(colour, "\u{1b}[2m", &text));
    }
    if !last {
        // The cursor stands in the line below; more lines than that would scroll the first one away.
        lines.truncate(height.saturating_sub(1).max(1));
    }
    lines
}

/// Where there is no room for all: errors, then what works, then what ended last.
fn choose(board: &Board, room: usize) -> Vec<(&str, &Row)> {
    let all: Vec<(&str, &Row)> = board.rows.iter().map(|(name, row)| (name.as_str(), row)).collect();
    if all.len() <= room {
        return all;
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&index| {
        let row = all[index].1;
        let rank = match row.status {
            Status::Error => 0,
            Status::Working => 1,
            Status::Warning => 2,
            Status::Done => 3,
        };
        (rank, row.ended.map(std::cmp::Reverse))
    });
    order.truncate(room);
    order.sort_unstable();
    order.into_iter().map(|index| all[index]).collect()
}

fn line(name: &str, row: &Row, now: Instant, widest: usize, width: usize, colour: bool) -> String {
    if width < NARROW {
        return cut(&format!("{name} {}", row.text), width.saturating_sub(1));
    }
    let time = elapsed(row.ended.unwrap_or(now).saturating_duration_since(row.started));
    let spin = usize::try_from(now.saturating_duration_since(row.started).as_millis() / 100).unwrap_or(0);
    let (mark, paint_mark) = match row.status {
        Status::Working => (SPINNER[spin % SPINNER.len()], "\u{1b}[36m"),
        Status::Done => ("✔", "\u{1b}[32m"),
        Status::Warning => ("!", "\u{1b}[33m"),
        Status::Error => ("✘", "\u{1b}[31m"),
    };
    let name = cut(name, widest);
    let name = format!("{name}{}", " ".repeat(widest.saturating_sub(name.width())));
    let mut rest = row.text.clone();
    if let Some(bar) = bar(row) {
        rest.push(' ');
        rest.push_str(&bar);
    }
    // What is left between the name and the time belongs to the words.
    let room = width.saturating_sub(1 + 3 + widest + 2 + 2 + time.width());
    let status = cut(&rest, room);
    let mut words = paint(colour, paint_mark, &status);
    let mut used = status.width();
    let mut details = row.details.lines().next().unwrap_or_default().to_owned();
    if let Some(deadline) = row.deadline.filter(|deadline| *deadline > now) {
        // Rounded up, so that it ends with "1s".
        let left = deadline.duration_since(now) + std::time::Duration::from_millis(999);
        // In front, since the end is cut off where the window is narrow.
        let comma = if details.is_empty() { "" } else { ", " };
        details = format!("at most {} left{comma}{details}", whole_seconds(left));
    }
    if !details.is_empty() && used + 4 < room {
        let details = cut(&details, room - used - 2);
        used += details.width() + 2;
        words.push_str("  ");
        words.push_str(&paint(colour, "\u{1b}[2m", &details));
    }
    let gap = " ".repeat(room.saturating_sub(used));
    format!(" {} {name}  {words}{gap}  {}", paint(colour, paint_mark, mark), paint(colour, "\u{1b}[34m", &time))
}

/// `45s`, `2m05s`, `1h02m`: a time that is shown while it runs down.
fn whole_seconds(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `[████░░░░] 12.3MB/45.6MB` for a transfer of known size.
fn bar(row: &Row) -> Option<String> {
    const CELLS: u64 = 12;
    if row.status != Status::Working {
        return None;
    }
    let (done, all) = row.layers.values().fold((0_u64, 0_u64), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
    if all == 0 {
        return None;
    }
    let filled = (done.saturating_mul(CELLS) / all).min(CELLS);
    let bar: String = (0..CELLS).map(|cell| if cell < filled { '█' } else { '░' }).collect();
    Some(format!("[{bar}] {}/{}", crate::size_format::decimal(done), crate::size_format::decimal(all)))
}

fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour && !text.is_empty() { format!("{code}{text}\u{1b}[0m") } else { text.to_owned() }
}

/// The beginning of a text, at most `width` columns wide; control characters are dropped.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text: String = text.chars().filter(|character| !character.is_control()).collect();
    if text.width() <= width {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let cells = character.width().unwrap_or(0);
        if used + cells + 1 > width {
            break;
        }
        used += cells;
        out.push(character);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::board::Line;
    use super::*;

    fn board(now: Instant) -> Board {
        let mut board = Board::new("up");
        board.apply(Line::new("Network shop_default", Status::Done, "Created", ""), now);
        board.apply(
            Line::new(
                "Container shop-web-1",
                Status::Working,
                "Recreate",
                "changed: environment LOG \"info\" -> \"debug\" (compose.yaml:12)",
            ),
            now,
        );
        board.apply(Line::new("Container shop-db-1", Status::Error, "Error", "port is already allocated"), now);
        board.total = 5;
        board
    }

    #[test]
    fn a_frame_of_80_columns_keeps_within_the_window() {
        let start = Instant::now();
        let shown = frame(&board(start), start + Duration::from_millis(1_240), 80, 24, false, false);
        insta::assert_snapshot!(shown.join("\n"));
        assert!(shown.iter().all(|line| line.width() < 80));
    }

    #[test]
    fn a_frame_of_200_columns_shows_the_whole_reason() {
        let start = Instant::now();
        let shown = frame(&board(start), start + Duration::from_millis(1_240), 200, 24, false, false);
        insta::assert_snapshot!(shown.join("\n"));
        assert!(shown.iter().all(|line| line.width() < 200));
    }

    #[test]
    fn hundreds_of_rows_fold_to_the_window_with_errors_and_work_first() {
        let start = Instant::now();
        let mut board = Board::new("up");
        for number in 0..300 {
            let status = if number == 250 {
                Status::Error
            } else if number > 280 {
                Status::Working
            } else {
                Status::Done
            };
            board.apply(Line::new(format!("Container many-web-{number}"), status, "x", ""), start);
        }
        let shown = frame(&board, start, 60, 10, false, false);
        assert_eq!(shown.len(), 9);
        assert!(shown.iter().any(|line| line.contains("many-web-250")));
        assert!(shown.last().unwrap().contains("293 more (281 done, 19 working, 0 to come)"));
        assert_eq!(frame(&board, start, 60, 10, false, true).len(), 301);
    }

    #[test]
    fn a_window_of_any_size_is_respected() {
        let start = Instant::now();
        for width in 1..40 {
            for line in frame(&board(start), start, width, 5, false, false).iter().skip(1) {
                assert!(line.width() <= width, "{width}: {line:?}");
            }
        }
    }
}
