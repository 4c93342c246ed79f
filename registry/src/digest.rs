//! Digests: `sha256:` or `sha512:` and their digits.

use sha2::{Digest as _, Sha256, Sha512};

/// `sha256:` and 64 digits for these bytes.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Whether the text is a digest of a known kind, with all its digits in lower case. Only such
/// text may become a part of a path or address.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let digits = |hex: &str, length| {
        hex.len() == length && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    match text.split_once(':') {
        Some(("sha256", hex)) => digits(hex, 64),
        Some(("sha512", hex)) => digits(hex, 128),
        _ => false,
    }
}

/// Computes the digest of bytes as they pass.
pub(crate) enum Hasher {
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// One of the same kind as `digest`.
    pub(crate) fn like(digest: &str) -> Self {
        if digest.starts_with("sha512:") { Self::Sha512(Box::default()) } else { Self::Sha256(Box::default()) }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => format!("sha256:{}", hex(&hasher.finalize())),
            Self::Sha512(hasher) => format!("sha512:{}", hex(&hasher.finalize())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_recognised_strictly() {
        let fine = digest_of(b"");
        assert_eq!(fine, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(is_digest(&fine));
        for wrong in [fine.to_uppercase(), fine.replace("sha256", "md5"), fine[..70].to_owned(), format!("{fine}/..")] {
            assert!(!is_digest(&wrong), "{wrong}");
        }
        let mut hasher = Hasher::like("sha512:");
        hasher.update(b"x");
        assert!(is_digest(&hasher.finish()));
    }
}
