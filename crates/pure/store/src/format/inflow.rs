//! The plaintext of a backup as its chunks arrive: what [`super::archive`] and [`super::tar`] read from.

use midge_codec::s2::{Decoder, S2Error};

/// What a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Entries, as servers write since 2.15: [`super::archive`].
    Entries,
    /// Files, as servers before wrote: [`super::tar`].
    Tar,
}

/// The first bytes of a backup of entries.
pub const MAGIC: &[u8; 8] = b"NATSARC1";

/// Decodes chunks and keeps what has not been read.
///
/// Holds what its reader is waiting for and one chunk of the stream, provided that the reader is asked until it has nothing more before the
/// next piece is pushed.
#[derive(Debug, Default)]
pub struct Inflow {
    decoder: Decoder,
    plain: Vec<u8>,
    at: usize,
}

impl Inflow {
    /// Before the first byte.
    pub fn new() -> Inflow {
        Inflow::default()
    }

    /// Decodes input until a piece of plaintext is there, and answers how many bytes of the input were taken: the others are to be pushed
    /// again, after reading.
    pub fn push(&mut self, input: &[u8]) -> Result<usize, S2Error> {
        self.plain.drain(..self.at.min(self.plain.len()));
        self.at = 0;
        self.decoder.push(input, &mut self.plain)
    }

    /// What the backup is, as soon as that can be told.
    pub fn format(&self) -> Option<Format> {
        let first = self.rest().first_chunk::<8>()?;
        Some(if first == MAGIC { Format::Entries } else { Format::Tar })
    }

    /// Whether the stream ends here.
    pub fn finish(&self) -> Result<(), S2Error> {
        self.decoder.finish()
    }

    /// Bytes that are held, read or not.
    pub fn held(&self) -> usize {
        self.plain.len()
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.plain.get(self.at..).unwrap_or_default()
    }

    /// The next `len` bytes, once they are all there.
    pub(super) fn take(&mut self, len: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.plain.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}
