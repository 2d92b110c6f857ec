//! The pass over the blocks.

use midge_index::seqset::SeqSet;

use super::messages::{Cell, Messages, NONE};
use super::names::{Names, TOGETHER};
use super::state::{Damaged, Floor, History, Input, Limits, StreamState, SubjectSummary};
use crate::format::record::{CHECKSUM_LEN, HEAD_LEN, Kind, Record, decode};
use crate::format::scan::{Cause, Damage, Item, Order, Place, Scan};

/// One block.
#[derive(Clone, Debug)]
pub struct BlockState {
    /// Its number.
    pub index: u32,
    /// The first live sequence; one above the last when nothing is live.
    pub first_seq: u64,
    /// Its time, Unix nanoseconds, if that is known: not when the messages before it were deleted by a later block.
    pub first_ts_ns: Option<i64>,
    /// The time of the oldest message, live or not.
    pub oldest_ns: i64,
    /// The last sequence that stands in it; of a block with nothing but tombstones, the last one so far.
    pub last_seq: u64,
    /// Its time.
    pub last_ts_ns: i64,
    /// Sequences from the first to the last that are not live.
    pub deleted: SeqSet,
    /// Live messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes of the plaintext.
    pub raw_bytes: u64,
    /// Where the last good record ends in it.
    pub good_end: u64,
    /// The checksum of the last good record: the fingerprint of the block. Zeros when there is none.
    pub checksum: [u8; CHECKSUM_LEN],
    /// It holds tombstones of messages in other blocks that are there.
    pub tombstones: bool,
    /// Records of all kinds.
    pub records: u64,
    /// Records other than tombstones.
    holds: bool,
    /// Its first message among all.
    start: u32,
}

/// A rebuilt stream.
#[derive(Debug)]
pub struct Rebuilt {
    /// The whole.
    pub state: StreamState,
    /// Its blocks, by number.
    pub blocks: Vec<BlockState>,
    /// What could not be read, in the order of the blocks.
    pub damage: Vec<Damaged>,
    /// Sequences that no record accounts for, beside damage: what stood there is unknown. They count as deleted.
    pub lost: SeqSet,
    /// Sequences that were deleted and of which no message is there.
    pub unmatched: SeqSet,
    /// Records that were left out, as their sequence had come before.
    pub ignored: u64,
    /// There are more messages than can be counted, 2^32: some were left out.
    pub too_many: bool,
    names: Names,
    subjects: Vec<Subject>,
    messages: Messages,
}

impl Rebuilt {
    /// Subjects of live messages. Those that are alike come one after the other.
    pub fn subjects(&self) -> impl Iterator<Item = (&[u8], SubjectSummary)> + '_ {
        self.names.near_each_other().into_iter().filter_map(|id| {
            let subject = self.subjects.get(id as usize).filter(|subject| subject.live > 0)?;
            let last_len = self.messages.cell(subject.last).map_or(0, |cell| cell.len);
            let summary = SubjectSummary {
                messages: u64::from(subject.live),
                last_seq: self.messages.seq(subject.last),
                last_len,
                first_block: subject.first_block,
                last_block: subject.last_block,
            };
            Some((self.names.get(id), summary))
        })
    }

    /// Whether there is a live message at this sequence.
    pub fn is_live(&self, seq: u64) -> bool {
        self.messages.find(seq).is_some_and(|at| self.messages.is_live(at))
    }

    /// Whether there is a record of a message at this sequence, live or not.
    pub fn holds(&self, seq: u64) -> bool {
        self.messages.find(seq).is_some()
    }

    /// Sequences from the first live message of the stream to the last sequence that are not live.
    pub fn deleted(&self) -> SeqSet {
        let mut deleted = SeqSet::new();
        let mut next = self.state.first_seq;
        for block in self.blocks.iter().filter(|block| block.messages > 0) {
            if block.first_seq > next {
                deleted.insert_range(next, block.first_seq - 1);
            }
            deleted.union(&block.deleted);
            next = block.last_seq.saturating_add(1);
        }
        if self.state.messages > 0 && next <= self.state.last_seq {
            deleted.insert_range(next, self.state.last_seq);
        }
        deleted
    }
}

#[derive(Clone, Copy, Debug)]
struct Subject {
    live: u32,
    /// Its last message if that is live, or [`NONE`].
    last: u32,
    first_block: u32,
    last_block: u32,
    /// Its oldest message, dead or live; kept only under a limit per subject.
    head: u32,
    /// The end of that list.
    tail: u32,
}

/// A record on its way from the scan to the account.
#[derive(Clone, Copy, Debug)]
struct Step {
    seq: u64,
    ts_ns: i64,
    at: u32,
    len: u32,
    subject_len: u16,
    headers: bool,
    kind: StepKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepKind {
    Message,
    Tombstone,
    Erased,
    Skip,
}

/// Takes the blocks one after the other.
#[derive(Debug)]
pub struct Rebuild {
    limits: Limits,
    history: History,
    messages: Messages,
    names: Names,
    subjects: Vec<Subject>,
    blocks: Vec<BlockState>,
    state: StreamState,
    damage: Vec<Damaged>,
    lost: SeqSet,
    unmatched: SeqSet,
    ignored: u64,
    too_many: bool,
    /// The highest sequence that a record other than a tombstone had in the blocks so far.
    highest: u64,
    /// The sequence after which damage began, until a good record follows.
    lost_after: Option<u64>,
    /// Tombstones that were met meanwhile.
    explained: Vec<u64>,
    batch: Vec<Step>,
    ids: Vec<u32>,
    /// The times of the messages of the present block.
    times: Vec<i64>,
}

impl Rebuild {
    /// A stream without blocks.
    pub fn new(limits: Limits, history: History) -> Rebuild {
        Rebuild {
            limits,
            history,
            messages: Messages::default(),
            names: Names::default(),
            subjects: Vec::new(),
            blocks: Vec::new(),
            state: StreamState::default(),
            damage: Vec::new(),
            lost: SeqSet::new(),
            unmatched: SeqSet::new(),
            ignored: 0,
            too_many: false,
            highest: 0,
            lost_after: None,
            explained: Vec::new(),
            batch: Vec::with_capacity(TOGETHER),
            ids: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Adds a block. Blocks come in the order of their numbers. `headers` is shown every message that has headers and was not known to be deleted,
    /// whether it stays or not.
    pub fn block(&mut self, input: Input<'_>, headers: &mut dyn FnMut(&Record<'_>)) -> &BlockState {
        let mut order = Order::default();
        let mut block = BlockState {
            index: input.index,
            first_seq: 0,
            first_ts_ns: None,
            oldest_ns: i64::MAX,
            last_seq: 0,
            last_ts_ns: 0,
            deleted: SeqSet::new(),
            messages: 0,
            bytes: 0,
            raw_bytes: input.plain.len() as u64,
            good_end: 0,
            checksum: [0; CHECKSUM_LEN],
            tombstones: false,
            records: 0,
            holds: false,
            start: self.messages.len(),
        };
        self.times.clear();
        for item in Scan::new(input.plain, input.key) {
            match item {
                Item::Record { at, record } => {
                    block.records += 1;
                    block.good_end = (at + record.len()) as u64;
                    self.gather(at, &record, &mut order);
                    if self.batch.len() == TOGETHER {
                        self.flush(&input, &mut block, headers);
                    }
                }
                Item::Damage(damage) => {
                    self.flush(&input, &mut block, headers);
                    self.damaged(input.index, damage);
                }
            }
        }
        self.flush(&input, &mut block, headers);
        let good = input.plain.get(..block.good_end as usize).unwrap_or_default();
        block.checksum = good.last_chunk().copied().unwrap_or_default();
        if !block.holds {
            (block.last_seq, block.last_ts_ns) = (self.state.last_seq, self.state.last_ts_ns);
        }
        if block.oldest_ns == i64::MAX {
            block.oldest_ns = block.last_ts_ns;
        }
        self.ignored += order.ignored;
        let first = (block.start..self.messages.len()).find(|at| self.messages.is_live(*at));
        if let Some(first) = first {
            block.first_ts_ns = self.times.get((first - block.start) as usize).copied();
            block.first_seq = self.messages.seq(first);
        }
        let place = self.blocks.len();
        self.blocks.push(block);
        &self.blocks[place]
    }

    fn damaged(&mut self, block: u32, damage: Damage) {
        // Space that never held anything loses nothing.
        if damage.cause != Cause::Zeros && self.lost_after.is_none() {
            self.lost_after = Some(self.highest);
        }
        self.damage.push(Damaged { block, damage });
    }

    fn gather(&mut self, at: usize, record: &Record<'_>, order: &mut Order) {
        if order.place(record) == Place::Ignored {
            return;
        }
        let (kind, subject_len, headers) = match record.kind {
            Kind::Message { subject, headers, .. } => (StepKind::Message, subject.len(), !headers.is_empty()),
            Kind::Tombstone => (StepKind::Tombstone, 0, false),
            Kind::Erased => (StepKind::Erased, 0, false),
            Kind::Skip => (StepKind::Skip, 0, false),
        };
        self.batch.push(Step {
            seq: record.seq,
            ts_ns: record.ts_ns,
            // Blocks are far below 2^32 bytes long.
            at: at as u32,
            len: record.len() as u32,
            subject_len: subject_len as u16,
            headers,
            kind,
        });
    }

    fn flush(&mut self, input: &Input<'_>, block: &mut BlockState, headers: &mut dyn FnMut(&Record<'_>)) {
        let mut batch = std::mem::take(&mut self.batch);
        let mut ids = std::mem::take(&mut self.ids);
        let name = |at: usize| {
            let step = batch.get(at)?;
            let from = step.at as usize + HEAD_LEN;
            input.plain.get(from..from + usize::from(step.subject_len))
        };
        self.names.resolve(batch.len(), |at| name(at).unwrap_or_default(), &mut ids);
        let none = Subject { live: 0, last: NONE, first_block: 0, last_block: 0, head: NONE, tail: NONE };
        self.subjects.resize(self.names.len() as usize, none);
        let mut touched = 0;
        for id in &ids {
            touched ^= self.subjects.get(*id as usize).map_or(0, |subject| subject.live);
        }
        std::hint::black_box(touched);
        for (step, id) in batch.iter().zip(&ids) {
            if step.kind == StepKind::Tombstone {
                self.tombstone(step, block);
            } else {
                self.record(step, *id, input, block, headers);
            }
        }
        batch.clear();
        (self.batch, self.ids) = (batch, ids);
    }

    fn tombstone(&mut self, step: &Step, block: &mut BlockState) {
        self.saw(step);
        if self.lost_after.is_some() {
            self.explained.push(step.seq);
        }
        self.lost.remove(step.seq);
        if let Some(at) = self.messages.find(step.seq) {
            block.tombstones |= at < block.start;
            self.delete(at);
        } else {
            self.unmatched.insert(step.seq);
        }
    }

    fn record(
        &mut self,
        step: &Step,
        id: u32,
        input: &Input<'_>,
        block: &mut BlockState,
        headers: &mut dyn FnMut(&Record<'_>),
    ) {
        if step.seq <= self.highest {
            self.ignored += 1;
            return;
        }
        if let Some(after) = self.lost_after.take() {
            // A skip stands for everything before it, so that nothing is missing there.
            if step.kind != StepKind::Skip {
                self.lost.insert_range(after.saturating_add(1), step.seq - 1);
            }
            for seq in self.explained.drain(..) {
                self.lost.remove(seq);
            }
        }
        self.highest = step.seq;
        self.saw(step);
        block.holds = true;
        block.last_seq = step.seq;
        // An erased message has lost its time.
        block.last_ts_ns = if step.ts_ns == 0 { block.last_ts_ns } else { step.ts_ns };
        if step.kind != StepKind::Message {
            return;
        }
        let dead = input.known.is_some_and(|known| known.is_deleted(step.seq));
        let Some(at) =
            self.messages.push(step.seq, Cell { len: if dead { 0 } else { step.len }, subject: id })
        else {
            self.too_many = true;
            return;
        };
        self.times.push(step.ts_ns);
        block.oldest_ns = block.oldest_ns.min(step.ts_ns);
        if !dead {
            if step.headers
                && let Some(Ok(record)) = input.plain.get(step.at as usize..).map(decode)
            {
                headers(&record);
            }
            self.message(at, step.len, id, block.index);
        }
    }

    /// The last sequence and its time. An erased message has lost its time, which its tombstone still has.
    fn saw(&mut self, step: &Step) {
        if step.seq > self.state.last_seq || (step.seq == self.state.last_seq && step.ts_ns != 0) {
            self.state.last_seq = step.seq;
            self.state.last_ts_ns = step.ts_ns;
        }
    }

    fn message(&mut self, at: u32, len: u32, id: u32, block: u32) {
        self.state.messages += 1;
        self.state.bytes += u64::from(len);
        let limited = self.limits.max_msgs_per_subject > 0;
        let Some(subject) = self.subjects.get_mut(id as usize) else { return };
        if subject.live == 0 {
            subject.first_block = block;
        }
        subject.live += 1;
        (subject.last, subject.last_block) = (at, block);
        if limited {
            if subject.head == NONE {
                subject.head = at;
            } else {
                self.messages.link(subject.tail, at);
            }
            subject.tail = at;
        }
        if self.history == History::Constant {
            self.limit_subject(id);
            self.limit_stream();
        }
    }

    fn delete(&mut self, at: u32) {
        let Some(cell) = self.messages.remove(at) else { return };
        self.state.messages -= 1;
        self.state.bytes -= u64::from(cell.len);
        if let Some(subject) = self.subjects.get_mut(cell.subject as usize) {
            subject.live -= 1;
            if subject.last == at {
                subject.last = NONE;
            }
        }
    }

    fn limit_subject(&mut self, id: u32) {
        let most = self.limits.max_msgs_per_subject;
        if most == 0 {
            return;
        }
        while let Some(subject) = self.subjects.get_mut(id as usize).filter(|s| u64::from(s.live) > most) {
            let oldest = subject.head;
            if oldest == NONE {
                return;
            }
            subject.head = self.messages.next_of_subject(oldest);
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
            self.delete(first);
        }
    }

    /// The stream, when all blocks were added.
    pub fn finish(mut self, floor: Floor) -> Rebuilt {
        if self.history == History::Unknown {
            for subject in 0..self.names.len() {
                self.limit_subject(subject);
            }
            self.limit_stream();
        }
        if floor.last_seq > self.state.last_seq {
            (self.state.last_seq, self.state.last_ts_ns) = (floor.last_seq, floor.last_ts_ns);
        }
        self.find_last_of_subjects();
        self.account_blocks();
        let mut state = self.state;
        let first = self.blocks.iter().find(|block| block.messages > 0);
        state.first_seq = first.map_or(state.last_seq.saturating_add(1), |block| block.first_seq);
        state.first_ts_ns = first.and_then(|block| block.first_ts_ns).unwrap_or(0);
        if state.last_seq == 0 {
            state.first_seq = 0;
        }
        Rebuilt {
            state,
            blocks: self.blocks,
            damage: self.damage,
            lost: self.lost,
            unmatched: self.unmatched,
            ignored: self.ignored,
            too_many: self.too_many,
            names: self.names,
            subjects: self.subjects,
            messages: self.messages,
        }
    }

    /// The last message of each subject whose last one was deleted.
    fn find_last_of_subjects(&mut self) {
        let subjects = &mut self.subjects;
        let mut unknown = subjects.iter().filter(|subject| subject.live > 0 && subject.last == NONE).count();
        for (at, cell) in self.messages.back() {
            if unknown == 0 {
                return;
            }
            let Some(subject) = subjects.get_mut(cell.subject as usize).filter(|s| s.last == NONE) else {
                continue;
            };
            let block = self.blocks.partition_point(|block| block.start <= at).saturating_sub(1);
            subject.last = at;
            subject.last_block = self.blocks.get(block).map_or(subject.last_block, |block| block.index);
            unknown -= 1;
        }
    }

    /// Live and deleted sequences of each block.
    fn account_blocks(&mut self) {
        // A block whose last message is erased may have no time of its own.
        let mut latest = 0;
        for block in &mut self.blocks {
            latest = block.last_ts_ns.max(latest);
            block.last_ts_ns = latest;
        }
        let mut end = self.messages.len();
        let mut next_seq = u64::MAX;
        let last = self.blocks.len().saturating_sub(1);
        for (place, block) in self.blocks.iter_mut().enumerate().rev() {
            if !block.holds {
                // A tombstone may speak of a sequence above those that follow; blocks stay in order.
                block.last_seq = block.last_seq.min(next_seq.saturating_sub(1));
            }
            let before = block.first_seq;
            let mut next = 0;
            for (_, seq, cell) in self.messages.range(block.start, end).filter(|(_, _, cell)| cell.len > 0) {
                if block.messages == 0 {
                    block.first_seq = seq;
                } else if seq > next {
                    block.deleted.insert_range(next, seq - 1);
                }
                block.messages += 1;
                block.bytes += u64::from(cell.len);
                next = seq + 1;
            }
            if place == last && self.state.last_seq > block.last_seq {
                (block.last_seq, block.last_ts_ns) = (self.state.last_seq, self.state.last_ts_ns);
            }
            if block.messages == 0 {
                (block.first_seq, block.first_ts_ns) = (block.last_seq.saturating_add(1), None);
            } else {
                if next <= block.last_seq {
                    block.deleted.insert_range(next, block.last_seq);
                }
                block.first_ts_ns = block.first_ts_ns.filter(|_| before == block.first_seq);
            }
            if block.holds {
                next_seq =
                    self.messages.range(block.start, end).next().map_or(block.last_seq, |(_, seq, _)| seq);
            }
            end = block.start;
        }
    }
}
