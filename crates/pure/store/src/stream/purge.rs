//! Many messages at once.

use bytes::Bytes;
use midge_stdx::clock::Now;

use super::filter::Filter;
use super::{Block, Change, Medium, State, Step, Store, StoreError, ready};
use crate::format::record::{self, Kind, Record, RecordKey};
use crate::format::scan::{Item, Scan};
use crate::port::{Op, Promise};

/// A purge of the messages that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeQuery {
    /// Which.
    pub filter: Filter,
    /// Only below this sequence; 0 for all.
    pub below: u64,
    /// The newest ones that stay.
    pub keep: u64,
    /// The next sequence to look at.
    from: u64,
    /// How many may still be removed; not known before the first step.
    left: Option<u64>,
    purged: u64,
    bytes: u64,
    only: Option<(u64, Bytes)>,
}

impl PurgeQuery {
    /// Messages that `filter` means, below `below` unless that is 0, but for the newest `keep`.
    pub fn new(filter: Filter, below: u64, keep: u64) -> PurgeQuery {
        PurgeQuery { filter, below, keep, from: 0, left: None, purged: 0, bytes: 0, only: None }
    }
}

/// The removal of everything before a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compact {
    seq: u64,
    purged: u64,
    bytes: u64,
}

impl Compact {
    /// Everything before `seq`.
    pub fn new(seq: u64) -> Compact {
        Compact { seq, purged: 0, bytes: 0 }
    }
}

/// The removal of everything after a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    seq: u64,
    removed: u64,
    bytes: u64,
    /// Deletions that were recorded in what is cut off.
    tombstones: Vec<(u64, i64)>,
}

impl Truncate {
    /// Everything after `seq`; with 0, the store is as new.
    pub fn new(seq: u64) -> Truncate {
        Truncate { seq, removed: 0, bytes: 0, tombstones: Vec::new() }
    }
}

impl Store {
    /// Removes all messages; answers how many there were. O(b).
    ///
    /// # Errors
    /// Nothing is removed.
    pub fn purge(&mut self) -> Result<u64, StoreError> {
        self.writable()?;
        let State { messages, bytes, .. } = self.state;
        if messages > 0 || self.blocks.len() > 1 {
            self.outdate_index();
            self.history_changed();
            self.begin_empty()?;
            let keep = self.blocks.len() - 1;
            let dropped: Vec<Block> = self.blocks.drain(..keep).collect();
            self.drop_all(dropped, self.promise());
        }
        self.forget_all();
        self.state.first_seq = self.state.last_seq + 1;
        self.tell(messages, bytes);
        Ok(messages)
    }

    fn forget_all(&mut self) {
        self.subjects.clear();
        self.wheel.clear();
        self.debts = super::limits::Debts::default();
        self.subjects_uncertain = false;
        if let Some(disk) = &mut self.disk {
            disk.flight.removed(self.state.last_seq);
        }
        (self.state.messages, self.state.bytes) = (0, 0);
    }

    fn tell(&mut self, messages: u64, bytes: u64) {
        if messages > 0 {
            self.changes.push(Change { messages, bytes, seq: 0, subject: Bytes::new() });
        }
    }

    /// Removes the messages that are meant; answers how many. A tombstone is written for each, unless its block goes. O(those removed), and the blocks they
    /// are in.
    ///
    /// Without a filter: `below` 1 removes nothing, 0 (and no `keep`) everything, any other what is before it.
    pub fn purge_matching(&mut self, query: &mut PurgeQuery) -> Step<u64> {
        if let Err(error) = self.writable() {
            return Step::Failed(error);
        }
        if query.below == 1 {
            return Step::Ready(0);
        }
        if query.filter.is_all() && query.left.is_none() {
            if query.below > 1 {
                let mut compact = Compact { seq: query.below, purged: query.purged, bytes: query.bytes };
                let step = self.compact(&mut compact);
                (query.purged, query.bytes) = (compact.purged, compact.bytes);
                return step;
            }
            if query.keep == 0 {
                return self.purge().map_or_else(Step::Failed, Step::Ready);
            }
        }
        let mut left = match query.left {
            Some(left) => left,
            None => {
                let mut total = 0;
                if query.filter.is_all() {
                    total = self.state.messages;
                } else {
                    self.matching_subjects(&query.filter, |_, state| total += state.total());
                }
                total.saturating_sub(query.keep)
            }
        };
        query.left = Some(left);
        let below = if query.below == 0 { self.state.last_seq + 1 } else { query.below };
        while left > 0 {
            query.from = query.from.max(self.state.first_seq);
            let Some(live) = self.next_live(query.from).filter(|seq| *seq < below) else { break };
            let Some(at) = self.block_of(live) else { break };
            ready!(self.need_postings(at));
            let last = self.blocks[at].last_seq;
            let next = self.next_block(at, &query.filter).map(|next| self.blocks[next].first_seq);
            let mut seqs = Vec::new();
            if let Some(postings) =
                self.blocks[at].cache.as_deref().and_then(|cache| cache.postings.as_deref())
            {
                postings.matching(&query.filter, |_, posting| {
                    let mut from = query.from;
                    while let Some(seq) = posting.next(from).filter(|seq| *seq < below) {
                        seqs.push(seq);
                        from = seq + 1;
                    }
                });
            }
            seqs.sort_unstable();
            seqs.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= seqs.len() as u64;
            query.left = Some(left);
            self.remove_each(at, &seqs, query);
            match next {
                Some(next) if left > 0 => query.from = next.max(last + 1),
                _ => break,
            }
        }
        match query.only.take().filter(|_| query.purged == 1) {
            Some((seq, subject)) => {
                self.changes.push(Change { messages: 1, bytes: query.bytes, seq, subject })
            }
            None => self.tell(query.purged, query.bytes),
        }
        Step::Ready(query.purged)
    }

    /// Removes messages of one block, which is loaded.
    fn remove_each(&mut self, at: usize, seqs: &[u64], query: &mut PurgeQuery) {
        let index = self.blocks[at].index;
        for seq in seqs {
            let Some(at) = self.block_numbered(index) else { return };
            let Ok(message) = self.cached_message(at, *seq) else { continue };
            let (counted, ts_ns, subject) =
                (self.counted_of(&message), message.ts_ns, message.shared_subject());
            self.record_removal(at, *seq, ts_ns);
            let Some(at) = self.block_numbered(index) else { return };
            query.purged += 1;
            query.bytes += u64::from(counted);
            self.account_out(at, *seq, counted, &subject);
            query.only = Some((*seq, subject));
        }
    }

    /// Removes everything before a sequence, which may lie beyond the end: the stream then goes on from there. Answers how many messages that were.
    /// O(those removed), and the loads of their blocks.
    pub fn compact(&mut self, query: &mut Compact) -> Step<u64> {
        if let Err(error) = self.writable() {
            return Step::Failed(error);
        }
        if query.seq == 0 || query.seq > self.state.last_seq {
            if query.seq > self.state.last_seq + 1 {
                let (messages, bytes) = (self.state.messages, self.state.bytes);
                self.outdate_index();
                self.history_changed();
                self.seal();
                // The new block has to hold the new last sequence, whatever there was.
                self.state.last_seq = query.seq - 1;
                if let Err(error) = self.begin_empty() {
                    return Step::Failed(error);
                }
                let keep = self.blocks.len() - 1;
                let dropped: Vec<Block> = self.blocks.drain(..keep).collect();
                self.drop_all(dropped, self.promise());
                self.forget_all();
                self.state.first_seq = query.seq;
                self.tell(messages, bytes);
                return Step::Ready(query.purged + messages);
            }
            return match self.purge() {
                Ok(purged) => Step::Ready(query.purged + purged),
                Err(error) => Step::Failed(error),
            };
        }
        if self.state.first_seq < query.seq {
            self.outdate_index();
            self.history_changed();
        }
        while self.state.first_seq < query.seq && self.state.messages > 0 {
            let seq = self.state.first_seq;
            let Some(at) = self.block_of(seq) else { break };
            ready!(self.need_message(at, seq));
            let (index, stays) = (self.blocks[at].index, self.blocks[at].last_seq >= query.seq);
            let (counted, ts_ns, subject) = match self.cached_message(at, seq) {
                Ok(message) => (self.counted_of(&message), message.ts_ns, message.shared_subject()),
                Err(_) => (0, 0, Bytes::new()),
            };
            if stays {
                self.record_removal(at, seq, ts_ns);
            }
            let Some(at) = self.block_numbered(index) else { break };
            query.purged += 1;
            query.bytes += u64::from(counted);
            self.account_out(at, seq, counted, &subject);
        }
        self.tell(query.purged, query.bytes);
        Step::Ready(query.purged)
    }

    /// Removes everything after a sequence, which becomes the last one even if its message is deleted. Answers how many messages that were. O(those
    /// removed), and the loads of their blocks.
    pub fn truncate(&mut self, query: &mut Truncate, now: Now) -> Step<u64> {
        if let Err(error) = self.writable() {
            return Step::Failed(error);
        }
        self.seal();
        if query.seq == 0 {
            return Step::Ready(self.reset(now));
        }
        if query.seq >= self.state.last_seq {
            return Step::Ready(query.removed);
        }
        self.history_changed();
        if self.disk.as_ref().is_some_and(|disk| disk.limited) {
            // Only the index knew what limits took that are no more. It stays until the next one replaces it, and until then may call lost what is cut off.
            self.want_index();
        } else {
            self.drop_index();
        }
        while self.blocks.len() > 1 && self.blocks[self.blocks.len() - 2].last_seq >= query.seq {
            let at = self.blocks.len() - 1;
            ready!(self.need(at));
            self.uncount_after(at, query);
            self.collect_tombstones(at, 0, query);
            if let Some(block) = self.blocks.pop_back() {
                self.drop_blocks(vec![block], Promise::Durable);
            }
        }
        let at = self.blocks.len() - 1;
        ready!(self.need(at));
        self.uncount_after(at, query);
        self.cut(at, query);
        self.forget_expiries_after(query.seq);
        self.renew_sources();
        self.index_if_urgent();
        self.tell(query.removed, query.bytes);
        Step::Ready(query.removed)
    }

    /// As new.
    fn reset(&mut self, now: Now) -> u64 {
        let State { messages, bytes, .. } = self.state;
        let dropped: Vec<Block> = self.blocks.drain(..).collect();
        self.drop_index();
        self.history_changed();
        self.drop_all(dropped, self.promise());
        self.forget_all();
        self.state = State { last_ts_ns: now.wall.0, ..State::default() };
        let mut block = Block::new(self.next_index, 0, now.wall.0);
        self.next_index += 1;
        block.cache = Some(Box::default());
        block.key = self.new_key(block.index);
        self.blocks.push_back(block);
        self.last_recorded = 0;
        if let Some(disk) = &mut self.disk {
            disk.flight.truncated(0);
        }
        self.renew_sources();
        self.tell(messages, bytes);
        messages
    }

    /// Takes the messages of a loaded block after the sequence out of the totals.
    fn uncount_after(&mut self, at: usize, query: &mut Truncate) {
        while let Some(seq) = self.blocks[at].previous_live(u64::MAX).filter(|seq| *seq > query.seq) {
            let (counted, subject) = match self.cached_message(at, seq) {
                Ok(message) => (self.counted_of(&message), message.shared_subject()),
                Err(_) => (0, Bytes::new()),
            };
            query.removed += 1;
            query.bytes += u64::from(counted);
            self.uncount(at, seq, counted, &subject);
        }
    }

    /// Remembers the tombstones from an offset on that speak of what stays.
    fn collect_tombstones(&self, at: usize, from: u32, query: &mut Truncate) {
        let last = query.seq;
        let mut found = Vec::new();
        self.each_record(at, |offset, record| {
            if offset >= from && record.kind == Kind::Tombstone && record.seq <= last {
                found.push((record.seq, record.ts_ns));
            }
        });
        query.tombstones.extend(found);
    }

    /// Visits the records of a loaded block, those behind damage as well: whoever reads the block finds them.
    fn each_record(&self, at: usize, mut visit: impl FnMut(u32, &Record<'_>)) {
        let Some(cache) = self.blocks[at].whole() else { return };
        let key = RecordKey::new(&self.config.name, self.blocks[at].index);
        let mut start = 0;
        for chunk in cache.chunks() {
            for item in Scan::new(chunk, &key) {
                if let Item::Record { at, record } = item {
                    visit(start + at as u32, &record);
                }
            }
            start += chunk.len() as u32;
        }
    }

    /// Cuts the last block, which is loaded, after the sequence.
    fn cut(&mut self, at: usize, query: &mut Truncate) {
        let (mut end, mut kept_seq, mut kept_ns, mut checksum) = (None, 0, 0, None);
        self.each_record(at, |offset, record| {
            if record.kind != Kind::Tombstone && record.seq > query.seq {
                end = end.or(Some(offset));
            }
            if end.is_none() {
                checksum = Some(record.checksum());
                if record.kind != Kind::Tombstone {
                    // Erased records have lost their time.
                    (kept_seq, kept_ns) = (kept_seq.max(record.seq), kept_ns.max(record.ts_ns));
                }
            }
        });
        let end = end.unwrap_or(self.blocks[at].raw_len);
        if kept_ns == 0 {
            let before = at.checked_sub(1).map(|before| self.blocks[before].last_ts_ns);
            kept_ns = before.unwrap_or(self.blocks[at].oldest_ns);
        }
        self.collect_tombstones(at, end, query);
        let block = &mut self.blocks[at];
        block.version += 1;
        block.epoch += 1;
        block.rewriting = false;
        (block.raw_len, block.written) = (end, block.written.min(end));
        block.checksum = checksum.unwrap_or_default();
        (block.last_seq, block.last_ts_ns) = (query.seq, kept_ns);
        block.deleted.remove_range(query.seq + 1, u64::MAX);
        if block.messages == 0 {
            block.first_seq = query.seq + 1;
            block.deleted.clear();
        }
        if let Some(cache) = block.cache.as_deref_mut() {
            cache.cut(end, query.seq);
        }
        let (index, compressed) = (block.index, block.compressed);
        self.tail_at = end;
        (self.state.last_seq, self.state.last_ts_ns) = (query.seq, kept_ns);
        self.last_recorded = 0;
        if let Some(disk) = &mut self.disk {
            disk.flight.truncated(query.seq);
            if compressed {
                self.replace_file(at);
            } else {
                self.submit(Op::SetLen { block: index, len: u64::from(end) });
            }
        }
        self.find_first();
        if kept_seq < query.seq && self.config.medium == Medium::File {
            // Nothing else says that this sequence was used.
            let block = self.room(record::EMPTY_LEN as u32);
            let (seq, ts_ns) = (query.seq, self.state.last_ts_ns);
            let _ = self.write(block, |out, key| record::encode_skip(out, key, seq, ts_ns));
            self.blocks[block].last_seq = self.blocks[block].last_seq.max(seq);
        }
        let gone = std::mem::take(&mut query.tombstones);
        gone.into_iter().for_each(|(seq, ts_ns)| {
            let _ = self.tombstone(seq, ts_ns);
        });
    }
}
