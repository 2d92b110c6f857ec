//! Bytes on their way to a socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use super::Pool;

/// A piece of output.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes of this queue alone.
    Own(Vec<u8>),
    /// A large payload, shared with the input or other queues.
    Shared(Bytes),
}

impl Chunk {
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Own(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }
}

/// Chunks that the flusher holds while it writes, outside any lock.
#[derive(Debug, Default)]
pub struct Flight {
    pub(super) chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that were written already.
    pub(super) offset: usize,
}

impl Flight {
    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that remain.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|c| c.bytes().len()).sum::<usize>() - self.offset
    }

    /// Fills `slices` with what is to be written next and answers how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut n = 0;
        for (slot, chunk) in slices.iter_mut().zip(&self.chunks) {
            let skip = if n == 0 { self.offset } else { 0 };
            *slot = IoSlice::new(chunk.bytes().get(skip..).unwrap_or_default());
            n += 1;
        }
        n
    }

    /// The bytes at the front, for transports that take one slice at a time.
    pub fn front(&self) -> &[u8] {
        self.chunks.front().and_then(|c| c.bytes().get(self.offset..)).unwrap_or_default()
    }

    /// Records that `n` bytes were written; finished chunks return to the pool.
    pub fn advance(&mut self, mut n: usize, pool: &mut Pool) {
        while let Some(first) = self.chunks.front() {
            let left = first.bytes().len() - self.offset;
            if n < left {
                self.offset += n;
                return;
            }
            n -= left;
            self.offset = 0;
            if let Some(Chunk::Own(chunk)) = self.chunks.pop_front() {
                pool.put(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_continue_where_they_stopped() {
        let mut pool = Pool::default();
        let mut flight = Flight {
            chunks: VecDeque::from([
                Chunk::Own(b"hello ".to_vec()),
                Chunk::Shared(Bytes::from_static(b"wide ")),
                Chunk::Own(b"world".to_vec()),
            ]),
            offset: 0,
        };
        let mut seen = Vec::new();
        while !flight.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2];
            let n = flight.slices(&mut slices);
            let all: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
            assert!(all.starts_with(flight.front()) || flight.front().starts_with(&all));
            let written = all.len().min(4);
            seen.extend_from_slice(&all[..written]);
            flight.advance(written, &mut pool);
            assert_eq!(flight.len() + seen.len(), 16);
        }
        assert_eq!(seen, b"hello wide world");
    }
}
