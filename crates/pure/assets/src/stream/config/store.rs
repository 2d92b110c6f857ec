//! What a store is told of a configuration.

use midge_jsapi::stream_config::{self, Compression, PersistMode, Retention, Storage, StreamConfig};
use midge_store::stream::{BlockSizing, Config, Discard, Medium, Sync, block_len};
use midge_subject::wildcard::has_wildcard;

/// Bytes that stand for a subject with wildcards when blocks are sized.
const WILDCARD_SUBJECT_LEN: u64 = 256;

/// What the server says about stores.
#[derive(Clone, Copy, Debug)]
pub struct StoreCx {
    /// `sync_interval` was set to a time: operations count as done when the operating system has them.
    pub sync_interval_set: bool,
    /// `sync: always` was set, which overrules streams that ask for less.
    pub sync_always: bool,
    /// Stores are encrypted.
    pub encrypted: bool,
    /// Bytes of a message at most.
    pub max_payload: u64,
}

/// The configuration of the store of a stream. Limits of -1 are none.
///
/// Everything is durable before it is acknowledged, unless the server has an interval of syncs or the stream asks for [`PersistMode::Async`]; that the server always syncs
/// overrules both.
pub fn store_config(config: &StreamConfig, cx: &StoreCx) -> Config {
    let limit = |value: i64| u64::try_from(value).unwrap_or(0);
    let (max_msgs, max_bytes) = (limit(config.max_msgs), limit(config.max_bytes));
    let max_msgs_per_subject = limit(config.max_msgs_per_subject);
    let relaxed = cx.sync_interval_set || config.persist_mode == PersistMode::Async;
    let len_of = |subject: &String| {
        if has_wildcard(subject.as_bytes()) { WILDCARD_SUBJECT_LEN } else { subject.len() as u64 }
    };
    let sizing = BlockSizing {
        max_bytes,
        max_msgs,
        max_msgs_per_subject,
        longest_subject_len: config.subjects.iter().map(len_of).max().unwrap_or(WILDCARD_SUBJECT_LEN),
        max_msg_len: u64::try_from(config.max_msg_size).ok().filter(|len| *len > 0).unwrap_or(cx.max_payload),
        encrypted: cx.encrypted,
        consumed: config.retention != Retention::Limits,
    };
    Config {
        name: config.name.as_str().into(),
        medium: if config.storage == Storage::Memory { Medium::Memory } else { Medium::File },
        max_msgs,
        max_bytes,
        max_msgs_per_subject,
        max_age_ns: limit(config.max_age_ns),
        discard: match config.discard {
            stream_config::Discard::Old => Discard::Old,
            stream_config::Discard::New => Discard::New,
        },
        discard_new_per_subject: config.discard_new_per_subject,
        ttl: config.allow_msg_ttl,
        delete_markers: config.subject_delete_marker_ttl_ns > 0,
        schedules: config.allow_msg_schedules,
        compression: config.compression == Compression::S2,
        block_len: block_len(&sizing),
        sync: if relaxed && !cx.sync_always { Sync::Interval } else { Sync::Always },
        first_seq: config.first_seq,
    }
}
