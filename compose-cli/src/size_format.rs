//! Sizes as the Docker CLI prints them.

/// Three significant digits and a decimal unit: `12.3MB`.
pub(crate) fn decimal(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

/// Four significant digits and a binary unit: `1.953GiB`.
pub(crate) fn binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

fn scaled(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    // Go's %.3g: significant digits without trailing zeros.
    let whole = if value >= 1.0 { value.log10().floor() as usize + 1 } else { 1 };
    let decimals = digits.saturating_sub(whole);
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_digits_of_the_docker_cli() {
        let decimals = [(0, "0B"), (999, "999B"), (1_000, "1kB"), (4_260_000, "4.26MB"), (123_456_789, "123MB")];
        for (bytes, text) in decimals {
            assert_eq!(decimal(bytes), text);
        }
        assert_eq!(binary(1_048_576), "1MiB");
        assert_eq!(binary(2_097_000_000), "1.953GiB");
    }
}
