//! The live messages of one block by subject.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use midge_index::stree::SubjectTree;

use super::filter::Filter;

/// Sequences, ascending.
#[derive(Clone, Debug)]
pub(super) enum Posting {
    One(u64),
    #[allow(clippy::box_collection, reason = "16 bytes for most subjects rather than 32")]
    Many(Box<VecDeque<u64>>),
}

impl Posting {
    pub(super) fn len(&self) -> u64 {
        match self {
            Posting::One(_) => 1,
            Posting::Many(seqs) => seqs.len() as u64,
        }
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.next(0)
    }

    /// The first from a sequence on.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        match self {
            Posting::One(seq) => Some(*seq).filter(|seq| *seq >= from),
            Posting::Many(seqs) => seqs.get(seqs.partition_point(|seq| *seq < from)).copied(),
        }
    }

    /// The last up to a sequence.
    pub(super) fn previous(&self, from: u64) -> Option<u64> {
        match self {
            Posting::One(seq) => Some(*seq).filter(|seq| *seq <= from),
            Posting::Many(seqs) => {
                seqs.partition_point(|seq| *seq <= from).checked_sub(1).and_then(|at| seqs.get(at)).copied()
            }
        }
    }

    /// How many there are from a sequence on.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        match self {
            Posting::One(seq) => u64::from(*seq >= from),
            Posting::Many(seqs) => (seqs.len() - seqs.partition_point(|seq| *seq < from)) as u64,
        }
    }

    fn push(&mut self, seq: u64) {
        match self {
            Posting::One(first) => *self = Posting::Many(Box::new(VecDeque::from([*first, seq]))),
            Posting::Many(seqs) => seqs.push_back(seq),
        }
    }

    /// Takes a sequence out; answers whether none is left.
    fn remove(&mut self, seq: u64) -> bool {
        match self {
            Posting::One(only) => *only == seq,
            Posting::Many(seqs) => {
                if seqs.front() == Some(&seq) {
                    seqs.pop_front();
                } else if let Ok(at) = seqs.binary_search(&seq) {
                    seqs.remove(at);
                }
                seqs.is_empty()
            }
        }
    }
}

/// All subjects of a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Postings {
    tree: SubjectTree<Posting>,
}

impl Postings {
    /// Adds a message behind the others.
    pub(super) fn push(&mut self, subject: &[u8], seq: u64) {
        match self.tree.get_mut(subject) {
            Some(posting) => posting.push(seq),
            None => {
                self.tree.insert(subject, Posting::One(seq));
            }
        }
    }

    pub(super) fn remove(&mut self, subject: &[u8], seq: u64) {
        if self.tree.get_mut(subject).is_some_and(|posting| posting.remove(seq)) {
            self.tree.remove(subject);
        }
    }

    pub(super) fn get(&self, subject: &[u8]) -> Option<&Posting> {
        self.tree.get(subject)
    }

    /// Visits the subjects that are meant.
    pub(super) fn matching(&self, filter: &Filter, mut visit: impl FnMut(&[u8], &Posting)) {
        let mut each = |subject: &[u8], posting: &Posting| {
            visit(subject, posting);
            ControlFlow::<()>::Continue(())
        };
        if let Some(subject) = filter.literal() {
            if let Some(posting) = self.tree.get(subject) {
                let _ = each(subject, posting);
            }
        } else if filter.is_all() {
            let _ = self.tree.for_each(each);
        } else {
            let filters: Vec<&[u8]> = filter.subjects().collect();
            let _ = self.tree.matching_any(&filters, each);
        }
    }

    /// The first match from a sequence on.
    pub(super) fn next(&self, filter: &Filter, from: u64) -> Option<u64> {
        let mut best: Option<u64> = None;
        self.matching(filter, |_, posting| {
            if let Some(seq) = posting.next(from) {
                best = Some(best.map_or(seq, |best| best.min(seq)));
            }
        });
        best
    }

    /// The last match up to a sequence.
    pub(super) fn previous(&self, filter: &Filter, from: u64) -> Option<u64> {
        let mut best = None;
        self.matching(filter, |_, posting| best = best.max(posting.previous(from)));
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_found_on_both_sides_and_leave_no_subject_behind() {
        let mut postings = Postings::default();
        for (subject, seq) in [("a", 1), ("b", 2), ("a", 5), ("a", 9)] {
            postings.push(subject.as_bytes(), seq);
        }
        let (all, a) = (Filter::all(), Filter::one(b"a"));
        assert_eq!(
            (postings.next(&a, 2), postings.next(&all, 2), postings.next(&a, 10)),
            (Some(5), Some(2), None)
        );
        assert_eq!((postings.previous(&a, 8), postings.previous(&all, 4)), (Some(5), Some(2)));
        assert_eq!(postings.get(b"a").unwrap().count_from(5), 2);
        [1, 9, 5].into_iter().for_each(|seq| postings.remove(b"a", seq));
        postings.remove(b"b", 2);
        assert!(postings.tree.is_empty());
    }
}
