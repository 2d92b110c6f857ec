//! Runs of members, across the borders of chunks.

use std::collections::btree_map;

use super::chunk::{Chunk, LAST, SPAN};
use super::{Segment, SeqSet, split};

/// The maximal runs of members of a set, ascending, as first and last. Made by [`SeqSet::ranges`].
pub struct Ranges<'a> {
    segments: btree_map::Range<'a, u64, Segment>,
    from: u64,
    /// A chunk of which runs are left, and where they begin.
    chunk: Option<(u64, &'a Chunk, u16)>,
    /// A run that the next one may continue.
    open: Option<(u64, u64)>,
}

impl<'a> Ranges<'a> {
    pub(super) fn new(set: &'a SeqSet, from: u64) -> Ranges<'a> {
        let (key, _) = split(from);
        let first = set.segment(key).map_or(key, |(first, _)| first);
        Ranges { segments: set.segments.range(first..), from, chunk: None, open: None }
    }

    /// The next run within a segment.
    fn piece(&mut self) -> Option<(u64, u64)> {
        loop {
            if let Some((key, chunk, from)) = self.chunk.take()
                && let Some((lo, hi)) = chunk.next_run(from)
            {
                if hi < LAST {
                    self.chunk = Some((key, chunk, hi + 1));
                }
                return Some((key * SPAN + u64::from(lo), key * SPAN + u64::from(hi)));
            }
            let (&key, segment) = self.segments.next()?;
            match segment {
                Segment::Full(chunks) => {
                    return Some(((key * SPAN).max(self.from), (key + (chunks - 1)) * SPAN + (SPAN - 1)));
                }
                Segment::Part(chunk) => {
                    let (first, at) = split(self.from);
                    self.chunk = Some((key, chunk, if key == first { at } else { 0 }));
                }
            }
        }
    }
}

impl Iterator for Ranges<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        loop {
            let Some((lo, hi)) = self.piece() else { return self.open.take() };
            match self.open {
                None => self.open = Some((lo, hi)),
                Some((first, last)) if last + 1 == lo => self.open = Some((first, hi)),
                Some(run) => {
                    self.open = Some((lo, hi));
                    return Some(run);
                }
            }
        }
    }
}
