//! A cursor over bytes that reads characters and knows lines.

use std::ops::Range;

/// Reads a text character by character; the end, and a NUL byte, read as `'\0'`.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    position: usize,
    previous: usize,
    /// Offsets of every newline.
    newlines: Vec<usize>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let newlines = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n).collect();
        Cursor { text, position: 0, previous: 0, newlines }
    }

    /// The offset of the next character.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The offset of the last character read.
    pub(super) fn previous(&self) -> usize {
        self.previous.min(self.position)
    }

    pub(super) fn slice(&self, span: Range<usize>) -> &'a [u8] {
        self.text.get(span).unwrap_or_default()
    }

    /// Reads a character; bytes that are no UTF-8 read one by one as U+FFFD.
    pub(super) fn next(&mut self) -> char {
        let (c, width) = self.decode();
        self.previous = self.position;
        self.position += width;
        c
    }

    pub(super) fn peek(&self) -> char {
        self.decode().0
    }

    /// Returns to an offset that [`Cursor::position`] answered.
    pub(super) fn back_to(&mut self, position: usize) {
        self.position = position.min(self.text.len());
    }

    fn decode(&self) -> (char, usize) {
        let Some(&first) = self.text.get(self.position) else { return ('\0', 0) };
        if first.is_ascii() {
            return (char::from(first), 1);
        }
        let end = self.position.saturating_add(4).min(self.text.len());
        let window = self.text.get(self.position..end).unwrap_or_default();
        let valid = match std::str::from_utf8(window) {
            Ok(text) => text,
            Err(error) => {
                std::str::from_utf8(window.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or("")
            }
        };
        match valid.chars().next() {
            Some(c) => (c, c.len_utf8()),
            None => (char::REPLACEMENT_CHARACTER, 1),
        }
    }

    /// Skips spaces and newlines of every kind.
    pub(super) fn skip_space(&mut self) {
        while self.peek().is_whitespace() {
            self.next();
        }
    }

    /// Skips spaces and tabs.
    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), ' ' | '\t') {
            self.next();
        }
    }

    /// Skips to the end of the line, which stays.
    pub(super) fn skip_comment(&mut self) {
        while !matches!(self.peek(), '\n' | '\r' | '\0') {
            self.next();
        }
    }

    /// The line of an offset, from 1.
    pub(super) fn line_at(&self, offset: usize) -> u32 {
        let before = self.newlines.partition_point(|&newline| newline < offset);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Where the line of an offset is counted from: the newline before it, or the start of the text.
    pub(super) fn line_mark(&self, offset: usize) -> i64 {
        let before = self.newlines.partition_point(|&newline| newline < offset);
        let mark = before.checked_sub(1).and_then(|n| self.newlines.get(n)).copied().unwrap_or(0);
        i64::try_from(mark).unwrap_or(i64::MAX)
    }
}
