//! The network in memory: links of bytes between clients and node, and how queues are written to them.

mod hook;
mod link;
mod writer;

pub use hook::{Flushes, Hook, Kind};
pub use link::{Broken, Link};
pub use writer::{Progress, Writer, Wrote};
