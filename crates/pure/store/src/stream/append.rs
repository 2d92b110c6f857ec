//! Records at the end.

use bytes::{Bytes, BytesMut};
use midge_stdx::clock::{Mono, Now};

use super::block::Block;
use super::cache::Cache;
use super::load::MAX_FILLED;
use super::message::header;
use super::{Discard, MEMORY_OVERHEAD, Medium, Store, StoreError, SubjectState};
use crate::format::keys::AssetKey;
use crate::format::names;
use crate::format::record::{
    self, EMPTY_LEN, MAX_LEN, MAX_SEQ, MAX_SUBJECT_LEN, RecordKey, Refused, Written, message_len,
};
use crate::port::{Name, Op, Promise};

/// Bytes that are encoded into one piece of memory.
const TAIL_LEN: usize = 64 << 10;
/// Deleted sequences that a block may have before a skip begins the next one.
const MAX_SKIPPED: u64 = 64 << 10;

/// A message to be stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewMessage<'a> {
    /// The subject; empty in a log.
    pub subject: &'a [u8],
    /// The header block; empty when there is none.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// Seconds after which it goes; 0 for none.
    pub ttl_s: u64,
    /// It has a schedule.
    pub scheduled: bool,
}

impl Store {
    /// Appends a message at the next sequence, and answers which that is. Checks limits as [`Store::append_at`] with `check`.
    ///
    /// Cost: O(length of the subject), and what limits remove.
    ///
    /// # Errors
    /// Nothing is stored.
    pub fn append(&mut self, now: Now, message: &NewMessage<'_>) -> Result<u64, StoreError> {
        self.append_at(0, now.wall.0, now.mono, message, true)
    }

    /// Appends a message at a sequence, which has to be the next one or 0, with its time. With `check`, limits with [`Discard::New`] refuse it;
    /// without, as on a replica, they do not.
    ///
    /// # Errors
    /// Nothing is stored.
    pub fn append_at(
        &mut self,
        seq: u64,
        ts_ns: i64,
        now: Mono,
        message: &NewMessage<'_>,
        check: bool,
    ) -> Result<u64, StoreError> {
        self.writable()?;
        self.now = now;
        let NewMessage { subject, headers, payload, .. } = *message;
        let record_len = message_len(subject.len(), headers.len(), payload.len());
        let counted = match self.config.medium {
            Medium::File => record_len,
            Medium::Memory => (subject.len() + headers.len() + payload.len() + MEMORY_OVERHEAD) as u64,
        };
        if check && self.config.discard == Discard::New {
            self.refuse_new(subject, headers, counted)?;
        }
        let seq = self.next_seq(seq)?;
        if record_len > MAX_LEN as u64 {
            return Err(StoreError::TooLarge);
        }
        if subject.len() > MAX_SUBJECT_LEN || seq > MAX_SEQ {
            return Err(StoreError::Unstorable);
        }
        let block = self.room(record_len as u32);
        let at = self.write(block, |out, key| {
            record::encode_message(out, key, seq, ts_ns, subject, headers, payload)
        })?;
        self.count_new(block, seq, ts_ns, counted as u32, at);
        if message.ttl_s > 0 && self.config.ttl {
            let ttl_ns = i64::try_from(message.ttl_s.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
            self.wheel.add(seq, ts_ns.saturating_add(ttl_ns));
            self.blocks[block].ttls += 1;
        }
        self.blocks[block].schedules += u64::from(message.scheduled);
        if !subject.is_empty() {
            self.count_subject(block, subject, seq, counted as u32);
        }
        self.enforce_stream_limits();
        Ok(seq)
    }

    pub(super) fn writable(&self) -> Result<(), StoreError> {
        if self.closed {
            return Err(StoreError::Closed);
        }
        match self.failure() {
            Some(error) => Err(StoreError::Disk(error.clone())),
            None => Ok(()),
        }
    }

    fn next_seq(&self, seq: u64) -> Result<u64, StoreError> {
        let next = self.state.last_seq + 1;
        if seq == 0 || seq == next { Ok(next) } else { Err(StoreError::Sequence) }
    }

    /// The limits of [`Discard::New`].
    fn refuse_new(&self, subject: &[u8], headers: &[u8], counted: u64) -> Result<(), StoreError> {
        let config = &self.config;
        let mut replaced = None;
        if config.max_msgs_per_subject > 0
            && let Some(state) = self.subjects.get(subject)
            && state.total() >= config.max_msgs_per_subject
        {
            if config.discard_new_per_subject && header(headers, b"Nats-Rollup").is_none() {
                return Err(StoreError::MaxMsgsPerSubject);
            }
            // What is replaced is the oldest; its length is known only when it is the last as well, or cached.
            replaced = Some(self.oldest_counted(subject, state).unwrap_or(0));
        }
        if config.max_msgs > 0 && self.state.messages >= config.max_msgs && replaced.is_none() {
            return Err(StoreError::MaxMsgs);
        }
        let over = config.max_bytes > 0 && self.state.bytes + counted > config.max_bytes;
        if over && replaced.is_none_or(|replaced| u64::from(replaced) < counted) {
            return Err(StoreError::MaxBytes);
        }
        Ok(())
    }

    /// What the oldest message of a subject counts for, if that can be told without a file.
    fn oldest_counted(&self, subject: &[u8], state: &SubjectState) -> Option<u32> {
        if state.total() == 1 && state.last_len > 0 {
            return Some(state.last_len);
        }
        let block = self.blocks.get(self.block_from(state.first_block))?;
        let seq = block.whole()?.postings.as_deref()?.get(subject)?.first()?;
        let (cache, at) = block.cached(seq)?;
        Some(self.counted(&cache.record(at)?.0))
    }

    /// The last block, or a new one, with room for a record.
    pub(super) fn room(&mut self, record_len: u32) -> usize {
        match self.blocks.back() {
            Some(last)
                if !last.sealed
                    && (last.raw_len == 0
                        || last.raw_len.saturating_add(record_len) <= self.config.block_len) =>
            {
                self.blocks.len() - 1
            }
            _ => self.roll(),
        }
    }

    /// Begins a new block.
    pub(super) fn roll(&mut self) -> usize {
        self.seal();
        self.keep_sources();
        let index = self.next_index;
        self.next_index += 1;
        let mut block = Block::new(index, self.state.last_seq, self.state.last_ts_ns);
        block.cache = Some(Box::new(Cache::empty(0).used_at(self.now)));
        block.key = self.new_key(index);
        if let Some(last) = self.blocks.back_mut() {
            last.record_key = None;
        }
        self.blocks.push_back(block);
        let last = self.blocks.len() - 1;
        if let Some(before) = last.checked_sub(1) {
            let full = &self.blocks[before];
            let len = u64::from(full.raw_len);
            if self.disk.is_some() && full.written == full.raw_len {
                self.pack(before);
            }
            self.block_filled(len);
            self.evict_left(MAX_FILLED, before);
        }
        self.tail_at = 0;
        last
    }

    /// Draws the key of a new block and has it stored; none without encryption.
    pub(super) fn new_key(&mut self, index: u32) -> Option<Box<AssetKey>> {
        let encryption = self.disk.as_mut()?.encryption.as_mut()?;
        let (key, file) = encryption.block_key(&self.config.name, index);
        let path = format!("{}/{}", names::MESSAGES, names::block_key_file(index));
        // Without its key, a block is lost.
        let promise = Promise::Durable;
        self.submit(Op::Replace { files: vec![(Name::Path(path.into()), file.into())], promise });
        Some(Box::new(key))
    }

    /// Encodes a record at the end of the last block; answers where it begins.
    pub(super) fn write(
        &mut self,
        block: usize,
        encode: impl FnOnce(&mut Vec<u8>, &RecordKey) -> Result<Written, Refused>,
    ) -> Result<u32, StoreError> {
        // Not after it was written: it is submitted with the sequences that are counted by then, its own among them.
        if self.tail.len() >= TAIL_LEN {
            self.seal();
        }
        let state = &mut self.blocks[block];
        if self.tail.is_empty() {
            self.tail_at = state.raw_len;
            self.tail.reserve(self.tail_len);
        }
        let (name, index) = (&*self.config.name, state.index);
        let key = state.record_key.get_or_insert_with(|| Box::new(RecordKey::new(name, index)));
        let written = encode(&mut self.tail, key)?;
        let at = state.raw_len;
        state.raw_len += written.len;
        state.checksum = written.checksum;
        Ok(at)
    }

    /// Hands the encoded records to the cache and to the disk.
    pub(super) fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        self.tail_len = self.tail.len().min(TAIL_LEN);
        let bytes = Bytes::from(std::mem::take(&mut self.tail));
        let (at, used) = (self.tail_at, self.now);
        let Some(block) = self.blocks.back_mut() else { return };
        let index = block.index;
        let cipher = block.key.as_deref().map(|key| encrypt(key, at, &bytes));
        let cache = block.cache.get_or_insert_with(|| Box::new(Cache::empty(at)));
        cache.used = used;
        cache.push(at, bytes.clone());
        if self.disk.is_some() {
            let promise = self.promise();
            let bytes = cipher.unwrap_or(bytes);
            self.submit(Op::Write { block: index, offset: u64::from(at), bytes, promise });
        }
    }

    /// Counts a message that was written at `at`.
    fn count_new(&mut self, block: usize, seq: u64, ts_ns: i64, counted: u32, at: u32) {
        let used = self.now;
        let state = &mut self.blocks[block];
        let cache = state.cache.get_or_insert_with(|| Box::new(Cache::empty(at).used_at(used)));
        cache.offsets.push(seq, at);
        extend(state, seq, ts_ns, counted);
        self.last_recorded = state.index;
        if self.state.messages == 0 {
            self.state.first_seq = seq;
        }
        self.state.messages += 1;
        self.state.bytes += u64::from(counted);
        (self.state.last_seq, self.state.last_ts_ns) = (seq, ts_ns);
    }

    /// Counts the subject of a new message, and removes the oldest ones above the limit of the subject.
    pub(super) fn count_subject(&mut self, block: usize, subject: &[u8], seq: u64, counted: u32) {
        let index = self.blocks[block].index;
        let most = self.config.max_msgs_per_subject;
        let state = self.subjects.get_or_insert_with(subject, || SubjectState::new(index));
        let before = state.last_seq().map(|seq| (seq, state.last_len));
        state.push(seq, counted, index);
        let total = state.total();
        if let Some(postings) = self.blocks[block].cache.as_mut().and_then(|cache| cache.postings.as_mut()) {
            postings.push(subject, seq);
        }
        if most == 0 || total <= most {
            return;
        }
        match before {
            Some((old, len)) if total == 2 => self.removed_by_limit(old, len, subject),
            _ => self.owe(subject),
        }
    }

    /// Consumes a sequence, the next one or 0 for it, without a message. With `touch`, the time of the stream becomes `now`.
    pub fn skip(&mut self, seq: u64, now: Now, touch: bool) -> Result<u64, StoreError> {
        let seq = self.next_seq(seq)?;
        self.skip_range(seq, 1, now, touch)?;
        Ok(seq)
    }

    /// Consumes `count` sequences from `seq`, the next one, on: one record for all of them.
    pub fn skip_range(&mut self, seq: u64, count: u64, now: Now, touch: bool) -> Result<(), StoreError> {
        self.writable()?;
        self.now = now.mono;
        let first = self.next_seq(seq)?;
        let Some(more) = count.checked_sub(1) else { return Ok(()) };
        let last = first.checked_add(more).filter(|last| *last <= MAX_SEQ).ok_or(StoreError::Unstorable)?;
        let ts_ns = if touch || self.state.last_ts_ns == 0 { now.wall.0 } else { self.state.last_ts_ns };
        let mut block = self.room(EMPTY_LEN as u32);
        let state = &self.blocks[block];
        if state.messages > 0 && state.deleted.len() + count > MAX_SKIPPED {
            block = self.roll();
        }
        if self.config.medium == Medium::File {
            self.write(block, |out, key| record::encode_skip(out, key, last, ts_ns))?;
        }
        let state = &mut self.blocks[block];
        self.last_recorded = state.index;
        if state.messages == 0 {
            state.first_seq = last + 1;
        } else {
            state.deleted.insert_range(first, last);
        }
        (state.last_seq, state.last_ts_ns) = (last, ts_ns);
        (self.state.last_seq, self.state.last_ts_ns) = (last, ts_ns);
        if self.state.messages == 0 {
            self.state.first_seq = last + 1;
        }
        Ok(())
    }

    /// Appends the tombstone of a sequence.
    pub(super) fn tombstone(&mut self, seq: u64, ts_ns: i64) -> Result<(), StoreError> {
        if self.config.medium == Medium::Memory {
            return Ok(());
        }
        let block = self.room(EMPTY_LEN as u32);
        let own = self.blocks[block].first_seq <= seq && seq <= self.blocks[block].last_seq;
        self.write(block, |out, key| record::encode_tombstone(out, key, seq, ts_ns))?;
        let state = &mut self.blocks[block];
        state.tombstones |= !own;
        if seq == self.state.last_seq {
            self.last_recorded = state.index;
        }
        Ok(())
    }

    /// A new last block that holds nothing but the last sequence.
    pub(super) fn begin_empty(&mut self) -> Result<(), StoreError> {
        let block = self.roll();
        let (seq, ts_ns) = (self.state.last_seq, self.state.last_ts_ns);
        if self.config.medium == Medium::File && seq > 0 {
            // A skip, not a tombstone: should the older blocks still be there after a crash, it says nothing.
            self.write(block, |out, key| record::encode_skip(out, key, seq, ts_ns))?;
            self.last_recorded = self.blocks[block].index;
            // What comes next may remove the older blocks.
            self.seal();
        }
        Ok(())
    }
}

/// Adds a live message to the account of its block.
pub(super) fn extend(block: &mut Block, seq: u64, ts_ns: i64, counted: u32) {
    if block.messages == 0 {
        (block.first_seq, block.first_ts_ns, block.oldest_ns) = (seq, Some(ts_ns), ts_ns);
        block.deleted.clear();
    } else if seq > block.last_seq + 1 {
        block.deleted.insert_range(block.last_seq + 1, seq - 1);
    }
    block.messages += 1;
    block.bytes += u64::from(counted);
    (block.last_seq, block.last_ts_ns) = (seq, ts_ns);
}

/// The bytes as they stand in an encrypted file.
pub(super) fn encrypt(key: &AssetKey, at: u32, plain: &[u8]) -> Bytes {
    let mut out = BytesMut::from(plain);
    // A block ends long before the keystream does.
    let _ = key.keystream().apply(u64::from(at), &mut out);
    out.freeze()
}
