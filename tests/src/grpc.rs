//! What the proxy reads of gRPC: frames of HTTP/2 as far as it takes to know which call a client
//! makes and when it is answered.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use httlib_hpack::Decoder;

use crate::proxy::{Request, Shared};

/// What a client says first on a connection.
const PREFACE: usize = 24;
/// Length, type, flags and stream of a frame.
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Calls of containerd's API that change something.
const CHANGES: [&str; 17] = [
    "Apply",
    "Commit",
    "Create",
    "CloseIO",
    "Delete",
    "DeleteProcess",
    "Exec",
    "Kill",
    "Label",
    "Pause",
    "Prepare",
    "Remove",
    "Resume",
    "Set",
    "Start",
    "Update",
    "View",
];

/// Whether a call's path names a change.
pub(crate) fn changes(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|method| CHANGES.contains(&method))
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    /// Head and payload.
    bytes: Vec<u8>,
}

impl Frame {
    fn read(from: &mut impl Read) -> std::io::Result<Self> {
        let mut bytes = vec![0; HEAD];
        from.read_exact(&mut bytes)?;
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        let (kind, flags) = (bytes[3], bytes[4]);
        let stream = u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]);
        let read = std::io::copy(&mut from.take(u64::from(length)), &mut bytes)?;
        if read < u64::from(length) { Err(cut()) } else { Ok(Self { kind, flags, stream, bytes }) }
    }

    /// The compressed headers of a frame that has some.
    fn block(&self) -> &[u8] {
        let mut block = self.bytes.get(HEAD..).unwrap_or_default();
        if self.flags & PADDED != 0 {
            let padding = block.first().copied().map_or(0, usize::from);
            block = block.get(1..block.len().saturating_sub(padding)).unwrap_or_default();
        }
        if self.flags & PRIORITY != 0 {
            block = block.get(5..).unwrap_or_default();
        }
        block
    }
}

/// Passes a connection on, and tells the ledger of its calls.
pub(crate) fn connection(shared: &Shared, client: &UnixStream, engine: &UnixStream) -> std::io::Result<()> {
    let calls: Mutex<BTreeMap<u32, Request>> = Mutex::default();
    let calls = || calls.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = answers(shared, engine, client, &calls);
            let _ = client.shutdown(Shutdown::Both);
        });
        let asked = requests(shared, client, engine, &calls);
        let _ = engine.shutdown(Shutdown::Both);
        asked
    })
}

type Calls<'a> = dyn Fn() -> std::sync::MutexGuard<'a, BTreeMap<u32, Request>> + Sync + 'a;

fn cut() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted)
}

fn requests(shared: &Shared, client: &UnixStream, engine: &UnixStream, calls: &Calls<'_>) -> std::io::Result<()> {
    let (mut from, mut to) = (BufReader::new(client), engine);
    let mut preface = [0; PREFACE];
    from.read_exact(&mut preface)?;
    to.write_all(&preface)?;
    let mut decoder = Decoder::default();
    loop {
        let frame = Frame::read(&mut from)?;
        if frame.kind == HEADERS {
            let mut headers = Vec::new();
            decoder.decode(&mut frame.block().to_vec(), &mut headers).map_err(std::io::Error::other)?;
            let path = headers.into_iter().find(|(name, ..)| name == b":path").map(|(_, value, _)| value);
            let path = String::from_utf8_lossy(&path.unwrap_or_default()).into_owned();
            let request = Request { method: "POST".to_owned(), path };
            shared.asked(&request);
            calls().insert(frame.stream, request);
        }
        if !shared.pass() {
            return Err(cut());
        }
        to.write_all(&frame.bytes)?;
    }
}

fn answers(shared: &Shared, engine: &UnixStream, client: &UnixStream, calls: &Calls<'_>) -> std::io::Result<()> {
    let (mut from, mut to) = (BufReader::new(engine), client);
    loop {
        let frame = Frame::read(&mut from)?;
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            let call = calls().remove(&frame.stream);
            if let Some(request) = call {
                shared.answered(&request);
            }
        }
        if !shared.pass() {
            return Err(cut());
        }
        to.write_all(&frame.bytes)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_and_its_headers_are_found() {
        // Padding of two bytes, a priority, one indexed header (`:method: POST`).
        let bytes = [0, 0, 9, HEADERS, PADDED | PRIORITY, 0x80, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0x83, 0, 0];
        let frame = Frame::read(&mut bytes.as_slice()).unwrap();
        assert_eq!((frame.kind, frame.stream, frame.block()), (HEADERS, 3, [0x83].as_slice()));
        assert!(Frame::read(&mut &bytes[..17]).is_err());
    }

    #[test]
    fn looks_are_no_changes() {
        assert!(changes("/containerd.services.tasks.v1.Tasks/Kill"));
        assert!(!changes("/containerd.services.tasks.v1.Tasks/Wait"));
        assert!(!changes("/containerd.services.containers.v1.Containers/ListStream"));
    }
}
