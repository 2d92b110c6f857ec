//! The maxima of a disk.

use std::time::Duration;

/// Threads for reading, computing and staging.
pub const WORKERS: usize = 2;
/// Operations that a lane may have queued. One is always taken of a lane that has none.
pub const LANE_OPS: usize = 1 << 16;
/// Bytes that a lane may have queued.
pub const LANE_BYTES: usize = 64 << 20;
/// Bytes that all lanes together may have queued; above, each lane may have one operation.
pub const DISK_BYTES: usize = 256 << 20;
/// Bytes that are committed at once: what is queued beyond waits, so that the completions of the first do not.
pub const ROUND_BYTES: usize = 8 << 20;
/// What an operation counts beside its bytes.
pub const OP_BYTES: usize = 64;
/// After so long without a batch the committer tidies up; also the longest that a delta which was only cached stays unsynced.
pub const IDLE_AFTER: Duration = Duration::from_millis(5);
/// Files of consumers wait no longer than this to be written, even when the committer is never idle.
pub const LATE_AFTER: Duration = Duration::from_millis(100);
/// Operations that whoever submits them does itself, when they are writes that nobody wants synced and the committer sleeps.
pub const HERE_OPS: usize = 16;
/// Bytes of them.
pub const HERE_BYTES: usize = 64 << 10;
/// The committer looks for its next batch for so long before it sleeps, if its last wait was short: waking a thread costs more.
pub const SPIN: Duration = Duration::from_micros(50);
/// How often what was written with `Promise::Cached` is synced, as in the Go server.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(120);
/// Block files that were not written for so long are closed, as in the Go server.
pub const CLOSE_AFTER: Duration = Duration::from_secs(30);
/// How often free space is looked at.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The same while operations fail for the lack of it.
pub const PROBE_SHORT: Duration = Duration::from_secs(1);
/// Free bytes with which a full file system counts as having space again: room for segments of the journal and for a block.
pub const SPACE_BACK: u64 = 64 << 20;
/// Of the failures of one lane, one in this time is logged.
pub const LOG_EVERY: Duration = Duration::from_secs(10);
/// The journal opens at most this part of the files that the process may open.
pub const HANDLES_PART: u64 = 4;
/// Warnings about files that somebody else changed which are kept until they are logged.
pub const FOREIGN: usize = 64;

const _: () = assert!(LANE_BYTES <= DISK_BYTES);
