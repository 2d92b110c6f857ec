//! Files: reading, including each other, and what bounds that.

use std::rc::Rc;

use super::parser::Parser;
use super::values::Map;
use super::{Error, Source};
use crate::limits::{MAX_FILE_BYTES, MAX_FILES, MAX_INCLUDE_DEPTH, MAX_VALUES};

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path as messages show it.
    pub name: String,
    /// Its bytes.
    pub text: Rc<[u8]>,
}

/// Every file of one configuration, numbered as they were read.
#[derive(Clone, Debug, Default)]
pub struct Files(Vec<File>);

impl Files {
    /// A file by its number.
    pub fn get(&self, file: usize) -> Option<&File> {
        self.0.get(file)
    }
}

/// What the parsers of one configuration share.
pub(super) struct Loader<'s> {
    source: &'s dyn Source,
    pub(super) files: Files,
    resolving: Vec<String>,
    values: usize,
}

impl<'s> Loader<'s> {
    pub(super) fn new(source: &'s dyn Source) -> Self {
        Loader { source, files: Files::default(), resolving: Vec::new(), values: 0 }
    }

    /// Reads and parses a file.
    pub(super) fn load(&mut self, path: &str, depth: usize) -> Result<Map, Error> {
        if self.files.0.len() >= MAX_FILES {
            return Err(Error::plain(format!("open {path}: more than {MAX_FILES} files are included")));
        }
        let text = self.source.read(path).map_err(Error::plain)?;
        if text.len() > MAX_FILE_BYTES {
            return Err(Error::plain(format!("read {path}: file is larger than {MAX_FILE_BYTES} bytes")));
        }
        let file = self.files.0.len();
        let text: Rc<[u8]> = text.into();
        self.files.0.push(File { name: path.to_owned(), text: Rc::clone(&text) });
        Parser::new(self, path.to_owned(), file, depth, 0).parse(&text)
    }

    /// Loads a file named in another: the path counts from the directory of that one, an absolute path too.
    pub(super) fn include(&mut self, from: &str, path: &str, depth: usize) -> Result<Map, Error> {
        if depth >= MAX_INCLUDE_DEPTH {
            let why = format!("files include each other more than {MAX_INCLUDE_DEPTH} levels deep");
            return Err(Error::plain(why));
        }
        let directory = from.rsplit_once('/').map_or(".", |(directory, _)| directory);
        let rooted = if from.starts_with('/') && directory.is_empty() { "/" } else { directory };
        self.load(&join(rooted, path), depth.saturating_add(1))
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        self.source.env(name)
    }

    pub(super) fn is_resolving(&self, name: &str) -> bool {
        self.resolving.iter().any(|other| other == name)
    }

    pub(super) fn begin_resolving(&mut self, name: &str) {
        self.resolving.push(name.to_owned());
    }

    pub(super) fn end_resolving(&mut self) {
        self.resolving.pop();
    }

    /// Counts values, so that references to references stay within a bound.
    pub(super) fn count(&mut self, values: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(values);
        if self.values > MAX_VALUES {
            return Err(format!("the configuration has more than {MAX_VALUES} values"));
        }
        Ok(())
    }
}

/// Joins two paths and removes `.`, `..` and doubled slashes. Two empty paths are `.`.
pub(super) fn join(directory: &str, path: &str) -> String {
    let whole = match (directory.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (false, true) => directory.to_owned(),
        (false, false) => format!("{directory}/{path}"),
    };
    clean(&whole)
}

/// A path without `.`, `..` and doubled slashes, as far as that needs no file system.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => String::from("."),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn paths_are_joined_and_cleaned() {
        for (directory, path, expected) in [
            (".", "a.conf", "a.conf"),
            (".", "./a.conf", "a.conf"),
            (".", "/a.conf", "a.conf"),
            (".", "", "."),
            ("", "", "."),
            ("conf", "a.conf", "conf/a.conf"),
            ("conf", "../a.conf", "a.conf"),
            ("conf", "../../a.conf", "../a.conf"),
            ("conf", "/etc/a.conf", "conf/etc/a.conf"),
            ("/etc", "../../a.conf", "/a.conf"),
            ("/", "a", "/a"),
            ("", "/etc//x/./a.conf", "/etc/x/a.conf"),
            ("a//b", "c", "a/b/c"),
        ] {
            assert_eq!(join(directory, path), expected, "{directory} {path}");
        }
    }
}
