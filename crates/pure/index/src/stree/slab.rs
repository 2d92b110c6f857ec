//! Values by index, in pages that never move and slots that are used again.

/// Bytes of a page, about.
const PAGE_BYTES: usize = 32 << 10;
/// No index.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
enum Slot<T> {
    Used(T),
    /// The next free slot.
    Free(u32),
}

/// See the module. Indices stay below 2^29.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    pages: Vec<Vec<Slot<T>>>,
    free: u32,
    used: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { pages: Vec::new(), free: NONE, used: 0 }
    }
}

impl<T> Slab<T> {
    /// Slots per page, as a power of two.
    const SHIFT: u32 = (PAGE_BYTES / size_of::<Slot<T>>()).ilog2();
    const PAGE: usize = 1 << Self::SHIFT;

    fn slot(&self, index: u32) -> &Slot<T> {
        &self.pages[(index >> Self::SHIFT) as usize][index as usize & (Self::PAGE - 1)]
    }

    fn slot_mut(&mut self, index: u32) -> &mut Slot<T> {
        &mut self.pages[(index >> Self::SHIFT) as usize][index as usize & (Self::PAGE - 1)]
    }

    pub(super) fn len(&self) -> usize {
        self.used as usize
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &T {
        match self.slot(index) {
            Slot::Used(value) => value,
            Slot::Free(_) => unreachable!("a link to a free slot"),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> &mut T {
        match self.slot_mut(index) {
            Slot::Used(value) => value,
            Slot::Free(_) => unreachable!("a link to a free slot"),
        }
    }

    pub(super) fn add(&mut self, value: T) -> u32 {
        self.used += 1;
        if self.free != NONE {
            let index = self.free;
            let slot = self.slot_mut(index);
            if let Slot::Free(next) = *slot {
                *slot = Slot::Used(value);
                self.free = next;
            }
            return index;
        }
        // The first page grows as small trees do; the others are made whole, so that none is ever copied.
        if self.pages.last().is_none_or(|page| page.len() == Self::PAGE) {
            let capacity = if self.pages.is_empty() { 0 } else { Self::PAGE };
            self.pages.push(Vec::with_capacity(capacity));
        }
        let page = self.pages.len() - 1;
        let slots = &mut self.pages[page];
        slots.push(Slot::Used(value));
        let index = page * Self::PAGE + slots.len() - 1;
        assert!(index < 1 << 29, "more than 2^29 subjects in one tree");
        index as u32
    }

    pub(super) fn take(&mut self, index: u32) -> T {
        let free = Slot::Free(self.free);
        match std::mem::replace(self.slot_mut(index), free) {
            Slot::Used(value) => {
                self.free = index;
                self.used -= 1;
                value
            }
            Slot::Free(_) => unreachable!("a link to a free slot"),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let slots: usize = self.pages.iter().map(Vec::capacity).sum();
        slots * size_of::<Slot<T>>() + self.pages.capacity() * size_of::<Vec<Slot<T>>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again_and_pages_stay() {
        let mut slab = Slab::<[u64; 4]>::default();
        let indices: Vec<u32> = (0..5000).map(|i| slab.add([i; 4])).collect();
        let before = slab.memory_bytes();
        for &index in indices.iter().step_by(2) {
            assert_eq!(slab.take(index)[0], u64::from(index));
        }
        assert_eq!(slab.len(), 2500);
        for i in 0..2500 {
            let index = slab.add([i; 4]);
            assert!(index < 5000 && slab.get(index)[0] == i);
        }
        assert_eq!(slab.memory_bytes(), before);
        assert_eq!(slab.get(1)[3], 1);
    }
}
