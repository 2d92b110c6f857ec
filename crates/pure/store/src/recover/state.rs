//! What a rebuild is given, and what it tells.

use midge_index::seqset::SeqSet;

use crate::format::record::RecordKey;
use crate::format::scan::Damage;

/// The limits that remove messages without leaving a trace. 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages of the stream; only with discard policy `old`.
    pub max_msgs: u64,
    /// Bytes of the stream; only with discard policy `old`.
    pub max_bytes: u64,
    /// Messages of one subject, whatever the discard policy.
    pub max_msgs_per_subject: u64,
}

/// What is known of the limits in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// They were always the present ones.
    Constant,
    /// They may have been others.
    Unknown,
}

/// What an older index says of a block: which of its sequences were live when it was written.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The last sequence of the stream at that time: nothing is known of those above.
    pub until: u64,
    /// The first live sequence of the block.
    pub first_seq: u64,
    /// The last sequence of the block; below the first when nothing was live.
    pub last_seq: u64,
    /// Sequences between them that were not live.
    pub deleted: &'a SeqSet,
}

impl Known<'_> {
    /// Whether the sequence was deleted.
    #[inline]
    pub fn is_deleted(&self, seq: u64) -> bool {
        seq <= self.until && (seq < self.first_seq || seq > self.last_seq || self.deleted.contains(seq))
    }
}

/// A block to be added.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its number.
    pub index: u32,
    /// Its records, uncompressed and decrypted.
    pub plain: &'a [u8],
    /// The key of their checksums.
    pub key: &'a RecordKey,
    /// What is known of deletions in it.
    pub known: Option<Known<'a>>,
}

/// Bytes of a block that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The block.
    pub block: u32,
    /// Where, and why.
    pub damage: Damage,
}

/// The state of a stream, as the API words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Live messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// The first live message; one above the last sequence when there is none.
    pub first_seq: u64,
    /// Its time, Unix nanoseconds; 0 when there is none or it is not known.
    pub first_ts_ns: i64,
    /// The highest sequence that was ever used.
    pub last_seq: u64,
    /// Its time.
    pub last_ts_ns: i64,
}

/// The last sequence goes not below this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// A sequence that was used.
    pub last_seq: u64,
    /// Its time, Unix nanoseconds.
    pub last_ts_ns: i64,
}

/// What is known of a subject with live messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectSummary {
    /// Live messages.
    pub messages: u64,
    /// The last one.
    pub last_seq: u64,
    /// Bytes of its record.
    pub last_len: u32,
    /// No earlier block has any.
    pub first_block: u32,
    /// No later block has any.
    pub last_block: u32,
}
