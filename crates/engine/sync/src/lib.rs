//! The only shared-memory tools of the engine.
//!
//! ```text
//! rank 10  node reload        rank 20  registries        rank 30  account index
//! rank 40  outbound queue     rank 50  mailboxes
//! ```
//!
//! - [`ordlock`]: a mutex and a read-write lock that carry their rank in their type; taking a rank that is not above
//!   every rank held panics in debug builds and in the simulator;
//! - [`mailbox`]: a bounded queue that its owner drains in batches;
//! - [`cells`]: counters with one cell per shard, summed when read;
//! - [`snapshot`]: a value that is replaced as a whole.
//!
//! With the feature `shuttle` the primitives come from shuttle, so that tests can explore interleavings.
#![forbid(unsafe_code)]

pub mod cells;
pub mod mailbox;
pub mod ordlock;
pub mod snapshot;

/// Atomics that shuttle can schedule.
pub mod atomic {
    #[cfg(feature = "shuttle")]
    pub use shuttle::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
    #[cfg(not(feature = "shuttle"))]
    pub use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
}

/// The lock ranks of the whole server, lowest taken first.
pub mod rank {
    /// Swapping options.
    pub const RELOAD: u8 = 10;
    /// Accounts, connections, hosts: insert, remove or look up an `Arc`.
    pub const REGISTRY: u8 = 20;
    /// One account's index: one match or one change.
    pub const INDEX: u8 = 30;
    /// One connection's outbound queue: append or take chunks.
    pub const OUTBOUND: u8 = 40;
    /// Mailboxes and other leaves.
    pub const LEAF: u8 = 50;
}
