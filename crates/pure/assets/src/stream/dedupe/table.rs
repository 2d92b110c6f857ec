//! Where the entry of a fingerprint is: numbers of entries, probed linearly, in parts that grow and split one by one.
//!
//! A part has a few thousand places at most, so that no insertion has to move more than these, however many ids there are, and no moment needs two
//! tables of all of them. Which part a fingerprint belongs to is told by its first bits, through a directory that is doubled when a part
//! splits that is alone in it.

use super::Print;
use super::entries::Entries;

/// A place without entry.
const FREE: u32 = u32::MAX;
/// Places from which on a part is split instead of growing.
const LARGE_PART: usize = 4096;
/// Places of the smallest part.
const SMALL_PART: usize = 16;
/// Bits of the directory at most.
const MAX_DEPTH: u32 = 24;

#[derive(Debug, Default)]
struct Part {
    places: Vec<u32>,
    used: usize,
    /// Bits that all fingerprints in it share.
    depth: u32,
}

impl Part {
    fn home(&self, print: Print) -> usize {
        ((u64::from(print.0[0]) * self.places.len() as u64) >> 32) as usize
    }

    fn after(&self, place: usize) -> usize {
        if place + 1 == self.places.len() { 0 } else { place + 1 }
    }

    /// Places from `from` on to `to`, round the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
    }

    fn find(&self, print: Print, found: impl Fn(u32) -> bool) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.home(print);
        while self.places[place] != FREE {
            if found(self.places[place]) {
                return Some(place);
            }
            place = self.after(place);
        }
        None
    }

    fn put(&mut self, print: Print, number: u32) {
        let mut place = self.home(print);
        while self.places[place] != FREE {
            place = self.after(place);
        }
        self.places[place] = number;
        self.used += 1;
    }

    fn is_full(&self) -> bool {
        (self.used + 1) * 4 > self.places.len() * 3
    }

    /// Holds these numbers from now on, with so many places.
    fn refill(&mut self, len: usize, numbers: impl Iterator<Item = u32>, entries: &Entries) {
        self.places = vec![FREE; len];
        self.used = 0;
        for number in numbers {
            if let Some(print) = entries.print(number) {
                self.put(print, number);
            }
        }
    }

    fn free(&mut self, mut hole: usize, entries: &Entries) {
        let mut next = self.after(hole);
        // What was pushed past the hole by it moves back, so that no probe ends early.
        while self.places[next] != FREE {
            let home = entries.print(self.places[next]).map_or(next, |print| self.home(print));
            if self.distance(home, next) >= self.distance(hole, next) {
                self.places[hole] = self.places[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.places[hole] = FREE;
        self.used -= 1;
    }
}

/// Places for so many entries, with room for half as many more.
fn places_for(entries: usize) -> usize {
    (entries * 13 / 7).max(SMALL_PART)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Table {
    parts: Vec<Part>,
    /// Numbers of parts, by the first bits of fingerprints.
    directory: Vec<u32>,
    depth: u32,
}

impl Table {
    fn slot(&self, print: Print) -> usize {
        u64::from(print.0[1]).checked_shr(32 - self.depth).unwrap_or(0) as usize
    }

    fn part_of(&self, print: Print) -> Option<usize> {
        self.directory.get(self.slot(print)).map(|part| *part as usize)
    }

    /// The number of the entry with this fingerprint.
    pub(super) fn find(&self, print: Print, entries: &Entries) -> Option<u32> {
        let part = &self.parts[self.part_of(print)?];
        let place = part.find(print, |number| entries.print(number) == Some(print))?;
        Some(part.places[place])
    }

    /// The entry of this number is the one of its fingerprint from now on. Moves the entries of one part at most.
    pub(super) fn set(&mut self, print: Print, number: u32, entries: &Entries) {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
            self.directory.push(0);
        }
        let Some(at) = self.part_of(print) else { return };
        let part = &mut self.parts[at];
        if let Some(place) = part.find(print, |other| entries.print(other) == Some(print)) {
            part.places[place] = number;
            return;
        }
        let mut at = at;
        while self.parts[at].is_full() {
            self.grow(at, print, entries);
            at = self.part_of(print).unwrap_or(at);
        }
        self.parts[at].put(print, number);
    }

    /// Forgets the entry of this number, unless a newer one has its fingerprint. The entry is still there.
    pub(super) fn take_out(&mut self, print: Print, number: u32, entries: &Entries) {
        let Some(at) = self.part_of(print) else { return };
        let part = &mut self.parts[at];
        let Some(place) = part.find(print, |other| other == number) else { return };
        part.free(place, entries);
        if part.places.len() > SMALL_PART && part.used * 8 < part.places.len() {
            let numbers = std::mem::take(&mut part.places);
            let len = places_for(part.used);
            part.refill(len, numbers.into_iter().filter(|n| *n != FREE), entries);
        }
    }

    /// Makes room in the part of a fingerprint.
    fn grow(&mut self, at: usize, print: Print, entries: &Entries) {
        let part = &mut self.parts[at];
        let numbers = std::mem::take(&mut part.places);
        let len = numbers.len();
        let numbers = numbers.into_iter().filter(|number| *number != FREE);
        if len < LARGE_PART || part.depth == MAX_DEPTH {
            return part.refill((len * 3 / 2).max(SMALL_PART), numbers, entries);
        }
        let depth = part.depth + 1;
        let ones =
            |number: &u32| entries.print(*number).is_some_and(|print| print.0[1] >> (32 - depth) & 1 == 1);
        let (one, zero): (Vec<u32>, Vec<u32>) = numbers.partition(ones);
        part.depth = depth;
        part.refill(places_for(zero.len()), zero.into_iter(), entries);
        let mut other = Part { depth, ..Part::default() };
        other.refill(places_for(one.len()), one.into_iter(), entries);
        let number = self.parts.len() as u32;
        self.parts.push(other);
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|part| [*part, *part]).collect();
            self.depth = depth;
        }
        // The slots of the part follow each other; those with the new bit are their second half.
        let slots = 1usize << (self.depth - depth);
        let first = ((self.slot(print) / slots) | 1) * slots;
        self.directory[first..first + slots].fill(number);
    }

    /// Places of the longest part.
    #[cfg(test)]
    pub(super) fn longest(&self) -> usize {
        self.parts.iter().map(|part| part.places.len()).max().unwrap_or(0)
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let places: usize = self.parts.iter().map(|part| part.places.capacity()).sum();
        (places + self.directory.capacity()) * 4 + self.parts.capacity() * size_of::<Part>()
    }
}
