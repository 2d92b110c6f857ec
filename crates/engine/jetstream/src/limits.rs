//! The maxima of this crate, with what happens when they are reached.

use std::time::Duration;

/// Acknowledgements, pulls and direct gets that wait in the inbox of a host; further ones are dropped, as if the network had lost them.
pub const INBOX_ACKS: usize = 1 << 20;

/// Bytes of them, beside the messages to be stored.
pub const INBOX_ACK_BYTES: usize = 64 << 20;

/// Bytes that an inbox keeps at hand when it is empty.
pub const INBOX_KEPT_BYTES: usize = 1 << 20;

/// Inputs for which it keeps room.
pub const INBOX_KEPT_ITEMS: usize = 4096;

/// Answers that wait until what they tell is durable; while there are as many, a host takes no inputs.
pub const HELD_ANSWERS: usize = 1 << 20;

/// Bytes of them.
pub const HELD_BYTES: usize = 128 << 20;

/// Messages that nobody needs any more which a host removes in a turn.
pub const TURN_REMOVED: usize = 4096;

/// Messages that wait to be stored, unless configured: further ones are refused with 429.
pub const BUFFERED_MSGS: usize = 100_000;

/// Bytes of them.
pub const BUFFERED_BYTES: usize = 128 << 20;

/// Inputs that a host handles in a turn.
pub const TURN_INPUTS: usize = 256;

/// Messages that a host delivers in a turn, over all its consumers.
pub const TURN_DELIVERIES: usize = 1024;

/// Requests of the API that are served at a time, unless configured; the newest are refused.
pub const API_REQUESTS: usize = 10_000;

/// Streams of one page of a list.
pub const LIST_PAGE: usize = 256;

/// Names of one page.
pub const NAMES_PAGE: usize = 1024;

/// How often a host tidies up: caches, checkpoints of consumers, the index.
pub const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Blocks that were not read for so long leave memory.
pub const CACHE_KEPT: Duration = Duration::from_secs(2);

/// How often a store that failed is tried again.
pub const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How often a mirror looks whether the other streams of the server are open, after a start.
pub const RECOVERY_LOOK_EVERY: Duration = Duration::from_millis(20);

/// Operations of a stream that wait for space at most. With more, its files are opened anew instead.
pub const HELD_BACK: usize = 1000;

/// How long a stream whose disk was full refuses messages before it tries again, unless space is seen to have returned.
pub const FULL_FOR: Duration = Duration::from_secs(5);

/// Streams that are opened at the same time at start.
pub const OPENED_TOGETHER: usize = 8;

/// Bytes of a file of metadata, or of the state of a consumer, that are read.
pub const MAX_META_LEN: usize = 256 << 20;

/// Bytes of a file in a copy of the older form, which is held in memory until it is complete: more than the longest block with the longest message in it, and all that
/// is read of the state of a consumer.
pub const RESTORED_FILE_LEN: u64 = MAX_META_LEN as u64;

/// Requests that a host serves at a time: while there are as many, it takes nothing new.
pub const HOST_TASKS: usize = 4096;

/// Copies of a stream that are made at a time; a further one is refused.
pub const SNAPSHOTS: usize = 8;

/// Messages that a host tells its consumers of in a turn.
pub const TURN_TOLD: usize = 4096;
