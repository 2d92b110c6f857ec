//! The index of the stream on disk, so that opening it does not read every message.

use std::sync::Arc;

use bytes::Bytes;
use midge_stdx::clock::Mono;
use midge_stdx::entropy::Entropy;

use super::flight::Aside;
use super::{Filter, Step, Store, ready};
use crate::format::index_db::{self, BlockEntry, Index, SubjectEntry, Totals};
use crate::format::names;
use crate::port::{Name, Op, Promise};
use crate::recover::Limits;

/// Nanoseconds between two indexes.
const INTERVAL_NS: u64 = 120_000_000_000;
/// Blocks that are filled between two indexes: after a kill, not many more are read.
const BLOCKS: u64 = 4;
/// An index takes at most one part in so many of the bytes that are written.
const PART: u64 = 16;
/// Subjects or deleted sequences above which an index is only written at the end.
const MANY: u64 = 100_000;

impl Store {
    /// Writes the index when it is due. Call now and then.
    pub fn checkpoint(&mut self, now: Mono) {
        self.now = now;
        let Some(disk) = &self.disk else { return };
        let due = disk.dirty && now.0.saturating_sub(disk.index_written.0) >= INTERVAL_NS;
        if !due {
            return;
        }
        if self.is_indexable() {
            let _ = self.write_index(Promise::Cached);
        } else {
            self.drop_index();
            self.finish_removals();
        }
    }

    /// Whether an index is written without being asked for.
    fn is_indexable(&self) -> bool {
        self.subjects.len() as u64 <= MANY && self.deleted() <= MANY
    }

    /// A block is full. The next submission takes an index along when several are and it costs little beside them.
    pub(super) fn block_filled(&mut self, len: u64) {
        let cost = 256 + 48 * (self.subjects.len() as u64 + self.blocks.len() as u64);
        // Deleted sequences may be as many as there are.
        let cost = cost.saturating_add(self.deleted().saturating_mul(8));
        let Some(disk) = &mut self.disk else { return };
        disk.filled += len;
        disk.urgent |= disk.filled >= BLOCKS * u64::from(self.config.block_len)
            && disk.filled >= cost.saturating_mul(PART);
    }

    /// Records are gone, or about to go, that said what limits had removed.
    pub(super) fn history_changed(&mut self) {
        if self.config.removing_limits() != Limits::default() {
            self.want_index();
        }
    }

    /// Something is about to be removed that will not come back, while limits may have removed other things without a trace: an index says what,
    /// unless there is one under these limits, from which on they can be derived again. Called before the removal, so that it never stands alone.
    pub(super) fn vouch(&mut self) {
        let Some(disk) = &self.disk else { return };
        if disk.vouched || self.config.removing_limits() == Limits::default() || !self.is_indexable() {
            return;
        }
        self.seal();
        self.want_index();
        self.index_if_urgent();
    }

    /// The next submission takes an index along.
    pub(super) fn want_index(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.urgent = true;
        }
    }

    /// Writes an index when [`Store::history_changed`].
    pub(super) fn index_if_urgent(&mut self) {
        if self.is_index_urgent() {
            let _ = self.write_index(Promise::Cached);
        }
    }

    fn is_index_urgent(&self) -> bool {
        let urgent = self.disk.as_ref().is_some_and(|disk| disk.urgent && disk.flight.failure().is_none());
        urgent && self.is_indexable() && !self.closed
    }

    /// Removes and replaces what an older index would have missed.
    fn finish_removals(&mut self) {
        let promise = self.promise();
        let Some(disk) = &mut self.disk else { return };
        let (files, staged) = (std::mem::take(&mut disk.dead), std::mem::take(&mut disk.staged));
        let files: Vec<Name> = files.into_iter().flat_map(|(_, files)| files).collect();
        if !files.is_empty() {
            self.submit(Op::Remove { files, promise });
        }
        staged.into_iter().for_each(|(index, rewritten)| self.adopt(index, rewritten));
    }

    /// Has everything that was submitted put on stable storage, in its own files: what an explicit sync interval asks for.
    pub fn sync(&mut self) {
        self.seal();
        self.submit_aside(Op::Checkpoint, Aside::Sync);
    }

    /// Writes what a clean stop leaves behind: call until it is ready, then [`Store::close`]. O(subjects + deleted).
    pub fn stop(&mut self) -> Step<()> {
        self.seal();
        if self.failure().is_some() {
            return Step::Ready(());
        }
        self.keep_sources();
        if !self.disk.as_ref().is_some_and(|disk| disk.dirty) {
            return Step::Ready(());
        }
        ready!(self.first_ts_ns());
        self.write_index(Promise::Durable)
    }

    /// Submits the index, with what belongs to it. O(subjects + deleted).
    fn write_index(&mut self, promise: Promise) -> Step<()> {
        let files = ready!(self.index_files());
        if !files.is_empty() {
            self.submit_index(files, promise);
        }
        Step::Ready(())
    }

    /// Submits files, the index among them.
    fn submit_index(&mut self, files: Vec<(Name, Bytes)>, promise: Promise) {
        let vouched = !self.is_over_limits();
        self.submit(Op::Replace { files, promise });
        if let Some(disk) = &mut self.disk {
            (disk.dirty, disk.index_written, disk.indexed, disk.urgent) = (false, self.now, true, false);
            (disk.vouched, disk.filled) = (vouched, 0);
        }
        self.finish_removals();
    }

    /// The index, with what belongs to it; nothing when none can be written.
    fn index_files(&mut self) -> Step<Vec<(Name, Bytes)>> {
        let first_ns = ready!(self.first_ts_ns());
        self.seal();
        // Nothing was stored since the store was new.
        if self.blocks.back().is_none_or(|last| last.raw_len == 0 && self.state.last_seq == 0) {
            return Step::Ready(Vec::new());
        }
        let Some(index) = self.index(first_ns) else { return Step::Ready(Vec::new()) };
        let mut entries = Vec::with_capacity(self.subjects.len());
        self.matching_subjects(&Filter::all(), |subject, state| {
            entries.push((Box::<[u8]>::from(subject), state.total(), state.first_block, state.last_block));
        });
        let stream = self.config.name.clone();
        let count = entries.len();
        let subjects = entries.iter().map(|(subject, messages, first_block, last_block)| SubjectEntry {
            subject,
            messages: *messages,
            first_block: *first_block,
            last_block: *last_block,
        });
        let Some(disk) = &mut self.disk else { return Step::Ready(Vec::new()) };
        let key = disk.key.clone();
        let sealing = match (&key, &mut disk.encryption) {
            (Some(key), Some(encryption)) => Some((&**key, &mut *encryption.entropy as &mut dyn Entropy)),
            _ => None,
        };
        let Ok(bytes) = index_db::encode(&index, count, subjects, &stream, sealing) else {
            return Step::Ready(Vec::new());
        };
        let path = |name: &str| Name::Path(format!("{}/{name}", names::MESSAGES).into());
        let mut files = vec![(path(names::INDEX), bytes.into())];
        if self.config.ttl {
            files.push((path(names::WHEEL), self.wheel_file().into()));
        }
        files.extend(self.sources_file());
        Step::Ready(files)
    }

    /// Much is about to go of which an index would say that it was lost.
    pub(super) fn drop_index(&mut self) {
        if self.disk.as_mut().is_some_and(|disk| std::mem::take(&mut disk.indexed)) {
            if let Some(disk) = &mut self.disk {
                disk.vouched = false;
            }
            let path = format!("{}/{}", names::MESSAGES, names::INDEX);
            self.submit(Op::Remove { files: vec![Name::Path(path.into())], promise: Promise::Cached });
            self.finish_removals();
        }
    }

    /// The front is about to go. Where limits removed something, an index that knows what is worth more than one that calls nothing lost.
    pub(super) fn outdate_index(&mut self) {
        if self.disk.as_ref().is_some_and(|disk| !disk.limited) {
            self.drop_index();
        }
    }

    /// Keeps a change of a consumer's state; complete in order with the messages. Nothing in a memory store.
    pub fn keep_delta(&mut self, consumer: &Arc<str>, bytes: Bytes, promise: Promise) {
        self.seal();
        self.submit(Op::Delta { consumer: consumer.clone(), bytes, promise });
    }

    /// Replaces files of the stream beside its messages: metadata, states of consumers. All or none of them, and with them an index that is wanted, as
    /// after a change of the limits.
    pub fn replace_files(&mut self, mut files: Vec<(Name, Bytes)>, promise: Promise) {
        self.seal();
        if self.is_index_urgent()
            && let Step::Ready(index) = self.index_files()
            && !index.is_empty()
        {
            files.extend(index);
            return self.submit_index(files, promise);
        }
        self.submit(Op::Replace { files, promise });
    }

    /// Removes files of the stream beside its messages; a name that ends in `/` is a folder.
    pub fn remove_files(&mut self, files: Vec<Name>, promise: Promise) {
        self.seal();
        self.submit(Op::Remove { files, promise });
    }

    /// The index; none when it would not add up, as after a loss.
    fn index(&self, first_ns: i64) -> Option<Index> {
        let blocks: Vec<BlockEntry> = self
            .blocks
            .iter()
            .map(|block| BlockEntry {
                index: block.index,
                bytes: block.bytes,
                first_seq: block.first_seq,
                first_ns: block.first_ts_ns.unwrap_or(block.oldest_ns),
                last_seq: block.last_seq,
                last_ns: block.last_ts_ns,
                ttls: block.ttls,
                schedules: block.schedules,
                deleted: block.deleted.clone(),
            })
            .collect();
        let last = self.blocks.back()?;
        let fits = !self.subjects_uncertain
            && blocks.iter().map(|block| block.bytes).sum::<u64>() == self.state.bytes
            && blocks.iter().map(BlockEntry::messages).sum::<u64>() == self.state.messages;
        let totals = Totals {
            messages: self.state.messages,
            bytes: self.state.bytes,
            first_seq: self.state.first_seq,
            first_ns,
            last_seq: self.state.last_seq,
            last_ns: self.state.last_ts_ns,
        };
        // While limits have yet to be enforced, what follows cannot be derived from this state.
        let limits = (!self.is_over_limits()).then(|| self.config.removing_limits());
        fits.then_some(Index { totals, blocks, last_block: last.index, last_checksum: last.checksum, limits })
    }
}
