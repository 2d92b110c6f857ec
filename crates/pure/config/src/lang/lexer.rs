//! Bytes to tokens.
//!
//! What a byte means depends on where it stands, so the lexer keeps the open containers and whether a key, a value
//! or the end of a value comes next. It is asked for one token at a time; the parser therefore reports a bad
//! reference before the lexer reports what follows it. A NUL byte reads like the end of the text.

use std::ops::Range;

use super::scan::Cursor;
use super::tokens::{At, Kind, LexError, Token};
use crate::limits::MAX_NESTING;

/// What holds the keys or elements that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The file itself.
    Top,
    /// Braces around a file's keys.
    Block,
    /// A map value.
    Map,
    /// An array value.
    Array,
}

/// What may come next inside the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A key, an element, or the end of the scope.
    Item,
    /// What follows a key.
    Value,
    /// A separator, or the end of the scope.
    After,
    /// The closing brace of a block whose last value has ended.
    BlockEnd,
}

/// The lexer of one text.
pub struct Lexer<'a> {
    pub(super) cursor: Cursor<'a>,
    file: usize,
    scopes: Vec<Scope>,
    stage: Stage,
}

pub(super) type Lexed = Result<Token, LexError>;

impl<'a> Lexer<'a> {
    /// Starts at the first byte. `file` is copied into every [`At`].
    pub fn new(text: &'a [u8], file: usize) -> Self {
        Lexer { cursor: Cursor::new(text), file, scopes: Vec::new(), stage: Stage::Item }
    }

    fn scope(&self) -> Scope {
        self.scopes.last().copied().unwrap_or(Scope::Top)
    }

    /// The next token; after [`Kind::End`] it is the end again.
    pub fn next_token(&mut self) -> Lexed {
        loop {
            let token = match (self.stage, self.scope()) {
                (Stage::Item, Scope::Top | Scope::Block) => self.top_item()?,
                (Stage::Item, Scope::Map) => self.map_item()?,
                (Stage::Item, Scope::Array) => self.array_item()?,
                (Stage::Value, scope) => self.key_value(scope)?,
                (Stage::After, Scope::Top) => self.after_top_value()?,
                (Stage::After, Scope::Block) => self.after_block_value()?,
                (Stage::After, Scope::Map) => self.after_map_value()?,
                (Stage::After, Scope::Array) => self.after_array_value()?,
                (Stage::BlockEnd, _) => self.block_end()?,
            };
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    // Tokens and errors.

    pub(super) fn token(&self, kind: Kind, span: Range<usize>, text: Vec<u8>) -> Token {
        // The position is counted back from the end, so escapes, shorter as text than as source, move it.
        let mark = self.cursor.line_mark(span.start);
        let position = as_i64(span.end) - mark - as_i64(text.len());
        Token { kind, text, at: At { file: self.file, line: self.cursor.line_at(span.end), position, span } }
    }

    pub(super) fn slice_token(&self, kind: Kind, span: Range<usize>) -> Token {
        let text = self.cursor.slice(span.clone()).to_vec();
        self.token(kind, span, text)
    }

    pub(super) fn error(&self, text: impl Into<String>) -> LexError {
        let end = self.cursor.position();
        LexError { text: text.into(), line: self.cursor.line_at(end), span: self.cursor.previous()..end }
    }

    pub(super) fn end_or_error(&mut self, start: usize) -> Lexed {
        if self.cursor.position() > start {
            return Err(self.error("Unexpected EOF."));
        }
        Ok(self.slice_token(Kind::End, start..start))
    }

    fn open(&mut self, scope: Scope) -> Result<(), LexError> {
        if self.scopes.len() >= MAX_NESTING {
            return Err(self.error(format!("Maps and arrays are nested more than {MAX_NESTING} levels deep")));
        }
        self.scopes.push(scope);
        self.stage = Stage::Item;
        Ok(())
    }

    // Where keys may stand.

    fn top_item(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_space();
        let start = self.cursor.position();
        match self.cursor.next() {
            '{' => {
                self.open(Scope::Block)?;
                return Ok(None);
            }
            '}' if self.scope() == Scope::Block => {
                self.close_block();
                return Ok(None);
            }
            '#' => {
                self.cursor.skip_comment();
                return Ok(None);
            }
            '/' if self.cursor.peek() == '/' => {
                self.cursor.next();
                self.cursor.skip_comment();
                return Ok(None);
            }
            '/' => return Err(self.error("Unexpected EOF.")),
            '\0' => return self.end_or_error(start).map(Some),
            _ => self.cursor.back_to(start),
        }
        self.key().map(Some)
    }

    fn close_block(&mut self) {
        self.scopes.pop();
        self.stage = if self.scope() == Scope::Top { Stage::Item } else { Stage::BlockEnd };
    }

    /// A key, or an include directive, at the top of a file or in its braces.
    fn key(&mut self) -> Lexed {
        let start = self.cursor.position();
        match self.cursor.next() {
            c @ ('=' | ':') => Err(self.error(format!("Unexpected key separator '{c}'"))),
            quote @ ('"' | '\'') => {
                let start = self.cursor.position();
                // A quote as the last character of a text says nothing.
                if self.cursor.peek() == '\0' {
                    return self.end_or_error(start);
                }
                self.quoted_key(quote, "Unexpected EOF.")
            }
            _ => {
                while !ends_bare_key(self.cursor.peek()) && self.cursor.peek() != '\0' {
                    self.cursor.next();
                }
                self.bare_key(start)
            }
        }
    }

    fn quoted_key(&mut self, quote: char, at_end: &str) -> Lexed {
        let start = self.cursor.position();
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                '\0' => return Err(self.error(at_end)),
                c if c == quote => {
                    self.stage = Stage::Value;
                    return Ok(self.slice_token(Kind::Key, start..before));
                }
                _ => {}
            }
        }
    }

    fn bare_key(&mut self, start: usize) -> Lexed {
        let span = start..self.cursor.position();
        if self.cursor.slice(span.clone()).eq_ignore_ascii_case(b"include")
            && self.cursor.peek().is_whitespace()
        {
            self.stage = Stage::After;
            return self.include();
        }
        self.stage = Stage::Value;
        Ok(self.slice_token(Kind::Key, span))
    }

    fn map_item(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_space();
        let mut start = self.cursor.position();
        match self.cursor.next() {
            c @ ('=' | ':') => Err(self.error(format!("Unexpected key separator '{c}'."))),
            ']' => Err(self.error("Unexpected array end ']' processing map.")),
            '}' => Ok(Some(self.close(Kind::MapEnd))),
            '#' => {
                self.cursor.skip_comment();
                Ok(None)
            }
            '/' if self.cursor.peek() == '/' => {
                self.cursor.next();
                self.cursor.skip_comment();
                Ok(None)
            }
            '\'' => self.quoted_key('\'', "Unexpected EOF processing quoted map key.").map(Some),
            '"' => self.quoted_key('"', "Unexpected EOF processing double quoted map key.").map(Some),
            '\0' => Err(self.error("Unexpected EOF processing map.")),
            c => {
                // A lone slash is dropped, and whatever follows it starts the key.
                if c == '/' {
                    start = self.cursor.position();
                    self.cursor.next();
                }
                while !ends_bare_key(self.cursor.peek()) {
                    if self.cursor.peek() == '\0' {
                        return Err(self.error("Unexpected EOF processing map key."));
                    }
                    self.cursor.next();
                }
                self.bare_key(start).map(Some)
            }
        }
    }

    fn array_item(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_space();
        let start = self.cursor.position();
        match self.cursor.next() {
            '#' => self.cursor.skip_comment(),
            '/' if self.cursor.peek() == '/' => self.cursor.skip_comment(),
            '/' | ',' => return Err(self.error("Unexpected array value terminator ','.")),
            ']' => return Ok(Some(self.close(Kind::ArrayEnd))),
            _ => {
                self.cursor.back_to(start);
                return self.value().map(Some);
            }
        }
        Ok(None)
    }

    /// Ends a map or an array that stands as a value.
    fn close(&mut self, kind: Kind) -> Token {
        self.scopes.pop();
        self.stage = Stage::After;
        let end = self.cursor.position();
        let mut token = self.slice_token(kind, end..end);
        token.at.span = end.saturating_sub(1)..end;
        token
    }

    // What follows a key.

    fn key_value(&mut self, scope: Scope) -> Result<Option<Token>, LexError> {
        self.cursor.skip_space();
        let start = self.cursor.position();
        match self.cursor.next() {
            '=' | ':' => {}
            '\0' if scope != Scope::Map => return self.end_token(start).map(Some),
            _ => self.cursor.back_to(start),
        }
        if scope == Scope::Map {
            self.cursor.skip_space();
            match self.cursor.peek() {
                ',' => {
                    self.cursor.next();
                    return Err(self.error("Unexpected map value terminator \",\"."));
                }
                '}' => {
                    self.cursor.next();
                    return Ok(Some(self.close(Kind::MapEnd)));
                }
                _ => {}
            }
        }
        self.value().map(Some)
    }

    /// The end where a value was expected: the parser knows which key lacks it.
    fn end_token(&mut self, start: usize) -> Lexed {
        let end = self.cursor.position();
        Ok(self.slice_token(Kind::End, start..end.max(start)))
    }

    fn value(&mut self) -> Lexed {
        self.cursor.skip_blanks();
        self.stage = Stage::After;
        let start = self.cursor.position();
        match self.cursor.next() {
            '[' => self.opening(Scope::Array, Kind::ArrayStart),
            '{' => self.opening(Scope::Map, Kind::MapStart),
            '\'' => self.single_quoted(),
            '"' => self.double_quoted(),
            '(' => self.block_string(),
            '-' => self.negative_number(start),
            '.' => Err(self.error("Floats must start with a digit")),
            '\n' | '\r' => Err(self.error("Expected value but found new line")),
            c if c.is_ascii_digit() => self.number(start),
            _ => {
                self.cursor.back_to(start);
                self.bare_string(start)
            }
        }
    }

    fn opening(&mut self, scope: Scope, kind: Kind) -> Lexed {
        self.open(scope)?;
        let end = self.cursor.position();
        let mut token = self.slice_token(kind, end..end);
        token.at.span = end.saturating_sub(1)..end;
        Ok(token)
    }

    // Includes.

    fn include(&mut self) -> Lexed {
        self.cursor.skip_blanks();
        let start = self.cursor.position();
        match self.cursor.next() {
            '\'' => self.quoted_include('\'', "Unexpected EOF in quoted include"),
            '"' => self.quoted_include('"', "Unexpected EOF in double quoted include"),
            '[' => Err(self.error("Expected include value but found start of an array")),
            '{' => Err(self.error("Expected include value but found start of a map")),
            '(' => Err(self.error("Expected include value but found start of a block")),
            '\\' => Err(self.error("Expected include value but found escape sequence")),
            '\n' | '\r' => Err(self.error("Expected include value but found new line")),
            c if c.is_ascii_digit() || c == '-' => {
                Err(self.error("Expected include value but found start of a number"))
            }
            _ => {
                self.cursor.back_to(start);
                loop {
                    let before = self.cursor.position();
                    match self.cursor.next() {
                        '\n' | '\r' | '\0' | ';' | '}' | ' ' | '\t' => {
                            self.cursor.back_to(before);
                            return Ok(self.slice_token(Kind::Include, start..before));
                        }
                        '\'' => return Ok(self.slice_token(Kind::Include, start..before)),
                        _ => {}
                    }
                }
            }
        }
    }

    fn quoted_include(&mut self, quote: char, at_end: &str) -> Lexed {
        let start = self.cursor.position();
        loop {
            let before = self.cursor.position();
            match self.cursor.next() {
                '\0' => return Err(self.error(at_end)),
                c if c == quote => return Ok(self.slice_token(Kind::Include, start..before)),
                _ => {}
            }
        }
    }

    // What follows a value.

    fn after_top_value(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_blanks();
        let start = self.cursor.position();
        match self.cursor.next() {
            '#' => self.cursor.skip_comment(),
            '/' if self.cursor.peek() == '/' => self.cursor.skip_comment(),
            // A lone slash behind a value says nothing.
            '/' => return Ok(None),
            '\n' | '\r' | '\0' | ';' | ',' | '}' => {}
            c => {
                self.cursor.back_to(start);
                self.cursor.next();
                return Err(self.error(format!(
                    "Expected a top-level value to end with a new line, comment or EOF, but got '{}' instead.",
                    shown(c)
                )));
            }
        }
        self.stage = Stage::Item;
        Ok(None)
    }

    fn after_block_value(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_blanks();
        match self.cursor.next() {
            '#' => {
                self.cursor.skip_comment();
                return Ok(None);
            }
            '/' if self.cursor.peek() == '/' => {
                self.cursor.skip_comment();
                return Ok(None);
            }
            '/' => return Ok(None),
            '\n' | '\r' | ';' | ',' => {}
            '}' => {
                self.close_block();
                return Ok(None);
            }
            c => {
                return Err(self.error(format!(
                    "Expected a block-level value to end with a new line, comment or EOF, but got '{}' instead.",
                    shown(c)
                )));
            }
        }
        self.stage = Stage::Item;
        Ok(None)
    }

    fn block_end(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_blanks();
        match self.cursor.next() {
            '#' => {
                self.cursor.skip_comment();
                self.stage = Stage::Item;
            }
            '/' if self.cursor.peek() == '/' => {
                self.cursor.skip_comment();
                self.stage = Stage::Item;
            }
            '/' | '\n' | '\r' => {}
            '}' => self.close_block(),
            ',' | ';' => self.stage = Stage::Item,
            c => {
                let got = shown(c);
                return Err(self
                    .error(format!("Expected a block-level to end with a '}}', but got '{got}' instead.")));
            }
        }
        Ok(None)
    }

    fn after_map_value(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_blanks();
        match self.cursor.next() {
            '#' => self.cursor.skip_comment(),
            '/' if self.cursor.peek() == '/' => self.cursor.skip_comment(),
            '/' | '\n' | '\r' | ',' | ';' => {}
            '}' => return Ok(Some(self.close(Kind::MapEnd))),
            c => {
                return Err(self.error(format!(
                    "Expected a map value terminator \",\" or a map terminator \"}}\", but got '{}' instead.",
                    shown(c)
                )));
            }
        }
        self.stage = Stage::Item;
        Ok(None)
    }

    fn after_array_value(&mut self) -> Result<Option<Token>, LexError> {
        self.cursor.skip_blanks();
        match self.cursor.next() {
            '#' => self.cursor.skip_comment(),
            '/' if self.cursor.peek() == '/' => self.cursor.skip_comment(),
            '/' | '\n' | '\r' | ',' => {}
            ']' => return Ok(Some(self.close(Kind::ArrayEnd))),
            c => {
                return Err(self.error(format!(
                    "Expected an array value terminator \",\" or an array terminator \"]\", but got '{}' instead.",
                    shown(c)
                )));
            }
        }
        self.stage = Stage::Item;
        Ok(None)
    }
}

fn ends_bare_key(c: char) -> bool {
    c.is_whitespace() || c == '=' || c == ':'
}

/// A character inside a message; a newline would break the line.
pub(super) fn shown(c: char) -> String {
    if c == '\n' { String::from("\\n") } else { c.to_string() }
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
