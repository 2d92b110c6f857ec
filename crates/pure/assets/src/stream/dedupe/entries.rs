//! The ids of a window in the order of their times, in full chunks that never move; expiry takes them from the front.

use std::collections::{BTreeMap, VecDeque};

use super::Print;

/// Entries of a chunk.
const CHUNK: usize = 1024;
/// Numbers of entries are kept modulo one more than this, so that none looks like a free place.
pub(super) const LAST_NUMBER: u32 = u32::MAX >> 1;
/// In the place of a sequence that is too far from the base of its chunk.
const FAR: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    print: Print,
    /// Above the base of the chunk, or `FAR`.
    seq: u32,
    /// Units of time after the base of the chunk.
    after: u32,
}

#[derive(Debug)]
struct Chunk {
    base_ns: i64,
    base_seq: u64,
    entries: Vec<Entry>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Entries {
    /// What times are counted in: so long that a window fits 31 bits.
    unit_ns: i64,
    /// Every one but the last is full.
    chunks: VecDeque<Chunk>,
    /// Entries of the first chunk that are gone.
    gone: usize,
    len: usize,
    /// The number of the first entry, of all there ever were.
    pub(super) first: u32,
    /// Sequences that are far from the base of their chunk, by number. Empty where sequences ascend as they do in a stream.
    far: BTreeMap<u32, u64>,
}

impl Entries {
    pub(super) fn new(window_ns: i64) -> Entries {
        Entries {
            unit_ns: unit_of(window_ns),
            chunks: VecDeque::new(),
            gone: 0,
            len: 0,
            first: 0,
            far: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.far.clear();
        (self.gone, self.len) = (0, 0);
    }

    pub(super) fn set_window(&mut self, window_ns: i64) {
        let (before, unit_ns) = (self.unit_ns, unit_of(window_ns));
        if before != unit_ns {
            for entry in self.chunks.iter_mut().flat_map(|chunk| &mut chunk.entries) {
                entry.after = units(i64::from(entry.after).saturating_mul(before), unit_ns);
            }
            self.unit_ns = unit_ns;
        }
    }

    /// Adds an entry behind the others; answers its number.
    pub(super) fn push(&mut self, print: Print, seq: u64, now_ns: i64) -> u32 {
        let number = following(self.first, self.len);
        if self.chunks.back().is_none_or(|last| last.entries.len() == CHUNK) {
            self.chunks.push_back(Chunk { base_ns: now_ns, base_seq: seq, entries: Vec::new() });
        }
        let gone = if self.chunks.len() == 1 { self.gone } else { 0 };
        let unit_ns = self.unit_ns;
        if let Some(last) = self.chunks.back_mut() {
            if now_ns.saturating_sub(last.base_ns) / unit_ns > i64::from(u32::MAX) {
                // The chunk was begun long before the window; what is left of it is in the window.
                let first = last.entries.get(gone).map_or(0, |entry| entry.after);
                let moved = if last.entries.len() > gone {
                    last.base_ns.saturating_add(i64::from(first).saturating_mul(unit_ns))
                } else {
                    now_ns
                };
                last.entries.iter_mut().for_each(|entry| entry.after = entry.after.saturating_sub(first));
                last.base_ns = moved;
            }
            let above = seq.checked_sub(last.base_seq).and_then(|above| u32::try_from(above).ok());
            let near = above.unwrap_or(FAR);
            if near == FAR {
                self.far.insert(number, seq);
            }
            let after = units(now_ns.saturating_sub(last.base_ns), unit_ns);
            last.entries.push(Entry { print, seq: near, after });
        }
        self.len += 1;
        number
    }

    /// The number, fingerprint and time of the first one.
    pub(super) fn front(&mut self) -> Option<(u32, Print, i64)> {
        while self.chunks.front()?.entries.len() == self.gone {
            self.chunks.pop_front();
            self.gone = 0;
        }
        self.peek()
    }

    /// The same, where a chunk that is gone hides none.
    pub(super) fn peek(&self) -> Option<(u32, Print, i64)> {
        let chunk = self.chunks.front()?;
        let entry = chunk.entries.get(self.gone)?;
        Some((self.first, entry.print, self.time(chunk, entry)))
    }

    /// Takes the first one away.
    pub(super) fn pop(&mut self) {
        self.far.remove(&self.first);
        self.first = following(self.first, 1);
        self.gone += 1;
        self.len -= 1;
        if self.chunks.front().is_some_and(|chunk| chunk.entries.len() == self.gone) {
            self.chunks.pop_front();
            self.gone = 0;
        }
    }

    /// The fingerprint of an entry. O(1).
    pub(super) fn print(&self, number: u32) -> Option<Print> {
        self.entry(number).map(|(_, entry)| entry.print)
    }

    /// The sequence and time of an entry. O(1), but for sequences that are far off.
    pub(super) fn get(&self, number: u32) -> Option<(u64, i64)> {
        let (chunk, entry) = self.entry(number)?;
        let seq = match entry.seq {
            FAR => *self.far.get(&number)?,
            near => chunk.base_seq + u64::from(near),
        };
        Some((seq, self.time(chunk, entry)))
    }

    fn entry(&self, number: u32) -> Option<(&Chunk, &Entry)> {
        // The first chunk begins `gone` entries before the first one. Numbers are compared by how far they are from there, for they wrap.
        let start = self.first.wrapping_sub(self.gone as u32) & LAST_NUMBER;
        let distance = (number.wrapping_sub(start) & LAST_NUMBER) as usize;
        let chunk = self.chunks.get(distance / CHUNK)?;
        chunk.entries.get(distance % CHUNK).map(|entry| (chunk, entry))
    }

    fn time(&self, chunk: &Chunk, entry: &Entry) -> i64 {
        chunk.base_ns.saturating_add(i64::from(entry.after).saturating_mul(self.unit_ns))
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let entries: usize = self.chunks.iter().map(|chunk| chunk.entries.capacity()).sum();
        entries * size_of::<Entry>() + self.chunks.capacity() * size_of::<Chunk>()
    }
}

/// The number of the entry `by` behind that of a number.
fn following(number: u32, by: usize) -> u32 {
    number.wrapping_add(by as u32) & LAST_NUMBER
}

/// A millisecond, or as much more as a longer window needs.
fn unit_of(window_ns: i64) -> i64 {
    (window_ns >> 31).max(1_000_000)
}

fn units(ns: i64, unit_ns: i64) -> u32 {
    u32::try_from(ns.max(0) / unit_ns).unwrap_or(u32::MAX)
}
