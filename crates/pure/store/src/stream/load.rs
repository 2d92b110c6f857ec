//! What has to be read before an operation can go on.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use midge_stdx::clock::Mono;

use super::cache::Cache;
use super::flight::Aside;
use super::message::Message;
use super::offsets::Offsets;
use super::postings::Postings;
use super::{Step, Store, StoreError, ready};
use crate::format::block_file::unpack;
use crate::format::keys::AssetKey;
use crate::format::names;
use crate::format::record::{Kind, RecordKey};
use crate::format::scan::{Item, Order, Place, Scan};
use crate::port::{DiskError, Files, Mode, Op, Work};

/// Blocks, beside the last, that stay in memory; the one that was used longest ago goes first.
const MAX_LOADED: usize = 24;
/// The same when another one is loaded for somebody who reads all messages in their order.
pub(super) const MAX_FOLLOWED: usize = 4;
/// The same when a block has just been filled, beside that one: who writes fast would fill memory with what nobody may ever read.
pub(super) const MAX_FILLED: usize = 2;
/// Whoever reads a block comes back to it sooner than this.
const LEFT_AFTER: Duration = Duration::from_millis(50);
/// Bytes of a block file that are read at most.
const MAX_FILE_LEN: u64 = 256 << 20;

/// Reads one block.
struct Load {
    block: u32,
    /// The records to be there, in bytes; what follows them in the file is left out.
    len: u32,
    compressed: bool,
    stream: Arc<str>,
    key: Option<Box<AssetKey>>,
}

/// A block that was read.
pub(super) struct Loaded {
    plain: Bytes,
    offsets: Offsets,
    /// Bytes that are no records.
    damaged: u64,
    failure: Option<DiskError>,
}

/// The content of a file of a store; an absent one is empty.
pub(super) fn read_file(files: &dyn Files, path: &str) -> Result<Vec<u8>, DiskError> {
    let file = match files.open(path, Mode::Read) {
        Ok(file) => file,
        Err(error) if error.fault == crate::port::Fault::Absent => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let read = || {
        let len = files.len(file)?.min(MAX_FILE_LEN);
        let mut bytes = vec![0; len as usize];
        let got = files.read_at(file, 0, &mut bytes)?;
        bytes.truncate(got);
        Ok(bytes)
    };
    let bytes = read();
    files.close(file);
    bytes
}

/// The records of a block file, without encryption and compression, and whether it was compressed.
pub(super) fn plain_block(
    mut file: Vec<u8>,
    key: Option<&AssetKey>,
    record_key: &RecordKey,
) -> (Bytes, bool, Option<crate::format::block_file::Unpackable>) {
    if let Some(key) = key {
        // Longer than any keystream is longer than any block: what is beyond stays unreadable, and is reported as damage.
        let _ = key.keystream().apply(0, &mut file);
    }
    let unpacked = unpack(&file, record_key);
    let (compressed, fault) = (unpacked.compressed, unpacked.fault);
    let plain = match unpacked.records {
        std::borrow::Cow::Owned(records) => Bytes::from(records),
        std::borrow::Cow::Borrowed(records) if records.len() == file.len() => Bytes::from(file),
        std::borrow::Cow::Borrowed(records) => Bytes::copy_from_slice(records),
    };
    (plain, compressed, fault)
}

impl Work for Load {
    fn run(self: Box<Self>, files: &dyn Files, folder: &str) -> Box<dyn Any + Send> {
        let path = format!("{folder}/{}/{}", names::MESSAGES, names::block_file(self.block));
        let mut loaded =
            Loaded { plain: Bytes::new(), offsets: Offsets::default(), damaged: 0, failure: None };
        let file = match read_file(files, &path) {
            Ok(file) => file,
            Err(error) => return Box::new(Loaded { failure: Some(error), ..loaded }),
        };
        let record_key = RecordKey::new(&self.stream, self.block);
        let (mut plain, _, _) = plain_block(file, self.key.as_deref(), &record_key);
        if !self.compressed {
            plain.truncate(self.len as usize);
        }
        let mut order = Order::default();
        for item in Scan::new(&plain, &record_key) {
            match item {
                Item::Record { at, record } => {
                    let next = matches!(order.place(&record), Place::Next { .. });
                    if next && matches!(record.kind, Kind::Message { .. }) {
                        loaded.offsets.push(record.seq, at as u32);
                    }
                }
                Item::Damage(damage) => loaded.damaged += (damage.to - damage.from) as u64,
            }
        }
        // What is missing at the end keeps its place, so that what was appended since follows at the right offset.
        if !self.compressed && plain.len() < self.len as usize {
            loaded.damaged += (self.len as usize - plain.len()) as u64;
            let mut padded = plain.to_vec();
            padded.resize(self.len as usize, 0);
            plain = padded.into();
        }
        loaded.plain = plain;
        Box::new(loaded)
    }
}

impl Store {
    /// Has all of a block in memory, or asks for it.
    pub(super) fn need(&mut self, at: usize) -> Step<()> {
        let now = self.now;
        if at + 1 == self.blocks.len() {
            self.seal();
        }
        self.stamp += 1;
        let block = &mut self.blocks[at];
        if let Some(cache) = block.cache.as_deref_mut().filter(|cache| cache.from == 0) {
            (cache.used, cache.stamp) = (now, self.stamp);
            return Step::Ready(());
        }
        if self.load_failure.as_ref().is_some_and(|(index, _)| *index == block.index)
            && let Some((_, error)) = self.load_failure.take()
        {
            return Step::Failed(StoreError::Disk(error));
        }
        if !block.loading && self.disk.is_some() {
            block.loading = true;
            let load = Load {
                block: block.index,
                len: block.written.min(block.raw_len),
                compressed: block.compressed,
                stream: self.config.name.clone(),
                key: block.key.clone(),
            };
            let index = block.index;
            self.submit_aside(Op::Work(Box::new(load)), Aside::Load(index));
        }
        Step::Wait
    }

    /// Has a live message in memory, or asks for its block.
    pub(super) fn need_message(&mut self, at: usize, seq: u64) -> Step<()> {
        if at + 1 == self.blocks.len() {
            self.seal();
        }
        let now = self.now;
        if let Some(cache) = self.blocks[at].cache.as_deref_mut()
            && cache.offsets.get(seq).is_some()
        {
            self.stamp += 1;
            (cache.used, cache.stamp) = (now, self.stamp);
            return Step::Ready(());
        }
        self.need(at)
    }

    /// Has the messages of a block by subject, or asks for them. O(records of the block), once.
    pub(super) fn need_postings(&mut self, at: usize) -> Step<()> {
        ready!(self.need(at));
        let block = &mut self.blocks[at];
        let live = |seq| seq >= block.first_seq && seq <= block.last_seq && !block.deleted.contains(seq);
        let Some(cache) = block.cache.as_deref_mut() else { return Step::Wait };
        if cache.postings.is_none() {
            let mut postings = Postings::default();
            for (seq, at) in cache.offsets.iter() {
                if let Some((record, _)) = cache.record(at)
                    && let Kind::Message { subject, .. } = record.kind
                    && live(seq)
                {
                    postings.push(subject, seq);
                }
            }
            cache.postings = Some(Box::new(postings));
        }
        Step::Ready(())
    }

    /// A message that is in memory.
    pub(super) fn cached_message(&self, at: usize, seq: u64) -> Result<Message, StoreError> {
        let block = &self.blocks[at];
        let corrupt = StoreError::Corrupt { block: block.index };
        let (cache, offset) = block.cached(seq).ok_or_else(|| corrupt.clone())?;
        let (record, bytes) = cache.record(offset).ok_or_else(|| corrupt.clone())?;
        Message::of(&record, bytes).filter(|message| message.seq == seq).ok_or(corrupt)
    }

    pub(super) fn loaded(&mut self, index: u32, loaded: Loaded) {
        let Some(at) = self.block_numbered(index) else { return };
        if let Some(error) = loaded.failure {
            self.load_failed(index, error);
            return;
        }
        let now = self.now;
        let block = &mut self.blocks[at];
        block.loading = false;
        let mut cache = Cache::whole(loaded.plain, loaded.offsets).used_at(now);
        if let Some(tail) = block.cache.take()
            && !cache.continue_with(&tail)
        {
            // What is between them was written meanwhile and dropped: the next load has it.
            block.cache = Some(tail);
            return;
        }
        block.cache = Some(Box::new(cache));
        if loaded.damaged > 0 {
            self.lost.bytes += loaded.damaged;
        }
        self.miss_absent(at);
        self.evict_beyond(MAX_LOADED, at, Mono(u64::MAX));
    }

    /// Live messages that a loaded block does not hold are lost.
    fn miss_absent(&mut self, at: usize) {
        let block = &self.blocks[at];
        let Some(cache) = block.whole() else { return };
        let mut missing = Vec::new();
        let mut from = block.first_seq;
        while let Some(seq) = block.next_live(from) {
            if cache.offsets.get(seq).is_none() {
                missing.push(seq);
            }
            from = seq + 1;
        }
        if missing.is_empty() {
            return;
        }
        let live_bytes: u64 = cache
            .offsets
            .iter()
            .filter(|(seq, _)| block.is_live(*seq))
            .filter_map(|(_, at)| cache.record(at))
            .map(|(record, _)| u64::from(self.counted(&record)))
            .sum();
        let gone = block.bytes.saturating_sub(live_bytes);
        let each = gone / missing.len() as u64;
        for (i, seq) in missing.iter().enumerate() {
            let counted = if i == 0 { gone - each * (missing.len() as u64 - 1) } else { each };
            self.blocks[at].forget(*seq, counted);
            self.state.messages -= 1;
            self.state.bytes = self.state.bytes.saturating_sub(counted);
        }
        self.lost.seqs.extend(missing);
        self.subjects_uncertain = true;
        self.find_first();
    }

    pub(super) fn load_failed(&mut self, index: u32, error: DiskError) {
        if let Some(at) = self.block_numbered(index) {
            self.blocks[at].loading = false;
            // Whoever waits is told, once.
            self.load_failure = Some((index, error));
        }
    }

    /// Drops blocks that nobody is in right now until no more than `most` are there. Many readers, each in a block of its own, keep theirs.
    pub(super) fn evict_left(&mut self, most: usize, keep: usize) {
        let since = self.now - LEFT_AFTER;
        self.evict_beyond(most, keep, since);
    }

    /// Drops blocks that were last used before `since` until no more than `most` beside the last and `keep` are there.
    fn evict_beyond(&mut self, most: usize, keep: usize, since: Mono) {
        if self.disk.is_none() {
            return;
        }
        let last = self.blocks.len() - 1;
        let mut loaded: Vec<((Mono, u64), usize)> = (0..last)
            .filter(|at| *at != keep && !self.blocks[*at].loading)
            .filter_map(|at| {
                Some((self.blocks[at].cache.as_ref().map(|cache| (cache.used, cache.stamp))?, at))
            })
            .filter(|(_, at)| self.blocks[*at].written == self.blocks[*at].raw_len)
            .collect();
        if loaded.len() > most {
            loaded.sort_unstable();
            let more = loaded.len() - most;
            let left = loaded.into_iter().take(more).filter(|((used, _), _)| *used <= since);
            left.for_each(|(_, at)| self.blocks[at].cache = None);
        }
    }

    /// Drops what was not used since `since` from memory. Call now and then. O(b).
    pub fn evict(&mut self, since: Mono) {
        if self.disk.is_none() || !self.tail.is_empty() {
            return;
        }
        let last = self.blocks.len().saturating_sub(1);
        for (at, block) in self.blocks.iter_mut().enumerate() {
            let idle = block.cache.as_ref().is_some_and(|cache| cache.used < since);
            if idle && !block.loading && block.written == block.raw_len {
                block.cache = (at == last).then(|| Box::new(Cache::empty(block.raw_len)));
                block.record_key = None;
            }
        }
    }

    /// Bytes of blocks in memory.
    pub fn cached_bytes(&self) -> usize {
        self.blocks
            .iter()
            .filter_map(|block| block.cache.as_ref())
            .map(|cache| cache.memory_bytes())
            .sum::<usize>()
            + self.tail.capacity()
    }
}
