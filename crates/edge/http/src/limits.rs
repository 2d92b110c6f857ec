//! The maxima of this crate.

use std::time::Duration;

/// Open connections; further ones are closed at once.
pub const CONNECTIONS: usize = 512;

/// Documents that are being made; further requests wait.
pub const DOCUMENTS: usize = 4;

/// Bytes of a request's head.
pub const HEAD_BYTES: usize = 1024 * 1024;

/// Header lines of a request.
pub const HEADER_LINES: usize = 256;

/// Time from the start of a connection, or from the first byte of a later request, to the end of the request's head.
pub const HEAD_WAIT: Duration = Duration::from_secs(5);

/// How long a connection may stand idle between two requests.
pub const IDLE_WAIT: Duration = Duration::from_secs(180);

/// How long an answer may make no progress, its making included.
pub const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// How long a document waits for the parts that streams have to write; what has not come then is left out.
pub const PARTS_WAIT: Duration = Duration::from_secs(2);

/// The first pause of accepting when descriptors or memory run out, and the longest.
pub const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

const _: () = assert!(DOCUMENTS <= CONNECTIONS);
const _: () = assert!(HEAD_WAIT.as_secs() <= ANSWER_WAIT.as_secs());
const _: () = assert!(PARTS_WAIT.as_secs() < ANSWER_WAIT.as_secs());
