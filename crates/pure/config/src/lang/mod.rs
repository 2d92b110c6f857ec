//! The configuration language: text to values with places, and the digest over them.

pub mod diagnostics;
mod includes;
mod lexer;
mod literals;
mod parser;
mod scan;
pub mod tokens;
pub mod values;
mod variables;

use std::ops::Range;

pub(crate) use includes::clean;
pub use includes::{File, Files};
pub use tokens::At;
pub use values::{Map, Node, Text, Value};

/// A configuration file with everything it includes.
#[derive(Clone, Debug)]
pub struct Document {
    /// The keys of the file, in file order.
    pub map: Map,
    /// The files that were read, the main one first.
    pub files: Files,
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// One line.
    pub(crate) text: String,
    /// File number and bytes at fault, if they stand in a file.
    pub(crate) place: Option<(usize, Range<usize>)>,
}

impl Error {
    fn plain(text: String) -> Self {
        Error { text, place: None }
    }
}

/// Reads and parses a file. The error is its line, an end of line, and an excerpt if there is one to draw.
pub fn parse_file(path: &str, source: &dyn Source) -> Result<Document, String> {
    let mut loader = includes::Loader::new(source);
    match loader.load(path, 0) {
        Ok(map) => Ok(Document { map, files: loader.files }),
        Err(error) => {
            let excerpt = error
                .place
                .as_ref()
                .and_then(|(file, span)| diagnostics::excerpt(&loader.files, *file, span, &error.text));
            Err(match excerpt {
                Some(excerpt) => format!("{}\n{excerpt}", error.text),
                None => error.text,
            })
        }
    }
}

/// Where configuration text comes from: the port to files and environment.
pub trait Source {
    /// The bytes of a file, or the operating system's words, such as `open x.conf: no such file or directory`.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
}

/// A [`Source`] of named texts in memory, for embedding and tests.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    files: std::collections::BTreeMap<String, Vec<u8>>,
    variables: std::collections::BTreeMap<String, String>,
}

impl MemorySource {
    /// No file and no variable.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file under the path that a configuration uses for it.
    #[must_use]
    pub fn file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), text.into());
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Source for MemorySource {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("open {path}: no such file or directory"))
    }

    fn env(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

#[cfg(test)]
mod tests;
