//! The NATS client protocol: bytes to operations, operations to bytes.
//!
//! ```text
//!   input buffer ──▶ parse::Parser::next ──▶ Op (slices of the buffer) ──▶ broker::conn
//!   broker::routing ──▶ encode::* ──▶ the caller's buffer
//! ```
//!
//! The parser is incremental in the simplest way: it is given all unconsumed bytes of a connection, and says which
//! operation they begin with, how many bytes it took, how many more it needs, or what is wrong with them. It keeps no
//! copy of anything and allocates nothing. A message is always seen whole, so its wire form can be forwarded verbatim.
//!
//! What it does not do: decide. Permissions, limits other than the length of a line, and replies are the broker's.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod connect;
pub mod encode;
pub mod errors;
pub mod headers;
pub mod info;
pub mod limits;
pub mod parse;
