//! What a stream asks of its store.

use std::sync::Arc;

use crate::recover;

/// What happens to a message that does not fit the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discard {
    /// The oldest messages go.
    #[default]
    Old,
    /// It is refused.
    New,
}

/// Where the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// In block files, written through a disk.
    File,
    /// In memory only; what is appended counts as durable at once.
    Memory,
}

/// When an operation on files is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// On stable storage.
    #[default]
    Always,
    /// With the operating system; stable storage follows at intervals (an explicit `sync_interval`).
    Interval,
}

/// The configuration of a store. Limits of 0 are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of the stream, which is in the key of every checksum.
    pub name: Arc<str>,
    /// Where the messages are. Never changes.
    pub medium: Medium,
    /// Live messages at most.
    pub max_msgs: u64,
    /// Bytes of live messages at most.
    pub max_bytes: u64,
    /// Live messages of one subject at most, whatever the discard policy.
    pub max_msgs_per_subject: u64,
    /// Age in nanoseconds after which a message goes.
    pub max_age_ns: u64,
    /// What happens at a limit of messages or bytes.
    pub discard: Discard,
    /// With [`Discard::New`]: refuse at the limit per subject as well.
    pub discard_new_per_subject: bool,
    /// The header `Nats-TTL` counts.
    pub ttl: bool,
    /// Expired messages are handed to the owner, who publishes markers for them, instead of being removed.
    pub delete_markers: bool,
    /// The header `Nats-Schedule` counts.
    pub schedules: bool,
    /// Full blocks are compressed.
    pub compression: bool,
    /// Bytes after which a block takes no further record; see [`block_len`].
    pub block_len: u32,
    /// What is waited for.
    pub sync: Sync,
    /// The first sequence of a new store; 0 and 1 are the same.
    pub first_seq: u64,
}

impl Config {
    /// A store without limits.
    pub fn new(name: &str, medium: Medium) -> Config {
        Config {
            name: name.into(),
            medium,
            max_msgs: 0,
            max_bytes: 0,
            max_msgs_per_subject: 0,
            max_age_ns: 0,
            discard: Discard::Old,
            discard_new_per_subject: false,
            ttl: false,
            delete_markers: false,
            schedules: false,
            compression: false,
            block_len: LARGE_BLOCK_LEN,
            sync: Sync::Always,
            first_seq: 0,
        }
    }

    /// Whether anything removes messages without leaving a record.
    pub(crate) fn removes(&self) -> bool {
        self.max_age_ns > 0 || self.removing_limits() != recover::Limits::default()
    }

    /// The limits that remove messages by themselves.
    pub fn removing_limits(&self) -> recover::Limits {
        let old = self.discard == Discard::Old;
        recover::Limits {
            max_msgs: if old { self.max_msgs } else { 0 },
            max_bytes: if old { self.max_bytes } else { 0 },
            max_msgs_per_subject: self.max_msgs_per_subject,
        }
    }
}

/// The longest block, in bytes, and the default of streams with retention by limits.
pub const LARGE_BLOCK_LEN: u32 = 8 << 20;
/// Blocks of most other streams.
pub const MEDIUM_BLOCK_LEN: u32 = 4 << 20;
/// Blocks of encrypted streams.
pub const ENCRYPTED_BLOCK_LEN: u32 = 2 << 20;
/// Blocks are not shorter than this.
pub const MIN_BLOCK_LEN: u32 = 32_000;

/// What the length of the blocks of a stream depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockSizing {
    /// The limit of bytes, or 0.
    pub max_bytes: u64,
    /// The limit of messages, or 0.
    pub max_msgs: u64,
    /// The limit per subject, or 0.
    pub max_msgs_per_subject: u64,
    /// Bytes of the longest literal subject of the stream, 256 if all have wildcards.
    pub longest_subject_len: u64,
    /// Bytes that one message may have.
    pub max_msg_len: u64,
    /// The store is encrypted.
    pub encrypted: bool,
    /// Retention by interest or as a work queue.
    pub consumed: bool,
}

/// The length of the blocks of a stream (storage of 2.15: the first rule that applies).
pub fn block_len(sizing: &BlockSizing) -> u32 {
    let by_bytes = |max_bytes: u64| {
        let quarter = max_bytes / 4 + 1;
        let rounded = quarter.div_ceil(100).saturating_mul(100);
        if rounded <= u64::from(MIN_BLOCK_LEN) {
            MIN_BLOCK_LEN
        } else if rounded >= u64::from(LARGE_BLOCK_LEN) {
            LARGE_BLOCK_LEN
        } else {
            MEDIUM_BLOCK_LEN
        }
    };
    if sizing.max_bytes > 0 {
        by_bytes(sizing.max_bytes)
    } else if sizing.max_msgs > 0 {
        let each = (34 + sizing.longest_subject_len).saturating_add(sizing.max_msg_len);
        by_bytes(sizing.max_msgs.saturating_mul(each))
    } else if sizing.max_msgs_per_subject > 0 {
        MEDIUM_BLOCK_LEN
    } else if sizing.encrypted {
        ENCRYPTED_BLOCK_LEN
    } else if sizing.consumed {
        MEDIUM_BLOCK_LEN
    } else {
        LARGE_BLOCK_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_sized_by_the_first_rule_that_applies() {
        let sized = |sizing: BlockSizing| block_len(&sizing);
        assert_eq!(sized(BlockSizing { max_bytes: 1000, ..Default::default() }), MIN_BLOCK_LEN);
        assert_eq!(sized(BlockSizing { max_bytes: 1 << 20, ..Default::default() }), MEDIUM_BLOCK_LEN);
        assert_eq!(
            sized(BlockSizing { max_bytes: 1 << 30, encrypted: true, ..Default::default() }),
            LARGE_BLOCK_LEN
        );
        let msgs = BlockSizing {
            max_msgs: 100,
            longest_subject_len: 10,
            max_msg_len: 1 << 20,
            ..Default::default()
        };
        assert_eq!(sized(msgs), LARGE_BLOCK_LEN);
        assert_eq!(
            sized(BlockSizing { max_msgs_per_subject: 1, encrypted: true, ..Default::default() }),
            MEDIUM_BLOCK_LEN
        );
        assert_eq!(sized(BlockSizing { encrypted: true, ..Default::default() }), ENCRYPTED_BLOCK_LEN);
        assert_eq!(sized(BlockSizing { consumed: true, ..Default::default() }), MEDIUM_BLOCK_LEN);
        assert_eq!(sized(BlockSizing::default()), LARGE_BLOCK_LEN);
    }
}
