//! The pass over the blocks.

use std::collections::VecDeque;

use midge_index::seqset::SeqSet;
use midge_stdx::hash::Map;

use super::front::{Entry, Messages};
use crate::format::record::{CHECKSUM_LEN, Kind, Record, RecordKey};
use crate::format::scan::{Cause, Damage, Item, Order, Place, Scan};

/// The limits that remove messages without leaving a trace. 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages of the stream; only with discard policy `old`.
    pub max_msgs: u64,
    /// Bytes of the stream; only with discard policy `old`.
    pub max_bytes: u64,
    /// Messages of one subject, whatever the discard policy.
    pub max_msgs_per_subject: u64,
}

/// What is known of the limits in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// They were always the present ones.
    Constant,
    /// They may have been others.
    Unknown,
}

/// One block, as its file is.
#[derive(Clone, Debug)]
pub struct BlockState {
    /// Its number.
    pub index: u32,
    /// The first sequence that stands in it; 0 when it has neither messages, erased messages nor skips.
    pub first_seq: u64,
    /// The last one likewise.
    pub last_seq: u64,
    /// Live messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes of the plaintext.
    pub raw_bytes: u64,
    /// The checksum of the last good record: the fingerprint of the block. Zeros when there is none.
    pub checksum: [u8; CHECKSUM_LEN],
}

/// Bytes of a block that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The block.
    pub block: u32,
    /// Where, and why.
    pub damage: Damage,
}

/// The state of a stream, as the API words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Live messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// The first live message; one above the last sequence when there is none.
    pub first_seq: u64,
    /// Its time, Unix nanoseconds; 0 when there is none.
    pub first_ts_ns: i64,
    /// The highest sequence that was ever used.
    pub last_seq: u64,
    /// Its time.
    pub last_ts_ns: i64,
}

/// A rebuilt stream.
#[derive(Debug)]
pub struct Rebuilt {
    /// The whole.
    pub state: StreamState,
    /// Its blocks, by number.
    pub blocks: Vec<BlockState>,
    /// Sequences between the first and the last that hold no message.
    pub deleted: SeqSet,
    /// Live messages per subject; subjects without any are left out.
    pub subjects: Map<Box<[u8]>, u64>,
    /// What could not be read, in the order of the blocks.
    pub damage: Vec<Damaged>,
    /// Sequences that no record accounts for, beside damage: what stood there is unknown. They count as deleted.
    pub lost: SeqSet,
    /// Records that were left out, as their sequence had come before.
    pub ignored: u64,
}

#[derive(Debug, Default)]
struct Subject {
    live: u64,
    /// Its messages in order, dead ones among them; kept only under a limit per subject.
    queue: VecDeque<u64>,
}

/// Takes the blocks one after the other.
#[derive(Debug)]
pub struct Rebuild {
    limits: Limits,
    history: History,
    messages: Messages,
    names: Map<Box<[u8]>, u32>,
    subjects: Vec<Subject>,
    /// Deletions that wait for the end, with an unknown history.
    deletions: Vec<u64>,
    blocks: Vec<BlockState>,
    state: StreamState,
    damage: Vec<Damaged>,
    lost: SeqSet,
    ignored: u64,
    /// The highest sequence that a record other than a tombstone had in the blocks so far.
    highest: u64,
    /// The sequence after which damage began, until a good record follows.
    lost_after: Option<u64>,
    /// One per message: any may become the first.
    times: Vec<i64>,
}

impl Rebuild {
    /// A stream without blocks.
    pub fn new(limits: Limits, history: History) -> Rebuild {
        Rebuild {
            limits,
            history,
            messages: Messages::default(),
            names: Map::default(),
            subjects: Vec::new(),
            deletions: Vec::new(),
            blocks: Vec::new(),
            state: StreamState::default(),
            damage: Vec::new(),
            lost: SeqSet::new(),
            ignored: 0,
            highest: 0,
            lost_after: None,
            times: Vec::new(),
        }
    }

    /// Adds the plaintext of a block, uncompressed. Blocks come in the order of their numbers.
    pub fn block(&mut self, index: u32, plain: &[u8], key: &RecordKey) {
        let mut order = Order::default();
        let mut checksum = [0; CHECKSUM_LEN];
        for item in Scan::new(plain, key) {
            match item {
                Item::Record { record, .. } => {
                    checksum = record.checksum();
                    self.record(&record, &mut order);
                }
                Item::Damage(damage) => self.damaged(index, damage),
            }
        }
        self.ignored += order.ignored;
        self.blocks.push(BlockState {
            index,
            first_seq: order.first_seq,
            last_seq: order.last_seq,
            messages: 0,
            bytes: 0,
            raw_bytes: plain.len() as u64,
            checksum,
        });
    }

    fn damaged(&mut self, block: u32, damage: Damage) {
        // Space that never held anything loses nothing.
        if damage.cause != Cause::Zeros && self.lost_after.is_none() {
            self.lost_after = Some(self.highest);
        }
        self.damage.push(Damaged { block, damage });
    }

    fn record(&mut self, record: &Record<'_>, order: &mut Order) {
        let place = order.place(record);
        if place == Place::Tombstone {
            self.saw(record.seq, record.ts_ns);
            self.lost.remove(record.seq);
            match self.history {
                History::Constant => self.delete(record.seq),
                History::Unknown => self.deletions.push(record.seq),
            }
            return;
        }
        if place == Place::Ignored || record.seq <= self.highest {
            self.ignored += u64::from(place != Place::Ignored);
            return;
        }
        if let Some(after) = self.lost_after.take() {
            // A skip stands for everything before it, so that nothing is missing there.
            if record.kind != Kind::Skip {
                self.lost.insert_range(after.saturating_add(1), record.seq - 1);
            }
        }
        self.highest = record.seq;
        self.saw(record.seq, record.ts_ns);
        if let Kind::Message { subject, .. } = record.kind {
            self.message(record, subject);
        }
    }

    /// The last sequence and its time. An erased message has lost its time, which its tombstone still has.
    fn saw(&mut self, seq: u64, ts_ns: i64) {
        if seq > self.state.last_seq || (seq == self.state.last_seq && ts_ns != 0) {
            self.state.last_seq = seq;
            self.state.last_ts_ns = ts_ns;
        }
    }

    fn message(&mut self, record: &Record<'_>, name: &[u8]) {
        let subject = match self.names.get(name) {
            Some(subject) => *subject,
            None => {
                let subject = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
                self.names.insert(name.into(), subject);
                self.subjects.push(Subject::default());
                subject
            }
        };
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.messages.push(Entry { seq: record.seq, len, subject });
        self.times.push(record.ts_ns);
        self.state.messages += 1;
        self.state.bytes += u64::from(len);
        let limited = self.limits.max_msgs_per_subject > 0;
        if let Some(subject) = self.subjects.get_mut(subject as usize) {
            subject.live += 1;
            if limited {
                subject.queue.push_back(record.seq);
            }
        }
        if self.history == History::Constant {
            self.limit_subject(subject);
            self.limit_stream();
        }
    }

    fn delete(&mut self, seq: u64) {
        let Some(entry) = self.messages.remove(seq) else { return };
        self.state.messages -= 1;
        self.state.bytes -= u64::from(entry.len);
        if let Some(subject) = self.subjects.get_mut(entry.subject as usize) {
            subject.live -= 1;
        }
    }

    fn limit_subject(&mut self, subject: u32) {
        let most = self.limits.max_msgs_per_subject;
        if most == 0 {
            return;
        }
        while let Some(state) = self.subjects.get_mut(subject as usize).filter(|state| state.live > most) {
            let Some(oldest) = state.queue.pop_front() else { return };
            // One that is gone already is only forgotten.
            self.delete(oldest);
        }
    }

    fn limit_stream(&mut self) {
        let Limits { max_msgs, max_bytes, .. } = self.limits;
        while (max_msgs > 0 && self.state.messages > max_msgs)
            || (max_bytes > 0 && self.state.bytes > max_bytes)
        {
            let Some(first) = self.messages.first() else { return };
            self.delete(first.seq);
        }
    }

    /// The stream, when all blocks were added.
    pub fn finish(mut self) -> Rebuilt {
        for seq in std::mem::take(&mut self.deletions) {
            self.delete(seq);
        }
        if self.history == History::Unknown {
            for subject in 0..self.subjects.len() {
                self.limit_subject(u32::try_from(subject).unwrap_or(u32::MAX));
            }
            self.limit_stream();
        }
        let mut state = self.state;
        let first = self.messages.first();
        state.first_seq = first.map_or(state.last_seq.saturating_add(1), |entry| entry.seq);
        state.first_ts_ns = self.messages.front_time(&self.times);
        if state.last_seq == 0 {
            state.first_seq = 0;
        }
        let mut deleted = SeqSet::new();
        let mut next = state.first_seq;
        let mut block = 0;
        for entry in self.messages.live() {
            if entry.seq > next {
                deleted.insert_range(next, entry.seq - 1);
            }
            next = entry.seq.saturating_add(1);
            while self.blocks.get(block).is_some_and(|state| state.last_seq < entry.seq) {
                block += 1;
            }
            if let Some(state) = self.blocks.get_mut(block) {
                state.messages += 1;
                state.bytes += u64::from(entry.len);
            }
        }
        if state.messages > 0 {
            deleted.insert_range(next, state.last_seq);
        }
        let subjects = &self.subjects;
        let live = |subject: u32| subjects.get(subject as usize).map_or(0, |state| state.live);
        let named = self.names.into_iter().map(|(name, subject)| (name, live(subject)));
        Rebuilt {
            state,
            blocks: self.blocks,
            deleted,
            subjects: named.filter(|(_, live)| *live > 0).collect(),
            damage: self.damage,
            lost: self.lost,
            ignored: self.ignored,
        }
    }
}
