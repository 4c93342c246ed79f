//! Values with a unit: durations, sizes, file modes. Their text forms are Go's, since the
//! reference prints and hashes them so.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time in nanoseconds. Text form is Go's: `1m30s`, `100ms`, `0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

/// A size in bytes; `-1` stands for "no limit" where an attribute allows it.
/// The canonical text is the plain decimal number, printed as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub i64);

/// Permission bits of a file. The canonical text is octal with a leading zero, as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(pub i64);

impl Duration {
    /// A whole number of seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// As the standard library's type; a negative length becomes zero.
    #[must_use]
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Reads Go's duration grammar, extended by `d` and `w` as the specification has them.
    /// Returns `None` where the text is no duration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Self(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut total: f64 = 0.0;
        let mut whole: i128 = 0;
        let mut rest = rest;
        while !rest.is_empty() {
            let digits =
                rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
            let number = &rest[..digits];
            if !number.bytes().any(|byte| byte.is_ascii_digit()) || number.matches('.').count() > 1 {
                return None;
            }
            rest = &rest[digits..];
            let unit_end =
                rest.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(rest.len());
            let nanoseconds: i64 = match &rest[..unit_end] {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                "d" => 86_400_000_000_000,
                "w" => 604_800_000_000_000,
                _ => return None,
            };
            rest = &rest[unit_end..];
            let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
            if !integer.is_empty() {
                whole += integer.parse::<i128>().ok()? * i128::from(nanoseconds);
            }
            if !fraction.is_empty() {
                let part: f64 = format!("0.{fraction}").parse().ok()?;
                total += part * nanoseconds as f64;
            }
        }
        let sum = whole.checked_add(total as i128)?;
        let sum = i64::try_from(sum).ok()?;
        Some(Self(if negative { -sum } else { sum }))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = |value: u64, unit: u64, name: &str| {
            let whole = value / unit;
            let rest = value % unit;
            if rest == 0 {
                format!("{sign}{whole}{name}")
            } else {
                let width = unit.ilog10() as usize;
                let digits = format!("{rest:0width$}");
                format!("{sign}{whole}.{}{name}", digits.trim_end_matches('0'))
            }
        };
        let text = match nanoseconds {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{nanoseconds}ns"),
            1_000..1_000_000 => fraction(nanoseconds, 1_000, "µs"),
            1_000_000..1_000_000_000 => fraction(nanoseconds, 1_000_000, "ms"),
            _ => {
                let seconds = fraction(nanoseconds % 60_000_000_000, 1_000_000_000, "s");
                let seconds = seconds.trim_start_matches('-');
                let minutes = nanoseconds / 60_000_000_000;
                match (minutes / 60, minutes % 60) {
                    (0, 0) => format!("{sign}{seconds}"),
                    (0, minutes) => format!("{sign}{minutes}m{seconds}"),
                    (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
                }
            }
        };
        formatter.pad(&text)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "0{:o}", self.0)
    }
}

macro_rules! as_text {
    ($($name:ident: $parse:expr;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no {}", stringify!($name))))
            }
        }
    )*};
}

as_text! {
    Duration: Self::parse;
    ByteSize: |text| text.parse().ok().map(Self);
    FileMode: |text| i64::from_str_radix(text, 8).ok().map(Self);
}
