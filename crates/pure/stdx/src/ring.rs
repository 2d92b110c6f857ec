//! A ring that keeps the last so many values.

use std::collections::VecDeque;

/// Keeps at most a fixed number of values and forgets the oldest.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    values: VecDeque<T>,
    capacity: usize,
    total: u64,
}

impl<T> Ring<T> {
    /// An empty ring. With a capacity of zero it keeps nothing. Memory is taken as values come.
    pub fn new(capacity: usize) -> Ring<T> {
        Ring { values: VecDeque::new(), capacity, total: 0 }
    }

    /// Adds a value and answers the one that had to go: the oldest, or the value itself if nothing is kept.
    pub fn push(&mut self, value: T) -> Option<T> {
        self.total += 1;
        if self.capacity == 0 {
            return Some(value);
        }
        let gone = if self.values.len() == self.capacity { self.values.pop_front() } else { None };
        self.values.push_back(value);
        gone
    }

    /// The values, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.values.iter()
    }

    /// How many values are kept.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many values were ever added.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut ring = Ring::new(2);
        assert!(ring.is_empty());
        assert_eq!((ring.push(1), ring.push(2), ring.push(3)), (None, None, Some(1)));
        assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [2, 3]);
        assert_eq!((ring.len(), ring.total()), (2, 3));
        assert_eq!(Ring::new(0).push(7), Some(7));
    }
}
