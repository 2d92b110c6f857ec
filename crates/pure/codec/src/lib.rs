//! Other people's byte formats.
//!
//! ```text
//!   varint   integers of variable length, appended to a vector
//!   cursor   a checked reader of a slice: integers, variable-length integers, byte strings
//!   s2       the S2 framing of streams (block files, archives, links), over the block codec of `minlz`
//! ```
//!
//! Contract: input is hostile. No function panics on it, none recurses by it, none allocates more than the input or
//! the named maxima of [`limits`] justify, and every error says at which offset. Nothing here reads or writes a file
//! or a socket: bytes come in as slices and leave in the caller's vectors.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod cursor;
pub mod limits;
pub mod s2;
pub mod varint;
