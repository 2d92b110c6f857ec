//! Name, life cycle and limits of a server.

use std::time::Duration;

use crate::limits;

/// Name, tags, life cycle and files of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name; empty takes the server's identity key.
    pub server_name: String,
    /// Tags, lower case, each once, in order of appearance.
    pub server_tags: Vec<String>,
    /// Free data shown by monitoring, in file order.
    pub server_metadata: Vec<(String, String)>,
    /// Feature flags as stated, in file order; unknown names are kept.
    pub feature_flags: Vec<(String, bool)>,
    /// The system account; empty takes the automatic `$SYS`.
    pub system_account: String,
    /// There is no system account.
    pub no_system_account: bool,
    /// Time over which lame duck mode closes the clients, grace period included.
    pub lame_duck_duration: Duration,
    /// Time before lame duck mode closes the first client.
    pub lame_duck_grace_period: Duration,
    /// Log every n-th failed first connect to a peer.
    pub connect_error_reports: i64,
    /// Log every n-th failed reconnect to a peer.
    pub reconnect_error_reports: i64,
    /// File that holds the process id; empty for none.
    pub pid_file: String,
    /// Directory of the ports file; empty for none.
    pub ports_file_dir: String,
    /// Directory of stored streams. Nothing uses it while streams are off.
    pub store_dir: String,
    /// Match without a result cache.
    pub disable_sublist_cache: bool,
    /// Refuse headers; INFO says `headers:false`.
    pub no_header_support: bool,
    /// Do not slow down publishers for slow subscribers.
    pub no_fast_producer_stall: bool,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            server_name: String::new(),
            server_tags: Vec::new(),
            server_metadata: Vec::new(),
            feature_flags: Vec::new(),
            system_account: String::new(),
            no_system_account: false,
            lame_duck_duration: limits::DEFAULT_LAME_DUCK_DURATION,
            lame_duck_grace_period: limits::DEFAULT_LAME_DUCK_GRACE_PERIOD,
            connect_error_reports: limits::DEFAULT_CONNECT_ERROR_REPORTS,
            reconnect_error_reports: limits::DEFAULT_RECONNECT_ERROR_REPORTS,
            pid_file: String::new(),
            ports_file_dir: String::new(),
            store_dir: String::new(),
            disable_sublist_cache: false,
            no_header_support: false,
            no_fast_producer_stall: false,
        }
    }
}

/// Sizes, counts and times of client connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections; negative refuses every client.
    pub max_connections: i64,
    /// Subscriptions of one connection; 0 or less for unlimited.
    pub max_subscriptions: i64,
    /// Tokens of a subscribed subject, 1 to 255; 0 for unlimited.
    pub max_sub_tokens: u8,
    /// Bytes of one protocol line.
    pub max_control_line: i64,
    /// Bytes of one message with its headers; negative for unlimited.
    pub max_payload: i64,
    /// Bytes queued for one connection.
    pub max_pending: i64,
    /// Closed connections remembered for monitoring.
    pub max_closed_clients: i64,
    /// Time between PINGs to a quiet client.
    pub ping_interval: Duration,
    /// Unanswered PINGs after which a client is stale.
    pub ping_max: i64,
    /// Time that one write to a socket may take.
    pub write_deadline: Duration,
    /// What happens when a write takes longer.
    pub write_timeout: WriteTimeout,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: limits::DEFAULT_MAX_CONNECTIONS,
            max_subscriptions: 0,
            max_sub_tokens: 0,
            max_control_line: limits::DEFAULT_MAX_CONTROL_LINE,
            max_payload: limits::DEFAULT_MAX_PAYLOAD,
            max_pending: limits::DEFAULT_MAX_PENDING,
            max_closed_clients: limits::DEFAULT_MAX_CLOSED_CLIENTS,
            ping_interval: limits::DEFAULT_PING_INTERVAL,
            ping_max: limits::DEFAULT_PING_MAX,
            write_deadline: limits::DEFAULT_WRITE_DEADLINE,
            write_timeout: WriteTimeout::Default,
        }
    }
}

/// What happens to a connection whose write took longer than the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteTimeout {
    /// Close clients.
    #[default]
    Default,
    /// Close the connection.
    Close,
    /// Keep it if part of the bytes went out.
    Retry,
}
