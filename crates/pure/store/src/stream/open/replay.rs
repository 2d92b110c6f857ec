//! The records that were written after the index, applied in the order of the log.
//!
//! Nothing here is certain enough to be worth an error: whatever does not add up ends in a cause, and the blocks are read instead.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::blocks::End;
use super::{Context, Image, OpenError};
use crate::format::record::{Kind, Record, RecordKey, decode};
use crate::format::scan::{Item, Order, Place, Scan, Walk};
use crate::recover::Limits;
use crate::stream::append::extend;
use crate::stream::message::{Ttl, ttl};
use crate::stream::offsets::Offsets;
use crate::stream::postings::Postings;
use crate::stream::{Block, SubjectState};

/// Blocks that stay loaded at a time.
const MAX_LOADED: usize = 8;

/// A block that messages are looked up in.
struct Loaded {
    bytes: Bytes,
    offsets: Offsets,
    postings: Postings,
    /// When it was used last.
    used: u64,
}

impl Loaded {
    fn new(bytes: Bytes) -> Loaded {
        let (mut offsets, mut postings) = (Offsets::default(), Postings::default());
        let mut last = 0;
        for (at, record) in Walk::new(&bytes, 0).map_while(Result::ok) {
            if let Kind::Message { subject, .. } = record.kind
                && record.seq > last
            {
                last = record.seq;
                offsets.push(record.seq, at as u32);
                postings.push(subject, record.seq);
            }
        }
        Loaded { bytes, offsets, postings, used: 0 }
    }

    /// Length and subject of a message.
    fn message(&self, seq: u64) -> Option<(u64, Bytes)> {
        let at = self.offsets.get(seq)? as usize;
        let record = decode(self.bytes.get(at..)?).ok().filter(|record| record.seq == seq)?;
        let Kind::Message { subject, .. } = record.kind else { return None };
        Some((record.len() as u64, self.bytes.slice_ref(subject)))
    }
}

/// See the module.
pub(super) struct Replay<'c, 'a, 'i> {
    context: &'c mut Context<'a>,
    image: &'i mut Image,
    limits: Limits,
    /// Limits are applied as messages come.
    constant: bool,
    loaded: BTreeMap<u32, Loaded>,
    /// The block that is being replayed.
    present: (u32, Bytes),
    clock: u64,
    /// Blocks that may still be loaded before reading all of them costs less.
    budget: usize,
    pub(super) records: u64,
}

type Result2<T> = Result<Result<T, String>, OpenError>;

macro_rules! add_up {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(cause) => return Ok(Err(cause)),
        }
    };
}

impl<'c, 'a, 'i> Replay<'c, 'a, 'i> {
    /// `constant`: the limits were the present ones since the index.
    pub(super) fn new(context: &'c mut Context<'a>, image: &'i mut Image, constant: bool) -> Self {
        let limits = context.config.removing_limits();
        let budget = image.blocks.len() + 1;
        let present = (0, Bytes::new());
        Replay {
            context,
            image,
            limits,
            constant,
            loaded: BTreeMap::new(),
            present,
            clock: 0,
            budget,
            records: 0,
        }
    }

    /// A block that the index does not know.
    pub(super) fn new_block(&mut self, number: u32, last: bool) -> Result2<End> {
        let key = self.context.record_key(number);
        let mut buffer = Vec::new();
        let plain = self.context.read_block(number, &key, &mut buffer)?;
        if plain.fault.is_some() {
            return Ok(Err(format!("block {number} cannot be decompressed")));
        }
        let compressed = plain.compressed;
        let records = Bytes::from(plain.records.into_owned());
        let mut block = Block::new(number, self.image.state.last_seq, self.image.state.last_ts_ns);
        block.compressed = compressed;
        block.key = self.context.keys.get(&number).cloned().map(Box::new);
        block.raw_len = records.len() as u32;
        block.written = block.raw_len;
        self.image.blocks.push(block);
        let end = add_up!(self.block(&records, &key, 0, last)?);
        Ok(Ok(End { good_end: end as u64, sealed: compressed }))
    }

    /// The records from `from` on of the last block so far; answers where the last good one ends. Only the last of all may be torn.
    pub(super) fn block(
        &mut self,
        plain: &Bytes,
        key: &RecordKey,
        from: usize,
        last: bool,
    ) -> Result2<usize> {
        let mut order = Order::default();
        let mut end = from;
        let number = self.image.blocks.last().map_or(0, |block| block.index);
        self.present = (number, plain.clone());
        for item in Scan::from(plain, key, from) {
            match item {
                Item::Record { at, record } => {
                    if end != at {
                        return Ok(Err(format!("block {number} is damaged at byte {end}")));
                    }
                    end = at + record.len();
                    self.records += 1;
                    self.context.recovery.records_read += 1;
                    if order.place(&record) != Place::Ignored {
                        add_up!(self.record(&record)?);
                    }
                    if let Some(block) = self.image.blocks.last_mut() {
                        block.checksum = record.checksum();
                    }
                }
                Item::Damage(damage) if !last => {
                    return Ok(Err(format!("block {number}: {damage}")));
                }
                Item::Damage(_) => {}
            }
        }
        Ok(Ok(end))
    }

    fn record(&mut self, record: &Record<'_>) -> Result2<()> {
        match record.kind {
            Kind::Message { subject, headers, .. } => self.message(record, subject, headers),
            Kind::Tombstone => self.tombstone(record),
            Kind::Erased => Ok(self.skip(record.seq, 0)),
            Kind::Skip => Ok(self.skip(record.seq, record.ts_ns)),
        }
    }

    fn message(&mut self, record: &Record<'_>, subject: &[u8], headers: &[u8]) -> Result2<()> {
        let state = &mut self.image.state;
        if record.seq <= state.last_seq {
            return Ok(Err(format!("sequence {} comes after {}", record.seq, state.last_seq)));
        }
        let Some(block) = self.image.blocks.last_mut() else { return Ok(Err("no block".into())) };
        let len = record.len() as u32;
        extend(block, record.seq, record.ts_ns, len);
        state.messages += 1;
        state.bytes += u64::from(len);
        (state.last_seq, state.last_ts_ns) = (record.seq, record.ts_ns);
        if !headers.is_empty() {
            block.ttls += u64::from(self.context.config.ttl && matches!(ttl(headers), Ttl::Seconds(_)));
            let rules = self.context.rules.filter(|_| self.context.config.schedules);
            block.schedules += u64::from(rules.is_some_and(|rules| rules.schedule(record).is_some()));
        }
        let index = block.index;
        if !subject.is_empty() {
            let known = self.image.subjects.get_or_insert_with(subject, || SubjectState::new(index));
            let before = known.last_seq().map(|seq| (seq, known.last_len));
            known.push(record.seq, len, index);
            if self.constant && self.limits.max_msgs_per_subject > 0 {
                add_up!(self.limit_subject(subject, before)?);
            }
        }
        if self.constant { self.limit_stream() } else { Ok(Ok(())) }
    }

    fn limit_subject(&mut self, subject: &[u8], before: Option<(u64, u32)>) -> Result2<()> {
        let most = self.limits.max_msgs_per_subject;
        while let Some(state) = self.image.subjects.get(subject).filter(|state| state.total() > most) {
            if let (2, Some((seq, len))) = (state.total(), before) {
                if let Some(at) = self.image.live(seq) {
                    self.uncount(at, seq, u64::from(len), subject);
                    continue;
                }
                return Ok(Err(format!("sequence {seq} is not where it was")));
            }
            let (first, last) = (state.first_block, state.last_block);
            let from = self.image.blocks.partition_point(|block| block.index < first);
            let to = self.image.blocks.partition_point(|block| block.index <= last);
            let mut found = None;
            for at in from..to {
                let loaded = add_up!(self.load(at)?);
                let posting = loaded.postings.get(subject).cloned();
                let Some(block) = self.image.blocks.get(at) else { break };
                let mut next = block.first_seq;
                while let Some(seq) = posting.as_ref().and_then(|posting| posting.next(next)) {
                    if block.is_live(seq) {
                        found = Some((at, seq, block.index));
                        break;
                    }
                    next = seq + 1;
                }
                if found.is_some() {
                    break;
                }
            }
            let Some((at, seq, index)) = found else {
                return Ok(Err("a subject has fewer messages than the index says".into()));
            };
            if let Some(state) = self.image.subjects.get_mut(subject) {
                state.first_block = index;
            }
            let len = add_up!(self.load(at)?).message(seq).map_or(0, |(len, _)| len);
            self.uncount(at, seq, len, subject);
        }
        Ok(Ok(()))
    }

    fn limit_stream(&mut self) -> Result2<()> {
        let Limits { max_msgs, max_bytes, .. } = self.limits;
        let mut front = 0;
        loop {
            let state = &self.image.state;
            let over =
                (max_msgs > 0 && state.messages > max_msgs) || (max_bytes > 0 && state.bytes > max_bytes);
            if !over {
                return Ok(Ok(()));
            }
            while self.image.blocks.get(front).is_some_and(|block| block.messages == 0) {
                front += 1;
            }
            let Some(seq) = self.image.blocks.get(front).map(|block| block.first_seq) else {
                return Ok(Err("no first message".into()));
            };
            add_up!(self.remove(front, seq)?);
        }
    }

    fn tombstone(&mut self, record: &Record<'_>) -> Result2<()> {
        if record.seq > self.image.state.last_seq {
            return Ok(Err(format!("sequence {} was deleted and never stored", record.seq)));
        }
        // An erased message has lost its time, which its tombstone has.
        if record.seq == self.image.state.last_seq && record.ts_ns != 0 {
            self.image.state.last_ts_ns = record.ts_ns;
        }
        let last = self.image.blocks.len().saturating_sub(1);
        let at = self.image.blocks.partition_point(|block| block.last_seq < record.seq);
        if at < last
            && let Some(block) = self.image.blocks.last_mut()
        {
            block.tombstones = true;
        }
        match self.image.live(record.seq) {
            Some(at) => self.remove(at, record.seq),
            None => Ok(Ok(())),
        }
    }

    fn skip(&mut self, seq: u64, ts_ns: i64) -> Result<(), String> {
        let state = &mut self.image.state;
        let Some(block) = self.image.blocks.last_mut() else { return Err("no block".into()) };
        if seq <= state.last_seq {
            return Ok(());
        }
        if block.messages == 0 {
            block.first_seq = seq + 1;
        } else {
            block.deleted.insert_range(state.last_seq + 1, seq);
        }
        state.last_seq = seq;
        if ts_ns != 0 {
            state.last_ts_ns = ts_ns;
        }
        (block.last_seq, block.last_ts_ns) = (seq, state.last_ts_ns);
        Ok(())
    }

    /// Takes out a live message whose block has to say what it is.
    fn remove(&mut self, at: usize, seq: u64) -> Result2<()> {
        let loaded = add_up!(self.load(at)?);
        let Some((len, subject)) = loaded.message(seq) else {
            return Ok(Err(format!("sequence {seq} is not where it was")));
        };
        self.uncount(at, seq, len, &subject);
        Ok(Ok(()))
    }

    fn uncount(&mut self, at: usize, seq: u64, len: u64, subject: &[u8]) {
        let Image { state, blocks, subjects } = &mut *self.image;
        let Some(block) = blocks.get_mut(at) else { return };
        block.forget(seq, len);
        state.messages = state.messages.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(len);
        let Some(known) = subjects.get_mut(subject) else { return };
        let total = known.total().saturating_sub(1);
        if total == 0 {
            subjects.remove(subject);
            return;
        }
        known.set_total(total);
        if known.last_bound() == seq {
            known.forget_last(seq);
        }
    }

    fn load(&mut self, at: usize) -> Result2<&Loaded> {
        let Some(number) = self.image.blocks.get(at).map(|block| block.index) else {
            return Ok(Err("no such block".into()));
        };
        self.clock += 1;
        if !self.loaded.contains_key(&number) {
            let bytes = if self.present.0 == number {
                self.present.1.clone()
            } else {
                let Some(budget) = self.budget.checked_sub(1) else {
                    return Ok(Err("deletions are all over the store".into()));
                };
                self.budget = budget;
                let (key, mut buffer) = (self.context.record_key(number), Vec::new());
                let plain = self.context.read_block(number, &key, &mut buffer)?;
                Bytes::from(plain.records.into_owned())
            };
            let loaded = Loaded::new(bytes);
            if self.loaded.len() >= MAX_LOADED
                && let Some(oldest) =
                    self.loaded.iter().min_by_key(|(_, l)| l.used).map(|(number, _)| *number)
            {
                self.loaded.remove(&oldest);
            }
            self.loaded.insert(number, loaded);
        }
        match self.loaded.get_mut(&number) {
            Some(loaded) => {
                loaded.used = self.clock;
                Ok(Ok(loaded))
            }
            None => Ok(Err("no such block".into())),
        }
    }
}
