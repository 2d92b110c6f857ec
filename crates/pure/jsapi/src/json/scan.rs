//! The syntax of JSON, checked before anything is taken from it.
//!
//! Nothing recurses: what is open is kept in a list of at most [`MAX_DEPTH`] entries.

use midge_stdx::goquote;
use smallvec::SmallVec;

use crate::limits::MAX_DEPTH;

/// What is open: objects (true) and arrays (false).
type Open = SmallVec<[bool; 16]>;

/// Why a text is no JSON value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends too early.
    End,
    /// Something is out of place.
    Syntax {
        /// What, as Go says it.
        message: String,
        /// The bytes up to and with it.
        offset: usize,
    },
}

/// The first place from `at` on that is not white.
pub(super) fn skip_white(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// The end of the value that begins at `at`, white space before it allowed.
pub(super) fn value_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut at = at;
    let mut open = Open::new();
    loop {
        at = skip_white(bytes, at);
        match bytes.get(at).ok_or(Fault::End)? {
            &opening @ (b'{' | b'[') => {
                let is_object = opening == b'{';
                if open.len() == MAX_DEPTH {
                    return Err(Fault::Syntax { message: "exceeded max depth".to_owned(), offset: at + 1 });
                }
                at = skip_white(bytes, at + 1);
                let closing = if is_object { b'}' } else { b']' };
                if *bytes.get(at).ok_or(Fault::End)? != closing {
                    open.push(is_object);
                    if is_object {
                        at = key_end(bytes, at)?;
                    }
                    continue;
                }
                at += 1;
            }
            b'"' => at = string_end(bytes, at)?,
            b't' => at = literal_end(bytes, at, "true")?,
            b'f' => at = literal_end(bytes, at, "false")?,
            b'n' => at = literal_end(bytes, at, "null")?,
            b'-' | b'0'..=b'9' => at = number_end(bytes, at)?,
            _ => return Err(misplaced(bytes, at, "looking for beginning of value")),
        }
        match behind_value(bytes, at, &mut open)? {
            Behind::Value(next) => at = next,
            Behind::Nothing(end) => return Ok(end),
        }
    }
}

enum Behind {
    /// Another value is due.
    Value(usize),
    /// Everything is closed.
    Nothing(usize),
}

/// Reads what may stand behind a value: commas, the next key, and closing brackets.
fn behind_value(bytes: &[u8], mut at: usize, open: &mut Open) -> Result<Behind, Fault> {
    while let Some(&is_object) = open.last() {
        at = skip_white(bytes, at);
        match (bytes.get(at).ok_or(Fault::End)?, is_object) {
            (b',', true) => return key_end(bytes, skip_white(bytes, at + 1)).map(Behind::Value),
            (b',', false) => return Ok(Behind::Value(at + 1)),
            (b'}', true) | (b']', false) => {
                open.pop();
                at += 1;
            }
            (_, true) => return Err(misplaced(bytes, at, "after object key:value pair")),
            (_, false) => return Err(misplaced(bytes, at, "after array element")),
        }
    }
    Ok(Behind::Nothing(at))
}

/// The place behind a key and its colon.
fn key_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    if *bytes.get(at).ok_or(Fault::End)? != b'"' {
        return Err(misplaced(bytes, at, "looking for beginning of object key string"));
    }
    let at = skip_white(bytes, string_end(bytes, at)?);
    match bytes.get(at).ok_or(Fault::End)? {
        b':' => Ok(at + 1),
        _ => Err(misplaced(bytes, at, "after object key")),
    }
}

fn literal_end(bytes: &[u8], at: usize, literal: &str) -> Result<usize, Fault> {
    for (n, expected) in literal.bytes().enumerate() {
        if *bytes.get(at + n).ok_or(Fault::End)? != expected {
            let place = format!("in literal {literal} (expecting '{}')", char::from(expected));
            return Err(misplaced(bytes, at + n, &place));
        }
    }
    Ok(at + literal.len())
}

fn number_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut at = at + usize::from(bytes.get(at) == Some(&b'-'));
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits_end(bytes, at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits_end(bytes, at)?;
    }
    Ok(at)
}

/// The end of at least one digit.
fn digits_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
        0 if rest.is_empty() => Err(Fault::End),
        0 => Err(misplaced(bytes, at, "in numeric literal")),
        count => Ok(at + count),
    }
}

/// The place behind the closing quote of the string whose opening quote is at `at`.
pub(super) fn string_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut at = at + 1;
    loop {
        match bytes.get(at).ok_or(Fault::End)? {
            b'"' => return Ok(at + 1),
            b'\\' => at += escape_len(bytes, at)?,
            0..=0x1f => return Err(misplaced(bytes, at, "in string")),
            _ => at += 1,
        }
    }
}

/// The length of the escape that begins at `at`.
fn escape_len(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let bad = |length: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        let text = rest.get(..length).unwrap_or(rest);
        let message = format!("invalid escape sequence {} in string", quote_text(text));
        Err(Fault::Syntax { message, offset: at + text.len() })
    };
    match bytes.get(at + 1).ok_or(Fault::End)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(2),
        b'u' => {
            for n in 2..6 {
                if !bytes.get(at + n).ok_or(Fault::End)?.is_ascii_hexdigit() {
                    return bad(6);
                }
            }
            Ok(6)
        }
        _ => bad(2),
    }
}

/// A text between backquotes where that shows it as it is, else quoted with escapes.
fn quote_text(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(plain)
            if !plain
                .chars()
                .any(|c| matches!(c, '\0'..='\x1f' | '`' | '\x7f' | '\u{feff}') && c != '\t') =>
        {
            format!("`{plain}`")
        }
        _ => goquote::quote(text),
    }
}

/// The fault of the character at `at`, which stands where it must not.
pub(super) fn misplaced(bytes: &[u8], at: usize, place: &str) -> Fault {
    let rest = bytes.get(at..).unwrap_or_default();
    let head = rest.get(..4).unwrap_or(rest);
    // The first character, or the first byte where there is no character.
    let length = match head.utf8_chunks().next() {
        Some(chunk) => chunk.valid().chars().next().map_or(1, char::len_utf8),
        None => 0,
    };
    let text = rest.get(..length).unwrap_or_default();
    let shown = match text {
        b"\"" => "\"".to_owned(),
        b"'" => "\\'".to_owned(),
        _ => goquote::quote(text).trim_matches('"').to_owned(),
    };
    Fault::Syntax { message: format!("invalid character '{shown}' {place}"), offset: at + length }
}
