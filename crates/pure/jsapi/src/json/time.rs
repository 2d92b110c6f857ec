//! Times in requests, with the errors of Go.

use std::borrow::Cow;

use midge_stdx::clock::Wall;
use midge_stdx::gotime;

/// What the texts of errors call the layout of a time.
const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";

/// Reads RFC 3339 as Go does: an hour may have one digit, an offset may have 24 hours and 60 minutes. The zero time is
/// `None`; times before 1678 and after 2261 become the nearest that nanoseconds can say.
pub(super) fn parse(text: &str) -> Result<Option<Wall>, String> {
    if text == gotime::ZERO_TIME {
        return Ok(None);
    }
    let mut parser = Parser { text: text.as_bytes(), rest: text.as_bytes() };
    parser.time().map(Some)
}

struct Parser<'a> {
    text: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn time(&mut self) -> Result<Wall, String> {
        let year = self.number(4, "2006")?;
        self.mark(b'-', "-")?;
        let month = self.number(2, "01")?;
        self.within(month, 1..=12, "month")?;
        self.mark(b'-', "-")?;
        let day = self.number(2, "02")?;
        self.mark(b'T', "T")?;
        // One digit is enough for an hour.
        let one_digit = !matches!(self.rest, [b'0'..=b'9', b'0'..=b'9', ..]);
        let hour = self.number(if one_digit { 1 } else { 2 }, "15")?;
        self.within(hour, 0..=23, "hour")?;
        self.mark(b':', ":")?;
        let minute = self.number(2, "04")?;
        self.within(minute, 0..=59, "minute")?;
        self.mark(b':', ":")?;
        let second = self.number(2, "05")?;
        self.within(second, 0..=59, "second")?;
        let nanos = self.fraction();
        let offset_seconds = self.zone()?;
        if !self.rest.is_empty() {
            return Err(format!("parsing time {}: extra text: {}", quote(self.text), quote(self.rest)));
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_of_month = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap),
            _ => 31,
        };
        self.within(day, 1..=days_of_month, "day")?;
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_seconds;
        let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let nearest = total.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Ok(Wall(i64::try_from(nearest).unwrap_or_default()))
    }

    fn mismatch(&self, element: &str) -> String {
        let (text, rest) = (quote(self.text), quote(self.rest));
        format!("parsing time {text} as \"{LAYOUT}\": cannot parse {rest} as \"{element}\"")
    }

    fn within(&self, value: i64, range: std::ops::RangeInclusive<i64>, what: &str) -> Result<(), String> {
        if range.contains(&value) {
            return Ok(());
        }
        Err(format!("parsing time {}: {what} out of range", quote(self.text)))
    }

    fn number(&mut self, digits: usize, element: &str) -> Result<i64, String> {
        let Some((head, rest)) = self.rest.split_at_checked(digits) else {
            return Err(self.mismatch(element));
        };
        let value = number_of(head).ok_or_else(|| self.mismatch(element))?;
        self.rest = rest;
        Ok(value)
    }

    fn mark(&mut self, mark: u8, element: &str) -> Result<(), String> {
        match self.rest.split_first() {
            Some((&first, rest)) if first == mark => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(self.mismatch(element)),
        }
    }

    /// The nanoseconds behind a point or comma; digits beyond the ninth count for nothing.
    fn fraction(&mut self) -> i64 {
        let [b'.' | b',', digits @ ..] = self.rest else { return 0 };
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return 0;
        }
        let (digits, rest) = digits.split_at_checked(count).unwrap_or((digits, &[]));
        self.rest = rest;
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
        padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
    }

    fn zone(&mut self) -> Result<i64, String> {
        if let [b'Z', rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(0);
        }
        let &[sign, h1, h2, b':', m1, m2, ref rest @ ..] = self.rest else {
            return Err(self.mismatch("Z07:00"));
        };
        let (Some(hours), Some(minutes)) = (number_of(&[h1, h2]), number_of(&[m1, m2])) else {
            return Err(self.mismatch("Z07:00"));
        };
        let direction = match sign {
            b'+' => 1,
            b'-' => -1,
            _ => return Err(self.mismatch("Z07:00")),
        };
        self.within(hours, 0..=24, "time zone offset hour")?;
        self.within(minutes, 0..=60, "time zone offset minute")?;
        self.rest = rest;
        Ok(direction * (hours * 3600 + minutes * 60))
    }
}

fn number_of(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n: i64, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// Days since 1970: counted in eras of 400 years that begin on a first of March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Quotes as errors about times do: what is not printable ASCII is shown byte by byte.
fn quote(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for &byte in text {
        let shown: Cow<'_, str> = match byte {
            b'"' | b'\\' => format!("\\{}", char::from(byte)).into(),
            b' '..=b'~' | 0x7f => char::from(byte).to_string().into(),
            _ => format!("\\x{byte:02x}").into(),
        };
        out.push_str(&shown);
    }
    out.push('"');
    out
}
