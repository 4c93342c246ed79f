//! Platforms: what an image runs on, and which entry of an index fits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::Descriptor;

/// Operating system, architecture and its variant, in Go's words (`linux/arm64/v8`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v8`; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// Linux on this machine's processor.
    #[must_use]
    pub fn host() -> Self {
        Self::of("linux", std::env::consts::ARCH, "")
    }

    /// Reads `os[/architecture[/variant]]` or a mere architecture; empty text is the host's.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/');
        match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
            ("", ..) => Self::host(),
            (os @ ("linux" | "windows" | "darwin" | "freebsd"), None, _) => Self { os: os.to_owned(), ..Self::host() },
            (architecture, None, _) => Self::of("linux", architecture, ""),
            (os, Some(architecture), variant) => Self::of(os, architecture, variant.unwrap_or_default()),
        }
    }

    /// With the usual other names of architectures turned into Go's, and variants that mean the
    /// same made equal.
    fn of(os: &str, architecture: &str, variant: &str) -> Self {
        let architecture = architecture.to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant) {
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("x86" | "i386" | "i686", _) => ("386", ""),
            ("armhf" | "arm", "" | "7") => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("powerpc64" | "powerpc64le", variant) => ("ppc64le", variant),
            (other, variant) => (other, variant),
        };
        Self {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_owned(),
            variant: variant.to_ascii_lowercase(),
        }
    }

    fn normal(&self) -> Self {
        Self::of(&self.os, &self.architecture, &self.variant)
    }

    /// How well an image for `self` runs on `wanted`: 0 is best, `None` not at all.
    #[must_use]
    pub fn rank_on(&self, wanted: &Self) -> Option<u8> {
        let (own, wanted) = (self.normal(), wanted.normal());
        if own.os != wanted.os {
            return None;
        }
        if own.architecture == wanted.architecture {
            if own.variant == wanted.variant {
                return Some(0);
            }
            // A lower variant runs on a higher one; the nearest is best.
            let level = |platform: &Self| {
                platform.variant.trim_start_matches('v').parse::<u8>().unwrap_or(match platform.architecture.as_str() {
                    "arm" => 7,
                    "arm64" => 8,
                    _ => 1,
                })
            };
            return level(&wanted).checked_sub(level(&own)).map(|distance| distance.max(1));
        }
        let compatible =
            matches!((own.architecture.as_str(), wanted.architecture.as_str()), ("386", "amd64") | ("arm", "arm64"));
        compatible.then_some(100)
    }

    /// The entry of an index that fits best. One without a platform is taken where nothing else
    /// fits; attestations, which name the platform `unknown/unknown`, never are.
    #[must_use]
    pub fn choose<'a>(&self, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let ranked = entries.iter().filter_map(|entry| {
            let rank = match &entry.platform {
                Some(platform) => platform.rank_on(self)?,
                None => u8::MAX,
            };
            Some((rank, entry))
        });
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(platform: &str, digest: &str) -> Descriptor {
        let platform = (!platform.is_empty()).then(|| {
            let mut parts = platform.splitn(3, '/').map(str::to_owned);
            Platform {
                os: parts.next().unwrap_or_default(),
                architecture: parts.next().unwrap_or_default(),
                variant: parts.next().unwrap_or_default(),
            }
        });
        Descriptor { digest: digest.to_owned(), platform, ..Descriptor::default() }
    }

    #[test]
    fn the_best_entry_is_chosen_and_never_an_attestation() {
        let entries = [
            entry("unknown/unknown", "attestation"),
            entry("linux/arm/v6", "arm6"),
            entry("linux/arm/v7", "arm7"),
            entry("linux/arm64/v8", "arm64"),
            entry("linux/386", "386"),
            entry("linux/amd64", "amd64"),
            entry("windows/amd64", "windows"),
        ];
        for (wanted, digest) in [
            ("linux/amd64", Some("amd64")),
            ("x86_64", Some("amd64")),
            ("linux/arm64", Some("arm64")),
            ("linux/aarch64/v8", Some("arm64")),
            ("linux/arm", Some("arm7")),
            ("linux/arm/v6", Some("arm6")),
            ("linux/arm/v5", None),
            ("linux/riscv64", None),
            ("windows/amd64", Some("windows")),
        ] {
            let chosen = Platform::parse(wanted).choose(&entries).map(|entry| entry.digest.as_str());
            assert_eq!(chosen, digest, "{wanted}");
        }
        assert_eq!(Platform::parse("linux/amd64").choose(&entries[4..5]).map(|e| e.digest.as_str()), Some("386"));
        assert_eq!(Platform::parse("linux/amd64").choose(&[entry("", "x")]).map(|e| e.digest.as_str()), Some("x"));
        assert_eq!(Platform::parse("linux/amd64").choose(&entries[..1]), None);
    }
}
