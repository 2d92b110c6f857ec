//! Six fields that say when: seconds, minutes, hours, days of the month, months, days of the week.
//!
//! A field is a list of `*`, `?`, a value, or a range, each with an optional `/step`. Months and days of the week also have names. When both kinds
//! of day are restricted, either suffices. Times that a change of the clock leaves out do not happen; those it repeats happen twice.

use jiff::Zoned;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use midge_stdx::clock::Wall;

/// Years within which something has to happen.
const HORIZON_YEARS: i16 = 5;
/// Set in a field of days that was not restricted.
const ANY: u64 = 1 << 63;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When: bit *n* of a field stands for the value *n*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

impl Cron {
    /// Reads six fields between blanks.
    pub fn parse(text: &str) -> Option<Cron> {
        let mut fields = text.split_whitespace();
        let cron = Cron {
            seconds: field(fields.next()?, 0, 59, &[], 0)?,
            minutes: field(fields.next()?, 0, 59, &[], 0)?,
            hours: field(fields.next()?, 0, 23, &[], 0)?,
            days: field(fields.next()?, 1, 31, &[], 0)?,
            months: field(fields.next()?, 1, 12, &MONTHS, 1)?,
            weekdays: field(fields.next()?, 0, 6, &WEEKDAYS, 0)?,
        };
        fields.next().is_none().then_some(cron)
    }

    /// The first moment after `after`, on clocks of the zone; nothing when there is none within five years.
    pub fn next(&self, after: Wall, zone: &TimeZone) -> Option<Wall> {
        let second = after.0.div_euclid(1_000_000_000).checked_add(1)?;
        let mut at = jiff::Timestamp::from_second(second).ok()?.to_zoned(zone.clone());
        let last_year = at.year().checked_add(HORIZON_YEARS)?;
        let has = |field: u64, value: i8| field & (1 << value) != 0;
        while at.year() <= last_year {
            at = if !has(self.months, at.month()) {
                first_of_next_month(&at)?
            } else if !self.is_day(&at) {
                start_of(&at.date().tomorrow().ok()?, zone)?
            } else if !has(self.hours, at.hour()) {
                skip(&at, 3600 - i64::from(at.minute()) * 60 - i64::from(at.second()))?
            } else if !has(self.minutes, at.minute()) {
                skip(&at, 60 - i64::from(at.second()))?
            } else if !has(self.seconds, at.second()) {
                skip(&at, 1)?
            } else {
                return i64::try_from(at.timestamp().as_nanosecond()).ok().map(Wall);
            };
        }
        None
    }

    fn is_day(&self, at: &Zoned) -> bool {
        let day = self.days & (1 << at.day()) != 0;
        let weekday = self.weekdays & (1 << at.weekday().to_sunday_zero_offset()) != 0;
        if self.days & ANY != 0 || self.weekdays & ANY != 0 { day && weekday } else { day || weekday }
    }
}

fn skip(at: &Zoned, seconds: i64) -> Option<Zoned> {
    let second = at.timestamp().as_second().checked_add(seconds)?;
    Some(jiff::Timestamp::from_second(second).ok()?.to_zoned(at.time_zone().clone()))
}

fn start_of(date: &jiff::civil::Date, zone: &TimeZone) -> Option<Zoned> {
    // Where the day begins late, its first moment counts.
    date.to_datetime(Time::midnight()).to_zoned(zone.clone()).ok()
}

fn first_of_next_month(at: &Zoned) -> Option<Zoned> {
    start_of(&at.date().last_of_month().tomorrow().ok()?, at.time_zone())
}

fn field(text: &str, low: u32, high: u32, names: &[&str], first: u32) -> Option<u64> {
    text.split(',').try_fold(0, |bits, part| Some(bits | range(part, low, high, names, first)?))
}

/// `*`, `?`, `n`, `n-m`, each with `/step`.
fn range(text: &str, low: u32, high: u32, names: &[&str], first: u32) -> Option<u64> {
    let (span, step) = match text.split_once('/') {
        Some((span, step)) => (span, Some(number(step).filter(|step| *step > 0)?)),
        None => (text, None),
    };
    let value = |text: &str| named(text, names, first).or_else(|| number(text));
    let (from, to, any) = match span.split_once('-') {
        None if span == "*" || span == "?" => (low, high, true),
        None if step.is_some() => (value(span)?, high, false),
        None => (value(span)?, value(span)?, false),
        Some((from, to)) => (value(from)?, value(to)?, false),
    };
    if from < low || to > high || from > to {
        return None;
    }
    let step = step.unwrap_or(1);
    let bits = (from..=to).step_by(step as usize).fold(0, |bits, value| bits | (1 << value));
    Some(if any && step == 1 { bits | ANY } else { bits })
}

fn named(text: &str, names: &[&str], first: u32) -> Option<u32> {
    let at = names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    Some(at as u32 + first)
}

fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() < 9 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use midge_stdx::gotime;

    use super::*;

    fn next(pattern: &str, after: &str, zone: &str) -> Option<String> {
        let zone = TimeZone::get(zone).unwrap();
        let after = gotime::parse_rfc3339(after).unwrap().unwrap();
        Cron::parse(pattern).unwrap().next(after, &zone).map(gotime::rfc3339)
    }

    #[test]
    fn the_next_time_is_the_first_that_fits_every_field() {
        let cases = [
            ("* * * * * *", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:01Z"),
            ("0 */15 * * * *", "2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"),
            ("30 5 4 * * *", "2026-01-01T04:05:30Z", "2026-01-02T04:05:30Z"),
            ("0 0 0 29 feb ?", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 0 1 * mon", "2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z"),
            ("0 0 0 * * 0-6/3", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"),
            ("5,10-12 0 0 1 1 *", "2026-01-01T00:00:10Z", "2026-01-01T00:00:11Z"),
            ("0 0 22/1 * * *", "2026-01-01T22:30:00Z", "2026-01-01T23:00:00Z"),
        ];
        for (pattern, after, want) in cases {
            assert_eq!(next(pattern, after, "UTC").as_deref(), Some(want), "{pattern}");
        }
        assert_eq!(next("0 0 0 30 2 *", "2026-01-01T00:00:00Z", "UTC"), None);
    }

    #[test]
    fn changes_of_the_clock_leave_times_out_or_repeat_them() {
        // In Berlin, 02:30 is left out on 2026-03-29 and happens twice on 2026-10-25.
        assert_eq!(
            next("0 30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin").unwrap(),
            "2026-03-30T00:30:00Z"
        );
        assert_eq!(
            next("0 30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin").unwrap(),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(
            next("0 30 2 * * *", "2026-10-25T00:30:00Z", "Europe/Berlin").unwrap(),
            "2026-10-25T01:30:00Z"
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "* * * * *",
            "* * * * * * *",
            "60 * * * * *",
            "* * 24 * * *",
            "* * * 0 * *",
            "* * * * 13 *",
            "* * * * * 7",
            "5-1 * * * * *",
            "*/0 * * * * *",
            "a * * * * *",
            "1- * * * * *",
            ", * * * * *",
            "1,, * * * * *",
            "*-3 * * * * *",
            "99999999999 * * * * *",
        ] {
            assert_eq!(Cron::parse(bad), None, "{bad}");
        }
    }
}
