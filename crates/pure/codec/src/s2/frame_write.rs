//! Writing S2 streams.

use super::{CHECKSUM, IDENTIFIER_S2, KIND_BLOCK, KIND_IDENTIFIER, KIND_PLAIN, checksum};
use crate::limits::{CHUNK, MAX_CHUNK, MIN_CHUNK};

/// How hard to compress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Not at all: framing and checksums only.
    Uncompressed,
    /// The default of block files and archives.
    #[default]
    Fast,
    /// Smaller, at about half the speed.
    Better,
    /// Smallest, many times slower.
    Best,
}

/// Encodes what arrives in pieces of any size as one stream after another.
///
/// Holds at most one chunk of bytes and the tables of the compressor.
pub struct Encoder {
    level: Level,
    chunk: usize,
    pub(super) held: Vec<u8>,
    identified: bool,
    blocks: minlz::s2::Encoder,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("level", &self.level)
            .field("chunk", &self.chunk)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Writes chunks of [`CHUNK`] bytes.
    pub fn new(level: Level) -> Encoder {
        Encoder::with_chunk(level, CHUNK)
    }

    /// Writes chunks of `chunk` bytes before compression, brought within [`MIN_CHUNK`] and [`MAX_CHUNK`].
    pub fn with_chunk(level: Level, chunk: usize) -> Encoder {
        Encoder {
            level,
            chunk: chunk.clamp(MIN_CHUNK, MAX_CHUNK),
            held: Vec::new(),
            identified: false,
            blocks: minlz::s2::Encoder::new(),
        }
    }

    /// Takes all of the input and appends the chunks that it fills to `out`, in all at most about the length of the
    /// input and one chunk.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while !rest.is_empty() {
            if self.held.is_empty()
                && let Some((whole, after)) = rest.split_at_checked(self.chunk)
            {
                self.chunk(whole, out);
                rest = after;
                continue;
            }
            let fits = (self.chunk - self.held.len()).min(rest.len());
            let (taken, after) = rest.split_at(fits);
            self.held.extend_from_slice(taken);
            rest = after;
            if self.held.len() == self.chunk {
                self.flush(out);
            }
        }
    }

    /// Ends the current chunk, so that a reader gets everything pushed so far.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.held.is_empty() {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        self.chunk(&held, out);
        held.clear();
        self.held = held;
    }

    /// Ends the stream; what is pushed afterwards begins another. A stream of nothing is its identifier alone.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.flush(out);
        self.identify(out);
        self.identified = false;
    }

    fn identify(&mut self, out: &mut Vec<u8>) {
        if !self.identified {
            put_header(KIND_IDENTIFIER, IDENTIFIER_S2.len(), out);
            out.extend_from_slice(IDENTIFIER_S2);
            self.identified = true;
        }
    }

    /// One chunk, compressed if that saves at least a thirty-second of it.
    fn chunk(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.identify(out);
        let block = match self.level {
            Level::Uncompressed => None,
            Level::Fast => Some(self.blocks.encode(plain)),
            Level::Better => Some(self.blocks.encode_better(plain)),
            Level::Best => Some(self.blocks.encode_best(plain)),
        };
        let worth = plain.len() - plain.len() / 32;
        let (kind, data) = match &block {
            Some(block) if block.len() < worth => (KIND_BLOCK, block.as_slice()),
            _ => (KIND_PLAIN, plain),
        };
        put_header(kind, CHECKSUM + data.len(), out);
        out.extend_from_slice(&checksum(plain).to_le_bytes());
        out.extend_from_slice(data);
    }
}

fn put_header(kind: u8, len: usize, out: &mut Vec<u8>) {
    // Chunks are at most MAX_CHUNK long, which three bytes hold.
    let [a, b, c, ..] = (len as u64).to_le_bytes();
    out.extend_from_slice(&[kind, a, b, c]);
}

/// Appends a whole stream of `plain` to `out`.
pub fn encode(plain: &[u8], level: Level, out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(level);
    encoder.push(plain, out);
    encoder.finish(out);
}
