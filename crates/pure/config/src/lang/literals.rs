//! The lexer's texts, numbers and dates.

use super::lexer::{Lexed, Lexer, shown};
use super::tokens::{Kind, LexError};

impl Lexer<'_> {
    // Texts.

    pub(super) fn single_quoted(&mut self) -> Lexed {
        let start = self.cursor.position();
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                '\'' => return Ok(self.slice_token(Kind::String, start..before)),
                '\0' => return self.end_or_error(start),
                _ => {}
            }
        }
    }

    pub(super) fn double_quoted(&mut self) -> Lexed {
        let start = self.cursor.position();
        let mut text = Vec::new();
        let mut part = start;
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                '\\' => {
                    text.extend_from_slice(self.cursor.slice(part..before));
                    text.push(self.escape()?);
                    part = self.cursor.position();
                }
                '"' => {
                    text.extend_from_slice(self.cursor.slice(part..before));
                    return Ok(self.token(Kind::String, start..before, text));
                }
                // Right behind an escape the text that counts is empty, and the end is no surprise.
                '\0' => return self.end_or_error(part),
                _ => {}
            }
        }
    }

    /// Text without quotes, a boolean word or a reference. `start` may lie before the cursor.
    pub(super) fn bare_string(&mut self, start: usize) -> Lexed {
        let mut text = Vec::new();
        let mut part = start;
        let mut escaped = false;
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                '\\' => {
                    text.extend_from_slice(self.cursor.slice(part..before));
                    text.push(self.escape()?);
                    part = self.cursor.position();
                    escaped = true;
                }
                '\n' | '\r' | '\0' | ';' | ',' | ']' | '}' | ' ' | '\t' => {
                    self.cursor.back_to(before);
                    text.extend_from_slice(self.cursor.slice(part..before));
                    let kind = if escaped { Kind::String } else { bare_kind(&text) };
                    return Ok(match kind {
                        Kind::Variable => self.slice_token(kind, start.saturating_add(1)..before),
                        kind => self.token(kind, start..before, text),
                    });
                }
                '\'' => {
                    text.extend_from_slice(self.cursor.slice(part..before));
                    return Ok(self.token(Kind::String, start..before, text));
                }
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<u8, LexError> {
        match self.cursor.next() {
            't' => Ok(b'\t'),
            'n' => Ok(b'\n'),
            'r' => Ok(b'\r'),
            '"' => Ok(b'"'),
            '\\' => Ok(b'\\'),
            'x' => self.hex_escape(),
            c => Err(self.error(format!(
                "Invalid escape character '{}'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.",
                shown(c)
            ))),
        }
    }

    fn hex_escape(&mut self) -> Result<u8, LexError> {
        for _ in 0..2 {
            if matches!(self.cursor.next(), '\n' | '\r') {
                return Err(self.error("Expected two hexadecimal digits after '\\x', but hit end of line"));
            }
        }
        let end = self.cursor.position();
        let digits = self.cursor.slice(end.saturating_sub(2)..end);
        let value = std::str::from_utf8(digits).ok().and_then(|digits| {
            digits
                .bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then(|| u8::from_str_radix(digits, 16).ok())
                .flatten()
        });
        value.ok_or_else(|| {
            let got = String::from_utf8_lossy(digits);
            self.error(format!("Expected two hexadecimal digits after '\\x', but got '{got}'"))
        })
    }

    /// `(` … `)`, verbatim; the closing one stands alone on its line.
    pub(super) fn block_string(&mut self) -> Lexed {
        let start = self.cursor.position();
        let mut previous = '(';
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                ')' if previous == '\n' => match self.cursor.peek() {
                    '\n' => return Ok(self.slice_token(Kind::String, start..before)),
                    // At the end of the text the bracket belongs to the string: files depend on the digest.
                    '\0' => return Ok(self.slice_token(Kind::String, start..self.cursor.position())),
                    _ => previous = ')',
                },
                '\0' => return Err(self.error("Unexpected EOF processing block.")),
                c => previous = c,
            }
        }
    }

    // Numbers.

    pub(super) fn number(&mut self, start: usize) -> Lexed {
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                '-' if self.cursor.position() - start == 5 => return self.date(start),
                '-' => return Err(self.error("All ISO8601 dates must be in full Zulu form.")),
                '.' => return self.fraction(start),
                c if is_number_suffix(c) => return self.suffixed(start),
                c if c.is_ascii_digit() => {}
                c if ends_number(c) || c == ']' => {
                    self.cursor.back_to(before);
                    return Ok(self.slice_token(Kind::Integer, start..before));
                }
                _ => return self.bare_string(start),
            }
        }
    }

    pub(super) fn negative_number(&mut self, start: usize) -> Lexed {
        self.digit()?;
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                c if c.is_ascii_digit() => {}
                '.' => return self.fraction(start),
                c if is_number_suffix(c) => return self.suffixed(start),
                _ => {
                    self.cursor.back_to(before);
                    return Ok(self.slice_token(Kind::Integer, start..before));
                }
            }
        }
    }

    fn digit(&mut self) -> Result<(), LexError> {
        match self.cursor.next() {
            c if c.is_ascii_digit() => Ok(()),
            '.' => Err(self.error("Floats must start with a digit, not '.'.")),
            c => Err(self.error(format!("Expected a digit but got '{}'.", shown(c)))),
        }
    }

    /// Behind a suffix letter: `b` and `i`, then the end of the number or the rest of a string.
    fn suffixed(&mut self, start: usize) -> Lexed {
        while matches!(self.cursor.peek(), 'b' | 'B' | 'i' | 'I') {
            self.cursor.next();
        }
        if ends_number(self.cursor.peek()) {
            let end = self.cursor.position();
            return Ok(self.slice_token(Kind::Integer, start..end));
        }
        self.bare_string(start)
    }

    fn fraction(&mut self, start: usize) -> Lexed {
        let c = self.cursor.next();
        if !c.is_ascii_digit() {
            let got = shown(c);
            return Err(
                self.error(format!("Floats must have a digit after the '.', but got '{got}' instead."))
            );
        }
        while self.cursor.peek().is_ascii_digit() {
            self.cursor.next();
        }
        let mut kind = Kind::Float;
        if self.cursor.peek() == '.' {
            kind = Kind::String;
            while matches!(self.cursor.peek(), '0'..='9' | '.' | ':' | '-') {
                self.cursor.next();
            }
        }
        let end = self.cursor.position();
        Ok(self.slice_token(kind, start..end))
    }

    fn date(&mut self, start: usize) -> Lexed {
        for expected in "00-00T00:00:00Z".chars() {
            match (expected, self.cursor.next()) {
                ('0', c) if c.is_ascii_digit() => {}
                ('0', c) => {
                    let got = shown(c);
                    return Err(
                        self.error(format!("Expected digit in ISO8601 datetime, but found '{got}' instead."))
                    );
                }
                (expected, c) if c == expected => {}
                (expected, c) => {
                    let got = shown(c);
                    return Err(self.error(format!(
                        "Expected '{expected}' in ISO8601 datetime, but found '{got}' instead."
                    )));
                }
            }
        }
        let end = self.cursor.position();
        Ok(self.slice_token(Kind::Date, start..end))
    }
}

fn bare_kind(text: &[u8]) -> Kind {
    const WORDS: [&[u8]; 6] = [b"true", b"false", b"on", b"off", b"yes", b"no"];
    if WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        Kind::Bool
    } else if text.first() == Some(&b'$') {
        Kind::Variable
    } else {
        Kind::String
    }
}

fn is_number_suffix(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

fn ends_number(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\0' | '}' | ';' | ',' | ' ' | '\t')
}
