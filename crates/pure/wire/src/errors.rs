//! The texts of `-ERR`, byte for byte as tools and clients know them.

/// Not a verb.
pub const UNKNOWN_OPERATION: &str = "Unknown Protocol Operation";
/// A line longer than `max_control_line`.
pub const MAX_CONTROL_LINE: &str = "maximum control line exceeded";
/// A payload larger than `max_payload`.
pub const MAX_PAYLOAD: &str = "Maximum Payload Violation";
/// A bad publish subject from a pedantic client.
pub const INVALID_PUBLISH_SUBJECT: &str = "Invalid Publish Subject";
/// A subscription with an empty token or a `>` that is not last.
pub const INVALID_SUBJECT: &str = "Invalid Subject";
/// Too many subscriptions of one connection.
pub const MAX_SUBSCRIPTIONS: &str = "maximum subscriptions exceeded";
/// Too many connections.
pub const MAX_CONNECTIONS: &str = "maximum connections exceeded";
/// Too many connections of one account.
pub const MAX_ACCOUNT_CONNECTIONS: &str = "maximum account active connections exceeded";
/// A login that was refused, whatever the cause.
pub const AUTHORIZATION: &str = "Authorization Violation";
/// No login in time.
pub const AUTHENTICATION_TIMEOUT: &str = "Authentication Timeout";
/// CONNECT with a protocol that is neither 0 nor 1.
pub const BAD_PROTOCOL: &str = "invalid client protocol";
/// CONNECT that wants no-responders without headers.
pub const NO_RESPONDERS_NEEDS_HEADERS: &str = "no responders requires headers support";
/// Too many PINGs without PONG.
pub const STALE_CONNECTION: &str = "Stale Connection";
/// Too many TLS handshakes per second.
pub const TLS_RATE: &str = "Connection throttling is active. Please try again later.";
/// The account could not take the connection, for another reason than its limits.
pub const ACCOUNT_REGISTRATION: &str = "Failed Account Registration";
