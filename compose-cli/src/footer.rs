//! A line that stays below what is printed: the menu of an attached `up`.
//!
//! Every write of this program goes through [`write()`]: it takes the line off, lets the text
//! through, and puts the line back, all in one write, so that nothing flickers.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// The stream that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

#[derive(Debug, Default)]
struct Footer {
    text: String,
    /// It is on the screen, in the line of the cursor.
    drawn: bool,
}

static FOOTER: Mutex<Footer> = Mutex::new(Footer { text: String::new(), drawn: false });

impl Footer {
    /// The bytes that print a text above the line.
    fn around(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len() + self.text.len() + 16);
        if std::mem::take(&mut self.drawn) {
            bytes.extend_from_slice(b"\r\x1b[J");
        }
        bytes.extend_from_slice(text);
        // In the middle of a line there is no place for it.
        if !self.text.is_empty() && (text.is_empty() || text.ends_with(b"\n")) {
            bytes.extend_from_slice(self.text.as_bytes());
            self.drawn = true;
        }
        bytes
    }
}

/// Shows the line from now on; an empty text takes it away.
pub(crate) fn show(text: &str) {
    let mut footer = FOOTER.lock().unwrap_or_else(PoisonError::into_inner);
    if footer.text == text {
        return;
    }
    text.clone_into(&mut footer.text);
    let bytes = footer.around(b"");
    let mut stdout = io::stdout().lock();
    // A terminal that has gone shows nothing.
    let _ = stdout.write_all(&bytes);
    let _ = stdout.flush();
}

/// Writes to a stream, above the line where there is one.
///
/// # Errors
/// What the system says.
pub(crate) fn write(stream: Stream, text: &[u8]) -> io::Result<()> {
    let mut footer = FOOTER.lock().unwrap_or_else(PoisonError::into_inner);
    let held;
    let bytes = if footer.text.is_empty() && !footer.drawn {
        text
    } else {
        held = footer.around(text);
        &held
    };
    match stream {
        Stream::Stdout => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(unwritable)
        }
        Stream::Stderr => {
            let mut stderr = io::stderr().lock();
            stderr.write_all(bytes)?;
            stderr.flush()
        }
    }
}

/// A failed write to standard output with its place. The kind stays: a reader that has gone is no
/// error to speak of.
pub(crate) fn unwritable(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write standard output: {error}"))
}

/// Copies a stream to standard output.
///
/// # Errors
/// What the stream says, and what the system says of a write.
pub(crate) async fn copy(mut from: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut stdout = tokio::io::stdout();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer).await? {
            0 => return stdout.flush().await.map_err(unwritable),
            length => stdout.write_all(&buffer[..length]).await.map_err(unwritable)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_stays_below_what_is_printed() {
        let mut emulator = vt100::Parser::new(10, 40, 100);
        let mut footer = Footer::default();
        let mut print = |footer: &mut Footer, text: &str| {
            let bytes = footer.around(text.replace('\n', "\r\n").as_bytes());
            emulator.process(&bytes);
            emulator.screen().contents()
        };
        assert_eq!(print(&mut footer, "one\n"), "one");
        "w Watch".clone_into(&mut footer.text);
        assert_eq!(print(&mut footer, ""), "one\nw Watch");
        assert_eq!(print(&mut footer, "two\nthree\n"), "one\ntwo\nthree\nw Watch");
        // A text without an end hides it until the line is complete.
        assert_eq!(print(&mut footer, "fo"), "one\ntwo\nthree\nfo");
        assert_eq!(print(&mut footer, "ur\n"), "one\ntwo\nthree\nfour\nw Watch");
        footer.text.clear();
        assert_eq!(print(&mut footer, ""), "one\ntwo\nthree\nfour");
    }
}
