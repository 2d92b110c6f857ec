//! JSON text as Go writes it: two-space indentation, escaped angle brackets, shortest numbers.

use std::io;
use std::time::Duration;

use midge_stdx::clock::Wall;
use midge_stdx::{gojson, gotime};
use serde::{Serialize, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};

/// A moment in a document. `None` prints as the zero time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Option<Wall>);

impl Time {
    /// Whether there is none, so that the field is left out.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl From<Wall> for Time {
    fn from(wall: Wall) -> Time {
        Time(Some(wall))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&gotime::rfc3339_or_zero(self.0))
    }
}

/// A duration in a document: nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nanos(pub Duration);

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Whether a field has the value that leaves it out.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The document with two-space indentation and no newline at the end.
pub fn pretty<T: Serialize>(document: &T) -> String {
    written(document, PrettyFormatter::with_indent(b"  "))
}

/// The document on one line.
pub fn compact<T: Serialize>(document: &T) -> String {
    written(document, CompactFormatter)
}

fn written<T: Serialize, F: Formatter>(document: &T, formatter: F) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Go(formatter));
    // Documents have text keys only and are written to memory: nothing here can fail.
    match document.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(out).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// A formatter with Go's strings and numbers; the layout is the inner one's.
struct Go<F>(F);

macro_rules! inner {
    ($($name:ident($($flag:ident)?)),* $(,)?) => {
        $(fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $flag: bool)?) -> io::Result<()> {
            self.0.$name(writer $(, $flag)?)
        })*
    };
}

impl<F: Formatter> Formatter for Go<F> {
    inner!(
        begin_array(),
        end_array(),
        begin_array_value(first),
        end_array_value(),
        begin_object(),
        end_object(),
        begin_object_key(first),
        end_object_key(),
        begin_object_value(),
        end_object_value(),
    );

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        if !gojson::needs_go_escape(text) {
            return writer.write_all(text.as_bytes());
        }
        let mut escaped = String::with_capacity(text.len() + 8);
        gojson::push_escaped(&mut escaped, text);
        writer.write_all(escaped.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(gojson::float_text(value).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sample {
        text: &'static str,
        empty_list: Vec<u8>,
        list: Vec<u8>,
        empty: serde_json::Map<String, serde_json::Value>,
        number: f64,
        whole: f64,
        time: Time,
        none: Time,
        wait: Nanos,
    }

    #[test]
    fn layout_strings_and_numbers_are_gos() {
        let sample = Sample {
            text: "<a> & \"b\"\u{1}\u{2028}",
            empty_list: vec![],
            list: vec![1, 2],
            empty: serde_json::Map::new(),
            number: 0.36,
            whole: 2.0,
            time: Wall(1_500_000_000).into(),
            none: Time(None),
            wait: Nanos(Duration::from_secs(2)),
        };
        let expected = r#"{
  "text": "\u003ca\u003e \u0026 \"b\"\u0001\u2028",
  "empty_list": [],
  "list": [
    1,
    2
  ],
  "empty": {},
  "number": 0.36,
  "whole": 2,
  "time": "1970-01-01T00:00:01.5Z",
  "none": "0001-01-01T00:00:00Z",
  "wait": 2000000000
}"#;
        assert_eq!(pretty(&sample), expected);
        assert!(
            compact(&sample)
                .starts_with(r#"{"text":"\u003ca\u003e \u0026 \"b\"\u0001\u2028","empty_list":[],"#)
        );
    }
}
