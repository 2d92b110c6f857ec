//! Streams that are fed by others.
//!
//! - [`header`]: where a message came from.

pub mod header;
