//! Sums and lists by subject and time.

use std::ops::ControlFlow;

use super::filter::Filter;
use super::read::NextQuery;
use super::{Medium, Step, Store, StoreError, SubjectState, ready};

/// How many messages are meant from a sequence on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingQuery {
    /// Which are meant.
    pub filter: Filter,
    /// From this sequence on.
    pub from: u64,
    /// Count subjects by their last message.
    pub last_per_subject: bool,
    progress: Option<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    /// The number of the block that comes next.
    block: u32,
    /// What was counted so far.
    counted: u64,
    /// What lies before is counted, to be subtracted.
    backward: bool,
    last_seq: u64,
}

/// The answer to a [`PendingQuery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// How many.
    pub count: u64,
    /// The last sequence when they were counted.
    pub valid_through: u64,
}

impl PendingQuery {
    /// Messages that are meant, from a sequence on.
    pub fn new(filter: Filter, from: u64, last_per_subject: bool) -> PendingQuery {
        PendingQuery { filter, from, last_per_subject, progress: None }
    }
}

/// The messages of some subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many there are.
    pub messages: u64,
    /// The first.
    pub first_seq: u64,
    /// The last.
    pub last_seq: u64,
}

/// The messages that are meant from a sequence on, summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateQuery {
    pending: PendingQuery,
    next: NextQuery,
    counted: Option<u64>,
}

impl StateQuery {
    /// Of `filter` from `from` on.
    pub fn new(from: u64, filter: Filter) -> StateQuery {
        StateQuery {
            pending: PendingQuery::new(filter.clone(), from, false),
            next: NextQuery { filter, from },
            counted: None,
        }
    }
}

/// Every subject that is meant, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectQuery {
    filter: Filter,
    names: Option<Vec<Box<[u8]>>>,
    found: Vec<(Box<[u8]>, Summary)>,
}

impl SubjectQuery {
    /// Of `filter`.
    pub fn new(filter: Filter) -> SubjectQuery {
        SubjectQuery { filter, ..SubjectQuery::default() }
    }
}

/// The last message of every subject that is meant, up to a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastQuery {
    filter: Filter,
    max_seq: u64,
    max_allowed: usize,
    found: Vec<u64>,
    /// Subjects that are still sought, with the sequence up to which; none before the first step.
    sought: Option<Vec<(Box<[u8]>, u64)>>,
    /// The number of the block in which they are sought next.
    block: u32,
}

impl LastQuery {
    /// Of `filter`, up to `max_seq` (0: to the end), `max_allowed` subjects at most (0: any number).
    pub fn new(filter: Filter, max_seq: u64, max_allowed: usize) -> LastQuery {
        LastQuery { filter, max_seq, max_allowed, ..LastQuery::default() }
    }
}

/// The first message at or after a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeQuery {
    /// Unix nanoseconds.
    pub from_ns: i64,
}

impl Store {
    /// Visits the subjects that are meant, in order. O(s).
    pub fn matching_subjects(&self, filter: &Filter, mut visit: impl FnMut(&[u8], &SubjectState)) {
        let each = |subject: &[u8], state: &SubjectState| {
            visit(subject, state);
            ControlFlow::<()>::Continue(())
        };
        if filter.is_all() {
            let _ = self.subjects.for_each(each);
        } else if let Some(subject) = filter.literal() {
            if let Some(state) = self.subjects.get(subject) {
                visit(subject, state);
            }
        } else {
            let filters: Vec<&[u8]> = filter.subjects().collect();
            let _ = self.subjects.matching_any(&filters, each);
        }
    }

    /// How many messages are meant from a sequence on. Everything: O(b). By subject: O(s), and those blocks that hold matches on both
    /// sides of the sequence, from the nearer end. The last ones of subjects: O(s).
    pub fn pending(&mut self, query: &mut PendingQuery) -> Step<Pending> {
        if self.closed {
            return Step::Failed(StoreError::Closed);
        }
        let valid_through = self.state.last_seq;
        let from = query.from.max(self.state.first_seq);
        let answer = |count| Step::Ready(Pending { count, valid_through });
        if from > self.state.last_seq || self.state.messages == 0 {
            return answer(0);
        }
        if query.last_per_subject {
            return answer(ready!(self.count_last(&query.filter, from)));
        }
        let Some(at) = self.block_of(from) else { return answer(0) };
        if query.filter.is_all() {
            let later: u64 = self.blocks.iter().skip(at + 1).map(|block| block.messages).sum();
            return answer(later + self.blocks[at].live_from(from));
        }
        if from == self.state.first_seq {
            let mut total = 0;
            self.matching_subjects(&query.filter, |_, state| total += state.total());
            return answer(total);
        }
        answer(ready!(self.count_beside(query, at, from)))
    }

    /// Counts matches on that side of `from` where fewer blocks have any. Subjects that lie on one side of its block are known without looking.
    fn count_beside(&mut self, query: &mut PendingQuery, at: usize, from: u64) -> Step<u64> {
        let here = self.blocks[at].index;
        let (mut after, mut astride, mut first, mut last) = (0, 0, here, here);
        self.matching_subjects(&query.filter, |_, state| {
            if state.first_block > here {
                after += state.total();
            } else if state.last_block >= here {
                astride += state.total();
                (first, last) = (first.min(state.first_block), last.max(state.last_block));
            }
        });
        if astride == 0 {
            return Step::Ready(after);
        }
        let (begin, end) = (self.block_from(first), self.blocks.partition_point(|block| block.index <= last));
        let backward = at - begin < end - at - 1;
        let start = if backward { first } else { here };
        let fresh = Progress { block: start, counted: 0, backward, last_seq: self.state.last_seq };
        let mut progress = query.progress.filter(|kept| kept.last_seq == fresh.last_seq).unwrap_or(fresh);
        let stop = if progress.backward { at + 1 } else { end };
        loop {
            let next = self.block_from(progress.block);
            if next >= stop {
                break;
            }
            query.progress = Some(progress);
            ready!(self.need_postings(next));
            let block = &self.blocks[next];
            if let Some(postings) = block.cache.as_deref().and_then(|cache| cache.postings.as_deref()) {
                let subjects = &self.subjects;
                postings.matching(&query.filter, |subject, posting| {
                    let state = subjects.get(subject);
                    if state.is_some_and(|state| state.first_block <= here && state.last_block >= here) {
                        let later = posting.count_from(from);
                        progress.counted += if progress.backward { posting.len() - later } else { later };
                    }
                });
            }
            progress.block = block.index + 1;
        }
        query.progress = None;
        Step::Ready(after + if progress.backward { astride - progress.counted } else { progress.counted })
    }

    /// Subjects whose last message is at or after `from`.
    fn count_last(&mut self, filter: &Filter, from: u64) -> Step<u64> {
        loop {
            let (mut count, mut unknown) = (0, None);
            self.matching_subjects(filter, |subject, state| match state.last_seq() {
                Some(seq) => count += u64::from(seq >= from),
                None if state.last_bound() >= from && unknown.is_none() => unknown = Some(subject.to_vec()),
                None => {}
            });
            match unknown {
                Some(subject) => ready!(self.resolve_last(&subject)),
                None => return Step::Ready(count),
            };
        }
    }

    /// The messages that are meant from a sequence on, summed up. Costs as [`Store::pending`] and [`Store::next`].
    pub fn filtered_state(&mut self, query: &mut StateQuery) -> Step<Summary> {
        let from = query.pending.from.max(self.state.first_seq);
        if from > self.state.last_seq {
            let file = self.config.medium == Medium::File;
            let beyond =
                Summary { messages: 0, first_seq: self.state.first_seq, last_seq: self.state.last_seq };
            return Step::Ready(if file { beyond } else { Summary::default() });
        }
        let messages = match query.counted {
            Some(counted) => counted,
            None => ready!(self.pending(&mut query.pending)).count,
        };
        query.counted = Some(messages);
        if messages == 0 {
            return Step::Ready(Summary::default());
        }
        let first_seq = ready!(self.next(&mut query.next)).map_or(0, |message| message.seq);
        let last = ready!(self.last(&query.next.filter.clone()));
        Step::Ready(Summary { messages, first_seq, last_seq: last.map_or(0, |message| message.seq) })
    }

    /// Every subject that is meant, with its messages, in order. O(s), and the blocks of first messages.
    pub fn subjects_state(&mut self, query: &mut SubjectQuery) -> Step<Vec<(Box<[u8]>, Summary)>> {
        if query.names.is_none() {
            let mut names = Vec::new();
            self.matching_subjects(&query.filter, |subject, _| names.push(Box::from(subject)));
            names.reverse();
            query.names = Some(names);
        }
        while let Some(name) = query.names.as_ref().and_then(|names| names.last()).cloned() {
            let first = ready!(self.resolve_first(&name));
            let last = ready!(self.resolve_last(&name));
            if let (Some(first_seq), Some(last_seq), Some(state)) = (first, last, self.subjects.get(&name)) {
                query.found.push((name, Summary { messages: state.total(), first_seq, last_seq }));
            }
            query.names.as_mut().and_then(Vec::pop);
        }
        Step::Ready(std::mem::take(&mut query.found))
    }

    /// The last message of every subject that is meant, ascending. O(s) to the end of the stream; before it, also the blocks down to the first
    /// one that has all subjects.
    pub fn last_seqs(&mut self, query: &mut LastQuery) -> Step<Vec<u64>> {
        if self.closed {
            return Step::Failed(StoreError::Closed);
        }
        if self.state.messages == 0 {
            return Step::Ready(Vec::new());
        }
        let max_seq = if query.max_seq == 0 { self.state.last_seq } else { query.max_seq };
        if query.sought.is_none() {
            let (mut sought, mut matches) = (Vec::new(), 0);
            self.matching_subjects(&query.filter, |subject, state| {
                matches += 1;
                match state.last_seq().filter(|seq| *seq <= max_seq) {
                    Some(seq) => query.found.push(seq),
                    None => sought.push((Box::from(subject), state.last_bound().min(max_seq))),
                }
            });
            if query.max_allowed > 0 && max_seq >= self.state.last_seq && matches > query.max_allowed {
                return Step::Failed(StoreError::TooMany);
            }
            query.sought = Some(sought);
            let at = self.blocks.partition_point(|block| block.first_seq <= max_seq);
            query.block = at.checked_sub(1).map_or(0, |at| self.blocks[at].index);
        }
        let mut sought = query.sought.take().unwrap_or_default();
        while !sought.is_empty() {
            let Some(at) = self.blocks.partition_point(|block| block.index <= query.block).checked_sub(1)
            else {
                break;
            };
            match self.need_postings(at) {
                Step::Ready(()) => {}
                Step::Failed(error) => return Step::Failed(error),
                Step::Wait => {
                    query.sought = Some(sought);
                    return Step::Wait;
                }
            }
            let index = self.blocks[at].index;
            let cache = self.blocks[at].cache.as_deref();
            let Some(postings) = cache.and_then(|cache| cache.postings.as_deref()) else { break };
            let subjects = &self.subjects;
            sought.retain(|(subject, bound)| {
                if let Some(seq) = postings.get(subject).and_then(|posting| posting.previous(*bound)) {
                    query.found.push(seq);
                    return false;
                }
                subjects.get(subject).is_some_and(|state| state.first_block < index)
            });
            query.block = index - 1;
        }
        query.found.sort_unstable();
        if query.max_allowed > 0 && query.found.len() > query.max_allowed {
            return Step::Failed(StoreError::TooMany);
        }
        Step::Ready(std::mem::take(&mut query.found))
    }

    /// The first live sequence at or after a time; one above the last when there is none. Times are taken to ascend. O(log n), and the load of a block.
    pub fn seq_from_time(&mut self, query: TimeQuery) -> Step<u64> {
        let end = self.state.last_seq + 1;
        if self.closed {
            return Step::Failed(StoreError::Closed);
        }
        let mut at = self.blocks.partition_point(|block| block.last_ts_ns < query.from_ns);
        while at < self.blocks.len() && self.blocks[at].messages == 0 {
            at += 1;
        }
        let Some(block) = self.blocks.get(at) else { return Step::Ready(end) };
        if block.first_ts_ns.is_some_and(|first| first >= query.from_ns) {
            return Step::Ready(block.first_seq);
        }
        ready!(self.need(at));
        let block = &self.blocks[at];
        let Some(cache) = block.cache.as_deref() else { return Step::Wait };
        let (mut low, mut high) = (block.first_seq, block.last_seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            // Only live ones: an erased record has lost its time.
            match block.next_live(middle) {
                Some(seq) if seq < high => {
                    let record = cache.offsets.get(seq).and_then(|offset| cache.record(offset));
                    let early = record.is_some_and(|(record, _)| record.ts_ns < query.from_ns);
                    if early { low = seq + 1 } else { high = middle }
                }
                _ => high = middle,
            }
        }
        Step::Ready(self.next_live(low).unwrap_or(end))
    }
}
