//! What the lexer hands to the parser.

use std::ops::Range;

/// Where a token stands: for messages the line and position, for excerpts the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Number of the file in [`Files`](super::Files).
    pub file: usize,
    /// Line from 1; of a token over several lines the last.
    pub line: u32,
    /// Byte position in the line: from 0 on the first line, from 1 on the others.
    pub position: i64,
    /// Bytes of the token in its file.
    pub span: Range<usize>,
}

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name before a value.
    Key,
    /// Text, its escapes resolved.
    String,
    /// A boolean word.
    Bool,
    /// Digits with an optional sign and suffix.
    Integer,
    /// Digits around one dot.
    Float,
    /// `2026-01-02T03:04:05Z`.
    Date,
    /// A variable's name, without `$`.
    Variable,
    /// The path of an include directive.
    Include,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// `{` of a value; a file's own braces are no token.
    MapStart,
    /// The matching `}`.
    MapEnd,
    /// The end of the text.
    End,
}

/// A token with its text: bytes, because escapes can spell any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its kind.
    pub kind: Kind,
    /// What it says.
    pub text: Vec<u8>,
    /// Where it stands.
    pub at: At,
}

/// Text that is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    /// Why, in one line.
    pub text: String,
    /// The line of the message, which counts a newline that was expected to be something else.
    pub line: u32,
    /// The bytes at fault.
    pub span: Range<usize>,
}
