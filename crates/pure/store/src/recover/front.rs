//! Messages while a stream is rebuilt: found by sequence, removed anywhere, and from the front.

/// One stored message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) seq: u64,
    /// Length of the record in bytes; 0 when the message is gone.
    pub(super) len: u32,
    /// Which subject, by the order of its first message.
    pub(super) subject: u32,
}

/// All messages of the blocks so far, ascending.
#[derive(Debug, Default)]
pub(super) struct Messages {
    entries: Vec<Entry>,
    /// No live message stands before this entry.
    front: usize,
}

impl Messages {
    pub(super) fn last_seq(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.seq)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert!(entry.seq > self.last_seq());
        self.entries.push(entry);
    }

    /// Takes a live message out.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Entry> {
        let at = self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        let entry = self.entries.get_mut(at)?;
        let removed = *entry;
        entry.len = 0;
        (removed.len > 0).then_some(removed)
    }

    /// The first live message. Amortised O(1): the front only moves on.
    pub(super) fn first(&mut self) -> Option<Entry> {
        loop {
            let entry = self.entries.get(self.front)?;
            if entry.len > 0 {
                return Some(*entry);
            }
            self.front += 1;
        }
    }

    /// The time of the first live message, out of one time per message; 0 when there is none.
    pub(super) fn front_time(&mut self, times: &[i64]) -> i64 {
        let first = self.first();
        first.and_then(|_| times.get(self.front).copied()).unwrap_or(0)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.iter().skip(self.front).filter(|entry| entry.len > 0).copied()
    }
}
