//! What connections need to know of the options.

use std::time::Duration;

/// A server's identity, as clients see it.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The public key (`N…`).
    pub server_id: String,
    /// The name; the id when none is configured.
    pub server_name: String,
    /// The version that clients gate features on.
    pub version: String,
    /// This implementation's own version.
    pub midge_version: String,
    /// The `go` field: what the server was built with.
    pub built_with: String,
    /// Seven hexadecimal digits, or empty.
    pub git_commit: String,
    /// The public curve key (`X…`), or empty.
    pub xkey: String,
}

/// What trace lines show of payloads.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceSettings {
    /// Bytes; 0 for all.
    pub max_len: usize,
    /// Of a message with headers nothing else.
    pub headers_only: bool,
}

/// Limits, times and flags that every connection obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who the server is.
    pub identity: Identity,
    /// Host in INFO.
    pub host: String,
    /// Port in INFO.
    pub port: u16,
    /// Client connections; negative refuses all.
    pub max_connections: i64,
    /// Subscriptions of a connection; 0 or less for no limit.
    pub max_subscriptions: i64,
    /// Tokens of a subscription; 0 for no limit.
    pub max_subscription_tokens: usize,
    /// Bytes of a control line.
    pub max_control_line: usize,
    /// Bytes of header and payload; negative for no limit.
    pub max_payload: i64,
    /// Bytes queued for a connection.
    pub max_pending: usize,
    /// Closed connections that monitoring remembers.
    pub max_closed_clients: usize,
    /// Time between PINGs.
    pub ping_interval: Duration,
    /// PINGs without PONG before a connection is stale.
    pub ping_max: u32,
    /// Time from the start of a connection to its login.
    pub auth_timeout: Duration,
    /// How long a socket may refuse bytes.
    pub write_deadline: Duration,
    /// Keep a connection beyond the write deadline when some bytes went out.
    pub retry_writes: bool,
    /// Whether headers are supported.
    pub headers: bool,
    /// Whether slow consumers lose messages instead of slowing publishers.
    pub no_fast_producer_stall: bool,
    /// Whether INFO says that TLS must follow.
    pub tls_required: bool,
    /// Whether INFO says that TLS may follow.
    pub tls_available: bool,
    /// Whether client certificates are asked for.
    pub tls_verify: bool,
    /// Whether client certificates are mapped to users.
    pub tls_map: bool,
    /// Whether INFO says that there are stored streams.
    pub jetstream: bool,
    /// Their domain in INFO; empty for none.
    pub domain: String,
    /// What trace lines show of payloads.
    pub trace: TraceSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            identity: Identity::default(),
            host: "0.0.0.0".to_owned(),
            port: 4222,
            max_connections: 65_536,
            max_subscriptions: 0,
            max_subscription_tokens: 0,
            max_control_line: 4096,
            max_payload: 1 << 20,
            max_pending: 64 << 20,
            max_closed_clients: 10_000,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            auth_timeout: Duration::from_secs(2),
            write_deadline: Duration::from_secs(10),
            retry_writes: false,
            headers: true,
            no_fast_producer_stall: false,
            tls_required: false,
            tls_available: false,
            tls_verify: false,
            tls_map: false,
            jetstream: false,
            domain: String::new(),
            trace: TraceSettings::default(),
        }
    }
}
