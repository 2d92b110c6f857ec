//! Copies of a stream for safe keeping, and streams made from them.
//!
//! - [`write`](mod@write): the messages of a store, as an archive in pieces;
//! - [`chunks`]: the pieces as they are sent, no more at a time than the receiver has room for;
//! - [`read`]: an archive that comes in pieces, back into a store; or the files of a store, as older servers sent them.

pub mod chunks;
pub mod read;
pub mod write;
