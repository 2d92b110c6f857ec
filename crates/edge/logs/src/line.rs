//! One line of the log.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use midge_stdx::clock::Wall;
use midge_stdx::gotime::Civil;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    fn label(self) -> &'static str {
        match self {
            Level::Trace => "TRC",
            Level::Debug => "DBG",
            Level::Info => "INF",
            Level::Warn => "WRN",
            Level::Error => "ERR",
            Level::Fatal => "FTL",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Level::Trace => "33",
            Level::Debug => "36",
            Level::Info => "32",
            Level::Warn => "0;93",
            Level::Error | Level::Fatal => "31",
        }
    }
}

/// A line before it has a form.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) at: Wall,
    pub(crate) text: String,
}

/// Which clock on the wall is meant.
#[derive(Clone, Debug)]
pub(crate) enum Zone {
    Utc,
    Local(TimeZone),
}

impl Zone {
    /// The zone of the machine: `TZ`, else the system's setting, else UTC.
    pub(crate) fn local() -> Zone {
        local_zone().map_or(Zone::Utc, Zone::Local)
    }

    /// Seconds ahead of UTC.
    pub(crate) fn offset(&self, at: Wall) -> i32 {
        match self {
            Zone::Utc => 0,
            Zone::Local(zone) => jiff::Timestamp::from_nanosecond(i128::from(at.0))
                .map_or(0, |at| zone.to_offset(at).seconds()),
        }
    }

    pub(crate) fn civil(&self, at: Wall) -> Civil {
        Civil::new(at, self.offset(at))
    }
}

/// How lines look.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) pid: u32,
    /// `None` for lines without time.
    pub(crate) zone: Option<Zone>,
    pub(crate) colours: bool,
}

impl Layout {
    /// Appends the line and `ending`.
    pub(crate) fn print(&self, line: &Line, ending: &str, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(line.text.len() + 48);
        let _ = write!(text, "[{}] ", self.pid);
        if let Some(zone) = &self.zone {
            let Civil { year, month, day, hour, minute, second, nanos } = zone.civil(line.at);
            let micros = nanos / 1000;
            let _ =
                write!(text, "{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} ");
        }
        let label = line.level.label();
        let _ = if self.colours {
            write!(text, "[\x1b[{}m{label}\x1b[0m] ", line.level.colour())
        } else {
            write!(text, "[{label}] ")
        };
        text.push_str(&line.text);
        text.push_str(ending);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Makes sure that a text stays one line and cannot steer a terminal: control characters are written as escapes.
pub(crate) fn one_line(mut text: String) -> String {
    let trimmed = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(trimmed);
    let harmless = |c: char| !c.is_control() || c == '\t';
    if text.chars().all(harmless) {
        return text;
    }
    let escape = |c: char| if harmless(c) { c.to_string() } else { c.escape_default().to_string() };
    text.chars().map(escape).collect()
}

/// The zone of the system: what `TZ` names, or else `/etc/localtime`. One file is read; searching the whole zone
/// directory, as a library would, takes longer than the rest of the start.
fn local_zone() -> Option<TimeZone> {
    let name = std::env::var("TZ").ok();
    let path = match name.as_deref().map(|name| name.trim_start_matches(':')) {
        None => "/etc/localtime".to_owned(),
        Some("" | "UTC") => return None,
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(name) if name.contains("..") => return None,
        Some(name) => format!("/usr/share/zoneinfo/{name}"),
    };
    let data = std::fs::read(path).ok()?;
    TimeZone::tzif(name.as_deref().unwrap_or("Local"), &data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(layout: &Layout, level: Level, text: &str) -> String {
        let at = Wall(1_700_000_000_123_456_789);
        let mut out = Vec::new();
        layout.print(&Line { level, at, text: text.to_owned() }, "\n", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_have_process_time_and_level() {
        let mut layout = Layout { pid: 7, zone: Some(Zone::Utc), colours: false };
        for (level, label) in [
            (Level::Trace, "TRC"),
            (Level::Debug, "DBG"),
            (Level::Info, "INF"),
            (Level::Warn, "WRN"),
            (Level::Error, "ERR"),
            (Level::Fatal, "FTL"),
        ] {
            let expected = format!("[7] 2023/11/14 22:13:20.123456 [{label}] hello\n");
            assert_eq!(printed(&layout, level, "hello"), expected);
        }
        layout.zone = None;
        assert_eq!(printed(&layout, Level::Info, "x"), "[7] [INF] x\n");
    }

    #[test]
    fn local_time_follows_the_zone() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let layout = Layout { pid: 1, zone: Some(Zone::Local(zone)), colours: false };
        assert_eq!(printed(&layout, Level::Info, "x"), "[1] 2023/11/14 23:13:20.123456 [INF] x\n");
    }

    #[test]
    fn terminals_get_colours() {
        let layout = Layout { pid: 1, zone: None, colours: true };
        assert_eq!(printed(&layout, Level::Info, "x"), "[1] [\x1b[32mINF\x1b[0m] x\n");
        assert_eq!(printed(&layout, Level::Warn, "x"), "[1] [\x1b[0;93mWRN\x1b[0m] x\n");
        assert_eq!(printed(&layout, Level::Error, "x"), "[1] [\x1b[31mERR\x1b[0m] x\n");
        assert_eq!(printed(&layout, Level::Debug, "x"), "[1] [\x1b[36mDBG\x1b[0m] x\n");
        assert_eq!(printed(&layout, Level::Trace, "x"), "[1] [\x1b[33mTRC\x1b[0m] x\n");
    }

    #[test]
    fn a_text_cannot_forge_a_line() {
        assert_eq!(one_line("plain\ttext é".into()), "plain\ttext é");
        assert_eq!(one_line("ends\r\n".into()), "ends");
        assert_eq!(one_line("a\n[1] [INF] b\u{1b}[2J".into()), "a\\n[1] [INF] b\\u{1b}[2J");
    }
}
