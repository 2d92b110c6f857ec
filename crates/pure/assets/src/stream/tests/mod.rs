//! Streams over stores in memory.

mod backups;
mod batches;
mod disk;
mod gets;
pub(super) mod harness;
mod publishes;
mod times;
mod waits;
