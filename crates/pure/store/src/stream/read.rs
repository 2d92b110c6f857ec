//! Messages by sequence and by subject.

use super::filter::Filter;
use super::load::MAX_FOLLOWED;
use super::message::Message;
use super::{Medium, Step, Store, StoreError, ready};
use crate::format::record::Kind;

/// Records that are compared one by one in any case, before a block is searched by subject.
const PROBES: usize = 64;
/// A block is indexed by subject when so many records have been compared for each that it has: by then, that has cost as much as the index does.
const PROBES_PER_RECORD: usize = 8;

/// A search for the next, or the one before, of the messages that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextQuery {
    /// Which are meant.
    pub filter: Filter,
    /// Where to begin. Moves on while blocks without matches are passed over.
    pub from: u64,
}

impl Store {
    /// The message at a sequence; in a file store, 0 is the first. O(log b), and the load of a block.
    pub fn load(&mut self, seq: u64) -> Step<Message> {
        let file = self.config.medium == Medium::File;
        let seq = if seq == 0 && file { self.state.first_seq } else { seq };
        let at = match self.find(seq) {
            Ok(at) => at,
            Err(error) => return Step::Failed(error),
        };
        if !self.blocks[at].is_live(seq) {
            return Step::Failed(if file { StoreError::Deleted } else { StoreError::NotFound });
        }
        ready!(self.need_message(at, seq));
        self.answer(at, seq)
    }

    /// The block that has this sequence between its first and last, or why there is none.
    pub(super) fn find(&self, seq: u64) -> Result<usize, StoreError> {
        if self.closed {
            return Err(StoreError::Closed);
        }
        if seq > self.state.last_seq {
            return Err(StoreError::End);
        }
        if seq < self.state.first_seq || self.state.messages == 0 {
            return Err(StoreError::NotFound);
        }
        self.block_of(seq).ok_or(StoreError::NotFound)
    }

    /// [`Store::block_of`], tried first where the last one was found: readers go forward.
    #[inline]
    fn block_near(&mut self, seq: u64) -> Option<usize> {
        let near = self.near;
        if self.blocks.get(near).is_some_and(|block| block.first_seq <= seq && seq <= block.last_seq) {
            return Some(near);
        }
        let at = self.block_of(seq)?;
        self.near = at;
        Some(at)
    }

    /// The message of a live sequence, if nothing has to be done for it.
    #[inline]
    fn at_hand(&mut self, at: usize, seq: u64) -> Option<Message> {
        let now = self.now;
        let cache = self.blocks[at].cache.as_deref_mut()?;
        let offset = cache.offsets.get(seq)?;
        cache.used = now;
        let (record, bytes) = cache.record(offset)?;
        Message::of(&record, bytes).filter(|message| message.seq == seq)
    }

    fn answer(&self, at: usize, seq: u64) -> Step<Message> {
        match self.cached_message(at, seq) {
            Ok(message) => Step::Ready(message),
            Err(error) => Step::Failed(error),
        }
    }

    /// The subject of the message at a sequence.
    pub fn subject_of(&mut self, seq: u64) -> Step<Message> {
        match self.load(seq) {
            Step::Failed(StoreError::Deleted | StoreError::End) => Step::Failed(StoreError::NotFound),
            other => other,
        }
    }

    /// The first match from `query.from` on. Without a filter O(log b); with one, each block with a match is visited at most once: blocks are passed over by the
    /// subjects' bounds, O(s) for each block that is left.
    pub fn next(&mut self, query: &mut NextQuery) -> Step<Option<Message>> {
        if self.closed {
            return Step::Failed(StoreError::Closed);
        }
        loop {
            query.from = query.from.max(self.state.first_seq);
            if query.from > self.state.last_seq || self.state.messages == 0 {
                return Step::Ready(None);
            }
            let Some(at) = self.block_near(query.from) else { return Step::Ready(None) };
            let Some(live) = self.blocks[at].next_live(query.from) else {
                query.from = self.blocks[at].last_seq + 1;
                continue;
            };
            query.from = live;
            if query.filter.is_all() {
                if let Some(message) = self.at_hand(at, live) {
                    return Step::Ready(Some(message));
                }
                // Who reads everything seldom comes back to what is behind.
                if self.blocks[at].cache.is_none() {
                    self.evict_left(MAX_FOLLOWED, at);
                }
                ready!(self.need_message(at, live));
                return self.answer(at, live).map(Some);
            }
            // A block whose end is in memory is not loaded for what stands there.
            ready!(self.need_message(at, live));
            if let Some(seq) = ready!(self.next_in(at, query)) {
                return self.answer(at, seq).map(Some);
            }
            let last = self.blocks[at].last_seq;
            match self.next_block(at, &query.filter) {
                Some(next) => query.from = self.blocks[next].first_seq.max(last + 1),
                None => return Step::Ready(None),
            }
        }
    }

    /// The first match in a block.
    fn next_in(&mut self, at: usize, query: &mut NextQuery) -> Step<Option<u64>> {
        let (found, probes) = self.probe(at, query);
        if let Some(cache) = self.blocks[at].cache.as_deref_mut() {
            cache.probes = cache.probes.saturating_add(probes);
        }
        if let Some(found) = found {
            return Step::Ready(found);
        }
        ready!(self.need_postings(at));
        let cache = self.blocks[at].cache.as_deref();
        Step::Ready(cache.and_then(|c| c.postings.as_deref()).and_then(|p| p.next(&query.filter, query.from)))
    }

    /// Compares records one by one, as long as that is cheaper than the index; how many. The first match, or that there is none, if that has shown.
    fn probe(&self, at: usize, query: &mut NextQuery) -> (Option<Option<u64>>, usize) {
        let block = &self.blocks[at];
        let most = match block.whole() {
            Some(cache) if cache.postings.is_none() => {
                (block.messages as usize * PROBES_PER_RECORD).saturating_sub(cache.probes).max(PROBES)
            }
            _ => PROBES,
        };
        for probes in 0..most {
            let Some(seq) = block.next_live(query.from) else { return (Some(None), probes) };
            match self.meant(at, seq, &query.filter) {
                Some(true) => return (Some(Some(seq)), probes + 1),
                Some(false) => query.from = seq + 1,
                None => return (None, probes),
            }
        }
        (None, most)
    }

    /// Whether the message at a sequence is meant, if it is in memory.
    fn meant(&self, at: usize, seq: u64, filter: &Filter) -> Option<bool> {
        let (cache, offset) = self.blocks[at].cached(seq)?;
        match cache.record(offset)?.0.kind {
            Kind::Message { subject, .. } => Some(filter.matches(subject)),
            _ => None,
        }
    }

    /// The next block after `at` that may have a match.
    pub(super) fn next_block(&self, at: usize, filter: &Filter) -> Option<usize> {
        let after = self.blocks.get(at + 1)?.index;
        let mut best: Option<u32> = None;
        self.matching_subjects(filter, |_, state| {
            if state.last_block >= after {
                let first = state.first_block.max(after);
                best = Some(best.map_or(first, |best| best.min(first)));
            }
        });
        best.map(|index| self.block_from(index)).filter(|at| *at < self.blocks.len())
    }

    /// The last block before `at` that may have a match.
    pub(super) fn previous_block(&self, at: usize, filter: &Filter) -> Option<usize> {
        let before = self.blocks.get(at.checked_sub(1)?)?.index;
        let mut best: Option<u32> = None;
        self.matching_subjects(filter, |_, state| {
            if state.first_block <= before {
                best = best.max(Some(state.last_block.min(before)));
            }
        });
        let at = best.map(|index| self.blocks.partition_point(|block| block.index <= index))?;
        at.checked_sub(1)
    }

    /// The last match up to `query.from`. Costs as [`Store::next`].
    pub fn previous(&mut self, query: &mut NextQuery) -> Step<Option<Message>> {
        if self.closed {
            return Step::Failed(StoreError::Closed);
        }
        loop {
            query.from = query.from.min(self.state.last_seq);
            if query.from < self.state.first_seq || self.state.messages == 0 {
                return Step::Ready(None);
            }
            let at = match self.block_of(query.from) {
                Some(at) => at,
                None => return Step::Ready(None),
            };
            let Some(live) = self.blocks[at].previous_live(query.from) else {
                match at.checked_sub(1) {
                    Some(before) => query.from = self.blocks[before].last_seq,
                    None => return Step::Ready(None),
                }
                continue;
            };
            query.from = live;
            if query.filter.is_all() {
                ready!(self.need_message(at, live));
                return self.answer(at, live).map(Some);
            }
            ready!(self.need_postings(at));
            let postings = self.blocks[at].cache.as_deref().and_then(|cache| cache.postings.as_deref());
            if let Some(seq) = postings.and_then(|postings| postings.previous(&query.filter, live)) {
                return self.answer(at, seq).map(Some);
            }
            match self.previous_block(at, &query.filter) {
                Some(before) => query.from = self.blocks[before].last_seq.min(live),
                None => return Step::Ready(None),
            }
        }
    }

    /// The last match. One subject: O(its length), and the load of a block. Wildcards: O(s).
    pub fn last(&mut self, filter: &Filter) -> Step<Option<Message>> {
        if self.closed {
            return Step::Failed(StoreError::Closed);
        }
        if filter.is_all() {
            return self.previous(&mut NextQuery { filter: Filter::all(), from: u64::MAX });
        }
        let Some(seq) = ready!(self.last_seq_of(filter)) else { return Step::Ready(None) };
        let Some(at) = self.block_of(seq) else { return Step::Ready(None) };
        ready!(self.need_message(at, seq));
        self.answer(at, seq).map(Some)
    }

    /// The sequence of the last match.
    fn last_seq_of(&mut self, filter: &Filter) -> Step<Option<u64>> {
        if let Some(subject) = filter.literal() {
            return self.resolve_last(subject);
        }
        loop {
            let (mut best, mut unknown): (Option<u64>, Option<(u64, Vec<u8>)>) = (None, None);
            self.matching_subjects(filter, |subject, state| match state.last_seq() {
                Some(seq) => best = best.max(Some(seq)),
                None if unknown.as_ref().is_none_or(|(bound, _)| *bound < state.last_bound()) => {
                    unknown = Some((state.last_bound(), subject.to_vec()));
                }
                None => {}
            });
            match unknown.filter(|(bound, _)| best.is_none_or(|best| best < *bound)) {
                Some((_, subject)) => ready!(self.resolve_last(&subject)),
                None => return Step::Ready(best),
            };
        }
    }

    /// Finds the last message of a subject, and remembers it.
    pub(super) fn resolve_last(&mut self, subject: &[u8]) -> Step<Option<u64>> {
        loop {
            let Some(state) = self.subjects.get(subject) else { return Step::Ready(None) };
            if let Some(seq) = state.last_seq() {
                return Step::Ready(Some(seq));
            }
            let (bound, last_block) = (state.last_bound(), state.last_block);
            let Some(at) = self.blocks.partition_point(|block| block.index <= last_block).checked_sub(1)
            else {
                return Step::Ready(None);
            };
            ready!(self.need_postings(at));
            let block = &self.blocks[at];
            let index = block.index;
            let cache = block.cache.as_deref();
            let posting = cache.and_then(|cache| cache.postings.as_deref()?.get(subject));
            let found = posting.and_then(|posting| posting.previous(bound));
            let counted = found.and_then(|seq| {
                let (cache, offset) = block.cached(seq)?;
                Some(self.counted(&cache.record(offset)?.0))
            });
            if let Some(state) = self.subjects.get_mut(subject) {
                match found.zip(counted) {
                    Some((seq, counted)) => state.set_last(seq, counted, index),
                    None => state.last_block = index.saturating_sub(1),
                }
            }
        }
    }

    /// Finds the first message of a subject, and remembers its block.
    pub(super) fn resolve_first(&mut self, subject: &[u8]) -> Step<Option<u64>> {
        loop {
            let Some(state) = self.subjects.get(subject) else { return Step::Ready(None) };
            if state.total() == 1
                && let Some(seq) = state.last_seq()
            {
                return Step::Ready(Some(seq));
            }
            let at = self.block_from(state.first_block);
            if at >= self.blocks.len() {
                return Step::Ready(None);
            }
            ready!(self.need_postings(at));
            let index = self.blocks[at].index;
            let cache = self.blocks[at].cache.as_deref();
            let found = cache.and_then(|cache| cache.postings.as_deref()?.get(subject)?.first());
            if let Some(state) = self.subjects.get_mut(subject) {
                state.first_block = if found.is_some() { index } else { index + 1 };
            }
            if found.is_some() {
                return Step::Ready(found);
            }
        }
    }
}
