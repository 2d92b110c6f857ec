//! Deadlines of many things, of which the next one is known.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Entries beyond twice those in use, after which the heap is made anew.
const SLACK: usize = 64;

/// A heap of deadlines that is cleaned when they come up: whoever owns the things says at that time whether one still has a deadline, and
/// which. Every thing with a deadline has an entry that is not later.
#[derive(Debug)]
pub(super) struct Alarms<K> {
    heap: BinaryHeap<Reverse<(i64, K)>>,
}

impl<K: Ord + Copy> Alarms<K> {
    pub(super) fn new() -> Alarms<K> {
        Alarms { heap: BinaryHeap::new() }
    }

    /// This is due then, or earlier if that was said before.
    #[inline]
    pub(super) fn set(&mut self, at: i64, key: K) {
        self.heap.push(Reverse((at, key)));
    }

    /// No later than the first deadline.
    #[inline]
    pub(super) fn next(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes what is due, or was; `true_deadline` says when it really is. O(log n) for each entry that came up.
    pub(super) fn pop_due(&mut self, now: i64, mut true_deadline: impl FnMut(K) -> Option<i64>) -> Option<K> {
        while let Some(Reverse((at, key))) = self.heap.peek().copied() {
            if at > now {
                return None;
            }
            self.heap.pop();
            match true_deadline(key) {
                Some(later) if later > now => self.heap.push(Reverse((later, key))),
                Some(_) => return Some(key),
                None => {}
            }
        }
        None
    }

    /// Whether so many entries are stale that [`Alarms::rebuild`] pays, when `live` things have a deadline.
    #[inline]
    pub(super) fn is_stale(&self, live: usize) -> bool {
        self.heap.len() > 2 * live + SLACK
    }

    /// Begins anew with these.
    pub(super) fn rebuild(&mut self, entries: impl Iterator<Item = (i64, K)>) {
        let mut kept = std::mem::take(&mut self.heap).into_vec();
        kept.clear();
        kept.extend(entries.map(Reverse));
        self.heap = kept.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_late_ones_come_later() {
        let mut alarms = Alarms::new();
        for (at, key) in [(30, 3), (10, 1), (20, 2)] {
            alarms.set(at, key);
        }
        assert_eq!(alarms.next(), Some(10));
        // The first was put off, the second is gone.
        let when = |key| match key {
            1 => Some(25),
            2 => None,
            _ => Some(30),
        };
        assert_eq!(alarms.pop_due(20, when), None);
        assert_eq!(alarms.next(), Some(25));
        assert_eq!(alarms.pop_due(40, when), Some(1));
        assert_eq!(alarms.pop_due(40, when), Some(3));
        assert_eq!((alarms.pop_due(40, when), alarms.next()), (None, None));
    }

    #[test]
    fn stale_entries_do_not_pile_up() {
        let mut alarms = Alarms::new();
        (0..SLACK as u64 + 3).for_each(|key| alarms.set(key as i64, key));
        assert!(alarms.is_stale(1));
        alarms.rebuild([(7, 7)].into_iter());
        assert!(!alarms.is_stale(1));
        assert_eq!(alarms.next(), Some(7));
    }
}
