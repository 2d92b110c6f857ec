//! Named maxima of the configuration, and the defaults of the server's own limits.

use std::time::Duration;

/// Bytes of one configuration file; a larger one is refused.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// Includes inside includes.
pub const MAX_INCLUDE_DEPTH: usize = 16;
/// Files read for one configuration, however they include each other.
pub const MAX_FILES: usize = 1024;
/// Environment variables that refer to each other in a row.
pub const MAX_ENV_DEPTH: usize = 32;
/// Maps and arrays inside each other.
pub const MAX_NESTING: usize = 100;
/// Values of one configuration, copies made by variables included: bounds what nested references can multiply to.
pub const MAX_VALUES: usize = 4_000_000;
/// Excerpts drawn below the error lines.
pub const MAX_EXCERPTS: usize = 10;
/// Bytes of a source line in an excerpt; longer lines are not drawn.
pub const MAX_EXCERPT_LINE: usize = 512;

/// Client port.
pub const DEFAULT_PORT: u16 = 4222;
/// Client connections.
pub const DEFAULT_MAX_CONNECTIONS: i64 = 65_536;
/// Bytes of a protocol line.
pub const DEFAULT_MAX_CONTROL_LINE: i64 = 4096;
/// Bytes of a message.
pub const DEFAULT_MAX_PAYLOAD: i64 = 1 << 20;
/// Bytes of a message above which a start is warned about.
pub const LARGE_MAX_PAYLOAD: i64 = 8 << 20;
/// Bytes queued for a connection.
pub const DEFAULT_MAX_PENDING: i64 = 64 << 20;
/// Closed connections remembered.
pub const DEFAULT_MAX_CLOSED_CLIENTS: i64 = 10_000;
/// Time between PINGs.
pub const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(120);
/// Unanswered PINGs.
pub const DEFAULT_PING_MAX: i64 = 2;
/// Time of one write.
pub const DEFAULT_WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Time from accept to CONNECT.
pub const DEFAULT_AUTH_TIMEOUT: Duration = Duration::from_secs(2);
/// Time of a TLS handshake.
pub const DEFAULT_TLS_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that `handshake_first: auto` waits.
pub const DEFAULT_HANDSHAKE_FIRST_WAIT: Duration = Duration::from_millis(50);
/// Length of lame duck mode.
pub const DEFAULT_LAME_DUCK_DURATION: Duration = Duration::from_secs(120);
/// Shortest lame duck mode that a file may ask for.
pub const MIN_LAME_DUCK_DURATION: Duration = Duration::from_secs(30);
/// Grace period of lame duck mode.
pub const DEFAULT_LAME_DUCK_GRACE_PERIOD: Duration = Duration::from_secs(10);
/// Failed first connects per log line.
pub const DEFAULT_CONNECT_ERROR_REPORTS: i64 = 3600;
/// Failed reconnects per log line.
pub const DEFAULT_RECONNECT_ERROR_REPORTS: i64 = 1;

const _: () = assert!(DEFAULT_MAX_PAYLOAD <= DEFAULT_MAX_PENDING);
const _: () = assert!(DEFAULT_LAME_DUCK_GRACE_PERIOD.as_secs() < DEFAULT_LAME_DUCK_DURATION.as_secs());
