//! The keys that end a session with a terminal and leave its container running, as dockerd reads
//! them.

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

/// dockerd's keys where none are named.
const USUAL: &str = "ctrl-p,ctrl-q";

/// A sequence of keys, and how much of it has been typed.
#[derive(Debug)]
pub(crate) struct Keys {
    wanted: Vec<u8>,
    typed: usize,
}

impl Keys {
    /// Reads `ctrl-x,q`: single characters, and `ctrl-` with a letter or one of `@[\]^_`; empty
    /// text means the usual ones.
    ///
    /// # Errors
    /// Names the text where it is none.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = if text.is_empty() { USUAL } else { text };
        let wanted: Option<Vec<u8>> = text.split(',').map(key).collect();
        let wanted = wanted.ok_or_else(|| RuntimeError::Invalid {
            message: format!("invalid detach keys ({text}) provided: single characters, and `ctrl-` with a letter"),
        })?;
        Ok(Self { wanted, typed: 0 })
    }

    /// Passes on what was typed, but the keys themselves. Returns whether they are complete: what
    /// follows them is nobody's.
    fn pass(&mut self, typed: &[u8], on: &mut Vec<u8>) -> bool {
        for &byte in typed {
            if byte != self.wanted[self.typed] {
                on.extend_from_slice(&self.wanted[..self.typed]);
                self.typed = 0;
            }
            if byte == self.wanted[self.typed] {
                self.typed += 1;
                if self.typed == self.wanted.len() {
                    return true;
                }
            } else {
                on.push(byte);
            }
        }
        false
    }
}

fn key(word: &str) -> Option<u8> {
    let control = |byte: u8| (byte.is_ascii_lowercase() || b"@[\\]^_".contains(&byte)).then_some(byte & 0x1f);
    match (word.as_bytes(), word.strip_prefix("ctrl-").map(str::as_bytes)) {
        ([byte], _) => Some(*byte),
        (_, Some([byte])) => control(*byte),
        _ => None,
    }
}

/// Keys that are looked for, and who is told.
#[derive(Debug)]
pub(crate) struct Lookout {
    /// The keys.
    pub(crate) keys: Keys,
    /// Told once they were typed.
    pub(crate) found: oneshot::Sender<()>,
}

/// Copies until the end, or until the keys come. Returns whether they came.
///
/// # Errors
/// Those of reading and writing.
pub(crate) async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    lookout: Option<Lookout>,
) -> std::io::Result<bool> {
    let Some(Lookout { mut keys, found }) = lookout else {
        return tokio::io::copy(from, to).await.map(|_| false);
    };
    let (mut typed, mut on) = (vec![0; 4096], Vec::new());
    loop {
        let length = from.read(&mut typed).await?;
        if length == 0 {
            return Ok(false);
        }
        on.clear();
        let complete = keys.pass(&typed[..length], &mut on);
        to.write_all(&on).await?;
        if complete {
            let _ = found.send(());
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_dockerd_reads_them() {
        for (text, wanted) in [
            ("", Some(&[16, 17][..])),
            ("ctrl-x,q", Some(&[24, b'q'])),
            ("a", Some(b"a")),
            ("ctrl-@,ctrl-[,ctrl-_", Some(&[0, 27, 31])),
            ("ctrl-", None),
            ("ctrl-1", None),
            ("x,,y", None),
            ("abc", None),
        ] {
            let keys = Keys::parse(text).ok().map(|keys| keys.wanted);
            assert_eq!(keys.as_deref(), wanted, "{text:?}");
        }
    }

    #[test]
    fn all_but_the_complete_keys_is_passed_on() {
        for (typed, wanted, complete) in [
            (&["plain"][..], "plain", false),
            (&["ab\u{18}q", "lost"], "ab", true),
            (&["\u{18}", "q"], "", true),
            (&["\u{18}", "x"], "\u{18}x", false),
            (&["\u{18}\u{18}q"], "\u{18}", true),
        ] {
            let mut keys = Keys::parse("ctrl-x,q").unwrap();
            let mut on = Vec::new();
            let found = typed.iter().any(|part| keys.pass(part.as_bytes(), &mut on));
            assert_eq!((String::from_utf8_lossy(&on).as_ref(), found), (wanted, complete), "{typed:?}");
        }
    }
}
