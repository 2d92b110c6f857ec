//! Where the records of a block stand, by sequence.

/// A sequence without a record.
const HOLE: u32 = u32::MAX;
/// Holes in a row that are always affordable.
const SHORT_GAP: u64 = 1024;

/// Offsets of the records of one block, ascending by sequence. Dense where sequences are, 4 bytes each; sparse, 16 bytes
/// each, where a gap would cost more than the records.
#[derive(Clone, Debug)]
pub(super) enum Offsets {
    Dense { base: u64, at: Vec<u32> },
    Sparse(Vec<(u64, u32)>),
}

impl Default for Offsets {
    fn default() -> Self {
        Offsets::Dense { base: 0, at: Vec::new() }
    }
}

impl Offsets {
    /// Adds a record behind the others; one that is not above them is ignored.
    #[inline]
    pub(super) fn push(&mut self, seq: u64, offset: u32) {
        match self {
            Offsets::Dense { base, at } => {
                if at.is_empty() {
                    *base = seq;
                }
                let end = *base + at.len() as u64;
                if seq == end {
                    at.push(offset);
                } else if seq > end {
                    self.push_after_gap(seq, offset);
                }
            }
            Offsets::Sparse(at) => {
                if at.last().is_none_or(|(last, _)| *last < seq) {
                    at.push((seq, offset));
                }
            }
        }
    }

    #[cold]
    fn push_after_gap(&mut self, seq: u64, offset: u32) {
        if let Offsets::Dense { base, at } = self {
            let gap = seq - (*base + at.len() as u64);
            if gap <= SHORT_GAP.max(at.len() as u64) {
                at.resize(at.len() + gap as usize, HOLE);
                at.push(offset);
                return;
            }
            let there = at.iter().enumerate().filter(|(_, at)| **at != HOLE);
            let mut sparse: Vec<(u64, u32)> = there.map(|(i, at)| (*base + i as u64, *at)).collect();
            sparse.push((seq, offset));
            *self = Offsets::Sparse(sparse);
        }
    }

    /// Where the record of a sequence stands.
    #[inline]
    pub(super) fn get(&self, seq: u64) -> Option<u32> {
        match self {
            Offsets::Dense { base, at } => {
                let index = usize::try_from(seq.checked_sub(*base)?).ok()?;
                at.get(index).copied().filter(|at| *at != HOLE)
            }
            Offsets::Sparse(at) => {
                let found = at.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
                at.get(found).map(|(_, at)| *at)
            }
        }
    }

    /// The first record from a sequence on.
    #[inline]
    pub(super) fn next(&self, from: u64) -> Option<(u64, u32)> {
        match self {
            Offsets::Dense { base, at } => {
                let start = usize::try_from(from.saturating_sub(*base)).ok()?;
                let found = at.get(start..)?.iter().position(|at| *at != HOLE)? + start;
                Some((*base + found as u64, *at.get(found)?))
            }
            Offsets::Sparse(at) => at.get(at.partition_point(|(seq, _)| *seq < from)).copied(),
        }
    }

    /// All records, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let mut from = Some(0);
        std::iter::from_fn(move || {
            let found = self.next(from?)?;
            from = found.0.checked_add(1);
            Some(found)
        })
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Offsets::Dense { at, .. } => at.capacity() * 4,
            Offsets::Sparse(at) => at.capacity() * 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_and_sparse_answer_alike() {
        for gap in [3u64, 1 << 40] {
            let mut offsets = Offsets::default();
            let seqs = [5, 6, 6 + gap, 7 + gap, 20 + gap * 2];
            seqs.iter().enumerate().for_each(|(at, seq)| offsets.push(*seq, at as u32));
            offsets.push(6, 99);
            assert_eq!(matches!(offsets, Offsets::Sparse(_)), gap > SHORT_GAP);
            assert_eq!(offsets.iter().collect::<Vec<_>>(), seqs.iter().copied().zip(0..).collect::<Vec<_>>());
            assert_eq!((offsets.get(6), offsets.get(7), offsets.get(4)), (Some(1), None, None));
            assert_eq!(offsets.next(7), Some((6 + gap, 2)));
            assert_eq!(offsets.next(0), Some((5, 0)));
            assert_eq!(offsets.next(21 + gap * 2), None);
        }
    }
}
