//! The maxima of this crate.

use std::time::Duration;

/// Bytes that one read may bring: enough that system calls do not count, little enough to stay in the cache.
pub const READ_BUFFER: usize = 128 * 1024;

/// Messages longer than this are read into a buffer of their own size instead of the shard's.
pub const LARGE_MESSAGE: usize = 64 * 1024;

/// Reads of one connection in a row before others have their turn.
pub const READS_PER_TURN: u32 = 4;

/// Queues that a batch writes itself; the owners of the rest are woken.
pub const INLINE_QUEUES: usize = 64;

/// How long a batch writes itself before it wakes the owners of what is left.
pub const INLINE_TIME: Duration = Duration::from_millis(1);

/// Bytes of one queue from which on an idle owner writes them rather than the publisher.
pub const FOREIGN_WRITE: usize = 32 * 1024;

/// Pieces of one vectored write.
pub const WRITE_SLICES: usize = 64;

/// Connections accepted and not yet taken by their shard; accepting waits when a shard is this far behind.
pub const ACCEPT_QUEUE: usize = 1024;

/// A shard without a batch for this long gives back the memory that a busy time needed.
pub const QUIET: Duration = Duration::from_secs(10);

/// How often a shard has the allocator look for memory that it may give back to the system.
pub const GIVE_BACK: Duration = Duration::from_secs(3);

/// Bytes that no allocator keeps at hand for the next one who asks.
pub const LARGE_PIECE: usize = 1 << 20;

/// Threads of each shard for slow hashing; further hashes wait.
pub const BLOCKING_THREADS: usize = 2;

/// Connections that the system may queue for accept.
pub const LISTEN_BACKLOG: u32 = 4096;

/// The first pause of accepting when descriptors or memory run out, and the longest.
pub const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Bytes each way that an in-process connection buffers.
pub const PIPE_BUFFER: usize = 64 * 1024;

/// Encrypted bytes that one read may bring; each thread has one such buffer.
pub const TLS_READ: usize = 64 * 1024;

/// Bytes that a TLS connection encrypts before it waits for the socket.
pub const TLS_WRITE: usize = 64 * 1024;

/// TLS sessions that a listener remembers for resumption; the oldest are forgotten.
pub const TLS_SESSIONS: usize = 1024;

/// Tickets for resumption that a client gets.
pub const TLS_TICKETS: usize = 1;

/// The window in which handshakes are counted for the rate limit.
pub const TLS_RATE_WINDOW: Duration = Duration::from_secs(1);

/// How long a TLS connection inside the process is given to begin its handshake where TLS comes first, before it gets
/// INFO in clear text.
pub const IN_PROCESS_TLS_FIRST: Duration = Duration::from_millis(50);

/// Time for the handshake of a monitoring connection.
pub const MONITORING_HANDSHAKE: Duration = Duration::from_secs(5);

const _: () = assert!(LARGE_MESSAGE <= READ_BUFFER);
const _: () = assert!(TLS_READ <= READ_BUFFER);

/// An owner of state that finds its receivers behind has its next turn after this at the latest.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(10);
