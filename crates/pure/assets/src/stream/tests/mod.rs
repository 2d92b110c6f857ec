//! Streams over stores in memory.

mod batches;
mod gets;
pub(super) mod harness;
mod publishes;
mod times;
