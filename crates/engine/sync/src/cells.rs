//! Counters with one cell per shard.

use crate::atomic::{AtomicU64, Ordering};

/// A cache line, so that two shards never write the same one.
#[repr(align(128))]
#[derive(Debug)]
struct Line<const N: usize>([AtomicU64; N]);

/// `N` counters; every shard adds to its own cells and a reader sums them.
#[derive(Debug)]
pub struct Cells<const N: usize>(Box<[Line<N>]>);

impl<const N: usize> Cells<N> {
    /// Cells for `shards` shards (at least one).
    pub fn new(shards: usize) -> Self {
        Cells((0..shards.max(1)).map(|_| Line(std::array::from_fn(|_| AtomicU64::new(0)))).collect())
    }

    /// Adds to counter `counter` in the cell of `shard`; shards beyond the number of cells share.
    #[inline]
    pub fn add(&self, shard: usize, counter: usize, n: u64) {
        if let Some(cell) = self.0[shard % self.0.len()].0.get(counter) {
            cell.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The sum of a counter over all shards; 0 for a counter that does not exist.
    pub fn sum(&self, counter: usize) -> u64 {
        self.0
            .iter()
            .filter_map(|line| line.0.get(counter))
            .map(|cell| cell.load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn sums_over_shards() {
        let cells = Cells::<2>::new(3);
        for shard in 0..6 {
            cells.add(shard, 0, 2);
        }
        cells.add(0, 1, 5);
        assert_eq!((cells.sum(0), cells.sum(1), cells.sum(9)), (12, 5, 0));
    }
}
