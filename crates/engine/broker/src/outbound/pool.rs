//! Chunks for reuse, one pool per shard.

use crate::limits::{LARGE_CHUNK, POOLED_CHUNKS, SMALL_CHUNK};

/// Empty chunks of the two sizes.
#[derive(Debug, Default)]
pub struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Pool {
    /// An empty chunk for at least `len` bytes: small, large or of exactly that size.
    #[inline]
    pub fn get(&mut self, len: usize, first: bool) -> Vec<u8> {
        if len > LARGE_CHUNK {
            return Vec::with_capacity(len);
        }
        let (list, size) = if first && len <= SMALL_CHUNK {
            (&mut self.small, SMALL_CHUNK)
        } else {
            (&mut self.large, LARGE_CHUNK)
        };
        list.pop().unwrap_or_else(|| Vec::with_capacity(size))
    }

    /// Takes a chunk back; odd sizes and what exceeds the maximum are freed.
    #[inline]
    pub fn put(&mut self, mut chunk: Vec<u8>) {
        let list = match chunk.capacity() {
            SMALL_CHUNK => &mut self.small,
            LARGE_CHUNK => &mut self.large,
            _ => return,
        };
        if list.len() < POOLED_CHUNKS {
            chunk.clear();
            list.push(chunk);
        }
    }

    /// Frees half of what is kept; called when a shard has been idle for a while.
    pub fn shrink(&mut self) {
        for list in [&mut self.small, &mut self.large] {
            list.truncate(list.len() / 2);
            list.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_by_size() {
        let mut pool = Pool::default();
        assert_eq!(pool.get(10, true).capacity(), SMALL_CHUNK);
        assert_eq!(pool.get(10, false).capacity(), LARGE_CHUNK);
        assert_eq!(pool.get(SMALL_CHUNK + 1, true).capacity(), LARGE_CHUNK);
        assert!(pool.get(LARGE_CHUNK + 1, true).capacity() > LARGE_CHUNK);
        let mut chunk = pool.get(10, true);
        chunk.extend_from_slice(b"x");
        pool.put(chunk);
        assert!(pool.get(10, true).is_empty());
        for _ in 0..2 * POOLED_CHUNKS {
            pool.put(Vec::with_capacity(LARGE_CHUNK));
        }
        assert_eq!(pool.large.len(), POOLED_CHUNKS);
        pool.shrink();
        assert_eq!(pool.large.len(), POOLED_CHUNKS / 2);
    }
}
