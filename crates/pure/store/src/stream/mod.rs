//! The messages of a stream: one engine for files and for memory.
//!
//! ```text
//!   append, skip, remove, purge ──▶ Store ──▶ changes (accounting), marks (appended, durable)
//!   load, next, last, pending   ──▶   │   ──▶ Ready, or Wait until a block is loaded
//!                                     │
//!                    Submission ◀─────┴─────▶ Completion            only with files
//! ```
//!
//! Blocks are logs of records, ascending by sequence, and at most some MiB long; in a file store each is a file. What is always in memory: per block its
//! range of sequences and the deleted ones among them, per subject how many messages it has, which one is the last, and between which blocks
//! they are. Bytes of blocks are cached; within a cached block sequences are found by offset and subjects by postings, so that no operation
//! walks messages that it does not return. A block that is needed and not there is asked for as [`Work`](crate::port::Work); the operation answers
//! [`Step::Wait`] and is called again when [`Store::complete`] has taken the answer. Operations that may visit many blocks keep their place in a query.
//!
//! Costs: *b* is the number of blocks, *s* that of subjects that match a filter, *n* what is returned. Each operation names its own.
//!
//! Not here: what limits a stream has and why (`assets`), when the disk is driven (`midge-disk`), the order of operations of several lanes.

mod append;
mod block;
mod cache;
mod checkpoint;
mod config;
mod error;
mod filter;
mod flight;
mod limits;
mod load;
mod message;
mod offsets;
mod open;
mod postings;
mod purge;
mod query;
mod read;
mod remove;
mod rewrite;
mod sources;
mod subject;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use midge_index::stree::SubjectTree;
use midge_index::wheel::Wheel;
use midge_stdx::clock::Mono;
use midge_stdx::entropy::Entropy;

pub use append::NewMessage;
pub use block::Block;
pub use config::{BlockSizing, Config, Discard, Medium, Sync, block_len};
pub use error::StoreError;
pub use filter::Filter;
pub use limits::Expired;
pub use message::{Message, Ttl, header, ttl};
pub use open::{
    BlockDamage, HeaderRules, How, Kept, Meta, OpenError, Opened, Opening, Recovery, Scheduled,
    SourceProgress, StoreKeys, read_meta, set_aside, write_again,
};
pub use purge::{Compact, PurgeQuery, Truncate};
pub use query::{LastQuery, Pending, PendingQuery, StateQuery, SubjectQuery, Summary, TimeQuery};
pub use read::NextQuery;
pub use subject::SubjectState;

use crate::format::keys::{AssetKey, Cipher, Context, MasterKey, WrappingKey};
use crate::format::record::{HEAD_LEN, Kind, Record};
use crate::port::{DiskError, Lane, Name, Op, Promise, Submission, Ticket};

/// What an operation answers that may need a block which is not in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// The answer.
    Ready(T),
    /// Blocks were asked for: call again, with the same arguments, after the next [`Store::complete`] that says so.
    Wait,
    /// There is none.
    Failed(StoreError),
}

impl<T> Step<T> {
    /// The answer, if there is one.
    pub fn ready(self) -> Option<T> {
        match self {
            Step::Ready(answer) => Some(answer),
            Step::Wait | Step::Failed(_) => None,
        }
    }
}

impl<T> Step<T> {
    /// The same, with another answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Ready(answer) => Step::Ready(change(answer)),
            Step::Wait => Step::Wait,
            Step::Failed(error) => Step::Failed(error),
        }
    }
}

/// Goes on with the answer of a [`Step`], or waits.
macro_rules! ready {
    ($step:expr) => {
        match $step {
            $crate::stream::Step::Ready(answer) => answer,
            $crate::stream::Step::Wait => return $crate::stream::Step::Wait,
            $crate::stream::Step::Failed(error) => return $crate::stream::Step::Failed(error),
        }
    };
}
pub(crate) use ready;

/// The totals of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Live messages.
    pub messages: u64,
    /// What they count for, in bytes.
    pub bytes: u64,
    /// The first live sequence; one above the last when there is none; 0 before the first use.
    pub first_seq: u64,
    /// The highest sequence that was ever used.
    pub last_seq: u64,
    /// Its time, Unix nanoseconds; 0 for none.
    pub last_ts_ns: i64,
}

/// Something was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Messages that are gone.
    pub messages: u64,
    /// What they counted for, in bytes.
    pub bytes: u64,
    /// The sequence, of a single message; 0 of several.
    pub seq: u64,
    /// Its subject.
    pub subject: Bytes,
}

/// How the files of a store are encrypted.
pub struct Encryption {
    /// With what blocks are written.
    pub cipher: Cipher,
    /// The account, or the name of the Raft group.
    pub owner: Arc<str>,
    /// What the keys that wrap the keys of blocks are derived from.
    pub master: MasterKey,
    /// Draws keys and nonces.
    pub entropy: Box<dyn Entropy>,
}

impl Encryption {
    /// Draws the key of a new block, and answers it with the content of its file.
    fn block_key(&mut self, stream: &str, index: u32) -> (AssetKey, Vec<u8>) {
        let wrapping = WrappingKey::derive(&self.master, &self.owner, Context::Block(stream, index));
        AssetKey::create(self.cipher, &wrapping, &mut *self.entropy)
    }
}

/// What is only there with files.
struct Disk {
    lane: Lane,
    out: Vec<Submission>,
    next_ticket: u64,
    flight: flight::Flight,
    encryption: Option<Encryption>,
    /// The key of index and side files.
    key: Option<Arc<AssetKey>>,
    /// Blocks with a load or rewrite under way, by ticket.
    works: flight::Works,
    /// The state differs from the index on disk.
    dirty: bool,
    /// There may be an index.
    indexed: bool,
    /// There is one, and since it was written the present limits removed.
    vouched: bool,
    /// Limits may have removed what no record tells of: those of now, or earlier ones.
    limited: bool,
    /// Records are gone by which a rebuild could tell what limits removed: the next submission takes an index along.
    urgent: bool,
    /// Files of blocks without messages, to be removed with the next index: an older one would call them lost.
    dead: Vec<(u32, Vec<Name>)>,
    /// Blocks that were written anew, to take their places with the next index.
    staged: Vec<(u32, rewrite::Rewritten)>,
    index_written: Mono,
    /// Bytes of blocks that were filled since.
    filled: u64,
}

impl Disk {
    fn new(lane: Lane, encryption: Option<Encryption>, key: Option<Arc<AssetKey>>, durable: u64) -> Disk {
        Disk {
            lane,
            out: Vec::new(),
            next_ticket: 1,
            flight: flight::Flight::begin(durable),
            encryption,
            key,
            works: flight::Works::default(),
            dirty: false,
            indexed: true,
            vouched: false,
            limited: false,
            urgent: false,
            dead: Vec::new(),
            staged: Vec::new(),
            index_written: Mono(0),
            filled: 0,
        }
    }
}

/// See the module.
pub struct Store {
    config: Config,
    state: State,
    /// Ascending, never empty once something was stored.
    blocks: VecDeque<Block>,
    /// The block that says which the last sequence is; 0 when that is not known.
    last_recorded: u32,
    /// Where the last reader was.
    near: usize,
    /// How often blocks were asked for.
    stamp: u64,
    /// The number of the next block; none is given twice.
    next_index: u32,
    subjects: SubjectTree<SubjectState>,
    wheel: Wheel,
    /// Encoded records of the last block that were not submitted yet.
    tail: Vec<u8>,
    /// How many there were the last time, in bytes.
    tail_len: usize,
    /// Where they begin in the block.
    tail_at: u32,
    disk: Option<Box<Disk>>,
    filler: Box<dyn Entropy>,
    changes: Vec<Change>,
    /// Subjects above their limit, whose oldest messages are in blocks that are not loaded.
    debts: limits::Debts,
    /// Sequences that were found missing.
    lost: Lost,
    /// Messages were lost whose subjects are not known: totals of subjects may be too high.
    subjects_uncertain: bool,
    /// How far sources were read.
    sources: sources::Sources,
    /// A block that could not be loaded, until somebody was told.
    load_failure: Option<(u32, DiskError)>,
    closed: bool,
    now: Mono,
}

/// What was found missing since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Sequences.
    pub seqs: Vec<u64>,
    /// Bytes that could not be read.
    pub bytes: u64,
    /// The first of them that a power cut has torn: what follows it was never on stable storage.
    pub torn: Option<u64>,
}

impl Store {
    /// A new, empty store in memory.
    pub fn in_memory(config: Config, filler: Box<dyn Entropy>) -> Store {
        debug_assert_eq!(config.medium, Medium::Memory);
        Store::assemble(Config { medium: Medium::Memory, ..config }, None, filler)
    }

    /// A new, empty store of a registered lane, whose folder holds no messages. `key` seals its index.
    pub fn create(
        config: Config,
        lane: Lane,
        encryption: Option<Encryption>,
        key: Option<Arc<AssetKey>>,
        filler: Box<dyn Entropy>,
    ) -> Store {
        let mut disk = Disk::new(lane, encryption, key, 0);
        disk.limited = config.removes();
        Store::assemble(Config { medium: Medium::File, ..config }, Some(Box::new(disk)), filler)
    }

    fn assemble(config: Config, disk: Option<Box<Disk>>, filler: Box<dyn Entropy>) -> Store {
        let mut store = Store {
            state: State::default(),
            blocks: VecDeque::new(),
            last_recorded: 0,
            near: 0,
            stamp: 0,
            next_index: 1,
            subjects: SubjectTree::new(),
            wheel: Wheel::new(),
            tail: Vec::new(),
            tail_len: 0,
            tail_at: 0,
            disk,
            filler,
            changes: Vec::new(),
            debts: limits::Debts::default(),
            lost: Lost::default(),
            subjects_uncertain: false,
            sources: sources::Sources::default(),
            load_failure: None,
            closed: false,
            now: Mono(0),
            config,
        };
        if store.config.first_seq > 1 {
            store.state.last_seq = store.config.first_seq - 1;
            store.state.first_seq = store.config.first_seq;
        }
        store
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The totals, of everything that was appended. O(1).
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Distinct subjects of live messages.
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// Bytes of memory that subjects take.
    pub fn subject_memory(&self) -> usize {
        self.subjects.memory_bytes()
    }

    /// The last sequence that was appended.
    pub fn appended(&self) -> u64 {
        self.state.last_seq
    }

    /// The last sequence that is as durable as was configured.
    pub fn durable(&self) -> u64 {
        self.disk.as_ref().map_or(self.state.last_seq, |disk| disk.flight.durable())
    }

    /// Sequences between the first and the last that are not live. O(1).
    pub fn deleted(&self) -> u64 {
        let State { first_seq, last_seq, messages, .. } = self.state;
        if last_seq > first_seq { (last_seq - first_seq + 1).saturating_sub(messages) } else { 0 }
    }

    /// What was found missing since the store was opened.
    pub fn lost(&self) -> &Lost {
        &self.lost
    }

    /// What is missing of the last two blocks, ascending: there a power cut can have torn what was under way.
    pub fn lost_at_the_end(&self) -> Vec<u64> {
        let recent = self.blocks.iter().rev().nth(1).map_or(0, |block| block.first_seq);
        self.lost.seqs.iter().copied().filter(|seq| *seq >= recent).collect()
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes of records, dead ones included, and of live ones.
    pub fn utilization(&self) -> (u64, u64) {
        (self.blocks.iter().map(|block| u64::from(block.raw_len)).sum(), self.state.bytes)
    }

    /// Whether something was removed since [`Store::take_changes`].
    #[inline]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Takes what was removed since the last call.
    pub fn take_changes(&mut self, into: &mut Vec<Change>) {
        into.append(&mut self.changes);
    }

    /// Takes what the disk is to do. Submits what was appended so far.
    pub fn take_submissions(&mut self, into: &mut Vec<Submission>) {
        self.seal();
        self.index_if_urgent();
        if let Some(disk) = &mut self.disk {
            into.append(&mut disk.out);
        }
    }

    /// Everything submitted so far has this ticket or a lower one: when [`Store::done`] has reached it, all of it is complete.
    pub fn mark(&mut self) -> Ticket {
        self.seal();
        self.disk.as_ref().map_or(Ticket(0), |disk| disk.flight.last())
    }

    /// Every operation up to this ticket is complete, and none of them has failed.
    pub fn done(&self) -> Ticket {
        self.disk.as_ref().map_or(Ticket(0), |disk| disk.flight.done())
    }

    /// Why appends are refused, if they are.
    pub fn failure(&self) -> Option<&DiskError> {
        self.disk.as_ref().and_then(|disk| disk.flight.failure())
    }

    /// The first block of which bytes were written that were never said to be complete.
    pub fn uncertain_from(&self) -> Option<u32> {
        self.blocks.iter().find(|block| block.written < block.raw_len).map(|block| block.index)
    }

    fn promise(&self) -> Promise {
        match self.config.sync {
            Sync::Always => Promise::Durable,
            Sync::Interval => Promise::Cached,
        }
    }

    /// Submits an operation that completes in order.
    fn submit(&mut self, op: Op) {
        let dirty = !matches!(op, Op::Replace { .. });
        // What was appended and not sealed is submitted after this.
        let sealed = self.tail.is_empty().then_some(self.state.last_seq);
        let written = self.written_by(&op);
        if let Some(disk) = &mut self.disk {
            let last_seq = sealed.unwrap_or_else(|| disk.flight.submitted());
            let ticket = Ticket(disk.next_ticket);
            disk.next_ticket += 1;
            disk.dirty |= dirty;
            disk.flight.push(ticket, last_seq, written);
            disk.out.push(Submission { lane: disk.lane, ticket, op });
        }
    }

    /// The block whose file an operation changes, with what it then holds.
    fn written_by(&self, op: &Op) -> Option<flight::Written> {
        let (index, end) = match op {
            Op::Write { block, offset, bytes, .. } => (*block, *offset as u32 + bytes.len() as u32),
            Op::SetLen { block, len } => (*block, *len as u32),
            Op::Adopt { file: Name::Block(block), .. } => (*block, u32::MAX),
            Op::Replace { files, .. } => match &files[..] {
                [(Name::Block(block), _)] => (*block, u32::MAX),
                _ => return None,
            },
            _ => return None,
        };
        let block = &self.blocks[self.block_numbered(index)?];
        // A file that is put in the place of another holds all of the block.
        Some(flight::Written { index, end: end.min(block.raw_len), epoch: block.epoch })
    }

    /// What a record counts for: its length, or in memory its parts and 16.
    #[inline]
    fn counted(&self, record: &Record<'_>) -> u32 {
        counted(self.config.medium, record)
    }

    /// The index of the block with this sequence, if there is one.
    #[inline]
    fn block_of(&self, seq: u64) -> Option<usize> {
        // Most reads are near an end.
        let last = self.blocks.len().checked_sub(1)?;
        if self.blocks[last].first_seq <= seq {
            return (seq <= self.blocks[last].last_seq).then_some(last);
        }
        let at = self.blocks.partition_point(|block| block.last_seq < seq);
        self.blocks.get(at).is_some().then_some(at)
    }

    /// The index of the block of this number.
    fn block_numbered(&self, index: u32) -> Option<usize> {
        let at = self.blocks.partition_point(|block| block.index < index);
        self.blocks.get(at).is_some_and(|block| block.index == index).then_some(at)
    }

    /// The first block from this index on that may hold what block `index` numbers name.
    fn block_from(&self, index: u32) -> usize {
        self.blocks.partition_point(|block| block.index < index)
    }
}

fn counted(medium: Medium, record: &Record<'_>) -> u32 {
    match (medium, record.kind) {
        (Medium::Memory, Kind::Message { subject, headers, payload }) => {
            (subject.len() + headers.len() + payload.len() + MEMORY_OVERHEAD) as u32
        }
        _ => record.len() as u32,
    }
}

/// Bytes that a message in memory counts for beside its parts.
const MEMORY_OVERHEAD: usize = 16;
const _: () = assert!(HEAD_LEN > MEMORY_OVERHEAD);
