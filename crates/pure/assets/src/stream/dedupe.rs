//! Which message ids were stored lately.
//!
//! An id is kept as a fingerprint of 128 bits under a random key, so that nobody outside can make two ids meet, with its sequence and
//! time: 28 bytes, and 5 to 11 in a table of places. Ids are in the order of their times, in full chunks that never move; expiry takes them from the front.

use std::collections::VecDeque;

use midge_stdx::entropy::Entropy;
use midge_stdx::hash::NamedHash;
use midge_store::stream::{Filter, Message, NextQuery, Step, Store, TimeQuery};

use super::headers::Headers;

/// Entries of a chunk.
const CHUNK: usize = 1024;
/// Numbers of entries begin anew above this one, so that none looks like a free place.
const LAST_NUMBER: u32 = u32::MAX >> 1;
/// A place of the table without entry.
const FREE: u32 = u32::MAX;
/// Messages that one step of a rebuild reads at most.
const REBUILD_BUDGET: usize = 4096;

#[derive(Clone, Copy)]
struct Entry {
    print: [u32; 4],
    seq: [u32; 2],
    /// Units of time after the base of the chunk.
    after: u32,
}

impl Entry {
    fn seq(&self) -> u64 {
        u64::from(self.seq[0]) | (u64::from(self.seq[1]) << 32)
    }
}

struct Chunk {
    base_ns: i64,
    entries: Vec<Entry>,
}

/// The ids of a window of time.
pub struct Dedupe {
    window_ns: i64,
    keys: [NamedHash; 2],
    /// What times are counted in: so long that a window fits 31 bits.
    unit_ns: i64,
    /// Every one but the last is full.
    chunks: VecDeque<Chunk>,
    /// Entries of the first chunk that are gone.
    gone: usize,
    len: usize,
    /// The number of the first entry, of all there ever were; numbers are kept modulo 2^31.
    first: u32,
    /// Numbers of entries by fingerprint, probed linearly; a power of two long.
    table: Vec<u32>,
}

/// The fingerprint of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Print([u32; 4]);

impl Dedupe {
    /// An empty window; 0 ns for none.
    pub fn new(window_ns: i64, entropy: &mut dyn Entropy) -> Dedupe {
        let mut key = || {
            let mut name = [0; 32];
            entropy.fill(&mut name);
            NamedHash::new(&name)
        };
        Dedupe {
            window_ns: window_ns.max(0),
            unit_ns: unit_of(window_ns),
            keys: [key(), key()],
            chunks: VecDeque::new(),
            gone: 0,
            len: 0,
            first: 0,
            table: Vec::new(),
        }
    }

    /// Whether ids are looked at at all.
    pub fn is_on(&self) -> bool {
        self.window_ns > 0
    }

    /// Ids in the window.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Changes the length of the window, in nanoseconds.
    pub fn set_window(&mut self, window_ns: i64) {
        self.window_ns = window_ns.max(0);
        if self.window_ns == 0 {
            self.clear();
        }
        let (before, unit_ns) = (self.unit_ns, unit_of(self.window_ns));
        if before != unit_ns {
            for entry in self.chunks.iter_mut().flat_map(|chunk| &mut chunk.entries) {
                entry.after = units(i64::from(entry.after).saturating_mul(before), unit_ns);
            }
            self.unit_ns = unit_ns;
        }
    }

    /// Forgets all ids.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.table.clear();
        (self.gone, self.len) = (0, 0);
    }

    /// The fingerprint of an id.
    pub fn print(&self, id: &[u8]) -> Print {
        let words = self.keys.each_ref().map(|key| u64::from_le_bytes(key.sum(&[id])));
        Print([words[0] as u32, (words[0] >> 32) as u32, words[1] as u32, (words[1] >> 32) as u32])
    }

    /// The sequence of the message with this id, stored within the window before `now_ns`. O(1).
    pub fn find(&self, print: Print, now_ns: i64) -> Option<u64> {
        let number = self.table.get(self.place_of(print)?).copied()?;
        let (entry, ts_ns) = self.entry(number)?;
        (ts_ns.saturating_add(self.window_ns) > now_ns).then(|| entry.seq())
    }

    /// Remembers an id. O(1) amortised; also forgets those that have left the window.
    pub fn insert(&mut self, print: Print, seq: u64, now_ns: i64) {
        if !self.is_on() {
            return;
        }
        self.expire(now_ns);
        let number = self.push(print, seq, now_ns);
        if (self.len + 1) * 4 > self.table.len() * 3 {
            self.rehash();
        }
        match self.place_of(print) {
            // The newer one counts; the older stays in its chunk until its time comes.
            Some(place) => self.table[place] = number,
            None => self.put(print, number),
        }
    }

    /// Forgets what is older than the window. Amortised O(1) per id.
    pub fn expire(&mut self, now_ns: i64) {
        while let Some(chunk) = self.chunks.front() {
            let Some(entry) = chunk.entries.get(self.gone).copied() else {
                self.chunks.pop_front();
                self.gone = 0;
                continue;
            };
            if self.time(chunk, &entry).saturating_add(self.window_ns) > now_ns {
                break;
            }
            self.take_out(Print(entry.print), self.first);
            self.first = following(self.first, 1);
            self.gone += 1;
            self.len -= 1;
        }
    }

    /// When the oldest id leaves the window, Unix nanoseconds.
    pub fn next_expiry_ns(&self) -> Option<i64> {
        let chunk = self.chunks.front()?;
        let entry = chunk.entries.get(self.gone)?;
        Some(self.time(chunk, entry).saturating_add(self.window_ns))
    }

    fn push(&mut self, print: Print, seq: u64, now_ns: i64) -> u32 {
        let number = following(self.first, self.len);
        if self.chunks.back().is_none_or(|last| last.entries.len() == CHUNK) {
            self.chunks.push_back(Chunk { base_ns: now_ns, entries: Vec::new() });
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
            let after = units(now_ns.saturating_sub(last.base_ns), unit_ns);
            last.entries.push(Entry { print: print.0, seq: [seq as u32, (seq >> 32) as u32], after });
        }
        self.len += 1;
        number
    }

    /// The entry of a number, with its time. O(1).
    fn entry(&self, number: u32) -> Option<(Entry, i64)> {
        // The first chunk begins `gone` entries before the first one. Numbers are compared by how far they are from there, for they wrap.
        let start = self.first.wrapping_sub(self.gone as u32) & LAST_NUMBER;
        let distance = (number.wrapping_sub(start) & LAST_NUMBER) as usize;
        let chunk = self.chunks.get(distance / CHUNK)?;
        let entry = chunk.entries.get(distance % CHUNK)?;
        Some((*entry, self.time(chunk, entry)))
    }

    fn time(&self, chunk: &Chunk, entry: &Entry) -> i64 {
        chunk.base_ns.saturating_add(i64::from(entry.after).saturating_mul(self.unit_ns))
    }

    fn home(&self, print: Print) -> usize {
        print.0[0] as usize & (self.table.len() - 1)
    }

    fn place_of(&self, print: Print) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        let mut place = self.home(print);
        loop {
            let number = self.table[place];
            if number == FREE {
                return None;
            }
            if self.entry(number).is_some_and(|(entry, _)| entry.print == print.0) {
                return Some(place);
            }
            place = (place + 1) & (self.table.len() - 1);
        }
    }

    fn put(&mut self, print: Print, number: u32) {
        let mut place = self.home(print);
        while self.table[place] != FREE {
            place = (place + 1) & (self.table.len() - 1);
        }
        self.table[place] = number;
    }

    fn take_out(&mut self, print: Print, number: u32) {
        let Some(place) = self.place_of(print).filter(|place| self.table[*place] == number) else { return };
        let mask = self.table.len() - 1;
        let (mut hole, mut next) = (place, (place + 1) & mask);
        // What was pushed past the hole by it moves back, so that no probe ends early.
        while self.table[next] != FREE {
            let home = self.entry(self.table[next]).map_or(next, |(entry, _)| self.home(Print(entry.print)));
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.table[hole] = self.table[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.table[hole] = FREE;
    }

    fn rehash(&mut self) {
        let long = ((self.len + 1) * 2).next_power_of_two().max(16);
        self.table = vec![FREE; long];
        for index in 0..self.len {
            let number = following(self.first, index);
            let Some((entry, _)) = self.entry(number) else { continue };
            match self.place_of(Print(entry.print)) {
                Some(place) => self.table[place] = number,
                None => self.put(Print(entry.print), number),
            }
        }
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let entries: usize = self.chunks.iter().map(|chunk| chunk.entries.capacity()).sum();
        entries * size_of::<Entry>() + self.table.capacity() * 4 + self.chunks.len() * size_of::<Chunk>()
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

/// Gathers the ids of stored messages again, after a start. Also finds the id of the last message.
#[derive(Debug)]
pub struct Rebuild {
    from_ns: i64,
    next: Option<NextQuery>,
}

impl Rebuild {
    /// Of the messages since `now_ns` less the window.
    pub fn new(dedupe: &Dedupe, now_ns: i64) -> Rebuild {
        Rebuild { from_ns: now_ns.saturating_sub(dedupe.window_ns), next: None }
    }

    /// Goes on; answers whether it is done. Reads some thousand messages at a time.
    pub fn step(&mut self, dedupe: &mut Dedupe, store: &mut Store) -> Step<bool> {
        if !dedupe.is_on() {
            return Step::Ready(true);
        }
        if self.next.is_none() {
            let from = ready!(store.seq_from_time(TimeQuery { from_ns: self.from_ns }));
            self.next = Some(NextQuery { filter: Filter::all(), from });
        }
        let Some(query) = &mut self.next else { return Step::Ready(true) };
        for _ in 0..REBUILD_BUDGET {
            let message: Message = match ready!(store.next(query)) {
                Some(message) => message,
                None => return Step::Ready(true),
            };
            if let Some(id) = Headers::read(message.headers()).msg_id.filter(|id| !id.is_empty()) {
                let print = dedupe.print(id);
                dedupe.insert(print, message.seq, message.ts_ns);
            }
            query.from = message.seq + 1;
        }
        Step::Ready(false)
    }
}

#[cfg(test)]
mod tests {
    use midge_stdx::entropy::Seeded;

    use super::*;

    fn dedupe(window_ns: i64) -> Dedupe {
        Dedupe::new(window_ns, &mut Seeded::new(1))
    }

    #[test]
    fn ids_are_found_until_they_leave_the_window() {
        let mut dedupe = dedupe(1_000_000_000);
        let (a, b) = (dedupe.print(b"a"), dedupe.print(b"b"));
        dedupe.insert(a, 1, 0);
        dedupe.insert(b, 2, 500_000_000);
        assert_eq!((dedupe.find(a, 999_000_000), dedupe.find(a, 1_000_000_000)), (Some(1), None));
        assert_eq!(dedupe.next_expiry_ns(), Some(1_000_000_000));
        dedupe.expire(1_000_000_000);
        assert_eq!((dedupe.len(), dedupe.find(a, 0), dedupe.find(b, 1_000_000_000)), (1, None, Some(2)));
    }

    #[test]
    fn a_newer_message_with_the_same_id_outlives_the_older_one() {
        let mut dedupe = dedupe(1_000_000_000);
        let a = dedupe.print(b"a");
        dedupe.insert(a, 1, 0);
        dedupe.insert(a, 9, 900_000_000);
        dedupe.expire(1_200_000_000);
        assert_eq!(dedupe.find(a, 1_200_000_000), Some(9));
    }

    #[test]
    fn many_ids_come_and_go_and_take_little_memory() {
        let mut dedupe = dedupe(100_000_000_000);
        for round in 0..5u64 {
            for n in 0..50_000u64 {
                let print = dedupe.print(&(round * 50_000 + n).to_le_bytes());
                dedupe.insert(print, round * 50_000 + n + 1, (round * 50_000 + n) as i64 * 1_000_000);
            }
        }
        let now = 250_000_000_000;
        dedupe.expire(now);
        assert_eq!(dedupe.len(), 100_000 - 1);
        for n in [150_001u64, 200_000, 249_999] {
            assert_eq!(dedupe.find(dedupe.print(&n.to_le_bytes()), now), Some(n + 1));
        }
        assert_eq!(dedupe.find(dedupe.print(&150_000u64.to_le_bytes()), now), None);
        assert!(dedupe.memory_bytes() / dedupe.len() <= 40, "{}", dedupe.memory_bytes() / dedupe.len());
    }

    #[test]
    fn numbers_may_wrap() {
        let mut dedupe = dedupe(1_000_000_000);
        dedupe.first = LAST_NUMBER - 1500;
        for n in 0..4000u64 {
            let print = dedupe.print(&n.to_le_bytes());
            dedupe.insert(print, n, n as i64);
        }
        assert!((0..4000u64).all(|n| dedupe.find(dedupe.print(&n.to_le_bytes()), 0) == Some(n)));
    }

    #[test]
    fn ids_may_be_far_apart_and_windows_long() {
        let day_ns = 86_400_000_000_000;
        let mut dedupe = dedupe(day_ns);
        for day in 0..200 {
            let print = dedupe.print(&[day]);
            dedupe.insert(print, u64::from(day), i64::from(day) * day_ns + 5_000_000);
            assert_eq!(dedupe.find(print, i64::from(day) * day_ns + 5_000_000), Some(u64::from(day)));
            assert_eq!(dedupe.len(), 1);
        }
        dedupe.set_window(400 * day_ns);
        for day in 200..=255 {
            let print = dedupe.print(&[day]);
            dedupe.insert(print, u64::from(day), i64::from(day) * day_ns);
        }
        assert_eq!(dedupe.len(), 57);
        let last = dedupe.print(&[199]);
        assert_eq!(dedupe.find(last, 598 * day_ns), Some(199));
        assert_eq!(dedupe.find(last, 600 * day_ns), None);
        dedupe.set_window(58 * day_ns);
        assert_eq!(dedupe.find(last, 256 * day_ns), Some(199));
    }
}
