//! Figures for Prometheus.

use std::time::Duration;

/// What is counted, at one moment. Counters only grow while the server runs; the others go up and down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// The server.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// midge's own version.
    pub midge_version: String,
    /// How long it has been up.
    pub uptime: Duration,
    /// Connections that are open.
    pub connections: u64,
    /// Connections accepted (counter).
    pub total_connections: u64,
    /// Subscriptions held.
    pub subscriptions: u64,
    /// Accounts known.
    pub accounts: u64,
    /// Messages received (counter).
    pub in_msgs: u64,
    /// Bytes received (counter).
    pub in_bytes: u64,
    /// Messages sent (counter).
    pub out_msgs: u64,
    /// Bytes sent (counter).
    pub out_bytes: u64,
    /// Bytes that wait to be sent.
    pub pending_bytes: u64,
    /// Connections closed because they read too slowly (counter).
    pub slow_consumers: u64,
    /// Connections closed because they fell silent (counter).
    pub stale_connections: u64,
    /// Times that a publisher was held up (counter).
    pub stalled_clients: u64,
    /// Refused logins (counter).
    pub auth_failures: u64,
    /// Resident memory in bytes.
    pub memory: u64,
    /// CPU seconds of all threads (counter).
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Closed connections by reason (counter), in the order of the reasons.
    pub closed: Vec<(String, u64)>,
    /// JetStream, if it runs.
    pub jetstream: Option<JetStreamFigures>,
}

/// JetStream as a whole, and in parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JetStreamFigures {
    /// All accounts together.
    pub total: AssetFigures,
    /// Accounts with JetStream.
    pub accounts: u64,
    /// Bytes that memory streams may use.
    pub max_memory: u64,
    /// Bytes that file streams may use.
    pub max_storage: u64,
    /// Bytes that memory streams have reserved.
    pub reserved_memory: u64,
    /// Bytes that file streams have reserved.
    pub reserved_storage: u64,
    /// Requests that are being served.
    pub inflight: u64,
    /// Streams that refuse messages because their store has failed.
    pub failed_streams: u64,
    /// By account, in the order of names: [`METRIC_ACCOUNTS`](crate::limits::METRIC_ACCOUNTS) at most.
    pub by_account: Vec<(String, AssetFigures)>,
    /// By stream, in the order of accounts and names: [`METRIC_STREAMS`](crate::limits::METRIC_STREAMS) at most.
    pub by_stream: Vec<StreamFigures>,
    /// The store directory, if there is one.
    pub disk: Option<DiskFigures>,
}

/// What accounts keep and ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssetFigures {
    /// Streams.
    pub streams: u64,
    /// Consumers.
    pub consumers: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes in files.
    pub storage: u64,
    /// Requests served (counter).
    pub api_total: u64,
    /// Requests refused (counter).
    pub api_errors: u64,
}

/// One stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFigures {
    /// Its account.
    pub account: String,
    /// Its name.
    pub stream: String,
    /// Messages.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The first live sequence.
    pub first_seq: u64,
    /// The last sequence.
    pub last_seq: u64,
    /// Consumers.
    pub consumers: u64,
}

/// A store directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskFigures {
    /// Syncs that acknowledgements wait for.
    pub commit_syncs: Durations,
    /// Syncs of files that nothing waits for.
    pub other_syncs: Durations,
    /// Syncs of folders.
    pub folder_syncs: Durations,
    /// Bytes written (counter).
    pub written_bytes: u64,
    /// Batches of operations (counter).
    pub batches: u64,
    /// Operations in them (counter).
    pub operations: u64,
    /// Operations of each of them.
    pub batch_sizes: Sizes,
    /// Operations beside them, such as reads (counter).
    pub asides: u64,
    /// Operations that failed (counter).
    pub failures: u64,
    /// Batches that were refused because too much waited (counter).
    pub refusals: u64,
    /// Files that somebody else changed (counter).
    pub foreign_changes: u64,
    /// Bytes that wait to be written.
    pub queued_bytes: u64,
    /// Operations that wait.
    pub queued_operations: u64,
    /// Bytes that may still be written.
    pub free_bytes: u64,
}

/// How large things were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Upper bounds, ascending, each with the things that were larger than the bound before (counters).
    pub buckets: Vec<(u64, u64)>,
    /// Things that were larger than the last bound (counter).
    pub larger: u64,
    /// All sizes together (counter).
    pub sum: u64,
}

/// How long calls took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// Upper bounds in seconds, ascending, each with the calls that took longer than the bound before (counters).
    pub buckets: Vec<(f64, u64)>,
    /// Calls that took longer than the last bound (counter).
    pub longer: u64,
    /// All durations together, in seconds (counter).
    pub sum_s: f64,
}
