//! Values out of JSON whose syntax has been checked.

use std::borrow::Cow;

use midge_stdx::{gojson, goquote};
use smallvec::SmallVec;

use super::scan::{self, Fault};
use super::{Mode, Object};
use crate::limits::{MAX_LIST_GROWTH, MIN_LIST_ALLOWANCE};

/// The first error of a decoding, which ends it.
#[derive(Debug, PartialEq, Eq)]
pub struct Stop(String);

/// Where a value stands in the one that holds it.
enum Step<'a> {
    /// Under that key of an object, as it is written.
    Key(&'a [u8]),
    /// At that place of an array.
    Index(usize),
}

/// A place in a JSON text.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: SmallVec<[Step<'a>; 8]>,
    root: &'static str,
    mode: Mode,
}

pub(super) fn decode_all<T: Object>(body: &[u8], mode: Mode, value: &mut T) -> Result<(), String> {
    let mut at = scan::skip_white(body, 0);
    while at < body.len() {
        let end = scan::value_end(body, at).map_err(|fault| match fault {
            Fault::End => "unexpected EOF".to_owned(),
            Fault::Syntax { message, offset } => format!("{message} at offset {offset}"),
        })?;
        read_value(body, at, mode, value)?;
        at = scan::skip_white(body, end);
    }
    Ok(())
}

pub(super) fn decode_one<T: Object>(body: &[u8], mode: Mode, value: &mut T) -> Result<(), String> {
    let text = |fault| match fault {
        Fault::End => "unexpected end of JSON input".to_owned(),
        Fault::Syntax { message, .. } => message,
    };
    let end = scan::skip_white(body, scan::value_end(body, 0).map_err(text)?);
    if end < body.len() {
        return Err(text(scan::misplaced(body, end, "after top-level value")));
    }
    read_value(body, 0, mode, value)
}

fn read_value<T: Object>(body: &[u8], at: usize, mode: Mode, value: &mut T) -> Result<(), String> {
    let root = T::GO.strip_prefix("server.").unwrap_or(T::GO);
    let mut reader = Reader { bytes: body, at, path: SmallVec::new(), root, mode };
    reader.object(value, T::GO).map_err(|stop| stop.0)
}

impl<'a> Reader<'a> {
    /// Whether a key names a field, exactly or without regard to case.
    pub fn names(key: &str, field: &str, exact: bool) -> bool {
        if exact { key == field } else { gojson::key_matches(key, field) }
    }

    /// Bytes that one list may take in memory.
    pub(super) fn allowance(&self) -> usize {
        MIN_LIST_ALLOWANCE.max(self.bytes.len().saturating_mul(MAX_LIST_GROWTH))
    }

    /// An error with that text.
    pub(super) fn stop(text: impl Into<String>) -> Stop {
        Stop(text.into())
    }

    /// The error of a value that has the wrong type.
    fn mismatch(&self, found: &str, go: &str) -> Stop {
        let mut text = format!("json: cannot unmarshal {found} into ");
        match self.path.last() {
            None => {
                text.push_str("Go value");
            }
            Some(last) => {
                if let Step::Key(_) = last {
                    text.push_str("Go struct field ");
                }
                text.push_str(self.root);
                for step in &self.path {
                    text.push('.');
                    match step {
                        Step::Key(raw) => {
                            text.push_str(&unescape(raw).replace('~', "~0").replace('/', "~1"));
                        }
                        Step::Index(index) => text.push_str(&index.to_string()),
                    }
                }
            }
        }
        text.push_str(" of type ");
        text.push_str(go);
        Stop(text)
    }

    /// The error of the value at this place, which has another type than `go`.
    pub(super) fn wrong_type(&mut self, go: &str) -> Stop {
        let kind = self.kind();
        self.mismatch(kind, go)
    }

    /// The error of a number that `go` cannot hold.
    pub(super) fn wrong_number(&self, number: &str, go: &str) -> Stop {
        self.mismatch(&format!("number {number}"), go)
    }

    fn peek(&mut self) -> u8 {
        self.at = scan::skip_white(self.bytes, self.at);
        self.bytes.get(self.at).copied().unwrap_or(b' ')
    }

    /// The type of the value at this place.
    pub(super) fn kind(&mut self) -> &'static str {
        match self.peek() {
            b'{' => "object",
            b'[' => "array",
            b'"' => "string",
            b't' | b'f' => "bool",
            b'n' => "null",
            _ => "number",
        }
    }

    /// Takes the value at this place as it is written.
    pub(super) fn raw(&mut self) -> &'a [u8] {
        let from = scan::skip_white(self.bytes, self.at);
        self.at = scan::value_end(self.bytes, from).unwrap_or(self.bytes.len());
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    /// Takes a `null`, if that is what stands here.
    pub(super) fn take_null(&mut self) -> bool {
        let is_null = self.peek() == b'n';
        if is_null {
            self.raw();
        }
        is_null
    }

    /// Takes a string; anything else is an error against the type `go`.
    pub(super) fn text(&mut self, go: &str) -> Result<Cow<'a, str>, Stop> {
        if self.peek() != b'"' {
            return Err(self.wrong_type(go));
        }
        Ok(unescape(self.raw()))
    }

    /// Takes an object's fields into `value`; `null` changes nothing.
    pub fn object<T: Object>(&mut self, value: &mut T, go: &'static str) -> Result<(), Stop> {
        if self.take_null() {
            return Ok(());
        }
        self.members(go, |reader, key| {
            let known = value.decode_field(key, true, reader)? || value.decode_field(key, false, reader)?;
            match reader.mode {
                _ if known => Ok(()),
                Mode::Lenient => {
                    reader.raw();
                    Ok(())
                }
                Mode::Strict => Err(Stop(format!("json: unknown field {}", goquote::quote(key.as_bytes())))),
            }
        })
    }

    /// Takes an object, member by member.
    pub(super) fn members(
        &mut self,
        go: &str,
        mut member: impl FnMut(&mut Reader<'a>, &str) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if self.peek() != b'{' {
            return Err(self.wrong_type(go));
        }
        self.at += 1;
        while self.peek() == b'"' {
            let raw = self.raw();
            // The colon.
            self.at = scan::skip_white(self.bytes, self.at) + 1;
            self.path.push(Step::Key(raw));
            member(self, &unescape(raw))?;
            self.path.pop();
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        // The closing brace.
        self.at += 1;
        Ok(())
    }

    /// Takes an array, element by element.
    pub(super) fn elements(
        &mut self,
        go: &str,
        mut element: impl FnMut(&mut Reader<'a>, usize) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if self.peek() != b'[' {
            return Err(self.wrong_type(go));
        }
        self.at += 1;
        let mut index = 0;
        while !matches!(self.peek(), b']' | b' ') {
            self.path.push(Step::Index(index));
            element(self, index)?;
            self.path.pop();
            index += 1;
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        // The closing bracket.
        self.at += 1;
        Ok(())
    }
}

/// The text of a string as it is written, quotes and all; bytes that are no UTF-8 and halves of surrogate pairs become
/// U+FFFD.
fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains(&b'\\') {
        return String::from_utf8_lossy(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (c, length) = match escape.get(1) {
            Some(b'u') => unit_pair(escape),
            Some(b'b') => ('\x08', 2),
            Some(b'f') => ('\x0c', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            other => (other.map_or('\u{fffd}', |&byte| char::from(byte)), 2),
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The character of one or two `\u` escapes, and their length.
fn unit_pair(escape: &[u8]) -> (char, usize) {
    let Some(first) = unit(escape) else { return ('\u{fffd}', 6) };
    if let Some(c) = char::from_u32(first) {
        return (c, 6);
    }
    let second = escape.get(6..).and_then(unit);
    match (first, second) {
        (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
        }
        _ => ('\u{fffd}', 6),
    }
}

fn unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}
