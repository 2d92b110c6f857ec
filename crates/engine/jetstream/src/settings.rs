//! How JetStream is configured on this server.

use std::time::Duration;

use midge_store::format::keys::Cipher;

/// What keeps a power cut from taking acknowledged messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Everything that is acknowledged is on stable storage.
    Durable,
    /// As configured: what is written may stay unsynced for so long.
    Interval(Duration),
}

/// Consumers of a stream that sets no limit of its own, where the options do not say otherwise.
pub const DEFAULT_MAX_CONSUMERS: i64 = 1000;

/// The block `limits`: 0 for what is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Pending acknowledgements of a consumer.
    pub max_ack_pending: i64,
    /// Raft groups; counted where there are any.
    pub max_ha_assets: i64,
    /// Messages of one pull request.
    pub max_request_batch: i64,
    /// The longest window of duplicates.
    pub max_duplicate_window_ns: i64,
    /// Consumers of a stream that sets no limit of its own; negative for any number.
    pub default_max_consumers: i64,
    /// Open atomic batches of a stream.
    pub batch_inflight_per_stream: usize,
    /// Open atomic batches of the server.
    pub batch_inflight_total: usize,
    /// Messages of an atomic batch.
    pub batch_msgs: usize,
    /// How long a batch may be idle.
    pub batch_timeout: Duration,
    /// Open fast batches of a stream.
    pub fast_inflight_per_stream: usize,
    /// Open fast batches of the server.
    pub fast_inflight_total: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            max_ack_pending: 0,
            max_ha_assets: 0,
            max_request_batch: 0,
            max_duplicate_window_ns: 0,
            default_max_consumers: DEFAULT_MAX_CONSUMERS,
            batch_inflight_per_stream: 50,
            batch_inflight_total: 1000,
            batch_msgs: 1000,
            batch_timeout: Duration::from_secs(10),
            fast_inflight_per_stream: 1000,
            fast_inflight_total: 50_000,
        }
    }
}

/// Keys of stores at rest.
#[derive(Clone)]
pub struct AtRest {
    /// The configured key.
    pub key: Vec<u8>,
    /// The one before.
    pub previous: Option<Vec<u8>>,
    /// With what new files are written.
    pub cipher: Cipher,
}

impl std::fmt::Debug for AtRest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtRest").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

/// The block `jetstream`, with defaults taken.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store directory, as monitoring shows it.
    pub store_dir: String,
    /// Bytes of memory streams.
    pub max_memory: i64,
    /// Bytes of file streams.
    pub max_file: i64,
    /// Whether unknown fields of requests are refused.
    pub strict: bool,
    /// When acknowledgements are sent.
    pub sync: SyncPolicy,
    /// The interval and `always`, as monitoring shows them.
    pub sync_interval: Duration,
    /// See above.
    pub sync_always: bool,
    /// The domain; empty for none.
    pub domain: String,
    /// Encryption, if configured.
    pub at_rest: Option<AtRest>,
    /// Messages that wait for a stream.
    pub max_buffered_msgs: usize,
    /// Bytes of them.
    pub max_buffered_bytes: usize,
    /// Requests that are served at a time.
    pub api_requests: usize,
    /// Tag prefix of unique placement; shown.
    pub unique_tag: String,
    /// Limits of the server.
    pub limits: ServerLimits,
    /// Whether acknowledgement subjects have domain and account: feature flag `js_ack_fc_v2`.
    pub ack_v2: bool,
    /// The API level that this server has.
    pub server_name: String,
    /// The server's id.
    pub server_id: String,
    /// The version that clients see.
    pub version: String,
}
