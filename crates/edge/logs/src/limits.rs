//! The maxima of this crate.

use std::time::Duration;

/// Lines that wait to be written.
pub const QUEUED_LINES: usize = 16 * 1024;

/// Bytes of the lines that wait to be written. A single line may be longer.
pub const QUEUED_BYTES: usize = 8 * 1024 * 1024;

/// How long a thread that logs waits while the queue is full. After the first wait in vain lines are lost at once, until
/// the destination takes some again.
pub const FULL_WAIT: Duration = Duration::from_millis(50);

/// How long [`crate::Logs::flush`] waits for the destination.
pub const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// Bytes gathered for one write to a file or standard error.
pub const WRITE_BUFFER: usize = 64 * 1024;

/// Texts remembered to print them once per second; further ones are printed each time.
pub const LIMITED_TEXTS: usize = 1024;

/// The time in which a limited text is printed once.
pub const LIMITED_WINDOW: Duration = Duration::from_secs(1);

/// Time for connecting to a syslog, and for each write to it.
pub const SYSLOG_WAIT: Duration = Duration::from_secs(5);

/// Bytes of one syslog message; longer ones are cut.
pub const SYSLOG_MESSAGE: usize = 32 * 1024;

const _: () = assert!(WRITE_BUFFER <= QUEUED_BYTES);
const _: () = assert!(FULL_WAIT.as_nanos() < FLUSH_WAIT.as_nanos());
