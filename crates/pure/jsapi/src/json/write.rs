//! JSON as Go writes it.

use data_encoding::BASE64;
use midge_stdx::clock::Wall;
use midge_stdx::gotime::Civil;
use midge_stdx::{gojson, gotime};

use super::Json;

/// Appends a number.
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number.
pub fn push_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a string with Go's escapes.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let is_plain =
        |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        let mut escaped = String::with_capacity(text.len() + 8);
        gojson::push_escaped(&mut escaped, text);
        out.extend_from_slice(escaped.as_bytes());
    }
    out.push(b'"');
}

/// Appends a string of bytes in base64.
pub fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + BASE64.encode_len(bytes.len()), 0);
    if let Some(place) = out.get_mut(from..) {
        BASE64.encode_mut(bytes, place);
    }
    out.push(b'"');
}

/// Appends a time, the zero time for none.
pub fn push_time(out: &mut Vec<u8>, time: Option<Wall>) {
    out.push(b'"');
    match time {
        Some(time) => push_rfc3339(out, time),
        None => out.extend_from_slice(gotime::ZERO_TIME.as_bytes()),
    }
    out.push(b'"');
}

/// Appends a moment in UTC as headers and documents have it, with as many digits of the second as it needs; nothing is
/// allocated.
pub fn push_rfc3339(out: &mut Vec<u8>, time: Wall) {
    let civil = Civil::new(time, 0);
    let parts = [
        (civil.year.unsigned_abs() as u32, 1000, b'-'),
        (civil.month, 10, b'-'),
        (civil.day, 10, b'T'),
        (civil.hour, 10, b':'),
        (civil.minute, 10, b':'),
        (civil.second, 10, b'.'),
        (civil.nanos, 100_000_000, b'Z'),
    ];
    for (value, mut unit, mark) in parts {
        while unit > 0 {
            out.push(b'0' + (value / unit % 10) as u8);
            unit /= 10;
        }
        if mark == b'Z' {
            while out.pop_if(|last| *last == b'0').is_some() {}
            out.pop_if(|last| *last == b'.');
        }
        out.push(mark);
    }
}

/// An object that is being written.
pub struct Fields<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Fields<'a> {
    /// Opens an object.
    pub fn begin(out: &'a mut Vec<u8>) -> Fields<'a> {
        out.push(b'{');
        Fields { out, is_first: true }
    }

    /// Goes on with an object of which a field is written already.
    pub fn resume(out: &'a mut Vec<u8>) -> Fields<'a> {
        Fields { out, is_first: false }
    }

    /// Writes a field.
    pub fn always<T: Json + ?Sized>(&mut self, key: &str, value: &T) {
        value.encode(self.key(key));
    }

    /// Writes a field that is not empty.
    pub fn omit<T: Json + ?Sized>(&mut self, key: &str, value: &T) {
        if !value.is_absent() {
            self.always(key, value);
        }
    }

    /// Writes a field, `null` when it is empty.
    pub fn nullable<T: Json + ?Sized>(&mut self, key: &str, value: &T) {
        if value.is_absent() {
            self.key(key).extend_from_slice(b"null");
        } else {
            self.always(key, value);
        }
    }

    /// Writes a string unless it is empty.
    pub fn text_omit(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    /// Writes a string.
    pub fn text(&mut self, key: &str, value: &str) {
        push_text(self.key(key), value);
    }

    /// Writes a list, `null` when it is empty.
    pub fn list<T: Json>(&mut self, key: &str, values: &[T]) {
        let out = self.key(key);
        if values.is_empty() {
            return out.extend_from_slice(b"null");
        }
        for (index, value) in values.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            value.encode(out);
        }
        out.push(b']');
    }

    /// Writes a number.
    pub fn number(&mut self, key: &str, value: u64) {
        push_u64(self.key(key), value);
    }

    /// Writes a time, the zero time for none.
    pub fn time(&mut self, key: &str, value: Option<Wall>) {
        push_time(self.key(key), value);
    }

    /// Writes bytes as a string; those that are no UTF-8 become U+FFFD, escaped.
    pub fn lossy(&mut self, key: &str, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(text) => self.text(key, text),
            Err(_) => {
                let mut escaped = String::with_capacity(value.len() + 8);
                gojson::push_bytes(&mut escaped, value);
                self.key(key).extend_from_slice(escaped.as_bytes());
            }
        }
    }

    /// Writes the key of a field; the value has to follow.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        push_text(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_elsewhere() {
        for nanos in [
            0,
            1,
            -1,
            1_500_000_000,
            10_000_000_000,
            951_782_400_000_000_000,
            1_795_253_411_079_784_404,
            1_795_253_400_000_000_100,
            i64::MAX,
            i64::MIN,
        ] {
            let mut out = Vec::new();
            push_rfc3339(&mut out, Wall(nanos));
            assert_eq!(String::from_utf8(out).unwrap(), gotime::rfc3339(Wall(nanos)));
        }
    }

    #[test]
    fn texts_are_escaped_where_they_must() {
        for (text, written) in [
            ("plain text", r#""plain text""#),
            ("a.>", r#""a.\u003e""#),
            ("\"\\<&\u{2028}\n", r#""\"\\\u003c\u0026\u2028\n""#),
            ("\u{e9}\u{7f}", "\"\u{e9}\u{7f}\""),
        ] {
            let mut out = Vec::new();
            push_text(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }
}
