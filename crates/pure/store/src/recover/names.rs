//! Subjects as numbers, in the order of their first message.

use midge_stdx::hash::MapHasher;

/// Subjects that are looked up together, so that the processor waits for memory once and not for each.
pub(super) const TOGETHER: usize = 64;

/// A slot of the table: some bits of the hash, and the number of the subject plus one; 0 when it is free.
type Slot = (u32, u32);

/// Names one after the other, and a table of their hashes.
#[derive(Debug, Default)]
pub(super) struct Names {
    hasher: MapHasher,
    slots: Vec<Slot>,
    text: Vec<u8>,
    /// Where each name starts; one more than there are names.
    starts: Vec<usize>,
}

impl Names {
    pub(super) fn len(&self) -> u32 {
        self.starts.len().saturating_sub(1) as u32
    }

    pub(super) fn get(&self, id: u32) -> &[u8] {
        match (self.starts.get(id as usize), self.starts.get(id as usize + 1)) {
            (Some(from), Some(to)) => self.text.get(*from..*to).unwrap_or_default(),
            _ => &[],
        }
    }

    /// All numbers, so that names which are alike stand near each other: what is built of them in this order stays in the processor's caches.
    pub(super) fn near_each_other(&self) -> Vec<u32> {
        let first = self.get(0);
        let common = (1..self.len()).fold(first.len(), |common, id| {
            let name = self.get(id);
            first.iter().zip(name).take(common).take_while(|(a, b)| a == b).count()
        });
        let mut keys: Vec<(u64, u32)> = (0..self.len())
            .map(|id| {
                let mut key = [0u8; 8];
                let rest = self.get(id).get(common..).unwrap_or_default();
                key.iter_mut().zip(rest).for_each(|(into, byte)| *into = *byte);
                (u64::from_be_bytes(key), id)
            })
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, id)| id).collect()
    }

    /// The numbers of several names, new ones included.
    pub(super) fn resolve<'a>(&mut self, count: usize, name: impl Fn(usize) -> &'a [u8], ids: &mut Vec<u32>) {
        debug_assert!(count <= TOGETHER);
        ids.clear();
        self.reserve(count);
        let mut hashes = [0u64; TOGETHER];
        for (at, hash) in hashes.iter_mut().enumerate().take(count) {
            *hash = self.hasher.bytes(name(at));
        }
        // Reads what the look-ups will read, each line independent of the one before.
        let mut touched = 0usize;
        let mut first = [0u32; TOGETHER];
        for (hash, first) in hashes.iter().zip(&mut first).take(count) {
            *first = self.slots.get(self.place(*hash)).map_or(0, |slot| slot.1);
        }
        for id in first.iter().take(count) {
            touched ^= self.starts.get(*id as usize).copied().unwrap_or_default();
        }
        for id in first.iter().take(count) {
            let start = self.starts.get(id.wrapping_sub(1) as usize).copied().unwrap_or_default();
            touched ^= usize::from(self.text.get(start).copied().unwrap_or_default());
        }
        std::hint::black_box(touched);
        for (at, hash) in hashes.iter().enumerate().take(count) {
            let id = self.find_or_add(*hash, name(at));
            ids.push(id);
        }
    }

    fn place(&self, hash: u64) -> usize {
        (hash as usize) & self.slots.len().wrapping_sub(1)
    }

    fn find_or_add(&mut self, hash: u64, name: &[u8]) -> u32 {
        let tag = (hash >> 32) as u32;
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = self.place(hash);
        loop {
            match self.slots.get(place).copied() {
                Some((_, 0)) | None => break,
                Some((found, id)) if found == tag && self.get(id - 1) == name => return id - 1,
                Some(_) => place = (place + 1) & mask,
            }
        }
        let id = self.len();
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.text.extend_from_slice(name);
        self.starts.push(self.text.len());
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = (tag, id + 1);
        }
        id
    }

    /// Makes room for more names; the table is at most half full.
    fn reserve(&mut self, more: usize) {
        let needed = (self.len() as usize + more) * 2;
        if needed <= self.slots.len() {
            return;
        }
        let len = needed.next_power_of_two().max(256);
        self.slots = vec![(0, 0); len];
        for id in 0..self.len() {
            let hash = self.hasher.bytes(self.get(id));
            let mut place = self.place(hash);
            while self.slots.get(place).is_some_and(|slot| slot.1 > 0) {
                place = (place + 1) & (len - 1);
            }
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = ((hash >> 32) as u32, id + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers_while_the_table_grows() {
        let text: Vec<String> = (0..5_000).map(|i| format!("orders.{}", i % 3_000)).collect();
        let (mut names, mut ids, mut all) = (Names::default(), Vec::new(), Vec::new());
        for part in text.chunks(TOGETHER) {
            names.resolve(part.len(), |at| part[at].as_bytes(), &mut ids);
            all.extend_from_slice(&ids);
        }
        assert_eq!(names.len(), 3_000);
        assert!(all.iter().enumerate().all(|(at, id)| *id as usize == at % 3_000));
        assert!(all.iter().zip(&text).all(|(id, text)| names.get(*id) == text.as_bytes()));
        assert_eq!(names.get(3_000), b"");
        let mut near = names.near_each_other();
        assert_eq!(
            near.iter().take(3).map(|id| names.get(*id)).collect::<Vec<_>>(),
            [b"orders.0" as &[u8], b"orders.1", b"orders.10"]
        );
        near.sort_unstable();
        assert!(near.into_iter().eq(0..3_000));
        assert!(Names::default().near_each_other().is_empty());
    }
}
