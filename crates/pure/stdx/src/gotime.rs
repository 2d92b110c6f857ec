//! Times and durations as Go prints and parses them.

use std::fmt::Write as _;

use crate::clock::Wall;
use crate::goquote;

/// The zero time: what a document says where there is no time.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// A moment in UTC as RFC 3339 with as many digits of the second as it needs.
pub fn rfc3339(time: Wall) -> String {
    rfc3339_at(time, 0)
}

/// Like [`rfc3339`], with the zero time for `None`.
pub fn rfc3339_or_zero(time: Option<Wall>) -> String {
    time.map_or_else(|| ZERO_TIME.to_owned(), rfc3339)
}

/// A moment as a clock shows it that is ahead of UTC by so many seconds.
pub fn rfc3339_at(time: Wall, offset_seconds: i32) -> String {
    let local = Civil::new(time, offset_seconds);
    let mut out = String::with_capacity(35);
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        local.year, local.month, local.day, local.hour, local.minute, local.second
    );
    if local.nanos != 0 {
        let digits = format!("{:09}", local.nanos);
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    match offset_seconds / 60 {
        0 => out.push('Z'),
        minutes => {
            let sign = if minutes < 0 { '-' } else { '+' };
            let _ = write!(out, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
        }
    }
    out
}

/// A moment taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl Civil {
    /// Date and time of day where clocks are ahead of UTC by so many seconds.
    pub fn new(time: Wall, offset_seconds: i32) -> Civil {
        let seconds = time.0.div_euclid(NANOS) + i64::from(offset_seconds);
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Days are counted in eras of 400 years that begin on a first of March, so that leap days come last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Civil {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * from_march + 2) / 5 + 1) as u32,
            hour: (rest / 3600) as u32,
            minute: (rest / 60 % 60) as u32,
            second: (rest % 60) as u32,
            nanos: time.0.rem_euclid(NANOS) as u32,
        }
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Parses RFC 3339. The zero time gives `None`; what is no time, or lies outside the years 1678 to 2261, is an error.
pub fn parse_rfc3339(text: &str) -> Result<Option<Wall>, String> {
    let error = || format!("parsing time {}: not in RFC 3339 format", goquote::quote(text.as_bytes()));
    if text == ZERO_TIME {
        return Ok(None);
    }
    let (seconds, nanos) = civil_seconds(text.as_bytes()).ok_or_else(error)?;
    let whole = seconds.checked_mul(NANOS).and_then(|n| n.checked_add(nanos));
    whole.map(|n| Some(Wall(n))).ok_or_else(error)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n: i64, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

fn civil_seconds(text: &[u8]) -> Option<(i64, i64)> {
    let (head, mut rest) = text.split_at_checked(19)?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(at, mark)| head[at] != mark) {
        return None;
    }
    let (year, month, day) = (digits(&head[..4])?, digits(&head[5..7])?, digits(&head[8..10])?);
    let (hour, minute, second) = (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..19])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut nanos = 0;
    if let Some((b'.' | b',', fraction)) = rest.split_first() {
        let count = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        let (kept, scale) = (count.min(9), 9 - count.min(9));
        if count == 0 {
            return None;
        }
        nanos = digits(&fraction[..kept])? * 10_i64.pow(u32::try_from(scale).ok()?);
        rest = &fraction[count..];
    }
    let offset = match rest {
        [b'Z'] => 0,
        &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
            if hours > 24 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            if sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    Some((days * DAY + hour * 3600 + minute * 60 + second - offset, nanos))
}

/// A duration as Go prints it: `1h2m3.5s`, `1.5ms`, `0s`.
pub fn duration_text(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    match size {
        0 => out.push_str("0s"),
        1..1_000 => {
            let _ = write!(out, "{size}ns");
        }
        1_000..1_000_000 => push_fraction(&mut out, size, 1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => push_fraction(&mut out, size, 1_000_000, "ms"),
        _ => {
            let seconds = size / 1_000_000_000;
            if seconds >= 3600 {
                let _ = write!(out, "{}h", seconds / 3600);
            }
            if seconds >= 60 {
                let _ = write!(out, "{}m", seconds / 60 % 60);
            }
            push_fraction(&mut out, size % 60_000_000_000, 1_000_000_000, "s");
        }
    }
    out
}

fn push_fraction(out: &mut String, value: u64, unit: u64, name: &str) {
    let _ = write!(out, "{}", value / unit);
    if !value.is_multiple_of(unit) {
        let width = unit.ilog10() as usize;
        let fraction = format!("{:0width$}", value % unit);
        out.push('.');
        out.push_str(fraction.trim_end_matches('0'));
    }
    out.push_str(name);
}

/// Parses a duration as Go does, to nanoseconds; the errors are Go's.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = || goquote::quote(text.as_bytes());
    let invalid = || format!("time: invalid duration {}", quoted());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (value, after) = rest.split_at(number);
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let length = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(length);
        let scale: u64 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", quoted())),
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                let unit = goquote::quote(unit.as_bytes());
                return Err(format!("time: unknown unit {unit} in duration {}", quoted()));
            }
        };
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| invalid())? };
        let part = whole.checked_mul(scale).and_then(|part| part.checked_add(fraction_of(fraction, scale)));
        total =
            part.and_then(|part| total.checked_add(part)).filter(|&t| t <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    match (negative, i64::try_from(total)) {
        (true, _) => Ok(0_i64.wrapping_sub_unsigned(total)),
        (false, Ok(total)) => Ok(total),
        (false, Err(_)) => Err(invalid()),
    }
}

/// What the digits behind the point are worth; digits beyond the eighteenth count for nothing.
fn fraction_of(digits: &str, scale: u64) -> u64 {
    let (mut value, mut unit) = (0_u128, 1_u128);
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        unit *= 10;
    }
    u64::try_from(value * u128::from(scale) / unit).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_printed_and_parsed() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_500_000_000, "1970-01-01T00:00:01.5Z"),
            (951_782_400 * NANOS, "2000-02-29T00:00:00Z"),
            (1_795_253_411 * NANOS + 79_784_404, "2026-11-21T09:30:11.079784404Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ] {
            assert_eq!(rfc3339(Wall(nanos)), text);
            if nanos != i64::MIN {
                assert_eq!(parse_rfc3339(text), Ok(Some(Wall(nanos))), "{text}");
            }
        }
        assert_eq!(rfc3339_at(Wall(1_500_000_000), 19_800), "1970-01-01T05:30:01.5+05:30");
        assert_eq!(rfc3339_at(Wall(0), -3600), "1969-12-31T23:00:00-01:00");
        assert_eq!(parse_rfc3339("1970-01-01T05:30:01.5+05:30"), Ok(Some(Wall(1_500_000_000))));
        assert_eq!(rfc3339_or_zero(None), ZERO_TIME);
        assert_eq!(parse_rfc3339(ZERO_TIME), Ok(None));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00+1:00",
            "3000-01-01T00:00:00Z",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert!(parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_printed() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (245_000_000_000, "4m5s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
            (-1_500_000, "-1.5ms"),
        ] {
            assert_eq!(duration_text(nanos), text);
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn durations_are_parsed_with_gos_errors() {
        for (text, nanos) in [
            ("0", 0),
            ("+5s", 5 * NANOS),
            ("-.5s", -NANOS / 2),
            ("5.s", 5 * NANOS),
            ("1h30m", 5400 * NANOS),
            ("1.5us", 1500),
            ("1\u{3bc}s", 1000),
            ("0.3333333333333333333h", 1_200 * NANOS - 1),
        ] {
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
        }
        for (text, error) in [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            (".s", r#"time: invalid duration ".s""#),
            ("s", r#"time: invalid duration "s""#),
            ("1.2.3s", r#"time: invalid duration "1.2.3s""#),
            ("3", r#"time: missing unit in duration "3""#),
            ("1s3", r#"time: missing unit in duration "1s3""#),
            ("3x", r#"time: unknown unit "x" in duration "3x""#),
            ("5 s", r#"time: unknown unit " s" in duration "5 s""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
            ("3000000h", r#"time: invalid duration "3000000h""#),
        ] {
            assert_eq!(parse_duration(text), Err(error.to_owned()));
        }
        assert_eq!(parse_duration("-9223372036854775808ns"), Ok(i64::MIN));
    }
}
