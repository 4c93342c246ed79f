//! Taking the output of containers apart: framed where there is no terminal, raw where there
//! is one. Which of the two it is must be known; the bytes do not tell.

use bytes::{Bytes, BytesMut};
use compose_runtime::error::Result;
use compose_runtime::port::{Channel, Items, LogChunk};
use futures_util::{Stream, StreamExt};

use crate::error;

/// Length of a frame's header.
pub(crate) const HEADER: usize = 8;

/// The channel of a stream's number.
pub(crate) const fn channel(stream: u8) -> Option<Channel> {
    match stream {
        // Frames of standard input are echoed by nobody; 3 is the engine's own error.
        0 | 1 => Some(Channel::Stdout),
        2 | 3 => Some(Channel::Stderr),
        _ => None,
    }
}

/// What the engine wrote into the stream itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadFrame(pub(crate) u8);

impl std::fmt::Display for BadFrame {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "a frame of the unknown stream {}", self.0)
    }
}

/// A part of a stream of frames.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// A frame of this channel begins.
    Begin(Channel),
    /// Content of the frame, never empty.
    Content {
        /// As much as is there.
        bytes: &'a [u8],
        /// Whether the frame ends with it.
        ends: bool,
    },
}

/// Splits a stream into frames: stream number, three zeros, length in big-endian, content. Nothing of the
/// content is copied or held back.
#[derive(Debug, Default)]
pub(crate) struct FrameSplitter {
    /// The beginning of a header, and how much of it is known.
    header: [u8; HEADER],
    known: usize,
    /// What is missing of the frame.
    missing: usize,
}

impl FrameSplitter {
    /// Takes bytes and hands on their parts.
    #[inline]
    pub(crate) fn feed<'a>(&mut self, mut bytes: &'a [u8], mut each: impl FnMut(Part<'a>)) -> Result<(), BadFrame> {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let (content, rest) = bytes.split_at(self.missing.min(bytes.len()));
                self.missing -= content.len();
                each(Part::Content { bytes: content, ends: self.missing == 0 });
                bytes = rest;
                continue;
            }
            let header = match bytes.split_first_chunk() {
                Some((header, rest)) if self.known == 0 => {
                    bytes = rest;
                    *header
                }
                _ => {
                    let (part, rest) = bytes.split_at((HEADER - self.known).min(bytes.len()));
                    for (to, from) in self.header.iter_mut().skip(self.known).zip(part) {
                        *to = *from;
                    }
                    self.known += part.len();
                    bytes = rest;
                    if self.known < HEADER {
                        return Ok(());
                    }
                    self.known = 0;
                    self.header
                }
            };
            let [stream, _, _, _, length @ ..] = header;
            each(Part::Begin(channel(stream).ok_or(BadFrame(stream))?));
            self.missing = u32::from_be_bytes(length) as usize;
        }
        Ok(())
    }

    /// Whether the end would come in the middle of a frame.
    pub(crate) const fn is_cut(&self) -> bool {
        self.missing > 0 || self.known > 0
    }
}

/// The pieces of a stream of frames, as they come.
struct FrameDecoder {
    splitter: FrameSplitter,
    channel: Channel,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self { splitter: FrameSplitter::default(), channel: Channel::Stdout }
    }
}

impl FrameDecoder {
    /// Takes bytes and gives what is complete so far. Long frames are passed on in pieces, so
    /// that nothing is held back.
    fn feed(&mut self, bytes: &Bytes) -> Result<Vec<LogChunk>, BadFrame> {
        let mut chunks = Vec::with_capacity(bytes.len() / 64 + 1);
        let channel = &mut self.channel;
        self.splitter.feed(bytes, |part| match part {
            Part::Begin(begun) => *channel = begun,
            Part::Content { bytes: content, .. } => {
                chunks.push(LogChunk { channel: *channel, bytes: bytes.slice_ref(content) });
            }
        })?;
        Ok(chunks)
    }
}

/// Turns bytes into pieces of output.
pub(crate) fn chunks(bytes: impl Stream<Item = Result<Bytes>> + Send + 'static, tty: bool) -> Items<LogChunk> {
    if tty {
        return Box::pin(bytes.map(|piece| piece.map(|bytes| LogChunk { channel: Channel::Stdout, bytes })));
    }
    let end = futures_util::stream::once(async { None });
    let pieces = bytes.map(Some).chain(end).scan(FrameDecoder::default(), |decoder, piece| {
        let items: Vec<Result<LogChunk>> = match piece {
            Some(Ok(bytes)) => match decoder.feed(&bytes) {
                Ok(chunks) => chunks.into_iter().map(Ok).collect(),
                Err(bad) => vec![Err(error::unreadable("logs", &bad))],
            },
            Some(Err(error)) => vec![Err(error)],
            None if decoder.splitter.is_cut() => {
                vec![Err(error::unreadable("logs", &"it ends in the middle of a frame"))]
            }
            None => Vec::new(),
        };
        std::future::ready(Some(futures_util::stream::iter(items)))
    });
    Box::pin(pieces.flatten())
}

/// Splits bytes into lines, without their ends. What follows the last end comes last.
pub(crate) fn lines<S>(bytes: S) -> impl Stream<Item = Result<Bytes>> + Send
where
    S: Stream<Item = Result<Bytes>> + Send,
{
    let end = futures_util::stream::once(async { None });
    let lines = bytes.map(Some).chain(end).scan(BytesMut::new(), |buffer, piece| {
        let mut items = Vec::new();
        match piece {
            Some(Ok(bytes)) => {
                // Only the new bytes are searched: linear however a line is cut.
                let mut searched = buffer.len();
                buffer.extend_from_slice(&bytes);
                while let Some(found) =
                    buffer.get(searched..).and_then(|new| new.iter().position(|byte| *byte == b'\n'))
                {
                    let mut line = buffer.split_to(searched + found + 1);
                    line.truncate(line.len() - 1);
                    searched = 0;
                    items.push(Ok(line.freeze()));
                }
            }
            Some(Err(error)) => items.push(Err(error)),
            None if !buffer.is_empty() => items.push(Ok(buffer.split().freeze())),
            None => {}
        }
        std::future::ready(Some(futures_util::stream::iter(items)))
    });
    lines.flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A frame as an engine sends it.
    pub(crate) fn frame(stream: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(content);
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let long = vec![b'x'; 40_000];
        let mut all = frame(1, b"one\n");
        all.extend(frame(2, b"\x01\x02two"));
        all.extend(frame(1, b""));
        all.extend(frame(1, &long));
        for size in [1, 3, 7, 8, 9, 4096, all.len()] {
            let mut decoder = FrameDecoder::default();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            for piece in all.chunks(size) {
                for chunk in decoder.feed(&Bytes::copy_from_slice(piece)).expect("good frames") {
                    match chunk.channel {
                        Channel::Stdout => out.extend_from_slice(&chunk.bytes),
                        Channel::Stderr => err.extend_from_slice(&chunk.bytes),
                    }
                }
            }
            assert!(!decoder.splitter.is_cut());
            assert_eq!(out, [b"one\n".as_slice(), &long].concat(), "cut every {size} bytes");
            assert_eq!(err, b"\x01\x02two");
        }
    }

    #[test]
    fn a_stream_that_is_not_framed_is_an_error_and_not_lost_output() {
        assert_eq!(FrameDecoder::default().feed(&Bytes::from_static(b"plain text")), Err(BadFrame(b'p')));
    }

    #[tokio::test]
    async fn lines_come_out_whole_however_they_are_cut() {
        let pieces = ["a", "b\nc", "", "\n\nd"].map(|text| Ok(Bytes::from_static(text.as_bytes())));
        let lines: Vec<_> = lines(futures_util::stream::iter(pieces)).map(|line| line.expect("a line")).collect().await;
        assert_eq!(lines, ["ab", "c", "", "d"].map(|text| Bytes::from_static(text.as_bytes())));
    }
}
