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
}
