//! The configuration language.

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
