//! `Nats-Schedule`: once at a time, at intervals, or by the calendar.

use jiff::tz::TimeZone;
use midge_stdx::clock::Wall;
use midge_stdx::gotime;

use super::cron::Cron;

const SECOND_NS: i64 = 1_000_000_000;

/// When a scheduled message is published.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Once.
    At(Wall),
    /// At intervals of nanoseconds, at least a second.
    Every(i64),
    /// Whenever a clock of the zone shows one of these times.
    Cron(Cron, TimeZone),
}

/// Why a pattern is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPattern {
    /// It is none, or never happens.
    Pattern,
    /// The time zone is not known.
    Zone,
}

impl Pattern {
    /// Reads a pattern and, if there is one, the name of the time zone.
    ///
    /// # Errors
    /// See [`BadPattern`]; a zone is permitted with calendars only.
    pub fn parse(pattern: &[u8], zone: Option<&[u8]>) -> Result<Pattern, BadPattern> {
        let text = std::str::from_utf8(pattern).map_err(|_| BadPattern::Pattern)?;
        let plain = |found: Option<Pattern>| match zone {
            Some(_) => Err(BadPattern::Pattern),
            None => found.ok_or(BadPattern::Pattern),
        };
        if let Some(time) = text.strip_prefix("@at ") {
            return plain(gotime::parse_rfc3339(time).ok().flatten().map(Pattern::At));
        }
        if let Some(interval) = text.strip_prefix("@every ") {
            let interval_ns = gotime::parse_duration(interval).ok().filter(|ns| *ns >= SECOND_NS);
            return plain(interval_ns.map(Pattern::Every));
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            other => other,
        };
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => named_zone(name).ok_or(BadPattern::Zone)?,
        };
        Cron::parse(fields).map(|cron| Pattern::Cron(cron, zone)).ok_or(BadPattern::Pattern)
    }

    /// Whether it happens more than once.
    pub fn repeats(&self) -> bool {
        !matches!(self, Pattern::At(_))
    }

    /// When it happens first, of a message stored at `stored`; nothing when it never does.
    pub fn first(&self, stored: Wall) -> Option<Wall> {
        match self {
            Pattern::At(time) => Some(*time),
            Pattern::Every(interval_ns) => rounded(stored).checked_add(*interval_ns).map(Wall),
            Pattern::Cron(cron, zone) => cron.next(stored, zone),
        }
    }

    /// When it happens next after having happened, at `now` or before: what was missed in between is not made up for.
    pub fn after(&self, now: Wall) -> Option<Wall> {
        if self.repeats() { self.first(now) } else { None }
    }

    /// When it happens next if nothing but the time of its message is known. Intervals keep their beat.
    pub fn resumed(&self, stored: Wall, now: Wall) -> Option<Wall> {
        match self {
            Pattern::At(time) => Some(*time),
            Pattern::Cron(cron, zone) => cron.next(Wall(stored.0.max(now.0)), zone),
            Pattern::Every(interval_ns) => {
                let base = rounded(stored);
                let beats = now.0.saturating_sub(base).max(0) / interval_ns + 1;
                base.checked_add(beats.checked_mul(*interval_ns)?).map(Wall)
            }
        }
    }
}

/// To the nearest second.
fn rounded(time: Wall) -> i64 {
    (time.0.saturating_add(SECOND_NS / 2)).div_euclid(SECOND_NS).saturating_mul(SECOND_NS)
}

/// A zone by its name, written as in the database.
fn named_zone(name: &[u8]) -> Option<TimeZone> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    let zone = TimeZone::get(name).ok()?;
    let exact = name == "UTC" || zone.iana_name() == Some(name);
    exact.then_some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Pattern, BadPattern> {
        Pattern::parse(text.as_bytes(), None)
    }

    fn wall(text: &str) -> Wall {
        gotime::parse_rfc3339(text).unwrap().unwrap()
    }

    #[test]
    fn patterns_say_when() {
        let stored = wall("2026-03-01T10:20:30.4Z");
        let first = |text: &str| gotime::rfc3339(parse(text).unwrap().first(stored).unwrap());
        assert_eq!(first("@at 2027-01-01T00:00:00+01:00"), "2026-12-31T23:00:00Z");
        assert_eq!(first("@every 1m30s"), "2026-03-01T10:22:00Z");
        assert_eq!(first("@yearly"), "2027-01-01T00:00:00Z");
        assert_eq!(first("@monthly"), "2026-04-01T00:00:00Z");
        assert_eq!(first("@weekly"), "2026-03-08T00:00:00Z");
        assert_eq!(first("@midnight"), "2026-03-02T00:00:00Z");
        assert_eq!(first("@hourly"), "2026-03-01T11:00:00Z");
        assert_eq!(parse("@at 2027-01-01T00:00:00Z").unwrap().after(stored), None);
    }

    #[test]
    fn after_a_pause_intervals_keep_their_beat() {
        let every = parse("@every 10s").unwrap();
        let (stored, now) = (wall("2026-03-01T10:00:00Z"), wall("2026-03-01T10:07:03Z"));
        assert_eq!(every.resumed(stored, now), Some(wall("2026-03-01T10:07:10Z")));
        assert_eq!(every.resumed(stored, stored), Some(wall("2026-03-01T10:00:10Z")));
    }

    #[test]
    fn bad_patterns_and_zones_are_told_apart() {
        for bad in ["", "@at", "@at tomorrow", "@every 500ms", "@every 1", "@never", "@every -1s", "0 0 * *"]
        {
            assert_eq!(parse(bad).unwrap_err(), BadPattern::Pattern, "{bad}");
        }
        let zoned = |text: &str, zone: &str| Pattern::parse(text.as_bytes(), Some(zone.as_bytes())).err();
        assert_eq!(zoned("@daily", "America/New_York"), None);
        assert_eq!(zoned("@daily", "Nowhere"), Some(BadPattern::Zone));
        assert_eq!(zoned("@daily", "europe/berlin"), Some(BadPattern::Zone));
        assert_eq!(zoned("@daily", ""), Some(BadPattern::Zone));
        assert_eq!(zoned("@every 5s", "UTC"), Some(BadPattern::Pattern));
    }
}
