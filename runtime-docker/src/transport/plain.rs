//! Answers that come in very many small pieces: read off the connection as they are.
//!
//! The engine sends each line of a log in an HTTP chunk, and a system call, of its own. A library
//! hands each on by itself, and a reader that waits for the next one is woken for each: that costs
//! more than all the rest. Here a reader takes whatever has gathered, taken apart in one pass.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use compose_runtime::error::Result;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Request, StatusCode};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use crate::error;
use crate::wire::Wire;

/// So much is read at once at most.
const ROOM: usize = 128 * 1024;
/// A longer head is no answer.
const LONGEST_HEAD: usize = 64 * 1024;
/// What of an error's text is read.
const LONGEST_ERROR: usize = 1024 * 1024;
/// A read of less than this is followed by a nap, so that the next one finds more. A Unix socket
/// holds about 270 small messages, which is 30 kB of log.
const FEW: usize = 10 * 1024;
/// A read of more than this means that the nap was long: the writer must never wait for us.
const MANY: usize = 16 * 1024;
/// No nap is shorter, none longer. Even the longest is shorter than anybody sees.
const NAPS: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(2)];

/// An answer whose body is still coming.
pub(crate) struct PlainAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: PlainBody,
}

/// The body of such an answer, and its connection.
pub(crate) struct PlainBody {
    wire: Box<dyn Wire>,
    room: Vec<u8>,
    /// What of `room` was read and not taken yet: the beginning of the body, after the head.
    left: std::ops::Range<usize>,
    framing: Framing,
    nap: Duration,
    /// When the last read was, if it found little.
    tired: Option<Instant>,
}

/// Sends a request without a body and reads the head of its answer.
pub(super) async fn ask(mut wire: Box<dyn Wire>, request: &Request<()>) -> io::Result<PlainAnswer> {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"connection: close\r\n\r\n");
    wire.write_all(&text).await?;
    wire.flush().await?;
    let mut room = vec![0; ROOM];
    let mut end = 0;
    loop {
        let read = match room.get_mut(end..LONGEST_HEAD) {
            Some(free) if !free.is_empty() => wire.read(free).await?,
            _ => return Err(malformed("its head is too long")),
        };
        if read == 0 {
            return Err(ended_early());
        }
        end += read;
        let Some((length, status, headers)) = head(&room[..end])? else { continue };
        let framing = Framing::of(&headers)?;
        let (nap, tired) = (NAPS[0], None);
        let body = PlainBody { wire, room, left: length..end, framing, nap, tired };
        return Ok(PlainAnswer { status, headers, body });
    }
}

/// Length, status and headers of the head, where it is complete.
fn head(bytes: &[u8]) -> io::Result<Option<(usize, StatusCode, HeaderMap)>> {
    let mut found = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut found);
    let parsed = response.parse(bytes).map_err(|cause| malformed(&cause.to_string()))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = StatusCode::from_u16(response.code.unwrap_or_default()).map_err(|_| malformed("its status"))?;
    let mut headers = HeaderMap::new();
    for header in response.headers.iter() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(header.name.as_bytes()), HeaderValue::from_bytes(header.value))
        {
            headers.append(name, value);
        }
    }
    Ok(Some((length, status, headers)))
}

impl PlainAnswer {
    /// The answer where it is a success, else the error that it stands for.
    pub(super) async fn success(mut self, call: &str) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let mut text = Vec::new();
        let read = std::future::poll_fn(|context| {
            while text.len() < LONGEST_ERROR {
                if !ready!(self.body.poll_take(context, |piece, _| text.extend_from_slice(piece)))? {
                    break;
                }
            }
            Poll::Ready(io::Result::Ok(()))
        });
        read.await.map_err(|cause| error::broken(call, &cause))?;
        Err(error::from_answer(self.status, &text))
    }
}

impl PlainBody {
    /// Gives what has come to `take`, piece by piece, with whether the piece ends what the engine
    /// sent at once. `false` when nothing further comes.
    pub(crate) fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        mut take: impl FnMut(&[u8], bool),
    ) -> Poll<io::Result<bool>> {
        if !self.left.is_empty() {
            let bytes = self.room.get(std::mem::take(&mut self.left)).unwrap_or_default();
            self.framing.feed(bytes, &mut take)?;
            return Poll::Ready(Ok(true));
        }
        if self.framing.is_ended() {
            return Poll::Ready(Ok(false));
        }
        if let Some(last) = self.tired.take() {
            // Many streams share one thread: what others took counts, so that all nap together.
            rest(self.nap.saturating_sub(last.elapsed()));
        }
        let mut buffer = ReadBuf::new(&mut self.room);
        ready!(std::pin::Pin::new(&mut self.wire).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        if read.is_empty() {
            return Poll::Ready(if self.framing.may_end() { Ok(false) } else { Err(ended_early()) });
        }
        if read.len() < FEW {
            self.tired = Some(Instant::now());
            self.nap = NAPS[1].min(self.nap * 2);
        } else if read.len() > MANY {
            self.nap = NAPS[0].max(self.nap / 2);
        }
        self.framing.feed(read, &mut take)?;
        Poll::Ready(Ok(true))
    }
}

/// Blocks the thread on purpose: timers of the event loop are too coarse, and no other stream of
/// this program minds a millisecond.
#[allow(clippy::disallowed_methods)] // Nothing depends on how long it takes, so there is no event to wait for.
fn rest(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is no HTTP: {what}"))
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed in the middle of the answer")
}

/// How the end of a body is told.
#[derive(Debug)]
enum Framing {
    Chunked(Chunk),
    /// So many bytes are still to come.
    Counted(u64),
    UntilClosed,
}

/// Where in a chunk we are.
#[derive(Debug)]
enum Chunk {
    /// In the line with its size: what was read of the number, its digits, and whether it is done.
    Size(u64, u8, bool),
    /// So many bytes of content are missing.
    Content(u64),
    /// Before the end of the line after the content.
    Closing,
    /// After the last chunk: in a line of so many bytes.
    Trailer(u64),
    Ended,
}

impl Framing {
    fn of(headers: &HeaderMap) -> io::Result<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if text(TRANSFER_ENCODING).is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked")) {
            return Ok(Self::Chunked(Chunk::Size(0, 0, false)));
        }
        match text(CONTENT_LENGTH) {
            Some(length) => length.trim().parse().map(Self::Counted).map_err(|_| malformed("its length")),
            None => Ok(Self::UntilClosed),
        }
    }

    const fn is_ended(&self) -> bool {
        matches!(self, Self::Chunked(Chunk::Ended) | Self::Counted(0))
    }

    const fn may_end(&self) -> bool {
        matches!(self, Self::UntilClosed) || self.is_ended()
    }

    fn feed(&mut self, mut bytes: &[u8], take: &mut impl FnMut(&[u8], bool)) -> io::Result<()> {
        match self {
            Self::Chunked(chunk) => chunk.feed(bytes, take),
            Self::Counted(left) => {
                bytes = bytes.get(..usize::try_from(*left).unwrap_or(usize::MAX)).unwrap_or(bytes);
                *left -= bytes.len() as u64;
                take(bytes, true);
                Ok(())
            }
            Self::UntilClosed => {
                take(bytes, true);
                Ok(())
            }
        }
    }
}

impl Chunk {
    fn feed(&mut self, mut bytes: &[u8], take: &mut impl FnMut(&[u8], bool)) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            match self {
                Self::Content(missing) => {
                    let length = usize::try_from(*missing).unwrap_or(usize::MAX).min(bytes.len());
                    let (piece, after) = bytes.split_at(length);
                    *missing -= length as u64;
                    let whole = *missing == 0;
                    if whole {
                        *self = Self::Closing;
                    }
                    take(piece, whole);
                    bytes = after;
                    continue;
                }
                Self::Size(size, digits, done) => match first {
                    b'\n' if *digits == 0 => return Err(malformed("a chunk without a size")),
                    b'\n' if *size == 0 => *self = Self::Trailer(0),
                    b'\n' => *self = Self::Content(*size),
                    _ if *done => {}
                    b';' | b'\r' | b' ' | b'\t' => *done = true,
                    digit => {
                        let value = char::from(*digit).to_digit(16).ok_or_else(|| malformed("the size of a chunk"))?;
                        if *digits == 15 {
                            return Err(malformed("the size of a chunk"));
                        }
                        (*size, *digits) = (*size * 16 + u64::from(value), *digits + 1);
                    }
                },
                Self::Closing => match first {
                    b'\r' => {}
                    b'\n' => *self = Self::Size(0, 0, false),
                    _ => return Err(malformed("a chunk is longer than its size")),
                },
                Self::Trailer(length) => match first {
                    b'\r' => {}
                    b'\n' if *length == 0 => *self = Self::Ended,
                    b'\n' => *length = 0,
                    _ => *length += 1,
                },
                Self::Ended => return Ok(()),
            }
            bytes = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(text: &[u8], cut: usize) -> io::Result<(Vec<u8>, usize, bool)> {
        let mut framing = Framing::Chunked(Chunk::Size(0, 0, false));
        let (mut body, mut whole) = (Vec::new(), 0);
        for piece in text.chunks(cut) {
            framing.feed(piece, &mut |bytes: &[u8], end| {
                body.extend_from_slice(bytes);
                whole += usize::from(end);
            })?;
        }
        Ok((body, whole, framing.is_ended()))
    }

    #[test]
    fn chunks_come_out_whole_however_they_are_cut() {
        let text = b"5\r\nhello\r\n00c;name=value\r\n, dear world\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n";
        for cut in 1..=text.len() {
            assert_eq!(chunked(text, cut).unwrap(), (b"hello, dear world\n".to_vec(), 3, true), "cut every {cut}");
        }
    }

    #[test]
    fn a_body_that_stops_early_has_not_ended() {
        for cut in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n"] {
            assert!(!chunked(cut.as_bytes(), 3).unwrap().2, "{cut}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        for bad in ["hello", "\r\nx", "3\r\nhello\r\n", "ffffffffffffffff\r\n"] {
            assert!(chunked(bad.as_bytes(), 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
        assert!(head(&text[..40]).unwrap().is_none());
        let (length, status, headers) = head(text).unwrap().expect("a head");
        assert_eq!((length, status.as_u16()), (text.len() - 3, 200));
        assert!(matches!(Framing::of(&headers), Ok(Framing::Chunked(_))));
    }
}
