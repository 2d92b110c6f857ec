//! What is to be delivered again, and when.

use std::collections::BTreeMap;

use midge_stdx::hash::Map;

use super::alarms::Alarms;

/// The queue of messages that are due again, first come first served, and the deadlines of those that are out.
#[derive(Debug)]
pub(super) struct Redelivery {
    /// By place in the queue.
    queue: BTreeMap<i64, u64>,
    /// The place of each.
    places: Map<u64, i64>,
    next_place: i64,
    /// When acknowledgements are overdue, by sequence. In nanoseconds of [`super::machine::Consumer::time`].
    pub(super) overdue: Alarms<u64>,
}

impl Redelivery {
    pub(super) fn new() -> Redelivery {
        Redelivery { queue: BTreeMap::new(), places: Map::default(), next_place: 0, overdue: Alarms::new() }
    }

    /// Messages in the queue.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Puts a message at the end of the queue, if it is not in it.
    pub(super) fn push(&mut self, seq: u64) {
        if !self.places.contains_key(&seq) {
            self.next_place += 1;
            self.places.insert(seq, self.next_place);
            self.queue.insert(self.next_place, seq);
        }
    }

    /// The message that comes next.
    #[inline]
    pub(super) fn first(&self) -> Option<u64> {
        self.queue.first_key_value().map(|(_, seq)| *seq)
    }

    /// Takes a message out.
    #[inline]
    pub(super) fn remove(&mut self, seq: u64) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        match self.places.remove(&seq) {
            Some(place) => self.queue.remove(&place).is_some(),
            None => false,
        }
    }

    /// Takes those out that are not kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        let places = &mut self.places;
        self.queue.retain(|_, seq| {
            let kept = keep(*seq);
            if !kept {
                places.remove(seq);
            }
            kept
        });
    }

    /// All of them, in order.
    pub(super) fn queued(&self) -> Vec<u64> {
        self.queue.values().copied().collect()
    }

    /// Whether a message is in the queue.
    pub(super) fn contains(&self, seq: u64) -> bool {
        self.places.contains_key(&seq)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Redelivery::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_and_each_once() {
        let mut queue = Redelivery::new();
        for seq in [5, 3, 5, 9] {
            queue.push(seq);
        }
        assert_eq!((queue.len(), queue.first()), (3, Some(5)));
        assert!(queue.remove(3) && !queue.remove(3));
        queue.retain(|seq| seq != 5);
        assert!(!queue.contains(5));
        assert_eq!(queue.first(), Some(9));
        queue.push(5);
        assert!(queue.remove(9));
        assert_eq!(queue.first(), Some(5));
    }
}
