//! Durations as texts: `1h30m`, `1.5s`, `100ms`.

use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds of a text; the error is the reason in the words that tools know.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quoted(text)));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text)));
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let nanos = whole.checked_mul(*scale).ok_or_else(invalid)?;
        let nanos = nanos.checked_add(part_of(fraction, *scale)).ok_or_else(invalid)?;
        total = total.checked_add(nanos).ok_or_else(invalid)?;
        if total > 1 << 63 {
            return Err(invalid());
        }
        rest = after;
    }
    let total = i128::from(total);
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// A decimal fraction of a unit, in whole nanoseconds.
fn part_of(fraction: &str, scale: u64) -> u64 {
    let mut value: u128 = 0;
    let mut unit: u128 = 1;
    // More digits than this cannot change whole nanoseconds.
    for digit in fraction.bytes().take(18) {
        value = value * 10 + u128::from(digit.wrapping_sub(b'0'));
        unit *= 10;
    }
    u64::try_from(value * u128::from(scale) / unit).unwrap_or(0)
}

/// A text in quotes, other bytes than printable ASCII as `\xHH`.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

/// A duration of nanoseconds; `None` if negative.
pub(crate) fn from_nanos(nanos: i64) -> Option<Duration> {
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// A duration of seconds with a fraction, as far as it can be held.
pub(crate) fn from_seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// The text of a duration: `1m30s`, `1.5s`, `100ms`, `0s`.
pub(crate) fn text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |unit: u128, name: &str| {
        let (whole, part) = (nanos / unit, nanos % unit);
        let width = unit.checked_ilog10().unwrap_or(0) as usize;
        let part = format!("{part:0width$}");
        let part = part.trim_end_matches('0');
        if part.is_empty() { format!("{whole}{name}") } else { format!("{whole}.{part}{name}") }
    };
    match nanos {
        0 => String::from("0s"),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let rest = Duration::from_nanos(u64::try_from(nanos % 60_000_000_000).unwrap_or(0));
            let seconds = rest.as_secs();
            let part = format!("{:09}", rest.subsec_nanos());
            let part = part.trim_end_matches('0');
            let dot = if part.is_empty() { "" } else { "." };
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}{dot}{part}s"),
                (0, minutes) => format!("{minutes}m{seconds}{dot}{part}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}{dot}{part}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_to_nanoseconds() {
        for (given, expected) in [
            ("0", Ok(0)),
            ("5s", Ok(5_000_000_000)),
            ("-1.5s", Ok(-1_500_000_000)),
            ("+1h2m3s", Ok(3_723_000_000_000)),
            ("1.5h", Ok(5_400_000_000_000)),
            (".5ms", Ok(500_000)),
            ("1.ms", Ok(1_000_000)),
            ("2us", Ok(2_000)),
            ("2µs", Ok(2_000)),
            ("1.0000000000000000000001s", Ok(1_000_000_000)),
            ("", Err("time: invalid duration \"\"")),
            ("-", Err("time: invalid duration \"-\"")),
            (".s", Err("time: invalid duration \".s\"")),
            ("x", Err("time: invalid duration \"x\"")),
            ("5", Err("time: missing unit in duration \"5\"")),
            ("5d", Err("time: unknown unit \"d\" in duration \"5d\"")),
            ("1h 2m", Err("time: unknown unit \"h \" in duration \"1h 2m\"")),
            ("1é", Err("time: unknown unit \"\\xc3\\xa9\" in duration \"1\\xc3\\xa9\"")),
            ("9999999999h", Err("time: invalid duration \"9999999999h\"")),
            ("9223372036854775808ns", Err("time: invalid duration \"9223372036854775808ns\"")),
            ("-9223372036854775808ns", Ok(i64::MIN)),
        ] {
            assert_eq!(parse(given), expected.map_err(str::to_owned), "{given}");
        }
    }

    #[test]
    fn nanoseconds_to_texts() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_500_000_000, "1.5s"),
            (29_500_000_000, "29.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_723_004_000_000, "1h2m3.004s"),
        ] {
            assert_eq!(text(Duration::from_nanos(nanos)), expected);
        }
    }
}
