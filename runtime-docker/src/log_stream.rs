//! The log of a container: messages taken out of the answer and gathered in large pieces.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{Channel, LogChunk};
use futures_util::Stream;

use crate::error;
use crate::frames::{BadFrame, FrameSplitter, Part};
use crate::transport::PlainBody;

/// A message that is longer than this goes on before it is whole.
const LONGEST: usize = 256 * 1024;
const CALL: &str = "GET logs";

/// The pieces of a log. A piece never ends in the middle of a message of usual length, and after
/// a message without a line break (a part of a long line) comes a new piece.
pub(crate) struct LogStream {
    body: PlainBody,
    messages: Messages,
    /// What comes after the last piece.
    last: Option<Result<(), RuntimeError>>,
}

impl LogStream {
    /// The log in a body; framed unless the container has a terminal.
    pub(crate) fn new(body: PlainBody, tty: bool) -> Self {
        Self { body, messages: Messages::new(!tty), last: None }
    }
}

impl Stream for LogStream {
    type Item = Result<LogChunk>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { body, messages, last } = &mut *self;
        loop {
            if let Some(chunk) = messages.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if let Some(result) = last {
                let result = std::mem::replace(result, Ok(()));
                return Poll::Ready(result.err().map(Err));
            }
            let more = ready!(body.poll_take(context, |piece, whole| messages.take(piece, whole)));
            *last = match (&messages.unknown, more) {
                (Some(bad), _) => Some(Err(error::unreadable(CALL, bad))),
                (None, Ok(true)) => None,
                (None, Ok(false)) if messages.splitter.is_cut() => {
                    Some(Err(error::unreadable(CALL, &"it ends in the middle of a frame")))
                }
                (None, Ok(false)) => Some(Ok(())),
                (None, Err(cause)) => Some(Err(error::broken(CALL, &cause))),
            };
            messages.gather(last.is_some());
        }
    }
}

/// Gathers messages.
struct Messages {
    framed: bool,
    splitter: FrameSplitter,
    channel: Channel,
    /// Messages of one channel, without what is around them.
    text: BytesMut,
    /// Where the last whole message in `text` ends.
    whole: usize,
    ready: VecDeque<LogChunk>,
    /// A frame of a stream that there is not: what follows cannot be read.
    unknown: Option<BadFrame>,
}

impl Messages {
    fn new(framed: bool) -> Self {
        Self {
            framed,
            splitter: FrameSplitter::default(),
            channel: Channel::Stdout,
            text: BytesMut::new(),
            whole: 0,
            ready: VecDeque::new(),
            unknown: None,
        }
    }

    /// Takes what came; `whole` says that the engine wrote no more than this at once.
    fn take(&mut self, bytes: &[u8], whole: bool) {
        if !self.framed {
            // Each write of the engine is a message.
            self.text.extend_from_slice(bytes);
            if whole {
                self.whole = self.text.len();
            }
            return;
        }
        if self.unknown.is_some() {
            return;
        }
        // Taken out, so that what it finds can be put into the rest.
        let mut splitter = std::mem::take(&mut self.splitter);
        let fed = splitter.feed(bytes, |part| match part {
            Part::Begin(channel) => self.begin(channel),
            Part::Content { bytes, ends } => {
                self.text.extend_from_slice(bytes);
                if ends {
                    self.whole = self.text.len();
                }
            }
        });
        self.splitter = splitter;
        self.unknown = fed.err();
    }

    fn begin(&mut self, channel: Channel) {
        if channel != self.channel || self.text.last().is_some_and(|last| *last != b'\n') {
            self.gather(true);
            self.channel = channel;
        }
    }

    /// Gives out what is whole; `all` means the rest too.
    fn gather(&mut self, all: bool) {
        let end = if all || self.whole == 0 && self.text.len() > LONGEST { self.text.len() } else { self.whole };
        if end > 0 {
            self.ready.push_back(LogChunk { channel: self.channel, bytes: self.text.split_to(end).freeze() });
        }
        self.whole = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::HEADER;
    use crate::frames::tests::frame;

    /// What comes out of pieces of that size, each channel's text by itself.
    fn gathered(bytes: &[u8], cut: usize) -> (Messages, Vec<(Channel, Vec<u8>)>) {
        let mut messages = Messages::new(true);
        let mut chunks = Vec::new();
        for piece in bytes.chunks(cut) {
            messages.take(piece, true);
            messages.gather(false);
            chunks.extend(messages.ready.drain(..).map(|chunk| (chunk.channel, chunk.bytes.to_vec())));
        }
        (messages, chunks)
    }

    #[test]
    fn lines_of_one_channel_come_together_and_in_order() {
        let bytes = [frame(1, b"a\n"), frame(1, b"b\n"), frame(2, b"c\n"), frame(1, b""), frame(1, b"d\n")].concat();
        let (messages, chunks) = gathered(&bytes, bytes.len());
        let expected = [(Channel::Stdout, "a\nb\n"), (Channel::Stderr, "c\n"), (Channel::Stdout, "d\n")];
        assert_eq!(chunks, expected.map(|(channel, text)| (channel, text.as_bytes().to_vec())));
        assert!(!messages.splitter.is_cut());
    }

    #[test]
    fn a_part_of_a_long_line_is_a_piece_of_its_own() {
        let bytes = [frame(1, b"a\n"), frame(1, b"long "), frame(1, b"line\n"), frame(1, b"b\n")].concat();
        for cut in 1..=bytes.len() {
            let (messages, chunks) = gathered(&bytes, cut);
            assert!(!messages.splitter.is_cut());
            let texts: Vec<_> = chunks.iter().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect();
            assert_eq!(texts.concat(), "a\nlong line\nb\n", "cut every {cut}");
            let part = texts.iter().position(|text| text.ends_with("long ")).expect("the part, which ends a piece");
            assert!(texts[part + 1].starts_with("line\n"), "cut every {cut}: {texts:?}");
        }
    }

    #[test]
    fn messages_of_a_terminal_are_not_cut() {
        let mut messages = Messages::new(false);
        messages.take(b"2026 one\r\n2026 tw", false);
        messages.gather(false);
        assert_eq!(messages.ready.len(), 0);
        messages.take(b"o\r\n", true);
        messages.take(b"20", false);
        messages.gather(false);
        let texts: Vec<_> = messages.ready.drain(..).map(|chunk| chunk.bytes).collect();
        assert_eq!(texts, ["2026 one\r\n2026 two\r\n"]);
        messages.gather(true);
        assert_eq!(messages.ready.pop_front().expect("the rest").bytes, "20");
    }

    #[test]
    fn a_huge_message_does_not_have_to_be_whole() {
        let huge = frame(1, &vec![b'x'; LONGEST * 8]);
        let (messages, chunks) = gathered(&huge[..LONGEST * 6], LONGEST);
        assert!(messages.splitter.is_cut());
        assert!(!chunks.is_empty() && messages.text.len() <= 2 * LONGEST);
        let given: usize = chunks.iter().map(|(_, text)| text.len()).sum();
        assert_eq!(given + messages.text.len() + HEADER, LONGEST * 6);
    }

    #[test]
    fn what_is_not_framed_is_told() {
        assert_eq!(gathered(b"plain text", 3).0.unknown, Some(BadFrame(b'p')));
    }
}
