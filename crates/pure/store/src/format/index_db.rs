//! `index.db`: the state of a stream and of its blocks, so that opening it does not read every message.
//!
//! ```text
//!  u8 11 │ u8 version │ uv messages │ uv bytes │ uv first seq │ sv first ns │ uv last seq │ sv last ns
//!  uv subjects │ each: uv length, subject, uv messages, uv first block, uv last block
//!  uv blocks   │ each: uv index, uv bytes, uv first seq, sv first ns − base, uv last seq, sv last ns − base,
//!                      uv deleted, uv with TTL, uv with schedule, [sequence set]
//!  uv last block │ last 8 bytes of that block, zeros when it is empty │ [u8 109 │ uv × 3: limits] │ named hash of all before, as on disk
//! ```
//!
//! The limits (messages, bytes, messages of a subject; 0 for none) are ours: those that removed since. Other servers pass over them and write none.
//!
//! In encrypted stores everything before the hash is sealed. The base of times is the first time of the stream. Version 4 is written;
//! versions before 4 leave out the last block of a subject with one message, before 3 the schedules, before 2 the TTLs.

use std::borrow::Cow;

use midge_codec::cursor::{Cursor, CursorError};
use midge_codec::varint::{put_bytes, put_sv, put_uv};
use midge_index::seqset::{SeqSet, SeqSetError};
use midge_stdx::entropy::Entropy;
use midge_stdx::hash::NamedHash;
use midge_subject::name::is_valid_subject_strict;

use super::encrypt::OpenError;
use super::keys::AssetKey;
use super::record::CHECKSUM_LEN;
use crate::recover::Limits;

const MAGIC: u8 = 11;
const VERSION: u8 = 4;
/// What limits begin with.
const LIMITS: u8 = b'm';
/// The shortest file, in bytes.
pub const MIN_LEN: usize = 32;

/// The totals of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Live messages.
    pub messages: u64,
    /// The lengths of their records, in bytes.
    pub bytes: u64,
    /// The first live sequence.
    pub first_seq: u64,
    /// Its Unix time in nanoseconds; 0 for none.
    pub first_ns: i64,
    /// The last sequence, live or not.
    pub last_seq: u64,
    /// Its Unix time in nanoseconds; 0 for none.
    pub last_ns: i64,
}

/// What is known of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectEntry<'a> {
    /// The subject.
    pub subject: &'a [u8],
    /// Its live messages in the stream.
    pub messages: u64,
    /// No block before this one has any.
    pub first_block: u32,
    /// No block after this one has any.
    pub last_block: u32,
}

/// What is known of a block. One without live messages has a first sequence above its last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockEntry {
    /// Its number.
    pub index: u32,
    /// The lengths of the records of live messages.
    pub bytes: u64,
    /// The first live sequence.
    pub first_seq: u64,
    /// Its Unix time in nanoseconds.
    pub first_ns: i64,
    /// The last sequence.
    pub last_seq: u64,
    /// Its Unix time in nanoseconds.
    pub last_ns: i64,
    /// Live messages with a TTL.
    pub ttls: u64,
    /// Live messages with a schedule.
    pub schedules: u64,
    /// Sequences between the first and the last that are not live.
    pub deleted: SeqSet,
}

impl BlockEntry {
    /// Live messages.
    pub fn messages(&self) -> u64 {
        let span = self.last_seq.checked_sub(self.first_seq).map_or(0, |distance| distance.saturating_add(1));
        span.saturating_sub(self.deleted.len())
    }
}

/// All but the subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The totals.
    pub totals: Totals,
    /// The blocks, in the order of the file.
    pub blocks: Vec<BlockEntry>,
    /// The last block.
    pub last_block: u32,
    /// The last bytes of its plaintext. When they differ, the block was written to after the index.
    pub last_checksum: [u8; CHECKSUM_LEN],
    /// The limits that removed from then on, while this index stood. None from other servers, which tell nothing of them.
    pub limits: Option<Limits>,
}

/// Why the index is not used, and the blocks are read instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Shorter than [`MIN_LEN`].
    #[error("stream state of {len} bytes is too short")]
    Short {
        /// Its length in bytes.
        len: usize,
    },
    /// The hash at the end is another one.
    #[error("stream state checksum did not match")]
    Checksum,
    /// It does not open under the key of the stream.
    #[error("stream state: {0}")]
    Sealed(#[from] OpenError),
    /// Another file, or written by a newer server.
    #[error("stream state: magic {magic}, version {version}")]
    Version {
        /// The first byte.
        magic: u8,
        /// The second byte.
        version: u8,
    },
    /// A number that is none, or more than the file holds.
    #[error("stream state: {0}")]
    Malformed(#[from] CursorError),
    /// A subject that cannot be stored.
    #[error("stream state: bad subject at offset {at}")]
    Subject {
        /// Where it starts.
        at: usize,
    },
    /// A number of a block above 32 bits.
    #[error("stream state: bad block number at offset {at}")]
    Block {
        /// After what was read when it was noticed.
        at: usize,
    },
    /// The deleted sequences of a block.
    #[error("stream state: deleted sequences of block {block}: {error}")]
    Deleted {
        /// The block.
        block: u32,
        /// What is wrong.
        error: SeqSetError,
    },
    /// As many deleted sequences as stated, or the totals, do not follow from the entries.
    #[error("stream state does not add up: {what}")]
    Sums {
        /// Which number.
        what: &'static str,
    },
}

/// Checks length and hash, and opens an encrypted file: the part of reading that does not look at the content.
pub fn open<'a>(file: &'a [u8], stream: &str, key: Option<&AssetKey>) -> Result<Cow<'a, [u8]>, IndexError> {
    let short = IndexError::Short { len: file.len() };
    let (body, hash) =
        file.split_last_chunk::<CHECKSUM_LEN>().filter(|_| file.len() >= MIN_LEN).ok_or(short)?;
    if NamedHash::new(stream.as_bytes()).sum(&[body]) != *hash {
        return Err(IndexError::Checksum);
    }
    Ok(match key {
        Some(key) => Cow::Owned(key.unseal(body)?),
        None => Cow::Borrowed(body),
    })
}

/// Reads a whole file. `subject` is given every subject in turn, in any order, before later parts of the file are checked: what it gathered
/// counts for nothing after an error.
///
/// # Errors
/// Everything that can be told from the bytes alone. Whether the blocks are as described is for the store to find out.
pub fn decode(
    file: &[u8],
    stream: &str,
    key: Option<&AssetKey>,
    subject: &mut dyn FnMut(SubjectEntry<'_>),
) -> Result<Index, IndexError> {
    let body = open(file, stream, key)?;
    let mut cursor = Cursor::new(&body);
    let (magic, version) = (cursor.u8()?, cursor.u8()?);
    if magic != MAGIC || !(1..=VERSION).contains(&version) {
        return Err(IndexError::Version { magic, version });
    }
    let totals = Totals {
        messages: cursor.uv()?,
        bytes: cursor.uv()?,
        first_seq: cursor.uv()?,
        first_ns: cursor.sv()?,
        last_seq: cursor.uv()?,
        last_ns: cursor.sv()?,
    };
    for _ in 0..cursor.uv_count(if version < 4 { 3 } else { 4 })? {
        subject(decode_subject(&mut cursor, version)?);
    }
    let count = cursor.uv_count(7)?;
    let mut blocks = Vec::with_capacity(count);
    for _ in 0..count {
        blocks.push(decode_block(&mut cursor, version, totals.first_ns)?);
    }
    let last_block = block_number(&mut cursor)?;
    let last_checksum = cursor.array()?;
    let limits = decode_limits(&mut cursor)?;
    if !cursor.is_empty() {
        return Err(IndexError::Sums { what: "length" });
    }
    let index = Index { totals, blocks, last_block, last_checksum, limits };
    check_sums(&index)?;
    Ok(index)
}

fn block_number(cursor: &mut Cursor<'_>) -> Result<u32, IndexError> {
    let number = cursor.uv()?;
    u32::try_from(number).map_err(|_| IndexError::Block { at: cursor.position() })
}

fn decode_limits(cursor: &mut Cursor<'_>) -> Result<Option<Limits>, IndexError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    if cursor.u8()? != LIMITS {
        return Err(IndexError::Sums { what: "length" });
    }
    let (max_msgs, max_bytes, max_msgs_per_subject) = (cursor.uv()?, cursor.uv()?, cursor.uv()?);
    Ok(Some(Limits { max_msgs, max_bytes, max_msgs_per_subject }))
}

fn decode_subject<'a>(cursor: &mut Cursor<'a>, version: u8) -> Result<SubjectEntry<'a>, IndexError> {
    let len = cursor.uv_len()?;
    let at = cursor.position();
    let subject = cursor.bytes(len)?;
    if !is_valid_subject_strict(subject) {
        return Err(IndexError::Subject { at });
    }
    let messages = cursor.uv()?;
    let first_block = block_number(cursor)?;
    let last_block = if version >= 4 || messages > 1 { block_number(cursor)? } else { first_block };
    Ok(SubjectEntry { subject, messages, first_block, last_block })
}

fn decode_block(cursor: &mut Cursor<'_>, version: u8, base_ns: i64) -> Result<BlockEntry, IndexError> {
    let mut block = BlockEntry {
        index: block_number(cursor)?,
        bytes: cursor.uv()?,
        first_seq: cursor.uv()?,
        first_ns: cursor.sv()?.wrapping_add(base_ns),
        last_seq: cursor.uv()?,
        last_ns: cursor.sv()?.wrapping_add(base_ns),
        ..BlockEntry::default()
    };
    let deleted = cursor.uv()?;
    block.ttls = if version >= 2 { cursor.uv()? } else { 0 };
    block.schedules = if version >= 3 { cursor.uv()? } else { 0 };
    if deleted > 0 {
        block.deleted =
            SeqSet::decode(cursor).map_err(|error| IndexError::Deleted { block: block.index, error })?;
    }
    if block.deleted.len() != deleted {
        return Err(IndexError::Sums { what: "deleted sequences of a block" });
    }
    Ok(block)
}

fn check_sums(index: &Index) -> Result<(), IndexError> {
    let sum = |of: fn(&BlockEntry) -> u64| index.blocks.iter().map(of).fold(0u64, u64::saturating_add);
    let totals = &index.totals;
    let first = index.blocks.iter().filter(|block| block.messages() > 0).map(|block| block.first_seq).min();
    let wrong = if index.blocks.last().map_or(0, |block| block.index) != index.last_block {
        "last block"
    } else if sum(BlockEntry::messages) != totals.messages {
        "messages"
    } else if sum(|block| block.bytes) != totals.bytes {
        "bytes"
    } else if totals.first_seq > 1 && first.is_some_and(|first| first != totals.first_seq) {
        "first sequence"
    } else {
        return Ok(());
    };
    Err(IndexError::Sums { what: wrong })
}

/// More deleted sequences in one block than the format has room for. Such an index is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deleted sequences of block {block} exceed what an index can hold")]
pub struct TooManyDeleted {
    /// The block.
    pub block: u32,
}

/// Writes a file, of version 4. `subjects` has to give as many subjects as `count`.
///
/// With a key and a source of nonces, the file is encrypted.
pub fn encode<'a>(
    index: &Index,
    count: usize,
    subjects: impl Iterator<Item = SubjectEntry<'a>>,
    stream: &str,
    key: Option<(&AssetKey, &mut dyn Entropy)>,
) -> Result<Vec<u8>, TooManyDeleted> {
    let mut out = Vec::with_capacity(64 + count * 32 + index.blocks.len() * 48);
    let totals = &index.totals;
    out.extend_from_slice(&[MAGIC, VERSION]);
    [totals.messages, totals.bytes, totals.first_seq].into_iter().for_each(|value| put_uv(&mut out, value));
    put_sv(&mut out, totals.first_ns);
    put_uv(&mut out, totals.last_seq);
    put_sv(&mut out, totals.last_ns);
    put_uv(&mut out, count as u64);
    for entry in subjects.take(count) {
        put_bytes(&mut out, entry.subject);
        put_uv(&mut out, entry.messages);
        put_uv(&mut out, u64::from(entry.first_block));
        put_uv(&mut out, u64::from(entry.last_block));
    }
    put_uv(&mut out, index.blocks.len() as u64);
    for block in &index.blocks {
        put_uv(&mut out, u64::from(block.index));
        put_uv(&mut out, block.bytes);
        put_uv(&mut out, block.first_seq);
        put_sv(&mut out, block.first_ns.wrapping_sub(totals.first_ns));
        put_uv(&mut out, block.last_seq);
        put_sv(&mut out, block.last_ns.wrapping_sub(totals.first_ns));
        put_uv(&mut out, block.deleted.len());
        put_uv(&mut out, block.ttls);
        put_uv(&mut out, block.schedules);
        if !block.deleted.is_empty() && !block.deleted.encode(&mut out) {
            return Err(TooManyDeleted { block: block.index });
        }
    }
    put_uv(&mut out, u64::from(index.last_block));
    out.extend_from_slice(&index.last_checksum);
    if let Some(limits) = &index.limits {
        out.push(LIMITS);
        [limits.max_msgs, limits.max_bytes, limits.max_msgs_per_subject]
            .into_iter()
            .for_each(|value| put_uv(&mut out, value));
    }
    if let Some((key, entropy)) = key {
        out = key.seal(&out, entropy);
    }
    let hash = NamedHash::new(stream.as_bytes()).sum(&[&out]);
    out.extend_from_slice(&hash);
    Ok(out)
}

#[cfg(test)]
#[path = "index_db_tests.rs"]
mod tests;
