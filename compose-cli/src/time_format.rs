//! The clock, and times and lengths of time as the reference prints them.

use std::time::SystemTime;

use jiff::Timestamp;

/// The time of day of this machine.
#[allow(clippy::disallowed_methods)] // The clock is read here and nowhere else in this crate.
pub(crate) fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Now, as `2026-01-02T12:11:26Z`.
pub(crate) fn now_rfc3339() -> String {
    format!("{}", now().strftime("%Y-%m-%dT%H:%M:%SZ"))
}

/// How long ago, in the words of the Docker CLI: `About a minute`, `2 hours`.
pub(crate) fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, as there.
    let hours = (seconds + 1800) / 3600;
    match seconds {
        i64::MIN..=0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..=59 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Unix seconds, as `2026-01-02 12:11:26 +0000 UTC`.
pub(crate) fn go_time(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
        .unwrap_or_default()
}

/// A point in time as the user writes it (`10m`, `2026-01-02`, `2026-01-02T12:00:00`, RFC 3339,
/// Unix seconds), as Unix seconds with nanoseconds, the form that engines read.
pub(crate) fn engine_time(text: &str) -> Option<String> {
    if let Some(length) = compose_model::units::Duration::parse(text) {
        let then = now().as_nanosecond() - i128::from(length.0);
        return Some(format!("{}.{:09}", then.div_euclid(1_000_000_000), then.rem_euclid(1_000_000_000)));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Some(text.to_owned());
    }
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text
            .parse::<jiff::civil::DateTime>()
            .ok()
            .or_else(|| text.parse::<jiff::civil::Date>().ok().map(|date| date.at(0, 0, 0, 0)))?;
        Some(civil.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp())
    })?;
    Some(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_the_docker_cli() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (125, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (3 * 3600, "3 hours"),
            (50 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (70 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ];
        for (seconds, words) in cases {
            assert_eq!(human_duration(seconds), words);
        }
    }

    #[test]
    fn points_in_time_become_unix_seconds() {
        assert_eq!(engine_time("1970-01-01T00:00:10Z").as_deref(), Some("10.000000000"));
        assert_eq!(engine_time("12.5").as_deref(), Some("12.5"));
        assert_eq!(engine_time("yesterday"), None);
        assert!(engine_time("10m").is_some());
    }
}
