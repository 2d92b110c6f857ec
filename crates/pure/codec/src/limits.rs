//! The maxima of this crate.

/// Bytes of the longest encoding of a variable-length integer of 64 bits.
pub const MAX_VARINT: usize = 10;

/// The most bytes that one chunk of an S2 stream may decode to. The Go writers stay below it at every setting.
pub const MAX_CHUNK: usize = 4 << 20;

/// The most bytes of data of a chunk of the compressed kind: a checksum, then a block as long as [`MAX_CHUNK`] bytes
/// that do not compress can become (the bound of the Snappy format, source length + length/6 + 32).
pub const MAX_CHUNK_DATA: usize = 4 + 32 + MAX_CHUNK + MAX_CHUNK / 6;

/// Bytes per chunk that the encoder writes unless told otherwise, as the Go writer does.
pub const CHUNK: usize = 1 << 20;

/// The fewest bytes per chunk that the encoder can be told to write.
pub const MIN_CHUNK: usize = 4 << 10;

const _: () = assert!(MIN_CHUNK <= CHUNK && CHUNK <= MAX_CHUNK);
// The length of a chunk has three bytes.
const _: () = assert!(MAX_CHUNK_DATA < 1 << 24);
