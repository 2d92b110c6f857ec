//! The maxima of this crate: every queue, cache and batch, with what happens when it is full.

use std::time::Duration;

/// Bytes of the first chunk of an outbound queue; an idle connection holds none.
pub const SMALL_CHUNK: usize = 2 * 1024;

/// Bytes of the further chunks; a message that is larger gets a chunk of its own size.
pub const LARGE_CHUNK: usize = 16 * 1024;

/// Chunks of each size that a shard keeps for reuse; more are freed.
pub const POOLED_CHUNKS: usize = 128;

/// Payload bytes from which a message is shared between queues and input instead of copied.
pub const SHARED_PAYLOAD: usize = 16 * 1024;

/// Messages of one subject that are routed together.
pub const RUN_MESSAGES: usize = 64;

/// Bytes appended to outbound queues after which a batch ends, so that its queues are flushed; the rest of the input
/// is handled in the next batch.
pub const BATCH_OUTPUT: usize = 8 * 1024 * 1024;

/// Routes that a shard remembers; a full set of a slot's row replaces its older entry.
pub const CACHED_ROUTES: usize = 8192;

/// Subscriptions held by all remembered routes of a shard; above, all are forgotten.
pub const CACHED_ROUTE_MEMBERS: usize = 1 << 20;

/// A publisher waits this long for a consumer whose queue is nearly full.
pub const STALL: Duration = Duration::from_millis(2);

/// A publisher waits this long for a consumer whose queue is at its maximum.
pub const STALL_FULL: Duration = Duration::from_millis(5);

/// A publisher waits at most this long per batch of input.
pub const STALL_TOTAL: Duration = Duration::from_millis(10);

/// Bytes queued for one consumer after a flush from which on its publisher waits for it to catch up. With many
/// consumers in a batch each has its share of this, but not less than [`CROWDED_SHARE`].
pub const CROWDED: usize = 1024 * 1024;

/// The least share of [`CROWDED`].
pub const CROWDED_SHARE: usize = 64 * 1024;

/// How long a publisher waits at most for a consumer that is behind; one that made no progress during the last wait is
/// not waited for.
pub const CROWDED_WAIT: Duration = Duration::from_millis(2);

/// Publishers that one queue wakes when it has drained; further ones wait their time out.
pub const WAITING_PUBLISHERS: usize = 256;

/// The first PING of the server comes at most this long after CONNECT, plus up to a fifth.
pub const FIRST_PING: Duration = Duration::from_secs(2);

/// How old a measured round trip may be before a PING measures it again.
pub const RTT_AGE: Duration = Duration::from_secs(3600);

/// A final flush takes at most this long.
pub const FINAL_FLUSH: Duration = Duration::from_millis(100);

const _: () = assert!(SMALL_CHUNK < LARGE_CHUNK);
const _: () = assert!(LARGE_CHUNK <= BATCH_OUTPUT);
const _: () =
    assert!(STALL.as_nanos() <= STALL_FULL.as_nanos() && STALL_FULL.as_nanos() <= STALL_TOTAL.as_nanos());
