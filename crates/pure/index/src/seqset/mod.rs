//! Sets of sequences: deleted messages of a block or a stream.
//!
//! ```text
//!   members     3        2051 …… 4093   10000 ……………………………………… 9000000   9000007
//!   segments    1: few   2: bitmap      5: few, 6: full × 4389, 4395: few …
//! ```
//!
//! Sequences are cut into aligned chunks of 2048. Whole chunks in a row are one segment whatever their number, a chunk
//! of up to five runs is kept as those runs, any other is a bitmap. What it costs, in memory:
//!
//! - a lone member, or a run however long: one to three segments of some 48 bytes each;
//! - members spread densely: at most 256 bytes and a segment per 2048 sequences, one bit and a little per sequence;
//! - nothing per member.
//!
//! Lookups, insertions and removals cost a search among the segments; a change of a bitmap 32 words more. A range costs
//! as much as the segments that it touches.
//!
//! Contract: any `u64` may be a member. Two sets are equal when their members are.

mod chunk;
mod encode;
mod ranges;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use chunk::{Chunk, LAST, SPAN, Words};
pub use encode::SeqSetError;
pub use ranges::Ranges;

#[derive(Clone, Debug)]
enum Segment {
    /// This many chunks of which every sequence is a member.
    Full(u64),
    Part(Chunk),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Segment::Full(chunks) => chunks.saturating_mul(SPAN),
            Segment::Part(chunk) => chunk.len(),
        }
    }
}

/// See the module.
#[derive(Clone, Default)]
pub struct SeqSet {
    /// By the index of the first chunk; no two overlap, and no two full ones touch.
    segments: BTreeMap<u64, Segment>,
    len: u64,
}

/// Chunk and offset of a sequence.
fn split(seq: u64) -> (u64, u16) {
    (seq / SPAN, (seq % SPAN) as u16)
}

impl SeqSet {
    /// An empty set.
    pub fn new() -> SeqSet {
        SeqSet::default()
    }

    /// The number of members; saturates for the set of all 2^64.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Forgets all members and returns their memory.
    pub fn clear(&mut self) {
        *self = SeqSet::default();
    }

    /// The segment that holds a chunk, and its first chunk.
    fn segment(&self, key: u64) -> Option<(u64, &Segment)> {
        let (&first, segment) = self.segments.range(..=key).next_back()?;
        let covers = match segment {
            Segment::Full(chunks) => key - first < *chunks,
            Segment::Part(_) => first == key,
        };
        covers.then_some((first, segment))
    }

    /// Whether a sequence is a member.
    pub fn contains(&self, seq: u64) -> bool {
        let (key, at) = split(seq);
        match self.segment(key) {
            None => false,
            Some((_, Segment::Full(_))) => true,
            Some((_, Segment::Part(chunk))) => chunk.contains(at),
        }
    }

    /// Makes a sequence a member; answers whether it was none.
    pub fn insert(&mut self, seq: u64) -> bool {
        let (key, at) = split(seq);
        let added = self.insert_part(key, at, at);
        self.len = self.len.saturating_add(added);
        added > 0
    }

    /// Makes a sequence no member; answers whether it was one.
    pub fn remove(&mut self, seq: u64) -> bool {
        let (key, at) = split(seq);
        let removed = self.remove_part(key, at, at);
        self.len = self.len.saturating_sub(removed);
        removed > 0
    }

    /// Makes `lo` to `hi`, both included, members; answers how many were none. Nothing when `hi` is below `lo`.
    pub fn insert_range(&mut self, lo: u64, hi: u64) -> u64 {
        let mut added = 0u64;
        if let Some((first, last)) = self.edges(lo, hi, |set, key, a, b| added += set.insert_part(key, a, b))
        {
            let chunks = last - first + 1;
            let held = self.cut(first, last);
            self.segments.insert(first, Segment::Full(chunks));
            self.join(first);
            added = added.saturating_add(chunks.saturating_mul(SPAN) - held);
        }
        self.len = self.len.saturating_add(added);
        added
    }

    /// Makes `lo` to `hi`, both included, no members; answers how many were. Nothing when `hi` is below `lo`.
    pub fn remove_range(&mut self, lo: u64, hi: u64) -> u64 {
        let mut removed = 0u64;
        if let Some((first, last)) =
            self.edges(lo, hi, |set, key, a, b| removed += set.remove_part(key, a, b))
        {
            removed = removed.saturating_add(self.cut(first, last));
        }
        self.len = self.len.saturating_sub(removed);
        removed
    }

    /// Hands the parts of chunks at both ends of a range to `part`, and answers the whole chunks between them.
    fn edges(
        &mut self,
        lo: u64,
        hi: u64,
        mut part: impl FnMut(&mut SeqSet, u64, u16, u16),
    ) -> Option<(u64, u64)> {
        if lo > hi {
            return None;
        }
        let ((mut first, a), (mut last, b)) = (split(lo), split(hi));
        if first == last && (a > 0 || b < LAST) {
            part(self, first, a, b);
            return None;
        }
        if a > 0 {
            part(self, first, a, LAST);
            first += 1;
        }
        if b < LAST {
            part(self, last, 0, b);
            // `first` is at most `last`, and greater than 0 when they were equal.
            last = last.checked_sub(1)?;
        }
        (first <= last).then_some((first, last))
    }

    fn insert_part(&mut self, key: u64, lo: u16, hi: u16) -> u64 {
        if self.segment(key).is_none() {
            self.segments.insert(key, Segment::Part(Chunk::of_run(lo, hi)));
            return u64::from(hi - lo) + 1;
        }
        let Some(Segment::Part(chunk)) = self.segments.get_mut(&key) else { return 0 };
        let added = chunk.insert(lo, hi);
        if added > 0 && chunk.len() == SPAN {
            self.segments.insert(key, Segment::Full(1));
            self.join(key);
        }
        added
    }

    fn remove_part(&mut self, key: u64, lo: u16, hi: u16) -> u64 {
        match self.segment(key) {
            None => return 0,
            Some((_, Segment::Part(_))) => {}
            Some((_, Segment::Full(_))) => {
                self.part_at(key);
                if let Some(next) = key.checked_add(1) {
                    self.part_at(next);
                }
                let mut chunk = Chunk::of_run(0, LAST);
                let removed = chunk.remove(lo, hi);
                self.segments.insert(key, Segment::Part(chunk));
                return removed;
            }
        }
        let Some(Segment::Part(chunk)) = self.segments.get_mut(&key) else { return 0 };
        let removed = chunk.remove(lo, hi);
        if removed > 0 && chunk.len() == 0 {
            self.segments.remove(&key);
        }
        removed
    }

    /// Cuts a full segment in two so that one begins at `key`.
    fn part_at(&mut self, key: u64) {
        let Some((first, &Segment::Full(chunks))) = self.segment(key) else { return };
        if first < key {
            self.segments.insert(first, Segment::Full(key - first));
            self.segments.insert(key, Segment::Full(chunks - (key - first)));
        }
    }

    /// Joins the full segment at `key` with those before and after it.
    fn join(&mut self, key: u64) {
        let Some(&Segment::Full(mut chunks)) = self.segments.get(&key) else { return };
        let mut first = key;
        if let Some(after) = key.checked_add(chunks)
            && let Some(&Segment::Full(more)) = self.segments.get(&after)
        {
            self.segments.remove(&after);
            chunks += more;
        }
        if let Some((&before, &Segment::Full(more))) = self.segments.range(..key).next_back()
            && before + more == key
        {
            self.segments.remove(&key);
            first = before;
            chunks += more;
        }
        self.segments.insert(first, Segment::Full(chunks));
    }

    /// Drops every chunk from `first` to `last`; answers how many members they had.
    fn cut(&mut self, first: u64, last: u64) -> u64 {
        self.part_at(first);
        if let Some(after) = last.checked_add(1) {
            self.part_at(after);
        }
        let mut held = 0u64;
        while let Some((&key, segment)) = self.segments.range(first..=last).next() {
            held = held.saturating_add(segment.len());
            self.segments.remove(&key);
        }
        held
    }

    /// Adds what a bitmap of one chunk holds.
    fn union_words(&mut self, key: u64, words: &Words) {
        if words.iter().all(|&word| word == u64::MAX) {
            self.insert_range(key * SPAN, key * SPAN + (SPAN - 1));
            return;
        }
        if words.iter().all(|&word| word == 0) || matches!(self.segment(key), Some((_, Segment::Full(_)))) {
            return;
        }
        let added = match self.segments.get_mut(&key) {
            Some(Segment::Part(chunk)) => {
                let added = chunk.union(words);
                if chunk.len() == SPAN {
                    self.segments.insert(key, Segment::Full(1));
                    self.join(key);
                }
                added
            }
            _ => {
                let chunk = Chunk::of_words(words);
                let added = chunk.len();
                self.segments.insert(key, Segment::Part(chunk));
                added
            }
        };
        self.len = self.len.saturating_add(added);
    }

    /// Makes every member of `other` a member.
    pub fn union(&mut self, other: &SeqSet) {
        for (&key, segment) in &other.segments {
            match segment {
                Segment::Full(chunks) => {
                    let last = key + (chunks - 1);
                    self.insert_range(key * SPAN, last * SPAN + (SPAN - 1));
                }
                Segment::Part(chunk) => self.union_words(key, &chunk.words()),
            }
        }
    }

    /// The lowest member.
    pub fn min(&self) -> Option<u64> {
        let (&key, segment) = self.segments.first_key_value()?;
        match segment {
            Segment::Full(_) => Some(key * SPAN),
            Segment::Part(chunk) => chunk.next_run(0).map(|(lo, _)| key * SPAN + u64::from(lo)),
        }
    }

    /// The highest member.
    pub fn max(&self) -> Option<u64> {
        let (&key, segment) = self.segments.last_key_value()?;
        match segment {
            Segment::Full(chunks) => Some((key + (chunks - 1)) * SPAN + (SPAN - 1)),
            Segment::Part(chunk) => chunk.max().map(|at| key * SPAN + u64::from(at)),
        }
    }

    /// The lowest sequence from `from` on that is no member; none when all up to the last sequence are.
    pub fn next_gap(&self, from: u64) -> Option<u64> {
        match self.ranges_from(from).next() {
            Some((lo, hi)) if lo == from => hi.checked_add(1),
            _ => Some(from),
        }
    }

    /// The lowest member from `from` on.
    pub fn next_member(&self, from: u64) -> Option<u64> {
        let (key, at) = split(from);
        match self.segment(key) {
            Some((_, Segment::Full(_))) => return Some(from),
            Some((_, Segment::Part(chunk))) => {
                if let Some((lo, _)) = chunk.next_run(at) {
                    return Some(key * SPAN + u64::from(lo));
                }
            }
            None => {}
        }
        let (&key, segment) = self.segments.range(key.checked_add(1)?..).next()?;
        match segment {
            Segment::Full(_) => Some(key * SPAN),
            Segment::Part(chunk) => chunk.next_run(0).map(|(lo, _)| key * SPAN + u64::from(lo)),
        }
    }

    /// The highest sequence up to `from` that is no member; none when all down to 0 are.
    pub fn previous_gap(&self, from: u64) -> Option<u64> {
        let mut from = from;
        loop {
            let (key, at) = split(from);
            let before = match self.segment(key) {
                None => return Some(from),
                Some((first, Segment::Full(_))) => first,
                Some((_, Segment::Part(chunk))) => match chunk.previous_gap(at) {
                    Some(at) => return Some(key * SPAN + u64::from(at)),
                    None => key,
                },
            };
            from = (before * SPAN).checked_sub(1)?;
        }
    }

    /// Members from `lo` to `hi`, both included. Costs as much as the segments between them.
    pub fn count(&self, lo: u64, hi: u64) -> u64 {
        if lo > hi {
            return 0;
        }
        let ((first, a), (last, b)) = (split(lo), split(hi));
        let begin = self.segment(first).map_or(first, |(first, _)| first);
        let mut count = 0u64;
        for (&key, segment) in self.segments.range(begin..=last) {
            count = count.saturating_add(match segment {
                Segment::Full(chunks) => {
                    let end = (key + (chunks - 1)) * SPAN + (SPAN - 1);
                    (end.min(hi) - (key * SPAN).max(lo)).saturating_add(1)
                }
                Segment::Part(chunk) => {
                    let a = if key == first { a } else { 0 };
                    let b = if key == last { b } else { LAST };
                    chunk.count(a, b)
                }
            });
        }
        count
    }

    /// Every maximal run of members, ascending, as first and last.
    pub fn ranges(&self) -> Ranges<'_> {
        self.ranges_from(0)
    }

    /// Every maximal run of members from `from` on, the first one cut there.
    pub fn ranges_from(&self, from: u64) -> Ranges<'_> {
        Ranges::new(self, from)
    }

    /// Every member, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges().flat_map(|(lo, hi)| lo..=hi)
    }

    /// An estimate of what the set takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        // Nodes of the map are between half and entirely full.
        let segment = (size_of::<u64>() + size_of::<Segment>()) * 3 / 2;
        let heap = |segment: &Segment| match segment {
            Segment::Full(_) => 0,
            Segment::Part(chunk) => chunk.heap_bytes(),
        };
        size_of::<SeqSet>() + self.segments.values().map(|s| segment + heap(s)).sum::<usize>()
    }
}

impl PartialEq for SeqSet {
    fn eq(&self, other: &SeqSet) -> bool {
        self.len == other.len && self.ranges().eq(other.ranges())
    }
}

impl Eq for SeqSet {}

impl fmt::Debug for SeqSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ranges()).finish()
    }
}

impl FromIterator<u64> for SeqSet {
    fn from_iter<I: IntoIterator<Item = u64>>(sequences: I) -> SeqSet {
        let mut set = SeqSet::new();
        set.extend(sequences);
        set
    }
}

impl Extend<u64> for SeqSet {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, sequences: I) {
        for seq in sequences {
            self.insert(seq);
        }
    }
}
