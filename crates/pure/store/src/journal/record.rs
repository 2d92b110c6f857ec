//! The records of a frame.
//!
//! ```text
//! kind (u8)  lane (u32)  and then, by kind:
//!  1 lane     folder, index          2 write    ground (u8) block (u32) offset (u64) bytes
//!  3 replace  files (u16): name, bytes …         4 remove   files (u16): name, length (u64) …
//!  5 barrier  name                   6 delta    consumer, index (u64), bytes
//!  7 trash    folder, number (u64), last   8 rename   files (u16): name, number (u64) …
//!  9 index    index
//! name:  length (u16, 0xffff for a block), text or block (u32)      bytes: length (u32), bytes
//! last:  block (u32), length (u64)                                   folder: text, relative to the lane, empty for all of it
//! index: 0, or 1, length (u64), last eight bytes (u64): the file `msgs/index.db`
//! ```
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

use std::ops::Range;
use std::sync::Arc;

use super::limits::NAME_LEN;
use crate::port::Name;

const BLOCK: u16 = 0xffff;

/// What tells one content of `msgs/index.db` from another: its length and the checksum that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Bytes of the file.
    pub len: u64,
    /// Its last eight bytes.
    pub tail: u64,
}

impl Fingerprint {
    /// The fingerprint of a content, or of a file of which the tail is given with the whole length.
    pub fn new(len: u64, tail: &[u8]) -> Fingerprint {
        Fingerprint { len, tail: tail.last_chunk().map_or(0, |b| u64::from_le_bytes(*b)) }
    }
}

/// What stood, in the file or in the journal, where bytes are written. Tells what is lost, and what is somebody else's, after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing: they begin at the end of the file, or behind it.
    New,
    /// Something at their beginning.
    Partly,
    /// Something under all of them.
    Within,
}

impl Ground {
    /// The ground of `len` bytes at `offset` of a file that ends at `end`.
    pub fn of(offset: u64, len: u64, end: u64) -> Ground {
        match () {
            () if offset >= end => Ground::New,
            () if offset.saturating_add(len) <= end => Ground::Within,
            () => Ground::Partly,
        }
    }

    fn read(byte: u8) -> Option<Ground> {
        [Ground::New, Ground::Partly, Ground::Within].get(usize::from(byte)).copied()
    }
}

/// A record, with its bytes as ranges of the body that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What the number of a lane means in this segment.
    Lane {
        /// The folder of the store.
        folder: Arc<str>,
        /// Its `msgs/index.db`.
        index: Option<Fingerprint>,
    },
    /// Bytes of a block file.
    Write {
        /// What stood there.
        ground: Ground,
        /// The block.
        block: u32,
        /// Where in the file.
        offset: u64,
        /// The bytes.
        bytes: Range<usize>,
    },
    /// Files with new contents.
    Replace(Vec<(Name, Range<usize>)>),
    /// Files that go, with their lengths; all bits set when it does not matter.
    Remove(Vec<(Name, u64)>),
    /// Nothing that was said of this file before counts: it is in the file.
    Barrier(Name),
    /// A change of a consumer.
    Delta {
        /// Its name.
        consumer: Arc<str>,
        /// Rises by one per delta of this consumer; copies of a delta have the same.
        index: u64,
        /// The change.
        bytes: Range<usize>,
    },
    /// A folder of the lane, or all of it (empty), goes into the trash.
    Trash {
        /// Relative to the lane, without a `/` at the end.
        folder: Arc<str>,
        /// Its name in the trash.
        number: u64,
        /// The highest block in it, with its length at most; all bits of the length set when it does not matter.
        last: (u32, u64),
    },
    /// Files whose new contents were staged.
    Rename(Vec<(Name, u64)>),
    /// `msgs/index.db` is about to become this.
    Index(Option<Fingerprint>),
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = text.get(..text.len().min(NAME_LEN)).unwrap_or_default();
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &Name) {
    match name {
        Name::Block(block) => {
            out.extend_from_slice(&BLOCK.to_le_bytes());
            out.extend_from_slice(&block.to_le_bytes());
        }
        Name::Path(path) => put_text(out, path),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_index(out: &mut Vec<u8>, index: Option<Fingerprint>) {
    out.push(u8::from(index.is_some()));
    if let Some(index) = index {
        out.extend_from_slice(&index.len.to_le_bytes());
        out.extend_from_slice(&index.tail.to_le_bytes());
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

fn begin(out: &mut Vec<u8>, kind: u8, lane: u32) {
    out.push(kind);
    out.extend_from_slice(&lane.to_le_bytes());
}

/// Appends a lane record.
pub fn lane(out: &mut Vec<u8>, lane: u32, folder: &str, index: Option<Fingerprint>) {
    begin(out, 1, lane);
    put_text(out, folder);
    put_index(out, index);
}

/// Appends the start of a write record; the caller appends the bytes, and then calls [`finish_write`].
pub fn write(out: &mut Vec<u8>, lane: u32, block: u32, offset: u64) {
    begin(out, 2, lane);
    out.push(0);
    out.extend_from_slice(&block.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
}

/// Fills in what was not known at the start of the write record that begins at `start` and whose bytes begin at `first`.
pub fn finish_write(out: &mut [u8], start: usize, first: usize, ground: Ground) {
    let len = u32::try_from(out.len().saturating_sub(first)).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(place) = out.get_mut(start + 5) {
        *place = ground as u8;
    }
    if let Some(place) = out.get_mut(first.saturating_sub(4)..first) {
        place.copy_from_slice(&len);
    }
}

/// Appends a replace record of at most 65,535 files.
pub fn replace<'a>(out: &mut Vec<u8>, lane: u32, files: impl ExactSizeIterator<Item = (&'a Name, &'a [u8])>) {
    begin(out, 3, lane);
    put_count(out, files.len());
    for (name, bytes) in files {
        put_name(out, name);
        put_bytes(out, bytes);
    }
}

/// Appends a remove record of at most 65,535 files.
pub fn remove<'a>(out: &mut Vec<u8>, lane: u32, files: impl ExactSizeIterator<Item = (&'a Name, u64)>) {
    begin(out, 4, lane);
    put_count(out, files.len());
    for (name, len) in files {
        put_name(out, name);
        out.extend_from_slice(&len.to_le_bytes());
    }
}

/// Appends a barrier.
pub fn barrier(out: &mut Vec<u8>, lane: u32, name: &Name) {
    begin(out, 5, lane);
    put_name(out, name);
}

/// Appends a delta.
pub fn delta(out: &mut Vec<u8>, lane: u32, consumer: &str, index: u64, bytes: &[u8]) {
    begin(out, 6, lane);
    put_text(out, consumer);
    out.extend_from_slice(&index.to_le_bytes());
    put_bytes(out, bytes);
}

/// Appends a trash record.
pub fn trash(out: &mut Vec<u8>, lane: u32, folder: &str, number: u64, last: (u32, u64)) {
    begin(out, 7, lane);
    put_text(out, folder);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&last.0.to_le_bytes());
    out.extend_from_slice(&last.1.to_le_bytes());
}

/// Appends a rename record of at most 65,535 files.
pub fn rename(out: &mut Vec<u8>, lane: u32, files: &[(Name, u64)]) {
    begin(out, 8, lane);
    put_count(out, files.len());
    for (name, number) in files {
        put_name(out, name);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Appends what `msgs/index.db` is about to become.
pub fn index(out: &mut Vec<u8>, lane: u32, index: Option<Fingerprint>) {
    begin(out, 9, lane);
    put_index(out, index);
}

/// Reads the records of a body, one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first record.
    pub fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { body, at: 0 }
    }

    /// Where the next record starts.
    pub fn position(&self) -> usize {
        self.at
    }

    fn take(&mut self, len: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(len).filter(|end| *end <= self.body.len())?;
        self.at = range.end;
        Some(range)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let range = self.take(N)?;
        self.body.get(range)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text_of(&mut self, len: u16) -> Option<Arc<str>> {
        let range = self.take(usize::from(len))?;
        if range.len() > NAME_LEN {
            return None;
        }
        std::str::from_utf8(self.body.get(range)?).ok().map(Arc::from)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let len = self.u16()?;
        self.text_of(len)
    }

    fn name(&mut self) -> Option<Name> {
        match self.u16()? {
            BLOCK => Some(Name::Block(self.u32()?)),
            len => Some(Name::Path(self.text_of(len)?)),
        }
    }

    fn bytes(&mut self) -> Option<Range<usize>> {
        let len = self.u32()?;
        self.take(usize::try_from(len).ok()?)
    }

    fn index(&mut self) -> Option<Option<Fingerprint>> {
        match self.u8()? {
            0 => Some(None),
            1 => Some(Some(Fingerprint { len: self.u64()?, tail: self.u64()? })),
            _ => None,
        }
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u16()?;
        // An entry takes two bytes at least: the count alone reserves nothing.
        let mut out = Vec::new();
        for _ in 0..count {
            out.push(one(self)?);
        }
        Some(out)
    }

    fn record(&mut self) -> Option<(u32, Record)> {
        let kind = self.u8()?;
        let lane = self.u32()?;
        let record = match kind {
            1 => Record::Lane { folder: self.text()?, index: self.index()? },
            2 => Record::Write {
                ground: Ground::read(self.u8()?)?,
                block: self.u32()?,
                offset: self.u64()?,
                bytes: self.bytes()?,
            },
            3 => Record::Replace(self.list(|r| Some((r.name()?, r.bytes()?)))?),
            4 => Record::Remove(self.list(|r| Some((r.name()?, r.u64()?)))?),
            5 => Record::Barrier(self.name()?),
            6 => Record::Delta { consumer: self.text()?, index: self.u64()?, bytes: self.bytes()? },
            7 => {
                Record::Trash { folder: self.text()?, number: self.u64()?, last: (self.u32()?, self.u64()?) }
            }
            8 => Record::Rename(self.list(|r| Some((r.name()?, r.u64()?)))?),
            9 => Record::Index(self.index()?),
            _ => return None,
        };
        Some((lane, record))
    }
}

impl Iterator for Reader<'_> {
    /// The lane's number in this segment and the record, or the position of one that cannot be read, after which there is none.
    type Item = Result<(u32, Record), usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        if start >= self.body.len() {
            return None;
        }
        let record = self.record().ok_or(start);
        if record.is_err() {
            self.at = self.body.len();
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_comes_back_and_no_cut_panics() {
        let path = Name::Path("obs/C/o.dat".into());
        let print = Some(Fingerprint { len: 9, tail: 8 });
        let mut body = Vec::new();
        lane(&mut body, 3, "$G/streams/S", print);
        let start = body.len();
        write(&mut body, 3, 4, 5);
        let first = body.len();
        body.extend_from_slice(b"ab");
        finish_write(&mut body, start, first, Ground::Within);
        replace(&mut body, 3, [(&path, &b"xy"[..]), (&Name::Block(1), b"")].into_iter());
        remove(&mut body, 3, [(&path, 7)].into_iter());
        barrier(&mut body, 3, &Name::Block(7));
        delta(&mut body, 3, "C", 11, b"d");
        trash(&mut body, 3, "", 12, (1, 2));
        rename(&mut body, 3, &[(path.clone(), 13)]);
        index(&mut body, 3, None);
        let records: Vec<_> = Reader::new(&body).map(|r| r.unwrap()).collect();
        assert!(records.iter().all(|(lane, _)| *lane == 3));
        assert_eq!(records.len(), 9);
        assert_eq!(records[0].1, Record::Lane { folder: "$G/streams/S".into(), index: print });
        let Record::Write { ground: Ground::Within, block: 4, offset: 5, bytes } = &records[1].1 else {
            panic!("{records:?}")
        };
        assert_eq!(&body[bytes.clone()], b"ab");
        assert_eq!(records[3].1, Record::Remove(vec![(path.clone(), 7)]));
        assert_eq!(records[7].1, Record::Rename(vec![(path, 13)]));
        for len in 0..body.len() {
            let read: Vec<_> = Reader::new(&body[..len]).collect();
            assert!(read.len() <= 9 && read.iter().filter(|r| r.is_err()).count() <= 1);
        }
        assert_eq!(Reader::new(&[99, 0, 0, 0, 0]).next(), Some(Err(0)));
    }

    #[test]
    fn the_fingerprint_is_length_and_tail() {
        assert_eq!(Fingerprint::new(3, b"abc"), Fingerprint { len: 3, tail: 0 });
        assert_eq!(Fingerprint::new(9, b"x\x01\0\0\0\0\0\0\0"), Fingerprint { len: 9, tail: 1 });
    }
}
