//! Times as the engine's API wants them: Unix seconds with nanoseconds.

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;

/// RFC 3339, a date, or Unix seconds with a fraction, as `SECONDS.NANOSECONDS`.
pub(crate) fn unix(text: &str) -> Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let invalid = || RuntimeError::Invalid { message: format!("`{text}` is no time: write RFC 3339 or Unix seconds") };
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if seconds.parse::<i64>().is_ok() {
        let digits = fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
        return if digits { Ok(format!("{seconds}.{fraction:0<9}")) } else { Err(invalid()) };
    }
    let time: jiff::Timestamp = text
        .parse()
        .or_else(|_| format!("{text}Z").parse())
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .map_err(|_| invalid())?;
    Ok(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds_and_may_lie_past_2038() {
        let of = |text| unix(text).unwrap_or_else(|error| error.to_string());
        assert_eq!(of(""), "");
        assert_eq!(of("1700000000"), "1700000000.000000000");
        assert_eq!(of("1700000000.5"), "1700000000.500000000");
        assert_eq!(of("2050-01-01T00:00:00.000000001Z"), "2524608000.000000001");
        assert_eq!(of("2023-11-14T23:13:20+01:00"), "1700000000.000000000");
        assert_eq!(of("2023-11-14"), "1699920000.000000000");
        assert!(of("yesterday").contains("is no time"));
    }
}
