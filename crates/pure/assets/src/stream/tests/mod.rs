//! Streams over stores in memory.

mod batches;
mod gets;
mod harness;
mod publishes;
mod times;
