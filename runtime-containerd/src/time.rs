//! Times as containerd and people write them.

use jiff::Timestamp;

/// A protocol buffer's time; 1970 where it is out of range.
pub(crate) fn timestamp(time: &prost_types::Timestamp) -> Timestamp {
    Timestamp::new(time.seconds, time.nanos).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// RFC 3339 with nanoseconds.
pub(crate) fn rfc3339(time: &prost_types::Timestamp) -> String {
    text(timestamp(time))
}

/// RFC 3339 with nanoseconds.
pub(crate) fn text(time: Timestamp) -> String {
    jiff::fmt::temporal::DateTimePrinter::new().precision(Some(9)).timestamp_to_string(&time)
}

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// RFC 3339, or seconds since 1970 with a fraction; `None` for empty text and other text.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// A length of time in dockerd's words: `Less than a second`, `About a minute`, `3 weeks`.
pub(crate) fn human(seconds: i64) -> String {
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{} minutes", seconds / 60),
        _ => {
            // Hours are rounded, as dockerd does.
            let hours = (seconds + 1800) / 3600;
            match hours {
                ..2 => "About an hour".to_owned(),
                2..48 => format!("{hours} hours"),
                48..336 => format!("{} days", hours / 24),
                336..1440 => format!("{} weeks", hours / 168),
                1440..17520 => format!("{} months", hours / 720),
                _ => format!("{} years", hours / 8760),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_as_dockerd_writes_them() {
        for (seconds, wanted) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (125, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (200_000, "2 days"),
            (31_536_000, "12 months"),
        ] {
            assert_eq!(human(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(parse("10.5").map(Timestamp::as_nanosecond), Some(10_500_000_000));
        assert_eq!(parse("1970-01-01T00:00:10Z").map(Timestamp::as_second), Some(10));
        assert_eq!(parse(""), None);
    }
}
