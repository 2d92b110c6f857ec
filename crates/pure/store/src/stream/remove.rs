//! Single messages, and the blocks that they leave empty.

use bytes::Bytes;

use super::message::Message;
use super::{Medium, Step, Store, StoreError, ready};
use crate::format::names;
use crate::format::record::{self, RecordKey};
use crate::port::{Name, Op, Promise};
use crate::recover::Limits;

/// Bytes of dead records that an empty last block may keep.
const EMPTY_LAST_LEN: u32 = 64 << 10;

impl Store {
    /// What a message counts for, in bytes.
    pub(super) fn counted_of(&self, message: &Message) -> u32 {
        match self.config.medium {
            Medium::File => message.record_len(),
            Medium::Memory => {
                (message.subject().len() + message.shared_body().len() + super::MEMORY_OVERHEAD) as u32
            }
        }
    }

    /// Removes a message; with `erase`, its bytes are overwritten (not in encrypted stores, where they are unreadable without the key). Answers whether it was there.
    /// The deletion is durable when [`Store::done`] reaches [`Store::mark`].
    ///
    /// Cost: O(log b), and the load of a block; erasing in a compressed block rewrites it.
    pub fn remove(&mut self, seq: u64, erase: bool) -> Step<bool> {
        if self.closed {
            return Step::Failed(StoreError::Closed);
        }
        let memory = self.config.medium == Medium::Memory;
        let at = match self.find(seq) {
            Ok(at) => at,
            Err(_) if memory => return Step::Ready(false),
            Err(error) => return Step::Failed(error),
        };
        if !self.blocks[at].is_live(seq) {
            return Step::Ready(false);
        }
        if let Err(error) = self.writable() {
            return Step::Failed(error);
        }
        let erase = erase && self.blocks[at].key.is_none();
        if erase && self.blocks[at].compressed {
            ready!(self.need(at));
        }
        ready!(self.need_message(at, seq));
        let message = match self.cached_message(at, seq) {
            Ok(message) => message,
            Err(error) => return Step::Failed(error),
        };
        let counted = self.counted_of(&message);
        let subject = message.shared_subject();
        let index = self.blocks[at].index;
        self.record_removal(at, seq, message.ts_ns);
        drop(message);
        let place = self.blocks[at].cached(seq).map(|(_, offset)| offset);
        self.take_out(at, seq, counted, &subject);
        if let (true, Some(offset), Some(at)) = (erase, place, self.block_numbered(index)) {
            self.overwrite(at, seq, offset);
        }
        Step::Ready(true)
    }

    /// Has the disk know that a message is deleted.
    pub(super) fn record_removal(&mut self, at: usize, seq: u64, ts_ns: i64) {
        self.vouch();
        let block = &self.blocks[at];
        // A block that goes as a whole takes its messages along.
        let lingers = at > 0 && (block.tombstones || self.disk.as_ref().is_some_and(|disk| disk.indexed));
        let goes = block.messages == 1 && at + 1 < self.blocks.len() && !lingers;
        if !goes {
            // The sequence and time were stored before, so that both can be stored again.
            let _ = self.tombstone(seq, ts_ns);
        }
    }

    /// Overwrites a record with noise.
    fn overwrite(&mut self, at: usize, seq: u64, offset: u32) {
        self.seal();
        // The record says what limits removed because of it: an index has to say so first.
        self.history_changed();
        self.index_if_urgent();
        self.keep_sources();
        let key = RecordKey::new(&self.config.name, self.blocks[at].index);
        let block = &mut self.blocks[at];
        let Some((old, _)) = block.cache.as_deref().and_then(|cache| cache.record(offset)) else { return };
        if old.seq != seq {
            return;
        }
        let len = old.len() as u32;
        let mut erased = Vec::new();
        if record::encode_erased(&mut erased, &key, seq, len, &mut *self.filler).is_err() {
            return;
        }
        if offset + len == block.raw_len {
            block.checksum = erased.last_chunk().copied().unwrap_or_default();
        }
        let Some(cache) = block.cache.as_deref_mut() else { return };
        cache.overwrite(offset, &erased);
        let (index, compressed) = (block.index, block.compressed);
        if self.disk.is_none() {
            return;
        }
        // A rewrite that began before would bring the message back.
        block.version += 1;
        block.rewriting = false;
        if compressed {
            self.replace_file(at);
        } else {
            let promise = self.promise();
            let bytes = Bytes::from(erased);
            self.submit(Op::Write { block: index, offset: u64::from(offset), bytes, promise });
        }
    }

    /// The last live message of a block went.
    pub(super) fn emptied(&mut self, at: usize) {
        if at + 1 < self.blocks.len() {
            if at == 0 || !self.blocks[at].tombstones {
                self.drop_block(at);
            }
        } else if self.blocks[at].raw_len > EMPTY_LAST_LEN && self.begin_empty().is_ok() {
            self.emptied(at);
        }
    }

    /// Removes a block with all that is left in it. Not the last one.
    pub(super) fn drop_block(&mut self, at: usize) {
        let Some(block) = self.blocks.remove(at) else { return };
        if self.disk.is_none() {
            return;
        }
        let (seq, ts_ns) = (self.state.last_seq, self.state.last_ts_ns);
        let told =
            self.last_recorded > block.index || self.blocks.iter().rev().any(|other| other.is_live(seq));
        if block.last_seq >= seq && !told {
            // Nothing that stays says which the last sequence was.
            let _ = self.tombstone(seq, ts_ns);
        }
        self.seal();
        let promise = self.promise();
        let limited = self.config.removing_limits() != Limits::default();
        let Some(disk) = &mut self.disk else { return };
        let mut files = block_files(block.index, block.key.is_some());
        if at > 0 && (disk.indexed || limited) {
            // That first blocks go is no surprise; any other one an index would call lost, and without one nothing would say what limits had removed
            // because of its messages.
            disk.urgent |= !disk.indexed;
            disk.dead.push((block.index, files));
            return;
        }
        // Nothing older may outlive it: it may hold what a limit removed because of what goes here.
        let dead = std::mem::take(&mut disk.dead);
        let (older, newer): (Vec<_>, Vec<_>) = dead.into_iter().partition(|(index, _)| *index < block.index);
        disk.dead = newer;
        files.extend(older.into_iter().flat_map(|(_, files)| files));
        self.submit(Op::Remove { files, promise });
    }

    /// Closes the store: everything it has is submitted, and nothing more can be.
    pub fn close(&mut self) {
        self.seal();
        self.closed = true;
    }

    /// Deletes the store with its files.
    pub fn delete(&mut self) {
        self.close();
        self.submit(Op::Delete);
    }

    /// Removes every block that was, those that only wait for an index included: what said that their messages are deleted goes along.
    pub(super) fn drop_all(&mut self, dropped: Vec<super::Block>, promise: Promise) {
        let Some(disk) = &mut self.disk else { return };
        let waiting = std::mem::take(&mut disk.dead);
        let mut files: Vec<Name> = waiting.into_iter().flat_map(|(_, files)| files).collect();
        files.extend(dropped.iter().flat_map(|block| block_files(block.index, block.key.is_some())));
        if !files.is_empty() {
            self.submit(Op::Remove { files, promise });
        }
    }

    /// Removes a set of blocks at once.
    pub(super) fn drop_blocks(&mut self, dropped: Vec<super::Block>, promise: Promise) {
        if self.disk.is_none() || dropped.is_empty() {
            return;
        }
        let files = dropped.iter().flat_map(|block| block_files(block.index, block.key.is_some())).collect();
        self.submit(Op::Remove { files, promise });
    }
}

fn block_files(index: u32, key: bool) -> Vec<Name> {
    let mut files = vec![Name::Block(index)];
    if key {
        files.push(Name::Path(format!("{}/{}", names::MESSAGES, names::block_key_file(index)).into()));
    }
    files
}
