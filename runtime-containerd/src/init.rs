//! The init process of `init: true`: a program of the machine that reaps orphans and passes
//! signals on. It is bound into the container, so it must not need the image's libraries.

use std::io::Read;
use std::path::{Path, PathBuf};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;

/// Names under which distributions have one.
const NAMES: [&str; 4] = ["docker-init", "tini-static", "catatonit", "tini"];
/// Where they have it.
const DIRECTORIES: [&str; 7] = [
    "/usr/local/bin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/libexec/docker",
    "/usr/libexec/podman",
    "/usr/lib/podman",
    "/opt/containerd/bin",
];

/// The init process of this machine.
///
/// # Errors
/// Where there is none that is statically linked.
pub(crate) fn program() -> Result<PathBuf> {
    let candidates = NAMES.iter().flat_map(|name| DIRECTORIES.iter().map(move |place| Path::new(place).join(name)));
    candidates.into_iter().find(|path| is_static(path)).ok_or_else(|| RuntimeError::Invalid {
        message: format!(
            "`init: true` needs a statically linked init process, and none of {} is in {}; install one (Debian, Ubuntu: \
             apt-get install tini; Fedora: dnf install catatonit)",
            NAMES.join(", "),
            DIRECTORIES.join(", ")
        ),
    })
}

/// Whether a file is a program for 64-bit Linux that names no interpreter. Others are not looked
/// at closer: they are no init process.
fn is_static(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    read.is_ok() && names_no_interpreter(&head)
}

/// Reads the program headers of an ELF file (64 bits, this machine's byte order).
fn names_no_interpreter(head: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let half = |at: usize| head.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    let word = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let long = |at: usize| head.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    if !head.starts_with(b"\x7fELF\x02") {
        return false;
    }
    let (Some(table), Some(size), Some(count)) = (long(32), half(54), half(56)) else { return false };
    let Ok(table) = usize::try_from(table) else { return false };
    count > 0
        && (0..usize::from(count)).all(|index| {
            let at = index.checked_mul(usize::from(size)).and_then(|offset| offset.checked_add(table));
            at.and_then(word).is_some_and(|kind| kind != INTERPRETER)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..5].copy_from_slice(b"\x7fELF\x02");
        bytes[32..40].copy_from_slice(&64_u64.to_ne_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_ne_bytes());
        bytes[56..58].copy_from_slice(&u16::try_from(kinds.len()).unwrap().to_ne_bytes());
        for kind in kinds {
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&[0; 52]);
        }
        bytes
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        for (bytes, wanted) in [
            (program(&[1, 1]), true),
            (program(&[1, 3]), false),
            (program(&[]), false),
            (program(&[1, 1])[..100].to_vec(), false),
            (b"#!/bin/sh\n".to_vec(), false),
        ] {
            assert_eq!(names_no_interpreter(&bytes), wanted, "{} bytes", bytes.len());
        }
    }
}
