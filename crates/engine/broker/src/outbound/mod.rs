//! Bounded output of one connection.
//!
//! ```text
//!   routing (any shard) ── Queue::append ──▶ chunks ── Queue::take ──▶ the one flusher ── Queue::done ──▶ idle
//!                                                          ▲                                  │
//!                                                          └────────── more was queued ◀──────┘
//! ```
//!
//! At most one thread writes a connection's bytes at a time: the holder of the flushing flag. `take` fails for others,
//! and the holder looks again before it lays the flag down, so nothing is stranded and nothing is reordered.
//! When more than `max_pending` bytes are queued the connection is a slow consumer: it is closed, its bytes are dropped.

mod chunks;
mod pool;
mod queue;

pub use chunks::{Chunk, Flight};
pub use pool::Pool;
pub use queue::{Pressure, Queue, Taken};
