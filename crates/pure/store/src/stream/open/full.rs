//! From the blocks, when no index says what they are.

use midge_index::seqset::SeqSet;
use midge_index::stree::SubjectTree;

use super::blocks::End;
use super::folder::{read, remove};
use super::report::{BlockDamage, How};
use super::side::{Gathered, Side};
use super::{Context, Image, OpenError};
use crate::format::index_db::Index;
use crate::format::legacy_index::{self, LegacyIndex};
use crate::format::names;
use crate::format::record::{EMPTY_LEN, Kind};
use crate::format::scan::{Cause, Walk};
use crate::recover::{BlockState, Floor, History, Input, Known, Rebuild, Rebuilt};
use crate::stream::cache::Cache;
use crate::stream::{Block, State, SubjectState, Sync};

/// No block has more bytes of messages.
const MAX_BLOCK_BYTES: u64 = 1 << 32;

/// What is found of a block beside its records.
#[derive(Clone, Copy, Default)]
struct File {
    compressed: bool,
    /// It could not be decompressed as a whole.
    fault: bool,
}

fn known_by<'a>(index: &'a Index, number: u32, nothing: &'a SeqSet) -> Option<Known<'a>> {
    if number > index.last_block {
        return None;
    }
    let until = index.totals.last_seq;
    Some(match index.blocks.iter().find(|entry| entry.index == number) {
        Some(entry) => {
            Known { until, first_seq: entry.first_seq, last_seq: entry.last_seq, deleted: &entry.deleted }
        }
        // It had been removed when the index was written.
        None => Known { until, first_seq: 1, last_seq: 0, deleted: nothing },
    })
}

fn known_by_legacy(index: &LegacyIndex) -> Known<'_> {
    Known {
        until: index.last_seq,
        first_seq: index.first_seq,
        last_seq: index.last_seq,
        deleted: &index.deleted,
    }
}

impl Context<'_> {
    /// Reads every block.
    pub(super) fn full(&mut self, index: Option<Box<Index>>) -> Result<(Image, Side), OpenError> {
        let numbers = self.blocks.numbers();
        let index = index.as_deref();
        let mut gathered = Gathered::new(self.config, self.rules);
        // What an index knows to be deleted is never live, so that limits have to be derived only since then.
        let vouched = index.is_some_and(|index| self.vouched(index));
        let history = if vouched { History::Constant } else { self.history };
        let mut rebuild = Rebuild::new(self.config.removing_limits(), history);
        let nothing = SeqSet::new();
        let (mut buffer, mut found) = (Vec::new(), Vec::with_capacity(numbers.len()));
        for &number in &numbers {
            let key = self.record_key(number);
            let plain = self.read_block(number, &key, &mut buffer)?;
            let legacy = self.legacy(number, &plain.records)?;
            let known = index.and_then(|index| known_by(index, number, &nothing));
            let known = known.or(legacy.as_ref().map(known_by_legacy));
            let input = Input { index: number, plain: &plain.records, key: &key, known };
            let block = rebuild.block(input, &mut |record| gathered.see(record));
            let records = block.records;
            found.push(File { compressed: plain.compressed, fault: plain.fault.is_some() });
            if let Some(fault) = &plain.fault {
                let to = plain.records.len() as u64;
                let cause = fault.to_string();
                self.recovery.damage.push(BlockDamage { block: number, from: 0, to, cause });
            }
            self.recovery.records_read += records;
        }
        let floor = index.map_or(Floor::default(), |index| Floor {
            last_seq: index.totals.last_seq,
            last_ts_ns: index.totals.last_ns,
        });
        let rebuilt = rebuild.finish(floor);
        if rebuilt.too_many {
            return Err(OpenError::TooMany);
        }
        if numbers.is_empty() && index.is_none() {
            self.recovery.how = How::New;
        }
        self.report(&rebuilt, &found, index)?;
        let side = self.gathered_side(gathered, &rebuilt)?;
        let mut image = self.image(&rebuilt, &found)?;
        for (seq, _) in side.wheel.iter() {
            let at = image.live(seq);
            at.and_then(|at| image.blocks.get_mut(at)).into_iter().for_each(|block| block.ttls += 1);
        }
        for scheduled in &side.schedules {
            let at = image.live(scheduled.seq);
            at.and_then(|at| image.blocks.get_mut(at)).into_iter().for_each(|block| block.schedules += 1);
        }
        image.find_first(self.config);
        self.find_first_time(&mut image, &mut buffer)?;
        Ok((image, side))
    }

    /// The time of the first message, when those before it were deleted by a later block.
    fn find_first_time(&mut self, image: &mut Image, buffer: &mut Vec<u8>) -> Result<(), OpenError> {
        let first = image.blocks.iter_mut().find(|block| block.messages > 0);
        let Some(first) = first.filter(|block| block.first_ts_ns.is_none()) else { return Ok(()) };
        let key = self.record_key(first.index);
        let plain = self.read_block(first.index, &key, buffer)?;
        let mut records = Walk::new(&plain.records, 0).map_while(Result::ok);
        let record =
            records.find(|(_, r)| r.seq == first.first_seq && matches!(r.kind, Kind::Message { .. }));
        first.first_ts_ns = record.map(|(_, record)| record.ts_ns);
        Ok(())
    }

    /// The index that an old server wrote of this block, if it is of this content.
    fn legacy(&self, number: u32, plain: &[u8]) -> Result<Option<LegacyIndex>, OpenError> {
        if !self.legacy.contains(&number) {
            return Ok(None);
        }
        let Some(file) = read(self.files, &format!("{}/{number}.idx", self.messages))? else {
            return Ok(None);
        };
        let opened = match self.keys.get(&number) {
            Some(key) => key.unseal_with_own_nonce(&file).ok(),
            None => Some(file),
        };
        let index = opened.and_then(|bytes| legacy_index::decode(&bytes).ok());
        Ok(index.filter(|index| plain.last_chunk() == Some(&index.last_checksum)))
    }

    /// Tells what is damaged and lost, and copies aside what stays as it is.
    fn report(&mut self, rebuilt: &Rebuilt, found: &[File], index: Option<&Index>) -> Result<(), OpenError> {
        let last = rebuilt.blocks.last().map_or(0, |block| block.index);
        let mut damaged: Vec<u32> = Vec::new();
        for entry in &rebuilt.damage {
            let (from, to) = (entry.damage.from as u64, entry.damage.to as u64);
            let cause = entry.damage.cause.to_string();
            let zeros = entry.damage.cause == Cause::Zeros;
            let ends = rebuilt.blocks.iter().any(|b| b.index == entry.block && b.raw_bytes == to);
            if !zeros {
                self.recovery.lost_bytes += to - from;
            }
            // Reserved space at the end of the last block is as it should be, and what is torn there is cut.
            let torn = ends && entry.block == last;
            if !torn && !zeros {
                damaged.push(entry.block);
            }
            let reserved = zeros && ends;
            if !reserved {
                self.recovery.damage.push(BlockDamage { block: entry.block, from, to, cause });
            }
        }
        let faults = rebuilt.blocks.iter().zip(found).filter(|(_, file)| file.fault);
        damaged.extend(faults.map(|(block, _)| block.index));
        damaged.dedup();
        for number in damaged {
            self.keep_block(number)?;
        }
        let mut lost = rebuilt.lost.clone();
        if let Some(index) = index {
            self.lost_since(index, rebuilt, &mut lost);
        }
        // With a sync at intervals, an index may be on stable storage before what it speaks of.
        let vouches = self.config.sync == Sync::Always;
        let known = index.filter(|_| vouches).map_or(0, |index| index.totals.last_seq);
        let recent = rebuilt.blocks.iter().rev().nth(1).map_or(0, |block| block.first_seq);
        self.recovery.torn = lost.iter().find(|seq| *seq > known && *seq >= recent);
        self.recovery.lost = lost;
        Ok(())
    }

    /// What the index knows to be live, and no block has. O(messages) of blocks that are missing or hurt.
    fn lost_since(&mut self, index: &Index, rebuilt: &Rebuilt, lost: &mut SeqSet) {
        let hurt = |number: u32| rebuilt.damage.iter().any(|damage| damage.block == number);
        for entry in &index.blocks {
            let there = self.blocks.len(entry.index);
            if there.is_none() && entry.messages() > 0 {
                self.recovery.missing.push(entry.index);
            }
            let found = rebuilt.blocks.binary_search_by_key(&entry.index, |block| block.index);
            let found = found.ok().and_then(|at| rebuilt.blocks.get(at));
            let cut = found.is_some_and(|block| block.last_seq <= entry.last_seq);
            // More than its bytes have room for is no list to go through.
            if entry.messages() > entry.bytes.min(MAX_BLOCK_BYTES) / EMPTY_LEN as u64 {
                continue;
            }
            if there.is_some() && !hurt(entry.index) && !cut {
                continue;
            }
            let mut live = SeqSet::new();
            live.insert_range(entry.first_seq, entry.last_seq);
            entry.deleted.ranges().for_each(|(from, to)| {
                live.remove_range(from, to);
            });
            rebuilt.unmatched.ranges().for_each(|(from, to)| {
                live.remove_range(from, to);
            });
            let absent = live.iter().filter(|seq| !rebuilt.holds(*seq));
            let into = if there.is_some() { &mut *lost } else { &mut self.recovery.unaccounted };
            absent.for_each(|seq| {
                into.insert(seq);
            });
        }
    }

    /// Blocks and subjects as the store keeps them.
    fn image(&mut self, rebuilt: &Rebuilt, found: &[File]) -> Result<Image, OpenError> {
        let mut blocks = Vec::with_capacity(rebuilt.blocks.len());
        let last = rebuilt.blocks.len().saturating_sub(1);
        self.blocks.end = None;
        for (at, (state, file)) in rebuilt.blocks.iter().zip(found).enumerate() {
            let damage = rebuilt.damage.iter().filter(|damage| damage.block == state.index);
            let hurt = file.fault || damage.clone().any(|damage| damage.damage.cause != Cause::Zeros);
            if self.blocks.len(state.index) == Some(0) && at < last {
                // Nothing is in it, and nothing will be.
                remove(self.files, &self.path(state.index))?;
                remove(self.files, &format!("{}/{}", self.messages, names::block_key_file(state.index)))?;
                self.recovery.mended.push(format!("{} was empty", names::block_file(state.index)));
                continue;
            }
            if hurt && state.messages == 0 && (at < last || state.good_end == 0) {
                // A store removes blocks in which nothing is live; this one stays.
                self.keep_block(state.index)?;
                self.recovery.unreadable.push((state.index, "damaged, and nothing live in the rest".into()));
                self.blocks.end = Some(End { good_end: 0, sealed: true });
                continue;
            }
            let inside = damage.clone().any(|damage| (damage.damage.to as u64) < state.raw_bytes);
            self.blocks.end = Some(End { good_end: state.good_end, sealed: file.compressed || inside });
            blocks.push(self.block(state, *file));
        }
        if let Some(last) = blocks.last_mut() {
            last.cache = Some(Box::new(Cache::empty(last.raw_len)));
        }
        let mut subjects = SubjectTree::new();
        for (subject, summary) in rebuilt.subjects().filter(|(subject, _)| !subject.is_empty()) {
            let mut state = SubjectState::new(summary.first_block);
            state.set_total(summary.messages);
            state.set_last(summary.last_seq, summary.last_len, summary.last_block);
            subjects.insert(subject, state);
        }
        let state = State {
            messages: rebuilt.state.messages,
            bytes: rebuilt.state.bytes,
            first_seq: rebuilt.state.first_seq,
            last_seq: rebuilt.state.last_seq,
            last_ts_ns: rebuilt.state.last_ts_ns,
        };
        Ok(Image { state, blocks, subjects })
    }

    fn block(&self, state: &BlockState, file: File) -> Block {
        let mut block = Block::new(state.index, state.last_seq, state.last_ts_ns);
        block.first_seq = state.first_seq;
        block.first_ts_ns = state.first_ts_ns;
        block.oldest_ns = state.oldest_ns;
        block.deleted = state.deleted.clone();
        (block.messages, block.bytes) = (state.messages, state.bytes);
        block.raw_len = u32::try_from(state.raw_bytes).unwrap_or(u32::MAX);
        block.written = block.raw_len;
        block.checksum = state.checksum;
        block.tombstones = state.tombstones;
        block.compressed = file.compressed;
        block.key = self.keys.get(&state.index).cloned().map(Box::new);
        block
    }
}
