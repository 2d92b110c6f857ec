//! What is told about accounts and servers: how much they use and how much they may.

use std::collections::BTreeMap;

use crate::json::object;

object! {
    /// An account's use of JetStream.
    pub struct AccountInfo("server.JetStreamAccountStats") {
        /// All of it.
        total: Tier => "" flat,
        /// The domain of the server.
        domain: String => "domain" omit,
        /// Requests served.
        api: ApiStats => "api" always,
        /// By tier, where limits are set by tier; then the outer limits are 0.
        tiers: BTreeMap<String, Tier> => "tiers" omit,
    }
}

object! {
    /// The use and the limits of a tier, such as `R3`, or of everything.
    pub struct Tier("server.JetStreamTier") {
        /// Bytes in memory.
        memory: u64 => "memory" always,
        /// Bytes in files.
        storage: u64 => "storage" always,
        /// Bytes in memory that streams may grow to.
        reserved_memory: u64 => "reserved_memory" always,
        /// Bytes in files that streams may grow to.
        reserved_storage: u64 => "reserved_storage" always,
        /// Streams.
        streams: i64 => "streams" always "int",
        /// Consumers.
        consumers: i64 => "consumers" always "int",
        /// How much is allowed.
        limits: AccountLimits => "limits" always,
    }
}

object! {
    /// How much an account may use; -1 is without limit.
    pub struct AccountLimits("server.JetStreamAccountLimits") {
        /// Bytes over all streams in memory.
        max_memory: i64 => "max_memory" always,
        /// Bytes over all streams in files.
        max_storage: i64 => "max_storage" always,
        /// Streams.
        max_streams: i64 => "max_streams" always "int",
        /// Consumers of one stream.
        max_consumers: i64 => "max_consumers" always "int",
        /// Unacknowledged messages of one consumer.
        max_ack_pending: i64 => "max_ack_pending" always "int",
        /// Bytes of one stream in memory.
        memory_max_stream_bytes: i64 => "memory_max_stream_bytes" always,
        /// Bytes of one stream in files.
        storage_max_stream_bytes: i64 => "storage_max_stream_bytes" always,
        /// A stream has to say how large it may grow.
        max_bytes_required: bool => "max_bytes_required" always,
    }
}

object! {
    /// Requests served.
    pub struct ApiStats("server.JetStreamAPIStats") {
        /// The level of the API.
        level: i64 => "level" always "int",
        /// All of them.
        total: u64 => "total" always,
        /// Those that were refused.
        errors: u64 => "errors" always,
        /// Those under way.
        inflight: u64 => "inflight" omit,
    }
}

impl AccountLimits {
    /// No limit at all.
    pub const UNLIMITED: AccountLimits = AccountLimits {
        max_memory: -1,
        max_storage: -1,
        max_streams: -1,
        max_consumers: -1,
        max_ack_pending: -1,
        memory_max_stream_bytes: -1,
        storage_max_stream_bytes: -1,
        max_bytes_required: false,
    };
}

object! {
    /// A server's use of JetStream.
    pub struct ServerStats("server.JetStreamStats") {
        /// Bytes in memory.
        memory: u64 => "memory" always,
        /// Bytes in files.
        storage: u64 => "storage" always,
        /// Bytes in memory that accounts may grow to.
        reserved_memory: u64 => "reserved_memory" always,
        /// Bytes in files that accounts may grow to.
        reserved_storage: u64 => "reserved_storage" always,
        /// Accounts with JetStream.
        accounts: i64 => "accounts" always "int",
        /// Raft groups on this server.
        ha_assets: i64 => "ha_assets" always "int",
        /// Requests served.
        api: ApiStats => "api" always,
    }
}

object! {
    /// How JetStream is set up on a server.
    pub struct ServerConfig("server.JetStreamConfig") {
        /// Bytes in memory at most.
        max_memory: i64 => "max_memory" always,
        /// Bytes in files at most.
        max_storage: i64 => "max_storage" always,
        /// The directory of the files.
        store_dir: String => "store_dir" omit,
        /// How often files are synchronised.
        sync_interval_ns: i64 => "sync_interval" omit "time.Duration",
        /// They are synchronised with every write.
        sync_always: bool => "sync_always" omit,
        /// The domain.
        domain: String => "domain" omit,
        /// What travels between servers may be compressed.
        compress_ok: bool => "compress_ok" omit,
        /// What the tag begins with that no two copies of a stream may share.
        unique_tag: String => "unique_tag" omit,
        /// Requests are read strictly.
        strict: bool => "strict" omit,
    }
}

object! {
    /// The limits of a server; 0 is not set.
    pub struct ServerLimits("server.JSLimitOpts") {
        /// Messages of one pull request.
        max_request_batch: i64 => "max_request_batch" omit "int",
        /// Unacknowledged messages of one consumer.
        max_ack_pending: i64 => "max_ack_pending" omit "int",
        /// Raft groups.
        max_ha_assets: i64 => "max_ha_assets" omit "int",
        /// The longest time for which message ids are remembered.
        max_duplicate_window_ns: i64 => "max_duplicate_window" omit "time.Duration",
        /// Open batches of one stream.
        max_batch_inflight_per_stream: i64 => "max_batch_inflight_per_stream" omit "int",
        /// Open batches.
        max_batch_inflight_total: i64 => "max_batch_inflight_total" omit "int",
        /// Messages of one batch.
        max_batch_size: i64 => "max_batch_size" omit "int",
        /// How long a batch may rest.
        max_batch_timeout_ns: i64 => "max_batch_timeout" omit "time.Duration",
        /// Consumers of a stream that sets no limit of its own.
        default_max_consumers: i64 => "default_max_consumers" omit "int",
    }
}
