//! Log lines as the user sees them: the container's name before each line, in a colour of its
//! own, padded to the widest name.

use std::io;

use compose_runtime::port::{Channel, LogChunk};

use crate::footer::{self, Stream};

/// Colours of prefixes, in the order in which they are given out.
const COLOURS: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// How lines look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogStyle {
    /// The name before each line.
    pub(crate) prefix: bool,
    /// In colour.
    pub(crate) colour: bool,
    /// The time before each line.
    pub(crate) timestamps: bool,
    /// Control characters may be written (the exit line begins with "clear line").
    pub(crate) control: bool,
    /// Standard error of containers goes to standard error (`up`), not to standard output.
    pub(crate) apart: bool,
}

/// The lines of several containers.
#[derive(Debug)]
pub(crate) struct LogView {
    style: LogStyle,
    width: usize,
    names: Vec<String>,
    colours: Vec<usize>,
    next_colour: usize,
}

/// A container's place in a [`LogView`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceId(usize);

impl LogView {
    /// A view without containers.
    pub(crate) const fn new(style: LogStyle) -> Self {
        Self { style, width: 0, names: Vec::new(), colours: Vec::new(), next_colour: 0 }
    }

    /// Adds a container, or finds it again.
    pub(crate) fn add(&mut self, name: &str) -> SourceId {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return SourceId(index);
        }
        self.width = self.width.max(name.chars().count());
        self.names.push(name.to_owned());
        self.colours.push(self.next_colour);
        self.next_colour += 1;
        SourceId(self.names.len() - 1)
    }

    fn name(&self, source: SourceId) -> &str {
        self.names.get(source.0).map_or("", String::as_str)
    }

    fn colour(&self, source: SourceId) -> &'static str {
        COLOURS[self.colours.get(source.0).copied().unwrap_or(0) % COLOURS.len()]
    }

    /// Appends a line (without its line break) to `out`.
    pub(crate) fn line(&self, source: SourceId, line: &[u8], out: &mut Vec<u8>) {
        if self.style.prefix {
            let name = self.name(source);
            let padding = self.width.saturating_sub(name.chars().count());
            if self.style.colour {
                out.extend_from_slice(b"\x1b[");
                out.extend_from_slice(self.colour(source).as_bytes());
                out.push(b'm');
            }
            out.extend_from_slice(name.as_bytes());
            out.resize(out.len() + padding, b' ');
            out.extend_from_slice(b"  | ");
            if self.style.colour {
                out.extend_from_slice(b"\x1b[0m");
            }
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }

    /// Appends a line of a hook that runs in a container, as `web-1 ->  | text`.
    pub(crate) fn hook_line(&self, name: &str, line: &str, out: &mut Vec<u8>) {
        if self.style.prefix {
            let name = format!("{name} ->");
            let padding = self.width.saturating_sub(name.chars().count());
            out.extend_from_slice(name.as_bytes());
            out.resize(out.len() + padding, b' ');
            out.extend_from_slice(b"  | ");
        }
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }

    /// Appends `web-1 exited with code 0` to `out`.
    pub(crate) fn exit_line(&self, source: SourceId, code: i64, out: &mut Vec<u8>) {
        if self.style.colour {
            out.extend_from_slice(format!("\x1b[{}m", self.colour(source)).as_bytes());
        }
        if self.style.control {
            out.extend_from_slice(b"\r\x1b[K");
        }
        out.extend_from_slice(format!("{} exited with code {code}\n", self.name(source)).as_bytes());
        if self.style.colour {
            out.extend_from_slice(b"\x1b[0m");
        }
    }

    /// The style.
    pub(crate) const fn style(&self) -> LogStyle {
        self.style
    }
}

/// Cuts what a container writes into lines. A last line without line break is kept until the end.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    rest: [Vec<u8>; 2],
    /// Chunks begin with the time that the engine puts before each message.
    stamped: bool,
    /// Show that time.
    keep_stamp: bool,
}

impl LineSplitter {
    /// A splitter for chunks with or without times.
    pub(crate) const fn new(stamped: bool, keep_stamp: bool) -> Self {
        Self { rest: [Vec::new(), Vec::new()], stamped, keep_stamp }
    }

    /// Takes a chunk; `line` gets each complete line with its channel.
    pub(crate) fn push(&mut self, chunk: &LogChunk, mut line: impl FnMut(Channel, &[u8])) {
        let stamped = self.stamped;
        let keep = self.keep_stamp;
        let rest = self.rest_of(chunk.channel);
        let mut bytes: &[u8] = &chunk.bytes;
        if stamped && (!keep || !rest.is_empty()) {
            // A long line comes in several messages, each with a time of its own.
            bytes = without_stamp(bytes).1;
        }
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let complete = &bytes[..end];
            if rest.is_empty() {
                line(chunk.channel, without_return(complete));
            } else {
                rest.extend_from_slice(complete);
                line(chunk.channel, without_return(rest));
                rest.clear();
            }
            bytes = &bytes[end + 1..];
            if stamped && !keep {
                bytes = without_stamp(bytes).1;
            }
        }
        rest.extend_from_slice(bytes);
    }

    /// What is left when the stream has ended.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(Channel, &[u8])) {
        for channel in [Channel::Stdout, Channel::Stderr] {
            let rest = std::mem::take(self.rest_of(channel));
            if !rest.is_empty() {
                line(channel, without_return(&rest));
            }
        }
    }

    fn rest_of(&mut self, channel: Channel) -> &mut Vec<u8> {
        match channel {
            Channel::Stdout => &mut self.rest[0],
            Channel::Stderr => &mut self.rest[1],
        }
    }
}

/// A terminal's line breaks are two characters.
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The time before a message and the message. The time is empty where there is none.
pub(crate) fn without_stamp(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = bytes.iter().take(40).position(|byte| *byte == b' ') else { return (&[], bytes) };
    let stamp = &bytes[..end];
    let is_stamp = stamp.len() >= 20 && stamp.get(4) == Some(&b'-') && stamp.get(10) == Some(&b'T');
    if is_stamp { (stamp, &bytes[end + 1..]) } else { (&[], bytes) }
}

/// A time that can be compared: engines cut trailing zeros of a second's fraction.
pub(crate) type Moment = [u8; 29];

/// A time whose fraction has nine digits.
pub(crate) fn padded(stamp: &[u8]) -> Moment {
    let (whole, fraction) = stamp.split_at(stamp.len().min(19));
    let mut out = *b"0000-00-00T00:00:00.000000000";
    for (to, from) in out.iter_mut().zip(whole) {
        *to = *from;
    }
    let digits = fraction.iter().filter(|byte| byte.is_ascii_digit());
    for (to, from) in out.iter_mut().skip(20).zip(digits) {
        *to = *from;
    }
    out
}

/// A writer to both standard streams that writes much at once and nothing late.
#[derive(Debug, Default)]
pub(crate) struct LogWriter {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl LogWriter {
    /// Where lines of a channel are to be appended.
    pub(crate) const fn buffer(&mut self, channel: Channel, apart: bool) -> &mut Vec<u8> {
        match channel {
            Channel::Stderr if apart => &mut self.stderr,
            _ => &mut self.stdout,
        }
    }

    /// How much has not been written yet.
    pub(crate) const fn pending(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }

    /// Writes everything.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.stdout.is_empty() {
            footer::write(Stream::Stdout, &self.stdout)?;
            self.stdout.clear();
        }
        if !self.stderr.is_empty() {
            let _ = footer::write(Stream::Stderr, &self.stderr);
            self.stderr.clear();
        }
        Ok(())
    }
}

/// The name that logs show: without the project's name, `web-1`; a `container_name` as it is.
pub(crate) fn short_name(container: &str, project: &str, service: &str, number: Option<usize>) -> String {
    let is_replica = |rest: &&str| {
        let number = rest.strip_prefix(service).and_then(|rest| rest.strip_prefix(['-', '_']));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let rest = container.strip_prefix(project).and_then(|rest| rest.strip_prefix(['-', '_']));
    match (rest.filter(is_replica), number) {
        (Some(rest), _) => rest.to_owned(),
        (_, Some(number)) if container.ends_with(&format!("_{project}-{service}-{number}")) => {
            format!("{service}-{number}")
        }
        _ => container.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chunk(text: &str) -> LogChunk {
        LogChunk { channel: Channel::Stdout, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn lines(splitter: &mut LineSplitter, chunks: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut take = |_: Channel, line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
        for text in chunks {
            splitter.push(&chunk(text), &mut take);
        }
        splitter.finish(&mut take);
        lines
    }

    #[test]
    fn prefixes_are_padded_to_the_widest_name() {
        let mut view = LogView::new(LogStyle { prefix: true, ..LogStyle::default() });
        let db = view.add("db-1");
        view.add("web-1");
        let mut out = Vec::new();
        view.line(db, b"hello", &mut out);
        assert_eq!(out, b"db-1   | hello\n");
    }

    #[test]
    fn colours_and_exit_lines_are_those_of_the_reference() {
        let mut view = LogView::new(LogStyle { prefix: true, colour: true, control: true, ..LogStyle::default() });
        let web = view.add("web-1");
        let mut out = Vec::new();
        view.line(web, b"x", &mut out);
        view.exit_line(web, 3, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\u{1b}[36mweb-1  | \u{1b}[0mx\n\u{1b}[36m\r\u{1b}[Kweb-1 exited with code 3\n\u{1b}[0m"
        );
    }

    #[test]
    fn lines_arrive_whole_however_they_are_cut() {
        assert_eq!(lines(&mut LineSplitter::new(false, false), &["a\nb", "c\r\n", "d"]), ["a", "bc", "d"]);
        let stamp = "2026-01-02T12:00:00.123456789Z ";
        let long = [format!("{stamp}first "), format!("{stamp}second\n"), format!("{stamp}x\n")];
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        assert_eq!(lines(&mut LineSplitter::new(true, false), &long), ["first second", "x"]);
        assert_eq!(
            lines(&mut LineSplitter::new(true, true), &long),
            [format!("{stamp}first second"), format!("{stamp}x")]
        );
    }

    #[test]
    fn names_lose_the_project_only_where_it_is_there() {
        assert_eq!(short_name("shop-web-1", "shop", "web", Some(1)), "web-1");
        assert_eq!(short_name("shop_web_1", "shop", "web", Some(1)), "web_1");
        assert_eq!(short_name("mine", "shop", "web", Some(1)), "mine");
        assert_eq!(short_name("shop-mine", "shop", "web", Some(1)), "shop-mine");
        assert_eq!(short_name("0123456789ab_shop-web-1", "shop", "web", Some(1)), "web-1");
    }

    #[test]
    fn times_compare_whatever_the_length_of_their_fraction() {
        assert!(padded(b"2026-01-02T12:00:00.5Z ") > padded(b"2026-01-02T12:00:00.123456789Z "));
        assert!(padded(b"2026-01-02T12:00:00Z ") < padded(b"2026-01-02T12:00:00.000000001Z "));
    }
}
