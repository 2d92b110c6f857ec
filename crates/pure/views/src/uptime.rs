//! How long something has been up, in words.

use std::fmt::Write as _;
use std::time::Duration;

/// Whole seconds in the largest units that apply: `5s`, `2m5s`, `1h2m5s`, `3d1h2m5s`, `1y3d1h2m5s`; a year has 365
/// days.
pub fn uptime_text(up: Duration) -> String {
    let seconds = up.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let years = days / 365;
    let mut out = String::new();
    let parts = [
        (years, years, 'y'),
        (days, days % 365, 'd'),
        (hours, hours % 24, 'h'),
        (minutes, minutes % 60, 'm'),
    ];
    for (whole, part, unit) in parts {
        if whole > 0 {
            let _ = write!(out, "{part}{unit}");
        }
    }
    let _ = write!(out, "{}s", seconds % 60);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_start_with_the_largest() {
        for (seconds, text) in [
            (0, "0s"),
            (5, "5s"),
            (60, "1m0s"),
            (125, "2m5s"),
            (3725, "1h2m5s"),
            (3600, "1h0m0s"),
            (3 * 86_400 + 3725, "3d1h2m5s"),
            (365 * 86_400, "1y0d0h0m0s"),
            (368 * 86_400 + 3725, "1y3d1h2m5s"),
        ] {
            assert_eq!(uptime_text(Duration::from_millis(seconds * 1000 + 999)), text);
        }
    }
}
