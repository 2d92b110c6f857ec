//! Streams over stores in memory.
