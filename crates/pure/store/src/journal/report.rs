//! What a start found in the journal.

use std::sync::Arc;

use bytes::Bytes;

/// The changes of a consumer that its `o.dat` does not hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Deltas {
    /// The folder of the store.
    pub folder: Arc<str>,
    /// The consumer.
    pub consumer: Arc<str>,
    /// The changes under rising numbers, in the order in which they were submitted.
    pub changes: Vec<(u64, Bytes)>,
}

impl std::fmt::Debug for Deltas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.folder, self.consumer)?;
        self.changes.iter().try_for_each(|(index, bytes)| write!(f, " {index} ({} bytes)", bytes.len()))
    }
}

/// A store that somebody else used after the journal was written: nothing was replayed over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The folder of the store.
    pub folder: String,
    /// What was noticed.
    pub cause: String,
}

/// Part of a journal that was on stable storage and cannot be read. What follows it was not replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub segment: String,
    /// Where in it, in bytes.
    pub position: u64,
    /// What was noticed.
    pub cause: String,
}

/// What a replay did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Segments that were read, and frames in them that count.
    pub segments: usize,
    /// Frames that count.
    pub frames: u64,
    /// Files that did not hold what the journal holds, and do now.
    pub files_written: usize,
    /// Files that were removed.
    pub files_removed: usize,
    /// Deltas, by folder and consumer, for the stores to apply.
    pub deltas: Vec<Deltas>,
    /// Stores that were left alone.
    pub foreign: Vec<Foreign>,
    /// Stores of which the folder is gone.
    pub gone: Vec<String>,
    /// Damaged segments.
    pub damage: Vec<Damage>,
    /// Where the segments were copied to, when something of them was not replayed.
    pub kept_in: Option<String>,
}

impl Report {
    /// Whether an operator should look.
    pub fn is_clean(&self) -> bool {
        self.foreign.is_empty() && self.damage.is_empty()
    }
}
