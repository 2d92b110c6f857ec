//! One block as the store knows it.

use midge_index::seqset::SeqSet;

use super::cache::Cache;
use crate::format::keys::AssetKey;
use crate::format::record::{CHECKSUM_LEN, RecordKey};

/// A block file, or its equal in memory.
///
/// Live sequences are those from `first_seq` to `last_seq` that are not in `deleted`. Without live messages `first_seq` is one above `last_seq`.
#[derive(Debug)]
pub struct Block {
    /// Its number.
    pub index: u32,
    /// The first live sequence.
    pub first_seq: u64,
    /// Its time, when that is known.
    pub first_ts_ns: Option<i64>,
    /// No live message is older.
    pub oldest_ns: i64,
    /// The last sequence, live or not.
    pub last_seq: u64,
    /// Its time.
    pub last_ts_ns: i64,
    /// Sequences between the first and the last that are not live.
    pub deleted: SeqSet,
    /// Live messages.
    pub messages: u64,
    /// What they count for, in bytes.
    pub bytes: u64,
    /// Bytes of the records, live or not, uncompressed.
    pub raw_len: u32,
    /// The last bytes of the last record.
    pub checksum: [u8; CHECKSUM_LEN],
    /// Live messages with a TTL, at most.
    pub ttls: u64,
    /// Live messages with a schedule, at most.
    pub schedules: u64,
    /// Deletes of other blocks may be recorded here.
    pub tombstones: bool,
    /// The file is compressed.
    pub compressed: bool,
    /// It takes no further records though it is the last: it is compressed, or damaged before its end.
    pub sealed: bool,
    /// The key of the file, in encrypted stores.
    pub key: Option<Box<AssetKey>>,
    pub(super) record_key: Option<Box<RecordKey>>,
    pub(super) cache: Option<Box<Cache>>,
    /// A load is under way.
    pub(super) loading: bool,
    /// A rewrite is under way, or was not worth it at this many live bytes.
    pub(super) rewriting: bool,
    pub(super) incompressible: u64,
    /// Rises when records change in place: a rewrite that began before is of no use.
    pub(super) version: u32,
    /// Bytes of it that completed writes put into the file.
    pub(super) written: u32,
    /// Rises when offsets get another meaning: writes that were submitted before count for nothing.
    pub(super) epoch: u32,
}

impl Block {
    /// A block that begins after `last_seq`.
    pub fn new(index: u32, last_seq: u64, last_ts_ns: i64) -> Block {
        Block {
            index,
            first_seq: last_seq + 1,
            first_ts_ns: None,
            oldest_ns: last_ts_ns,
            last_seq,
            last_ts_ns,
            deleted: SeqSet::new(),
            messages: 0,
            bytes: 0,
            raw_len: 0,
            checksum: [0; CHECKSUM_LEN],
            ttls: 0,
            schedules: 0,
            tombstones: false,
            compressed: false,
            sealed: false,
            key: None,
            record_key: None,
            cache: None,
            loading: false,
            rewriting: false,
            incompressible: u64::MAX,
            version: 0,
            written: 0,
            epoch: 0,
        }
    }

    /// Whether there is a live message at this sequence.
    #[inline]
    pub fn is_live(&self, seq: u64) -> bool {
        seq >= self.first_seq
            && seq <= self.last_seq
            && (self.deleted.is_empty() || !self.deleted.contains(seq))
    }

    /// The first live sequence from this one on.
    #[inline]
    pub fn next_live(&self, from: u64) -> Option<u64> {
        let from = from.max(self.first_seq);
        if from > self.last_seq || self.messages == 0 {
            return None;
        }
        if self.deleted.is_empty() {
            return Some(from);
        }
        self.deleted.next_gap(from).filter(|seq| *seq <= self.last_seq)
    }

    /// The last live sequence up to this one.
    pub fn previous_live(&self, from: u64) -> Option<u64> {
        let from = from.min(self.last_seq);
        if from < self.first_seq || self.messages == 0 {
            return None;
        }
        self.deleted.previous_gap(from).filter(|seq| *seq >= self.first_seq)
    }

    /// Live messages from this sequence on. Costs as much as the runs of deleted ones there.
    pub fn live_from(&self, from: u64) -> u64 {
        let from = from.max(self.first_seq);
        if from == self.first_seq {
            return self.messages;
        }
        match self.last_seq.checked_sub(from) {
            Some(span) => span + 1 - self.deleted.count(from, self.last_seq),
            None => 0,
        }
    }

    /// Takes a live message out of the account.
    pub(super) fn forget(&mut self, seq: u64, counted: u64) {
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(counted);
        if self.messages == 0 {
            self.first_seq = self.last_seq + 1;
            self.first_ts_ns = None;
            self.deleted.clear();
        } else if seq == self.first_seq {
            let next = self.deleted.next_gap(seq + 1).unwrap_or(self.last_seq);
            self.deleted.remove_range(seq, next);
            self.first_seq = next;
            self.oldest_ns = self.first_ts_ns.take().unwrap_or(self.oldest_ns);
        } else {
            self.deleted.insert(seq);
        }
    }

    /// The cache, when all of the block is in it.
    #[inline]
    pub(super) fn whole(&self) -> Option<&Cache> {
        self.cache.as_deref().filter(|cache| cache.from == 0)
    }

    /// The cache, when the record of a sequence is in it.
    #[inline]
    pub(super) fn cached(&self, seq: u64) -> Option<(&Cache, u32)> {
        let cache = self.cache.as_deref()?;
        Some((cache, cache.offsets.get(seq)?))
    }
}
