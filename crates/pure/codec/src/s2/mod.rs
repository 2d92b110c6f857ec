//! S2 streams: the framing of block files, archives and links.
//!
//! ```text
//!   stream   identifier chunk, data chunks; more streams may follow back to back
//!   chunk    u8 kind, u24 LE length of what follows, data
//!     ff     identifier: `S2sTwO`, or `sNaPpY` of a stream that any Snappy reader reads
//!     00     u32 LE masked CRC-32C of the plain bytes, an S2 block
//!     01     u32 LE masked CRC-32C of the plain bytes, the plain bytes
//!     80-fe  skipped: 99 is an index, fe padding
//!     02-7f  kinds that must be understood: an error
//! ```
//!
//! The rules are those of the Snappy framing format and of S2's additions to it. Blocks are coded by `minlz`; what it
//! writes need not equal byte for byte what the Go writer writes, and both read both.
//!
//! [`Decoder`] and [`Encoder`] stream gigabytes through at most one chunk of memory; [`decode`] and [`encode`] do the
//! same at once for what is in memory anyway.

mod frame_read;
mod frame_write;

#[cfg(test)]
mod tests;

use std::fmt;

use crc::{CRC_32_ISCSI, Crc, Table};

pub use frame_read::{Decoder, decode};
pub use frame_write::{Encoder, Level, encode};

const KIND_BLOCK: u8 = 0x00;
const KIND_PLAIN: u8 = 0x01;
const KIND_IDENTIFIER: u8 = 0xff;
/// Bytes before the data of a chunk: its kind and its length.
const HEADER: usize = 4;
/// Bytes of the checksum before the data of a chunk.
const CHECKSUM: usize = 4;
const IDENTIFIER_S2: &[u8; 6] = b"S2sTwO";
const IDENTIFIER_SNAPPY: &[u8; 6] = b"sNaPpY";

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S2Fault {
    /// It does not begin with an identifier.
    NoIdentifier,
    /// Its identifier is of no known format.
    UnknownIdentifier,
    /// A chunk of a reserved kind that may not be skipped.
    UnknownChunk(u8),
    /// A chunk is shorter than its kind allows.
    ChunkTooShort,
    /// A chunk is longer, before or after decoding, than [`crate::limits`] allows.
    ChunkTooLong,
    /// A block does not decode.
    Corrupt,
    /// A checksum is not that of the decoded bytes.
    Checksum,
    /// The whole exceeds the maximum that the caller gave.
    TooLarge,
    /// The input ends within a chunk.
    Truncated,
}

/// Why a stream is refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S2Error {
    /// Offset of the chunk in the input, in bytes.
    pub at: u64,
    /// What is wrong.
    pub fault: S2Fault,
}

impl fmt::Display for S2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("s2: ")?;
        match self.fault {
            S2Fault::NoIdentifier => f.write_str("no stream identifier")?,
            S2Fault::UnknownIdentifier => f.write_str("unknown stream identifier")?,
            S2Fault::UnknownChunk(kind) => write!(f, "unknown chunk kind {kind:#04x}")?,
            S2Fault::ChunkTooShort => f.write_str("chunk too short")?,
            S2Fault::ChunkTooLong => f.write_str("chunk too long")?,
            S2Fault::Corrupt => f.write_str("corrupt block")?,
            S2Fault::Checksum => f.write_str("checksum mismatch")?,
            S2Fault::TooLarge => f.write_str("more than the permitted length")?,
            S2Fault::Truncated => f.write_str("the input ends within a chunk")?,
        }
        write!(f, " at offset {}", self.at)
    }
}

impl std::error::Error for S2Error {}

static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The checksum of a chunk: CRC-32C, rotated and offset so that data that contains its own checksum stays detectable.
fn checksum(plain: &[u8]) -> u32 {
    CRC32C.checksum(plain).rotate_right(15).wrapping_add(0xa282_ead8)
}
