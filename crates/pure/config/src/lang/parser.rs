//! Tokens to values.

use std::rc::Rc;

use super::includes::Loader;
use super::lexer::Lexer;
use super::tokens::{At, Kind, Token};
use super::values::{Map, Node, Text, Value};
use super::{Error, variables};
use crate::limits::MAX_NESTING;

/// A container that is still open.
pub(super) enum Frame {
    /// A map, the file itself included, and the key whose value comes next.
    Map(Map, Option<(Text, At)>),
    /// An array.
    Array(Vec<Node>),
}

/// The parser of one text.
pub(super) struct Parser<'l, 's> {
    pub(super) loader: &'l mut Loader<'s>,
    pub(super) frames: Vec<Frame>,
    /// The file's name as messages show it.
    name: String,
    /// How many files include this one.
    include_depth: usize,
    file: usize,
    /// The text is a variable's, in a row of this many.
    pub(super) env_depth: usize,
}

impl<'l, 's> Parser<'l, 's> {
    pub(super) fn new(
        loader: &'l mut Loader<'s>,
        name: String,
        file: usize,
        include_depth: usize,
        env_depth: usize,
    ) -> Self {
        let frames = vec![Frame::Map(Map::default(), None)];
        Parser { loader, frames, name, include_depth, file, env_depth }
    }

    pub(super) fn parse(mut self, text: &Rc<[u8]>) -> Result<Map, Error> {
        let mut lexer = Lexer::new(text, self.file);
        loop {
            let token = lexer.next_token().map_err(|error| {
                let text = format!("Parse error on line {}: '{}'", error.line, error.text);
                self.located(text, &error.span)
            })?;
            if token.kind == Kind::End {
                return self.finish(&token);
            }
            self.take(token)?;
        }
    }

    /// The end: fine when everything is closed and no key lacks its value, a lone `}` aside.
    fn finish(mut self, end: &Token) -> Result<Map, Error> {
        if let [Frame::Map(map, pending)] = self.frames.as_mut_slice()
            && pending.as_ref().is_none_or(|(key, _)| key.bytes() == b"}")
        {
            return Ok(std::mem::take(map));
        }
        Err(self.invalid(&end.at))
    }

    fn invalid(&self, at: &At) -> Error {
        let text = format!("config is invalid ({}:{}:{})", self.name, at.line, at.position);
        self.located(text, &at.span)
    }

    /// An error with its bytes, unless they are a variable's: those stand in no file.
    pub(super) fn located(&self, text: String, span: &std::ops::Range<usize>) -> Error {
        Error { text, place: (self.env_depth == 0).then(|| (self.file, span.clone())) }
    }

    fn take(&mut self, token: Token) -> Result<(), Error> {
        let text = || String::from_utf8_lossy(&token.text).into_owned();
        let value = match token.kind {
            Kind::Key => {
                if let Some(Frame::Map(_, pending)) = self.frames.last_mut() {
                    *pending = Some((Text::new(token.text), token.at));
                }
                return Ok(());
            }
            Kind::MapStart => {
                self.frames.push(Frame::Map(Map::default(), None));
                return Ok(());
            }
            Kind::ArrayStart => {
                self.frames.push(Frame::Array(Vec::new()));
                return Ok(());
            }
            Kind::MapEnd | Kind::ArrayEnd => return self.close(&token),
            Kind::Include => return self.include(&token),
            Kind::Variable => return variables::resolve(self, &token),
            Kind::End => return Ok(()),
            Kind::String => Value::String(Text::new(token.text)),
            Kind::Bool => Value::Bool(
                matches!(token.text.first(), Some(b't' | b'T' | b'y' | b'Y'))
                    || token.text.eq_ignore_ascii_case(b"on"),
            ),
            Kind::Integer => integer(&text()).map_err(|why| self.located(why, &token.at.span))?,
            Kind::Float => match text().parse::<f64>() {
                Ok(value) if value.is_finite() => Value::Float(value),
                _ => {
                    let why = format!("float '{}' is out of the range", text());
                    return Err(self.located(why, &token.at.span));
                }
            },
            Kind::Date => {
                let text = text();
                if !is_date(&text) {
                    let why = format!("expected Zulu formatted DateTime, but got '{text}'");
                    return Err(self.located(why, &token.at.span));
                }
                Value::Date(text)
            }
        };
        self.set(value, token.at)
    }

    /// Ends a map or an array and sets it where it stands.
    fn close(&mut self, token: &Token) -> Result<(), Error> {
        let (value, at) = match self.frames.pop() {
            Some(Frame::Map(_, Some((_, at)))) => return Err(self.invalid(&at)),
            Some(Frame::Map(map, None)) => (Value::Map(map), token.at.clone()),
            Some(Frame::Array(nodes)) => (Value::Array(nodes), token.at.clone()),
            None => return Err(self.invalid(&token.at)),
        };
        self.set(value, at)
    }

    /// Sets the value of the pending key, or the next element.
    pub(super) fn set(&mut self, value: Value, at: At) -> Result<(), Error> {
        self.loader.count(1).map_err(|why| self.located(why, &at.span))?;
        match self.frames.last_mut() {
            Some(Frame::Map(map, pending)) => {
                if let Some((key, key_at)) = pending.take() {
                    map.insert(key, Node { value, at: key_at, used: false });
                }
            }
            Some(Frame::Array(nodes)) => nodes.push(Node { value, at, used: false }),
            None => {}
        }
        Ok(())
    }

    /// Whether so many levels fit into the open containers.
    pub(super) fn check_depth(&self, levels: usize, at: &At) -> Result<(), Error> {
        if self.frames.len().saturating_add(levels) > MAX_NESTING {
            let why = format!("Maps and arrays are nested more than {MAX_NESTING} levels deep");
            return Err(self.located(why, &at.span));
        }
        Ok(())
    }

    fn include(&mut self, token: &Token) -> Result<(), Error> {
        let path = String::from_utf8_lossy(&token.text).into_owned();
        let map = self.loader.include(&self.name, &path, self.include_depth).map_err(|error| Error {
            text: format!("error parsing include file '{path}', {}", error.text),
            place: error.place.or_else(|| self.located(String::new(), &token.at.span).place),
        })?;
        for (key, node) in map.into_entries() {
            let (_, levels) = node.value.measure();
            self.check_depth(levels, &token.at)?;
            if let Some(Frame::Map(into, _)) = self.frames.last_mut() {
                into.insert(key, node);
            }
        }
        Ok(())
    }
}

/// An integer with its suffix.
fn integer(text: &str) -> Result<Value, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits_end);
    let out_of_range = || format!("integer '{text}' is out of the range");
    let number: i64 = digits.parse().map_err(|_| out_of_range())?;
    let suffix = suffix.to_ascii_lowercase();
    let mut letters = suffix.chars();
    let power = match letters.next() {
        None => return Ok(Value::Integer(number)),
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some('p') => 5,
        _ => 6,
    };
    let unit: i64 = match letters.as_str() {
        "" => 1000_i64.pow(power),
        "b" | "i" | "ib" => 1024_i64.pow(power),
        _ => return Err(format!("integer '{text}' has an unknown suffix")),
    };
    number.checked_mul(unit).map(Value::Integer).ok_or_else(out_of_range)
}

/// Whether a text of the form of a date is one.
fn is_date(text: &str) -> bool {
    let field = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (field(0, 4), field(5, 7), field(8, 10)) else {
        return false;
    };
    let (Some(hour), Some(minute), Some(second)) = (field(11, 13), field(14, 16), field(17, 19)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60
}
