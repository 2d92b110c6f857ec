//! Pieces of subjects, in pages of bytes with free lists by size.

use std::num::NonZeroU32;

/// Bytes of the unit in which room is given out.
const GRAIN: usize = 4;
/// Grains of a page.
const PAGE: usize = 16 << 10;
/// Grains of the longest piece in a page; longer ones are on the heap each.
const LONGEST: usize = 64;
/// Marks pieces on the heap.
const HEAP: u32 = 1 << 31;
/// The end of a free list.
const NONE: u32 = 0;

/// Where a piece is, and its length. Never zero inside, so that what holds one has room for a mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// One more than its first grain, or its place on the heap with [`HEAP`].
    at: NonZeroU32,
    len: u32,
}

impl Text {
    pub(super) const EMPTY: Text = Text { at: NonZeroU32::MIN, len: 0 };

    pub(super) fn len(self) -> usize {
        self.len as usize
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    pages: Vec<Vec<u8>>,
    /// By number of grains: the first free piece, as in [`Text`]; its bytes hold the next.
    free: Vec<u32>,
    heap: Vec<Box<[u8]>>,
    heap_free: Vec<u32>,
}

impl Texts {
    #[inline]
    pub(super) fn get(&self, text: Text) -> &[u8] {
        let at = text.at.get();
        if text.len == 0 {
            return &[];
        }
        if at & HEAP != 0 {
            return &self.heap[(at & !HEAP) as usize];
        }
        let grain = (at - 1) as usize;
        &self.pages[grain / PAGE][grain % PAGE * GRAIN..][..text.len as usize]
    }

    /// The bytes of some grains.
    fn grains(&mut self, at: u32, len: usize) -> &mut [u8] {
        let grain = (at - 1) as usize;
        &mut self.pages[grain / PAGE][grain % PAGE * GRAIN..][..len]
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> Text {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if len == 0 {
            return Text::EMPTY;
        }
        let grains = bytes.len().div_ceil(GRAIN);
        let at = if grains > LONGEST {
            self.add_heap(bytes)
        } else {
            let at = self.room(grains);
            self.grains(at, bytes.len()).copy_from_slice(bytes);
            at
        };
        Text { at: NonZeroU32::new(at).unwrap_or(NonZeroU32::MIN), len }
    }

    fn add_heap(&mut self, bytes: &[u8]) -> u32 {
        if let Some(index) = self.heap_free.pop() {
            self.heap[index as usize] = bytes.into();
            return HEAP | index;
        }
        self.heap.push(bytes.into());
        HEAP | (self.heap.len() - 1) as u32
    }

    /// Room of that many grains: one that was freed, or new.
    fn room(&mut self, grains: usize) -> u32 {
        if let Some(&at) = self.free.get(grains)
            && at != NONE
        {
            let mut next = [0; GRAIN];
            next.copy_from_slice(self.grains(at, GRAIN));
            self.free[grains] = u32::from_le_bytes(next);
            return at;
        }
        let used = self.pages.last().map_or(PAGE, |page| page.len() / GRAIN);
        if used + grains > PAGE {
            // What is left of the page is a free piece like others.
            if used < PAGE {
                let at = ((self.pages.len() - 1) * PAGE + used + 1) as u32;
                if let Some(page) = self.pages.last_mut() {
                    page.resize(PAGE * GRAIN, 0);
                }
                self.put_free(at, PAGE - used);
            }
            let capacity = if self.pages.is_empty() { 0 } else { PAGE * GRAIN };
            self.pages.push(Vec::with_capacity(capacity));
        }
        let page = self.pages.len() - 1;
        assert!(page < (HEAP as usize - 1) / PAGE, "more than 8 GiB of subjects in one tree");
        let bytes = &mut self.pages[page];
        let at = page * PAGE + bytes.len() / GRAIN + 1;
        bytes.resize(bytes.len() + grains * GRAIN, 0);
        at as u32
    }

    fn put_free(&mut self, at: u32, grains: usize) {
        if self.free.len() <= grains {
            self.free.resize(grains + 1, NONE);
        }
        let next = self.free[grains].to_le_bytes();
        self.grains(at, GRAIN).copy_from_slice(&next);
        self.free[grains] = at;
    }

    pub(super) fn remove(&mut self, text: Text) {
        let at = text.at.get();
        if text.len == 0 {
            return;
        }
        if at & HEAP != 0 {
            let index = at & !HEAP;
            self.heap[index as usize] = Box::default();
            self.heap_free.push(index);
            return;
        }
        self.put_free(at, text.len().div_ceil(GRAIN));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(Vec::capacity).sum();
        let heap: usize = self.heap.iter().map(|piece| piece.len() + size_of::<Box<[u8]>>()).sum();
        pages
            + heap
            + self.pages.capacity() * size_of::<Vec<u8>>()
            + (self.free.capacity() + self.heap_free.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_keep_their_bytes_and_leave_their_room() {
        let mut texts = Texts::default();
        let piece = |len: usize, salt: usize| -> Vec<u8> { (0..len).map(|i| (i * 7 + salt) as u8).collect() };
        let mut all: Vec<(Text, usize)> = Vec::new();
        for round in 0..3 {
            for salt in 0..2000 {
                let len = salt * 13 % 700;
                all.push((texts.add(&piece(len, salt)), salt));
            }
            for &(text, salt) in &all {
                assert_eq!(texts.get(text), piece(salt * 13 % 700, salt), "round {round}");
            }
            let bytes = texts.memory_bytes();
            for (text, _) in all.drain(..) {
                texts.remove(text);
            }
            for salt in 0..2000 {
                all.push((texts.add(&piece(salt * 13 % 700, salt)), salt));
            }
            assert!(texts.memory_bytes() <= bytes + (16 << 10), "room is used again");
            for (text, _) in all.drain(..) {
                texts.remove(text);
            }
        }
    }
}
