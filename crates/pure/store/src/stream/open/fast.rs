//! From the index, when it says what the files are.

use midge_codec::cursor::Cursor;
use midge_index::stree::SubjectTree;

use super::blocks::End;
use super::folder::{messages, read};
use super::keys::staged;
use super::replay::Replay;
use super::report::{How, Recovery};
use super::{Context, Image, OpenError};
use crate::format::index_db::{self, BlockEntry, Index, IndexError};
use crate::format::keys::AssetKey;
use crate::format::names;
use crate::format::record::{CHECKSUM_LEN, Kind, MAX_SEQ, RecordKey, peek_len};
use crate::format::scan::Walk;
use crate::port::{DiskError, Files};
use crate::recover::History;
use crate::stream::cache::Cache;
use crate::stream::{Block, State, SubjectState};

/// An index that could be read.
pub(super) struct IndexFile {
    pub(super) index: Index,
    pub(super) subjects: SubjectTree<SubjectState>,
}

/// What to go on with.
pub(super) enum Verdict {
    /// The state.
    Image(Box<Image>),
    /// The blocks have to be read; the index, if it is one of this store, still knows deletions.
    Rebuild(Option<Box<Index>>),
}

/// Reads the index. Why there is none becomes the cause of a rebuild.
pub(super) fn read_index(
    files: &dyn Files,
    folder: &str,
    stream: &str,
    key: Option<&AssetKey>,
    recovery: &mut Recovery,
) -> Result<Option<IndexFile>, DiskError> {
    let path = format!("{}/{}", messages(folder), names::INDEX);
    let mut cause = String::from("there is no index");
    for place in [&staged(&path), &path] {
        let Some(file) = read(files, place)? else { continue };
        match decode(&file, stream, key) {
            Ok(index) => {
                if *place != path {
                    // The key that it is under took its place already.
                    files.rename(place, &path)?;
                    files.sync_folder(&messages(folder))?;
                }
                return Ok(Some(index));
            }
            Err(error) => cause = error.to_string(),
        }
    }
    recovery.how = How::Rebuilt { cause };
    Ok(None)
}

fn decode(file: &[u8], stream: &str, key: Option<&AssetKey>) -> Result<IndexFile, IndexError> {
    // Subjects come before blocks; of their last messages only the bound is known.
    let body = index_db::open(file, stream, key)?;
    let mut cursor = Cursor::new(&body);
    cursor.u16()?;
    for _ in 0..3 {
        cursor.uv()?;
    }
    cursor.sv()?;
    let bound = cursor.uv()?;
    let (mut subjects, mut sum) = (SubjectTree::new(), 0u64);
    let index = index_db::decode(file, stream, key, &mut |entry| {
        if entry.messages > 0 {
            sum = sum.saturating_add(entry.messages);
            let mut state = SubjectState::new(entry.first_block);
            state.set_total(entry.messages);
            state.set_last(bound, 0, entry.last_block);
            subjects.insert(entry.subject, state);
        }
    })?;
    // Logs have no subjects; elsewhere a subject that the writer could not count is found by reading.
    if !subjects.is_empty() && sum != index.totals.messages {
        return Err(IndexError::Sums { what: "messages of subjects" });
    }
    Ok(IndexFile { index, subjects })
}

/// Where the records begin that were written after the index, and whether the record before them is good.
fn mark(plain: &[u8], key: &RecordKey, checksum: &[u8; CHECKSUM_LEN], empty: bool) -> Option<usize> {
    let at = Walk::new(plain, 0).map_while(Result::ok).find(|(_, record)| record.checksum() == *checksum);
    match at {
        Some((at, record)) if record.verify(key) => Some(at + record.len()),
        _ if empty && *checksum == [0; CHECKSUM_LEN] => Some(0),
        _ => None,
    }
}

impl Context<'_> {
    /// Takes the state from the index, and what was written after it from the blocks.
    pub(super) fn fast(&mut self, file: Option<IndexFile>) -> Result<Verdict, OpenError> {
        let Some(IndexFile { index, subjects }) = file else { return Ok(Verdict::Rebuild(None)) };
        match self.accept(&index, subjects)? {
            Ok(image) => Ok(Verdict::Image(Box::new(image))),
            Err(cause) => {
                self.blocks.end = None;
                let known = self.is_ours(&index)?;
                let cause = if known { cause } else { format!("{cause}; the index is of other messages") };
                self.recovery.how = How::Rebuilt { cause };
                Ok(Verdict::Rebuild(known.then(|| Box::new(index))))
            }
        }
    }

    /// Whether the index speaks of these messages: the time of one that it describes tells. Without any that is left, it does.
    fn is_ours(&mut self, index: &Index) -> Result<bool, OpenError> {
        let mut buffer = Vec::new();
        let there: Vec<(u32, u64, i64)> = index
            .blocks
            .iter()
            .rev()
            .filter(|entry| self.blocks.len(entry.index).is_some())
            .take(3)
            .map(|entry| (entry.index, entry.last_seq, entry.last_ns))
            .collect();
        for (number, last_seq, last_ns) in there {
            let key = self.record_key(number);
            let plain = self.read_block(number, &key, &mut buffer)?;
            let found = Walk::new(&plain.records, 0)
                .map_while(Result::ok)
                .find(|(_, r)| r.seq == last_seq && matches!(r.kind, Kind::Message { .. }) && r.verify(&key));
            if let Some((_, record)) = found {
                return Ok(record.ts_ns == last_ns);
            }
        }
        Ok(true)
    }

    /// Whether the index is followed by nothing that other limits than the present ones removed.
    pub(super) fn vouched(&self, index: &Index) -> bool {
        index.limits == Some(self.config.removing_limits())
    }

    fn accept(
        &mut self,
        index: &Index,
        subjects: SubjectTree<SubjectState>,
    ) -> Result<Result<Image, String>, OpenError> {
        let mut blocks = Vec::with_capacity(index.blocks.len());
        let mut before = 0;
        for entry in &index.blocks {
            let last = entry.index == index.last_block;
            if let Err(cause) = check_entry(entry, before, blocks.last()) {
                return Ok(Err(cause));
            }
            before = entry.last_seq;
            match self.blocks.len(entry.index) {
                None if last || entry.messages() > 0 => {
                    return Ok(Err(format!("block {} is not there", entry.index)));
                }
                None => continue,
                Some(_) => {}
            }
            match self.indexed_block(entry, last)? {
                Ok(block) => blocks.push(block),
                Err(cause) => return Ok(Err(cause)),
            }
        }
        let listed = |number: &u32| blocks.binary_search_by_key(number, |block: &Block| block.index).is_ok();
        let numbers = self.blocks.numbers();
        // One that was removed before the index was written: all in it was deleted then.
        let old = numbers.iter().filter(|number| **number <= index.last_block && !listed(number));
        let old: Vec<String> = old.map(|number| names::block_file(*number)).collect();
        let newer: Vec<u32> = numbers.iter().copied().filter(|number| *number > index.last_block).collect();
        let totals = &index.totals;
        if totals.last_seq > MAX_SEQ || before > totals.last_seq {
            return Ok(Err("sequences of blocks are above the last one".into()));
        }
        let state = State {
            messages: totals.messages,
            bytes: totals.bytes,
            first_seq: totals.first_seq,
            last_seq: totals.last_seq,
            last_ts_ns: totals.last_ns,
        };
        let mut image = Image { state, blocks, subjects };
        let result = self.replay(index, &mut image, &newer)?;
        if let Err(cause) = result {
            return Ok(Err(cause));
        }
        self.recovery.foreign.extend(old);
        self.recovery.vouched = self.vouched(index);
        image.find_first(self.config);
        if let Some(first) = image.blocks.iter_mut().find(|block| block.messages > 0)
            && first.first_seq == totals.first_seq
        {
            first.first_ts_ns = Some(totals.first_ns);
        }
        Ok(Ok(image))
    }

    /// A block as the index describes it, if its file can be that.
    fn indexed_block(&mut self, entry: &BlockEntry, last: bool) -> Result<Result<Block, String>, OpenError> {
        let (head, tail, len) = self.ends(entry.index)?;
        let mut raw_len = len;
        let mut compressed = false;
        if head.starts_with(b"cmp") && len > 5 {
            if peek_len(&head, 0).is_some_and(|first| u64::from(first) <= len) {
                // The first record may only look like the mark.
                let (key, mut buffer) = (self.record_key(entry.index), Vec::new());
                let plain = self.read_block(entry.index, &key, &mut buffer)?;
                (compressed, raw_len) = (plain.compressed, plain.records.len() as u64);
            } else {
                let mut cursor = Cursor::new(head.get(4..).unwrap_or_default());
                (compressed, raw_len) = (true, cursor.uv().unwrap_or(0));
            }
        } else if len > 0 && !last && peek_len(&head, 0).is_none_or(|first| u64::from(first) > len) {
            return Ok(Err(format!("block {} does not start with a record", entry.index)));
        }
        let Some(raw_len) = u32::try_from(raw_len).ok().filter(|raw| u64::from(*raw) >= entry.bytes) else {
            return Ok(Err(format!("block {} is shorter than its messages", entry.index)));
        };
        let mut block = Block::new(entry.index, entry.last_seq, entry.last_ns);
        block.first_seq = entry.first_seq;
        let messages = entry.messages();
        if messages > 0 {
            block.oldest_ns = entry.first_ns;
            block.deleted = entry.deleted.clone();
        }
        (block.messages, block.bytes) = (messages, entry.bytes);
        (block.raw_len, block.written, block.checksum) = (raw_len, raw_len, tail);
        (block.ttls, block.schedules) = (entry.ttls, entry.schedules);
        // What the rest of the file is was not looked at.
        block.tombstones = u64::from(raw_len) > entry.bytes;
        block.compressed = compressed;
        block.key = self.keys.get(&entry.index).cloned().map(Box::new);
        Ok(Ok(block))
    }

    /// Applies what was written after the index.
    fn replay(
        &mut self,
        index: &Index,
        image: &mut Image,
        newer: &[u32],
    ) -> Result<Result<(), String>, OpenError> {
        let Some(last) = image.blocks.last() else {
            return Ok(if newer.is_empty() { Ok(()) } else { Err("the index has no blocks".into()) });
        };
        let (number, empty) = (last.index, last.messages == 0);
        let key = self.record_key(number);
        let mut buffer = Vec::new();
        let plain = self.read_block(number, &key, &mut buffer)?;
        let compressed = plain.compressed;
        if plain.fault.is_some() {
            return Ok(Err(format!("block {number} cannot be decompressed")));
        }
        let records = bytes::Bytes::from(plain.records.into_owned());
        let constant = self.history == History::Constant || self.vouched(index);
        let Some(mark) = mark(&records, &key, &index.last_checksum, empty) else {
            return Ok(Err("the last record of the index is not in its block".into()));
        };
        let mut replay = Replay::new(self, image, constant);
        let mut end = match replay.block(&records, &key, mark, newer.is_empty())? {
            Ok(end) => End { good_end: end as u64, sealed: compressed },
            Err(cause) => return Ok(Err(cause)),
        };
        for (at, number) in newer.iter().enumerate() {
            match replay.new_block(*number, at + 1 == newer.len())? {
                Ok(next) => end = next,
                Err(cause) => return Ok(Err(cause)),
            }
        }
        let count = replay.records;
        self.recovery.how =
            if count > 0 || !newer.is_empty() { How::Replayed { records: count } } else { How::Index };
        if let Some(last) = image.blocks.last_mut() {
            if !end.sealed {
                last.raw_len = end.good_end as u32;
            }
            last.written = last.raw_len;
            last.cache = Some(Box::new(Cache::empty(last.raw_len)));
        }
        self.blocks.end = Some(end);
        Ok(Ok(()))
    }
}

fn check_entry(entry: &BlockEntry, before: u64, last: Option<&Block>) -> Result<(), String> {
    let number = entry.index;
    if last.is_some_and(|last| last.index >= number) || number == 0 {
        return Err("blocks of the index are out of order".into());
    }
    let spans = entry.first_seq <= entry.last_seq;
    let within = entry.deleted.min().is_none_or(|min| min > entry.first_seq)
        && entry.deleted.max().is_none_or(|max| max <= entry.last_seq);
    let follows = if spans { entry.first_seq > before } else { entry.last_seq >= before };
    if !follows || entry.last_seq > MAX_SEQ || (spans && !within) {
        return Err(format!("sequences of block {number} in the index are out of order"));
    }
    Ok(())
}
