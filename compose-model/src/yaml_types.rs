//! Which type a plain YAML scalar has, as the reference's reader decides it.

use crate::tree::Typed;

/// The type of a plain scalar without tag.
#[must_use]
pub fn resolve(text: &str) -> Typed {
    let Some(first) = text.bytes().next() else { return Typed::Null };
    match first {
        b'~' | b'n' | b'N' if matches!(text, "~" | "null" | "Null" | "NULL") => Typed::Null,
        b't' | b'T' if matches!(text, "true" | "True" | "TRUE") => Typed::Bool(true),
        b'f' | b'F' if matches!(text, "false" | "False" | "FALSE") => Typed::Bool(false),
        b'.' | b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Typed::Text,
    }
}

fn number(text: &str) -> Typed {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Typed::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Typed::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Typed::Float(f64::NAN),
        _ => {}
    }
    if is_time(text) {
        return Typed::Time;
    }
    let plain: String = text.chars().filter(|letter| *letter != '_').collect();
    if let Some(value) = integer(&plain) {
        return value;
    }
    if is_float(&plain)
        && let Ok(value) = plain.parse::<f64>()
    {
        return Typed::Float(value);
    }
    Typed::Text
}

/// Go's integer grammar with base prefixes: `0x`, `0b`, `0o`, and a leading `0` for octal.
fn integer(text: &str) -> Option<Typed> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = |prefix: char| {
        digits.strip_prefix('0').and_then(|rest| rest.strip_prefix([prefix, prefix.to_ascii_uppercase()]))
    };
    let (radix, digits) = if let Some(rest) = lower('x') {
        (16, rest)
    } else if let Some(rest) = lower('b') {
        (2, rest)
    } else if let Some(rest) = lower('o') {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, digits.get(1..)?)
    } else {
        (10, digits)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(value).map(Typed::Int);
    }
    Some(i64::try_from(value).map_or(Typed::Uint(value), Typed::Int))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

/// Whether a scalar is a date or a point in time: `2001-02-03`, with `T` or blanks before a time.
fn is_time(text: &str) -> bool {
    parse_time(text).is_some()
}

/// Seconds since midnight are kept as written; only the shape and the ranges are checked.
struct Time<'a> {
    date: (u32, u32, u32),
    clock: (u32, u32, u32),
    fraction: &'a str,
    /// Minutes east of UTC.
    zone: i32,
}

fn parse_time(text: &str) -> Option<Time<'_>> {
    let bytes = text.as_bytes();
    // A date has four digits and a hyphen; anything else is cheaply refused.
    if bytes.len() < 8 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let date_end = text.find(['T', 't', ' ', '\t']).unwrap_or(text.len());
    let mut parts = text[..date_end].split('-');
    let mut part = |most: usize| {
        let part = parts.next()?;
        let fits = !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse::<u32>().ok()).flatten()
    };
    let date = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || !(1..=12).contains(&date.1) || !(1..=days_in(date.0, date.1)).contains(&date.2) {
        return None;
    }
    let none = Time { date, clock: (0, 0, 0), fraction: "", zone: 0 };
    if date_end == text.len() {
        return Some(none);
    }
    let rest = text[date_end + 1..].trim_start_matches([' ', '\t']);
    let clock_end =
        rest.find(|letter: char| !letter.is_ascii_digit() && letter != ':' && letter != '.').unwrap_or(rest.len());
    let (clock, fraction) = rest[..clock_end].split_once('.').unwrap_or((&rest[..clock_end], ""));
    let mut parts = clock.split(':');
    let mut part =
        || parts.next().filter(|part| (1..=2).contains(&part.len())).and_then(|part| part.parse::<u32>().ok());
    let clock = (part()?, part()?, part()?);
    if parts.next().is_some() || clock.0 > 23 || clock.1 > 59 || clock.2 > 59 || fraction.contains([':', '.']) {
        return None;
    }
    let zone = match rest[clock_end..].trim_start_matches([' ', '\t']) {
        "" | "Z" => 0,
        zone => {
            let sign = match zone.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':').unwrap_or((zone.get(1..)?, "0"));
            sign * (hours.parse::<i32>().ok()?.min(24) * 60 + minutes.parse::<i32>().ok()?.min(59))
        }
    };
    Some(Time { clock, fraction: fraction.trim_end_matches('0'), zone, ..none })
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

impl Time<'_> {
    fn clock_text(&self) -> String {
        let (hour, minute, second) = self.clock;
        let dot = if self.fraction.is_empty() { "" } else { "." };
        format!("{hour:02}:{minute:02}:{second:02}{dot}{}", self.fraction)
    }

    fn date_text(&self) -> String {
        let (year, month, day) = self.date;
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// A point in time as Go's `fmt.Sprint` writes it: `2020-01-01 00:00:00 +0000 UTC`.
#[must_use]
pub fn go_time(text: &str) -> String {
    let Some(time) = parse_time(text) else { return text.to_owned() };
    let sign = if time.zone < 0 { '-' } else { '+' };
    let zone = time.zone.abs();
    let name = if time.zone == 0 { "UTC".to_owned() } else { format!("{sign}{:02}{:02}", zone / 60, zone % 60) };
    format!("{} {} {sign}{:02}{:02} {name}", time.date_text(), time.clock_text(), zone / 60, zone % 60)
}

/// A point in time as RFC 3339, the form that the reference writes back into YAML.
#[must_use]
pub fn rfc3339(text: &str) -> String {
    let Some(time) = parse_time(text) else { return text.to_owned() };
    let zone = time.zone.abs();
    let zone = match time.zone {
        0 => "Z".to_owned(),
        east if east > 0 => format!("+{:02}:{:02}", zone / 60, zone % 60),
        _ => format!("-{:02}:{:02}", zone / 60, zone % 60),
    };
    format!("{}T{}{zone}", time.date_text(), time.clock_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_get_the_types_of_the_reference() {
        let cases: &[(&str, Typed)] = &[
            ("", Typed::Null),
            ("~", Typed::Null),
            ("null", Typed::Null),
            ("nULL", Typed::Text),
            ("true", Typed::Bool(true)),
            ("yes", Typed::Text),
            ("on", Typed::Text),
            ("010", Typed::Int(8)),
            ("0o17", Typed::Int(15)),
            ("089", Typed::Float(89.0)),
            ("0x1F", Typed::Int(31)),
            ("0b11", Typed::Int(3)),
            ("-5", Typed::Int(-5)),
            ("+5", Typed::Int(5)),
            ("1_000", Typed::Int(1000)),
            ("1e3", Typed::Float(1000.0)),
            ("1.50", Typed::Float(1.5)),
            (".5", Typed::Float(0.5)),
            ("1.", Typed::Float(1.0)),
            ("1.2.3", Typed::Text),
            ("22:22", Typed::Text),
            ("18446744073709551615", Typed::Uint(u64::MAX)),
            ("2020-01-01", Typed::Time),
            ("2020-13-01", Typed::Text),
            ("2001-12-14t21:59:43.10-05:00", Typed::Time),
            ("-", Typed::Text),
            ("--5", Typed::Text),
            (".", Typed::Text),
            (".inf", Typed::Float(f64::INFINITY)),
            ("inf", Typed::Text),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn dates_are_written_as_go_writes_them() {
        assert_eq!(go_time("2020-01-01"), "2020-01-01 00:00:00 +0000 UTC");
        assert_eq!(rfc3339("2020-01-01"), "2020-01-01T00:00:00Z");
        assert_eq!(rfc3339("2001-12-14t21:59:43.10-05:00"), "2001-12-14T21:59:43.1-05:00");
        assert_eq!(go_time("2001-12-14t21:59:43.10-05:00"), "2001-12-14 21:59:43.1 -0500 -0500");
    }
}
