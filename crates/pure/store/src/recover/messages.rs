//! Messages while a stream is rebuilt: found by sequence, removed anywhere, and from the front.

/// No message.
pub(super) const NONE: u32 = u32::MAX;

/// One stored message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Length of the record in bytes; 0 when the message is gone.
    pub(super) len: u32,
    /// Which subject, by the order of its first message.
    pub(super) subject: u32,
}

/// Adjacent sequences.
#[derive(Clone, Copy, Debug)]
struct Run {
    seq: u64,
    /// The first of its messages.
    at: u32,
}

/// All messages of the blocks so far, ascending, and addressed by their place.
#[derive(Debug, Default)]
pub(super) struct Messages {
    cells: Vec<Cell>,
    runs: Vec<Run>,
    /// The next message of the same subject, or [`NONE`]; kept only under a limit per subject.
    next: Vec<u32>,
    /// No live message stands before this one.
    front: u32,
}

impl Messages {
    /// How many there are, dead ones included.
    pub(super) fn len(&self) -> u32 {
        // More are not pushed.
        self.cells.len() as u32
    }

    /// Adds a message above all others; answers its place, or nothing when there are too many.
    pub(super) fn push(&mut self, seq: u64, cell: Cell) -> Option<u32> {
        let at = u32::try_from(self.cells.len()).ok().filter(|at| *at < NONE)?;
        let follows = self.runs.last().is_some_and(|run| run.seq + u64::from(at - run.at) == seq);
        if !follows {
            self.runs.push(Run { seq, at });
        }
        self.cells.push(cell);
        Some(at)
    }

    /// Remembers that `at` is the next message of its subject after `before`.
    pub(super) fn link(&mut self, before: u32, at: u32) {
        self.next.resize(at as usize + 1, NONE);
        if let Some(next) = self.next.get_mut(before as usize) {
            *next = at;
        }
    }

    /// The next message of the same subject.
    pub(super) fn next_of_subject(&self, at: u32) -> u32 {
        self.next.get(at as usize).copied().unwrap_or(NONE)
    }

    pub(super) fn cell(&self, at: u32) -> Option<Cell> {
        self.cells.get(at as usize).copied()
    }

    pub(super) fn is_live(&self, at: u32) -> bool {
        self.cells.get(at as usize).is_some_and(|cell| cell.len > 0)
    }

    /// The place of a sequence.
    pub(super) fn find(&self, seq: u64) -> Option<u32> {
        let after = self.runs.partition_point(|run| run.seq <= seq);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let end = self.runs.get(after).map_or(self.len(), |run| run.at);
        let at = u64::from(run.at) + (seq - run.seq);
        (at < u64::from(end)).then_some(at as u32)
    }

    /// The sequence at a place.
    pub(super) fn seq(&self, at: u32) -> u64 {
        let after = self.runs.partition_point(|run| run.at <= at);
        let run = after.checked_sub(1).and_then(|before| self.runs.get(before));
        run.map_or(0, |run| run.seq + u64::from(at - run.at))
    }

    /// Takes a live message out.
    pub(super) fn remove(&mut self, at: u32) -> Option<Cell> {
        let cell = self.cells.get_mut(at as usize)?;
        let removed = *cell;
        cell.len = 0;
        (removed.len > 0).then_some(removed)
    }

    /// The first live message. Amortised O(1): the front only moves on.
    pub(super) fn first(&mut self) -> Option<u32> {
        loop {
            let cell = self.cells.get(self.front as usize)?;
            if cell.len > 0 {
                return Some(self.front);
            }
            self.front += 1;
        }
    }

    /// The messages from one place to before another, as place, sequence and cell.
    pub(super) fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, u64, Cell)> + '_ {
        let mut run = self.runs.partition_point(|run| run.at <= from).saturating_sub(1);
        let cells = self.cells.get(from as usize..to as usize).unwrap_or_default();
        (from..to).zip(cells).map(move |(at, cell)| {
            if self.runs.get(run + 1).is_some_and(|next| next.at <= at) {
                run += 1;
            }
            let seq = self.runs.get(run).map_or(0, |run| run.seq + u64::from(at - run.at));
            (at, seq, *cell)
        })
    }

    /// The live messages from the last one back.
    pub(super) fn back(&self) -> impl Iterator<Item = (u32, Cell)> + '_ {
        (0..self.len())
            .rev()
            .zip(self.cells.iter().rev())
            .filter(|(_, cell)| cell.len > 0)
            .map(|(at, cell)| (at, *cell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_across_gaps() {
        let mut messages = Messages::default();
        let seqs = [5, 6, 7, 20, 21, 40];
        for seq in seqs {
            messages.push(seq, Cell { len: 1, subject: 0 }).unwrap();
        }
        for (at, seq) in (0..).zip(seqs) {
            assert_eq!((messages.find(seq), messages.seq(at)), (Some(at), seq));
        }
        assert!([0, 4, 8, 19, 22, 39, 41, u64::MAX].iter().all(|seq| messages.find(*seq).is_none()));
        messages.remove(1);
        messages.remove(0);
        assert_eq!((messages.first(), messages.remove(0).is_none()), (Some(2), true));
        let found: Vec<(u32, u64)> = messages.range(1, 5).map(|(at, seq, _)| (at, seq)).collect();
        assert_eq!(found, [(1, 6), (2, 7), (3, 20), (4, 21)]);
        assert_eq!(messages.back().map(|(at, _)| at).collect::<Vec<_>>(), [5, 4, 3, 2]);
    }
}
