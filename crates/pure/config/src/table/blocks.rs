//! Options inside blocks.

use super::Kind::{Bool, Duration, Int, Map, Mixed, Seconds, Text, Texts};
use super::{Block, Row};

use Block::{
    Account, AccountJetStream, AccountLimits, Authorization, Certificates, JetStream, JetStreamBatch,
    JetStreamLimits, Permissions, Responses, SubjectPermissions, Tls, User,
};

/// Options inside blocks, in the order of the reference text.
pub const BLOCK_ROWS: &[Row] = &[
    Row::new(Authorization, "user", Text, "The single user.").aliases(&["username"]),
    Row::new(Authorization, "pass", Text, "Its password, plain or a bcrypt hash.").aliases(&["password"]),
    Row::new(Authorization, "token", Text, "The single token, plain or a bcrypt hash."),
    Row::new(Authorization, "timeout", Seconds, "Time to log in; with TLS one second more than that of TLS.")
        .default("2"),
    Row::new(Authorization, "users", Mixed, "Users, one map each."),
    Row::new(Authorization, "default_permissions", Map, "Permissions of users that state none.")
        .aliases(&["default_permission", "permissions"]),
    Row::new(Authorization, "auth_callout", Map, "Ask a service who may log in.")
        .aliases(&["auth_hook"])
        .not_yet(),
    Row::new(Authorization, "proxy_required", Bool, "Clients must come through a trusted proxy.")
        .default("false")
        .not_yet(),
    Row::new(User, "user", Text, "Name.").aliases(&["username"]),
    Row::new(User, "pass", Text, "Password, plain or a bcrypt hash.").aliases(&["password"]),
    Row::new(User, "nkey", Text, "Public key, instead of name and password."),
    Row::new(User, "permissions", Map, "What the user may do; everything if not stated.")
        .aliases(&["permission", "authorization"]),
    Row::new(
        User,
        "allowed_connection_types",
        Texts,
        "`STANDARD`, `WEBSOCKET`, `LEAFNODE`, `LEAFNODE_WS`, `MQTT`, `MQTT_WS`, `IN_PROCESS`; all if not stated.",
    )
    .aliases(&["connection_types", "clients"]),
    Row::new(User, "proxy_required", Bool, "The user must come through a trusted proxy.")
        .default("false")
        .not_yet(),
    Row::new(Permissions, "publish", Mixed, "A subject, allowed subjects, or a map of allow and deny.")
        .aliases(&["pub", "import"]),
    Row::new(Permissions, "subscribe", Mixed, "The same; an entry may be `subject queue`.")
        .aliases(&["sub", "export"]),
    Row::new(Permissions, "allow_responses", Mixed, "Answers to received requests: a boolean or a map.")
        .aliases(&["publish_allow_responses"]),
    Row::new(SubjectPermissions, "allow", Texts, "Allowed subjects; all if not stated."),
    Row::new(SubjectPermissions, "deny", Texts, "Denied subjects."),
    Row::new(Responses, "max", Int, "Answers per request; negative for unlimited.")
        .aliases(&["max_msgs", "max_messages", "max_responses"])
        .default("1"),
    Row::new(Responses, "expires", Duration, "Time to answer; negative for unlimited.")
        .aliases(&["expiration", "ttl"])
        .default("\"2m\""),
    Row::new(Account, "nkey", Text, "Public key of the account."),
    Row::new(Account, "users", Mixed, "Users, one map each."),
    Row::new(Account, "default_permissions", Map, "Permissions of users that state none."),
    Row::new(Account, "limits", Map, "Limits of the account."),
    Row::new(Account, "exports", Mixed, "What other accounts may import.").not_yet(),
    Row::new(Account, "imports", Mixed, "What other accounts export.").not_yet(),
    Row::new(Account, "mappings", Map, "Subject mappings.").aliases(&["maps"]).not_yet(),
    Row::new(Account, "jetstream", Mixed, "Stored streams: a boolean, `enabled` or a map.").default("false"),
    Row::new(Account, "msg_trace", Mixed, "Where traces of messages go.").aliases(&["trace_dest"]).not_yet(),
    Row::new(AccountLimits, "max_connections", Int, "Client connections; -1 for unlimited.")
        .aliases(&["max_conn"])
        .default("-1"),
    Row::new(AccountLimits, "max_subscriptions", Int, "Subscriptions of a connection; -1 for unlimited.")
        .aliases(&["max_subs"])
        .default("-1"),
    Row::new(AccountLimits, "max_payload", Int, "Bytes of a message; -1 for unlimited.")
        .aliases(&["max_pay"])
        .default("-1"),
    Row::new(AccountLimits, "max_leafnodes", Int, "Leaf node connections; -1 for unlimited.")
        .aliases(&["max_leafs"])
        .default("-1"),
    Row::new(JetStream, "enabled", Bool, "Off, if false.").aliases(&["enable"]).default("true"),
    Row::new(JetStream, "store_dir", Text, "Where the folder `jetstream` lies.").aliases(&["store", "storedir"]),
    Row::new(JetStream, "max_memory_store", Mixed, "Bytes of memory streams; unset: 75 % of the memory.")
        .aliases(&["max_mem_store", "max_mem"]),
    Row::new(JetStream, "max_file_store", Mixed, "Bytes of file streams; unset: 75 % of the free space.")
        .aliases(&["max_file"]),
    Row::new(JetStream, "strict", Bool, "Refuse requests with unknown fields.").default("true"),
    Row::new(
        JetStream,
        "sync_interval",
        Mixed,
        "How long writes may stay unsynced; `always`, and unset: every acknowledgement is on disk.",
    )
    .aliases(&["sync"]),
    Row::new(JetStream, "domain", Text, "Domain."),
    Row::new(JetStream, "key", Text, "Key of files at rest.").aliases(&["ek", "encryption_key"]),
    Row::new(JetStream, "prev_key", Text, "The key before.").aliases(&["prev_ek", "prev_encryption_key"]),
    Row::new(JetStream, "cipher", Text, "`chacha` or `aes`.").default("chacha"),
    Row::new(JetStream, "extension_hint", Text, "`no_extend` or `will_extend`: leaf nodes and domains."),
    Row::new(JetStream, "unique_tag", Text, "Placement: tags with this prefix are for one replica each."),
    Row::new(JetStream, "max_outstanding_catchup", Mixed, "Bytes in flight to replicas that catch up.")
        .default("64M"),
    Row::new(JetStream, "max_buffered_size", Mixed, "Bytes that wait for a stream.").default("128M"),
    Row::new(JetStream, "max_buffered_msgs", Int, "Messages that wait for a stream.").default("100000"),
    Row::new(JetStream, "request_queue_limit", Int, "Requests that wait.").default("10000"),
    Row::new(JetStream, "info_queue_limit", Int, "Requests for information that wait.").default("10000"),
    Row::new(JetStream, "meta_compact", Int, "Meta log entries before compaction.").default("0"),
    Row::new(JetStream, "meta_compact_size", Mixed, "Bytes of the meta log before compaction.").default("0"),
    Row::new(JetStream, "meta_compact_sync", Bool, "Compact the meta log at once.").default("false"),
    Row::new(JetStream, "max_concurrent_io", Int, "Files in use at the same time.").default("4096"),
    Row::new(JetStream, "limits", Map, "Limits of streams and consumers."),
    Row::new(JetStream, "tpm", Map, "Keys in a trusted platform module.").not_yet(),
    Row::new(JetStreamLimits, "max_ack_pending", Int, "Unacknowledged messages of a consumer."),
    Row::new(JetStreamLimits, "max_ha_assets", Int, "Replicated streams and consumers."),
    Row::new(JetStreamLimits, "max_request_batch", Int, "Messages of one pull request."),
    Row::new(JetStreamLimits, "duplicate_window", Duration, "The longest window of duplicates."),
    Row::new(JetStreamLimits, "default_max_consumers", Int, "Consumers of a stream that sets no limit; -1 for any number.")
        .default("1000"),
    Row::new(JetStreamLimits, "batch", Map, "Limits of batches."),
    Row::new(JetStreamBatch, "max_inflight_per_stream", Int, "Open batches of a stream."),
    Row::new(JetStreamBatch, "max_inflight_total", Int, "Open batches of the server."),
    Row::new(JetStreamBatch, "max_msgs", Int, "Messages of an atomic batch.").default("1000"),
    Row::new(JetStreamBatch, "timeout", Duration, "How long a batch may be idle.").default("\"10s\""),
    Row::new(AccountJetStream, "max_memory", Mixed, "Bytes of memory streams; -1 for unlimited.")
        .aliases(&["max_mem", "mem", "memory"])
        .default("-1"),
    Row::new(AccountJetStream, "max_store", Mixed, "Bytes of file streams; -1 for unlimited.")
        .aliases(&["max_file", "max_disk", "store", "disk"])
        .default("-1"),
    Row::new(AccountJetStream, "max_streams", Int, "Streams; -1 for unlimited.")
        .aliases(&["streams"])
        .default("-1"),
    Row::new(AccountJetStream, "max_consumers", Int, "Consumers of a stream; -1 for unlimited.")
        .aliases(&["consumers"])
        .default("-1"),
    Row::new(AccountJetStream, "max_bytes_required", Bool, "Streams have to state `max_bytes`.")
        .aliases(&["max_stream_bytes", "max_bytes"])
        .default("false"),
    Row::new(AccountJetStream, "mem_max_stream_bytes", Mixed, "The largest `max_bytes` of a memory stream.")
        .aliases(&["memory_max_stream_bytes"])
        .default("-1"),
    Row::new(AccountJetStream, "disk_max_stream_bytes", Mixed, "The largest `max_bytes` of a file stream.")
        .aliases(&["store_max_stream_bytes"])
        .default("-1"),
    Row::new(AccountJetStream, "max_ack_pending", Int, "Unacknowledged messages of a consumer.").default("-1"),
    Row::new(AccountJetStream, "cluster_traffic", Text, "Account of replication traffic: `system` or `owner`.")
        .default("system"),
    Row::new(Tls, "cert_file", Text, "Certificate chain, PEM.").live(),
    Row::new(Tls, "key_file", Text, "Its private key, PEM.").live(),
    Row::new(Tls, "certs", Mixed, "Several chains: an array of maps.").aliases(&["certificates"]).live(),
    Row::new(Tls, "ca_file", Text, "Authorities that vouch for clients, PEM.").live(),
    Row::new(Tls, "verify", Bool, "Require client certificates and verify them.").default("false").live(),
    Row::new(Tls, "verify_and_map", Bool, "Take the user from the client certificate; implies verify.")
        .default("false")
        .refused("TLSMap"),
    Row::new(Tls, "verify_cert_and_check_known_urls", Bool, "Not for clients.").default("false"),
    Row::new(Tls, "insecure", Bool, "Do not verify the other side when connecting out.").default("false"),
    Row::new(Tls, "timeout", Seconds, "Time for a handshake.").default("2").live(),
    Row::new(Tls, "cipher_suites", Mixed, "Allowed cipher suites by name.").live(),
    Row::new(Tls, "allow_insecure_cipher_suites", Bool, "Weak suites may be listed.").default("false").live(),
    Row::new(Tls, "curve_preferences", Mixed, "Allowed key exchange groups by name.").live(),
    Row::new(Tls, "min_version", Text, "`1.2` or `1.3`.").default("\"1.2\"").live(),
    Row::new(Tls, "pinned_certs", Mixed, "SHA-256 of allowed client public keys, in hex.").live(),
    Row::new(Tls, "connection_rate_limit", Int, "Handshakes per second; 0 for unlimited.")
        .default("0")
        .refused("TLSRateLimit"),
    Row::new(Tls, "handshake_first", Mixed, "TLS before INFO: a boolean, `auto`, or the time to wait for it.")
        .aliases(&["first", "immediate"])
        .default("false")
        .live(),
    Row::new(Tls, "ocsp_peer", Mixed, "Check the states of client certificates.").default("false").not_yet(),
    Row::new(Tls, "cert_store", Text, "Store of certificates of another operating system.").not_yet(),
    Row::new(Tls, "cert_match_by", Text, "How to search that store.").not_yet(),
    Row::new(Tls, "cert_match", Text, "What to search it for.").not_yet(),
    Row::new(Tls, "cert_match_skip_invalid", Bool, "Skip expired certificates of it.")
        .default("false")
        .not_yet(),
    Row::new(Tls, "ca_certs_match", Texts, "Authorities of it.").not_yet(),
    Row::new(Certificates, "cert_file", Text, "Certificate chain, PEM."),
    Row::new(Certificates, "key_file", Text, "Its private key, PEM."),
];
