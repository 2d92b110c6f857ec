//! The records of a block, one after another, past damage.
//!
//! Nothing marks where a record starts, and the lengths that lead from one to the next are not covered by any checksum. After damage
//! [`Scan`] therefore looks at every following byte for the start of a record whose checksum is right.
//!
//! What bounds the search: looking at a byte costs a constant; only bytes that look like the head of a record are hashed, and hashing in
//! searches may take at most [`SEARCH_FACTOR`] times the length of the block altogether (no single attempt more than a quarter of what is
//! left, so that the short ones go on). A scan thus costs at most `1 + SEARCH_FACTOR` times the hashing of the block. When that was not
//! enough, [`Damage::given_up`] says so.
//!
//! Payloads are written by strangers, and one may hold a whole record with a right checksum. When the stated length of a damaged record
//! leads to another good record or to the end of the block, records inside it are taken only if they lead there themselves, which a payload
//! cannot, because the checksum of its own record follows it.

use super::record::{EMPTY_LEN, Head, Kind, MAX_LEN, Record, RecordError, RecordKey, decode, peek};

/// How many times the length of the block may be hashed in searches.
pub const SEARCH_FACTOR: u64 = 32;
/// What a search may hash in a short block, in bytes.
const SEARCH_LEAST: u64 = 1 << 20;

/// Why a part of a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The bytes are all zero: space that was reserved or never reached the disk.
    #[error("zeros")]
    Zeros,
    /// No record, or a torn one.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It has the form of a record, but its checksum is wrong. Nothing of what it states is certain.
    #[error("wrong checksum of what may be sequence {}", .0.seq)]
    Checksum(Head),
}

/// A part of a block that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes {from} to {to}: {cause}")]
pub struct Damage {
    /// Where it starts.
    pub from: usize,
    /// Where the next good record starts, or the end of the block.
    pub to: usize,
    /// What is wrong with what starts at `from`.
    pub cause: Cause,
    /// The search for the next record ended at its bound: there may have been good records in this part.
    pub given_up: bool,
}

/// One step of a [`Scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record whose checksum is right.
    Record {
        /// Where it starts.
        at: usize,
        /// The record.
        record: Record<'a>,
    },
    /// What could not be read.
    Damage(Damage),
}

/// Every record with a right checksum in the plaintext of a block, and every part that holds none.
///
/// Together the items cover the block, in order and without overlap.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    block: &'a [u8],
    key: &'a RecordKey,
    at: usize,
    /// Bytes that searches may still hash.
    budget: u64,
}

impl<'a> Scan<'a> {
    /// A scan from the start of the block.
    pub fn new(block: &'a [u8], key: &'a RecordKey) -> Scan<'a> {
        Scan::from(block, key, 0)
    }

    /// A scan from an offset at which a record starts.
    pub fn from(block: &'a [u8], key: &'a RecordKey, at: usize) -> Scan<'a> {
        let budget = (block.len() as u64).saturating_mul(SEARCH_FACTOR).max(SEARCH_LEAST);
        Scan { block, key, at, budget }
    }

    fn read(&self, at: usize) -> Result<Record<'a>, Cause> {
        let rest = self.block.get(at..).unwrap_or_default();
        let record = decode(rest)?;
        match peek(rest, 0) {
            Some(head) if !record.verify(self.key) => Err(Cause::Checksum(head)),
            _ => Ok(record),
        }
    }

    fn damage(&mut self, from: usize, cause: Cause) -> Damage {
        let rest = self.block.get(from..).unwrap_or_default();
        // Reserved space is long and holds nothing; a search would look at each byte of it.
        if rest.iter().all(|&byte| byte == 0) {
            return Damage { from, to: self.block.len(), cause: Cause::Zeros, given_up: false };
        }
        let (to, given_up) = self.search(from, cause);
        let zeros = self.block.get(from..to).is_some_and(|part| part.iter().all(|&byte| byte == 0));
        Damage { from, to, cause: if zeros { Cause::Zeros } else { cause }, given_up }
    }

    /// Where the next good record starts after a bad one at `from`, and whether that is uncertain.
    fn search(&mut self, from: usize, cause: Cause) -> (usize, bool) {
        let end = match cause {
            Cause::Checksum(head) => Some(from + head.len as usize)
                .filter(|&end| end == self.block.len() || self.read(end).is_ok()),
            _ => None,
        };
        let mut given_up = false;
        for at in from + 1..self.block.len().saturating_sub(EMPTY_LEN - 1) {
            if Some(at) == end {
                return (at, given_up);
            }
            let Some(head) = likely(self.block, at) else { continue };
            match self.attempt(at, head.len) {
                None => given_up = true,
                Some(false) => {}
                Some(true) => match end {
                    Some(end) if at < end && !self.leads_to(at, end, &mut given_up) => {}
                    _ => return (at, given_up),
                },
            }
        }
        (end.unwrap_or(self.block.len()), given_up)
    }

    /// Whether a good record starts at `at`; nothing when finding out costs too much.
    fn attempt(&mut self, at: usize, len: u32) -> Option<bool> {
        let cost = u64::from(len);
        if cost > self.budget / 4 {
            return None;
        }
        self.budget -= cost;
        Some(self.read(at).is_ok())
    }

    /// Whether good records follow each other from `at` to `end` exactly.
    fn leads_to(&mut self, mut at: usize, end: usize, given_up: &mut bool) -> bool {
        while at < end {
            let Some(head) = likely(self.block, at) else { return false };
            match self.attempt(at, head.len) {
                Some(true) => at += head.len as usize,
                Some(false) => return false,
                None => {
                    *given_up = true;
                    return false;
                }
            }
        }
        at == end
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let at = self.at;
        if at >= self.block.len() {
            return None;
        }
        Some(match self.read(at) {
            Ok(record) => {
                self.at += record.len();
                Item::Record { at, record }
            }
            Err(cause) => {
                let damage = self.damage(at, cause);
                self.at = damage.to;
                Item::Damage(damage)
            }
        })
    }
}

/// The head at `at` if it may be one that a server wrote. Rules out nearly everything that is not, before anything is hashed.
fn likely(block: &[u8], at: usize) -> Option<Head> {
    let head = peek(block, at)?;
    let len = head.len as usize;
    if !(EMPTY_LEN..=MAX_LEN).contains(&len) || len > block.len() - at {
        return None;
    }
    let record = decode(block.get(at..)?).ok()?;
    let plain = head.subject_len == 0 && !head.headers;
    let fits = match record.kind {
        Kind::Tombstone | Kind::Skip => plain && len == EMPTY_LEN,
        Kind::Erased => plain && head.erased,
        Kind::Message { subject, headers, .. } => {
            head.ts_ns >= 0
                && !subject.iter().any(|byte| matches!(byte, b'\0' | b' ' | b'\t' | b'\r' | b'\n'))
                && (!head.headers || headers.starts_with(b"NATS/"))
        }
    };
    fits.then_some(head)
}

/// The records of a block by their lengths alone, without checksums: for a block that was verified before, or whose records are verified
/// when they are read. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// A walk from an offset at which a record starts.
    pub fn new(block: &'a [u8], at: usize) -> Walk<'a> {
        Walk { block, at }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<(usize, Record<'a>), (usize, RecordError)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let rest = self.block.get(at..).filter(|rest| !rest.is_empty())?;
        Some(match decode(rest) {
            Ok(record) => {
                self.at += record.len();
                Ok((at, record))
            }
            Err(error) => {
                self.at = self.block.len();
                Err((at, error))
            }
        })
    }
}

/// What a record adds to a block that is read in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The next sequence; `gap` sequences before it are missing since the last one (0 for the first record).
    Next {
        /// How many are missing.
        gap: u64,
    },
    /// A tombstone: about any sequence of the stream.
    Tombstone,
    /// A sequence that is not above those before it: to be ignored.
    Ignored,
}

/// The order of sequences in a block, and what was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The first sequence of a record other than a tombstone; 0 before there is one.
    pub first_seq: u64,
    /// The highest sequence of a record other than a tombstone.
    pub last_seq: u64,
    /// Messages in order.
    pub messages: u64,
    /// The lengths of their records, in bytes.
    pub message_bytes: u64,
    /// Erased messages in order.
    pub erased: u64,
    /// Skips in order.
    pub skips: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Records that were ignored: duplicates, and sequences out of order.
    pub ignored: u64,
}

impl Order {
    /// Counts a record, and says what it is in the order of those before it.
    pub fn place(&mut self, record: &Record<'_>) -> Place {
        if record.kind == Kind::Tombstone {
            self.tombstones += 1;
            return Place::Tombstone;
        }
        if record.seq <= self.last_seq {
            self.ignored += 1;
            return Place::Ignored;
        }
        let gap = if self.last_seq == 0 { 0 } else { record.seq - self.last_seq - 1 };
        if self.first_seq == 0 {
            self.first_seq = record.seq;
        }
        self.last_seq = record.seq;
        match record.kind {
            Kind::Message { .. } => {
                self.messages += 1;
                self.message_bytes += record.len() as u64;
            }
            Kind::Erased => self.erased += 1,
            _ => self.skips += 1,
        }
        Place::Next { gap }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
