//! What opening a store found, for whoever asks what became of a message.

use midge_index::seqset::SeqSet;

/// Runs of lost sequences, and lost sequences, that a store is told of one by one.
pub(super) const MAX_LOST_RANGES: usize = 10_000;
pub(super) const MAX_LOST: usize = 100_000;

/// Where the state of a store came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// There was nothing.
    #[default]
    New,
    /// From its index.
    Index,
    /// From its index and the records that were written after it.
    Replayed {
        /// How many those were.
        records: u64,
    },
    /// From its blocks.
    Rebuilt {
        /// Why not from its index.
        cause: String,
    },
}

/// Bytes of a block that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDamage {
    /// The block.
    pub block: u32,
    /// Where they start, in its decrypted and uncompressed records.
    pub from: u64,
    /// Where they end.
    pub to: u64,
    /// What is wrong.
    pub cause: String,
}

/// A file, or bytes of one, that were copied aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whence, relative to the store directory.
    pub file: String,
    /// Whither.
    pub copy: String,
}

/// What was found and done when a store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Where its state came from.
    pub how: How,
    /// It came from an index since which only the present limits removed messages.
    pub vouched: bool,
    /// What cannot be read, by block and position.
    pub damage: Vec<BlockDamage>,
    /// Blocks that stay as they are and are left out, with the cause.
    pub unreadable: Vec<(u32, String)>,
    /// Blocks with live messages that the index lists and that are not there. Each was removed after the last of its messages, or is lost.
    pub missing: Vec<u32>,
    /// Their messages of which no deletion is known: what limits removed, and whatever went last from its block, leaves no trace.
    pub unaccounted: SeqSet,
    /// Sequences that were there and are not: messages, as far as can be known.
    pub lost: SeqSet,
    /// The first of them that no index knows and that is in the last two blocks: there a power cut has torn what was being written, and nothing from here
    /// on was ever on stable storage.
    pub torn: Option<u64>,
    /// Bytes that cannot be read.
    pub lost_bytes: u64,
    /// What was copied aside.
    pub kept: Vec<Kept>,
    /// What was changed, in words.
    pub mended: Vec<String>,
    /// Entries of the folder of blocks that are nobody's; they stay.
    pub foreign: Vec<String>,
    /// Blocks that were encrypted anew.
    pub converted: u64,
    /// Blocks that were read as a whole.
    pub blocks_read: u64,
    /// Records in them that were looked at.
    pub records_read: u64,
}

impl Recovery {
    /// Nothing is damaged, lost or unreadable. Blocks may still be missing.
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty()
            && self.unreadable.is_empty()
            && self.missing.is_empty()
            && self.lost.is_empty()
    }
}
