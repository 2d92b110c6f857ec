//! Which message ids were stored lately.
//!
//! An id is kept as a fingerprint of 96 bits under a random key, so that nobody outside can make two ids meet, with its sequence and
//! time: 20 bytes, and 5 to 11 in a table of places. See `docs/decisions/005-ids-by-fingerprint.md`.

mod entries;
mod table;

use midge_stdx::entropy::Entropy;
use midge_stdx::hash::NamedHash;
use midge_store::stream::{Filter, Message, NextQuery, Step, Store, TimeQuery};

use super::headers::Headers;
use entries::Entries;
use table::Table;

/// Messages that one step of a rebuild reads at most.
const REBUILD_BUDGET: usize = 4096;

/// The ids of a window of time.
pub struct Dedupe {
    window_ns: i64,
    key: NamedHash,
    entries: Entries,
    table: Table,
}

/// The fingerprint of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Print([u32; 3]);

impl Dedupe {
    /// An empty window; 0 ns for none.
    pub fn new(window_ns: i64, entropy: &mut dyn Entropy) -> Dedupe {
        let mut name = [0; 32];
        entropy.fill(&mut name);
        let window_ns = window_ns.max(0);
        Dedupe {
            window_ns,
            key: NamedHash::new(&name),
            entries: Entries::new(window_ns),
            table: Table::default(),
        }
    }

    /// Whether ids are looked at at all.
    pub fn is_on(&self) -> bool {
        self.window_ns > 0
    }

    /// Ids in the window.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Changes the length of the window, in nanoseconds.
    pub fn set_window(&mut self, window_ns: i64) {
        self.window_ns = window_ns.max(0);
        if self.window_ns == 0 {
            self.clear();
        }
        self.entries.set_window(self.window_ns);
    }

    /// Forgets all ids.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.table = Table::default();
    }

    /// The fingerprint of an id.
    pub fn print(&self, id: &[u8]) -> Print {
        let words = self.key.sum_wide(&[id]);
        Print([words[0] as u32, (words[0] >> 32) as u32, words[1] as u32])
    }

    /// The sequence of the message with this id, stored within the window before `now_ns`. O(1).
    pub fn find(&self, print: Print, now_ns: i64) -> Option<u64> {
        let (seq, ts_ns) = self.entries.get(self.table.find(print, &self.entries)?)?;
        (ts_ns.saturating_add(self.window_ns) > now_ns).then_some(seq)
    }

    /// Remembers an id. O(1) amortised, and never more than a part of the table; also forgets those that have left the window.
    pub fn insert(&mut self, print: Print, seq: u64, now_ns: i64) {
        if !self.is_on() {
            return;
        }
        self.expire(now_ns);
        let number = self.entries.push(print, seq, now_ns);
        // The newer one counts; the older stays in its chunk until its time comes.
        self.table.set(print, number, &self.entries);
    }

    /// Forgets what is older than the window. Amortised O(1) per id.
    pub fn expire(&mut self, now_ns: i64) {
        while let Some((number, print, ts_ns)) = self.entries.front() {
            if ts_ns.saturating_add(self.window_ns) > now_ns {
                return;
            }
            self.table.take_out(print, number, &self.entries);
            self.entries.pop();
            if self.entries.len() == 0 {
                self.clear();
            }
        }
    }

    /// When the oldest id leaves the window, Unix nanoseconds.
    pub fn next_expiry_ns(&self) -> Option<i64> {
        self.entries.peek().map(|(_, _, ts_ns)| ts_ns.saturating_add(self.window_ns))
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.entries.memory_bytes() + self.table.memory_bytes()
    }
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
        assert!(dedupe.memory_bytes() / dedupe.len() <= 32, "{}", dedupe.memory_bytes() / dedupe.len());
        dedupe.expire(i64::MAX);
        assert!(dedupe.is_empty() && dedupe.memory_bytes() < 1024);
    }

    #[test]
    fn no_moment_of_growth_takes_much_memory_or_moves_many() {
        let mut dedupe = dedupe(i64::MAX);
        let mut worst = 0;
        for n in 0..300_000u64 {
            let print = dedupe.print(&n.to_le_bytes());
            dedupe.insert(print, n + 1, n as i64);
            if n >= 10_000 && n % 64 == 0 {
                worst = worst.max(dedupe.memory_bytes() * 10 / dedupe.len());
            }
        }
        assert!(worst <= 320, "{worst} tenths of a byte per id");
        assert!(dedupe.table.longest() < 6200);
        assert!((0..300_000u64).all(|n| dedupe.find(dedupe.print(&n.to_le_bytes()), 0) == Some(n + 1)));
    }

    #[test]
    fn few_ids_take_little_memory() {
        let mut dedupe = dedupe(i64::MAX);
        let print = dedupe.print(b"a");
        dedupe.insert(print, 1, 0);
        assert!(dedupe.memory_bytes() < 512, "{}", dedupe.memory_bytes());
    }

    #[test]
    fn sequences_may_be_far_apart_and_in_any_order() {
        let mut dedupe = dedupe(1_000_000_000);
        let seqs = [1 << 40, 7, u64::MAX, (1 << 40) + 5, (1 << 40) + u64::from(u32::MAX)];
        for (n, seq) in seqs.into_iter().enumerate() {
            let print = dedupe.print(&[n as u8]);
            dedupe.insert(print, seq, 0);
        }
        for (n, seq) in seqs.into_iter().enumerate() {
            assert_eq!(dedupe.find(dedupe.print(&[n as u8]), 0), Some(seq));
        }
        dedupe.expire(1_000_000_000);
        let again = dedupe.print(&[1]);
        dedupe.insert(again, 9, 2_000_000_000);
        assert_eq!((dedupe.len(), dedupe.find(again, 2_000_000_000)), (1, Some(9)));
    }

    /// The window against a list of everything, with ids that come again, gaps of time and windows that change.
    #[test]
    fn the_window_is_that_of_a_list() {
        for seed in 0..40 {
            let mut random = Seeded::new(seed);
            let mut dedupe = Dedupe::new(1_000_000_000, &mut random);
            let mut below = |bound: u64| random.next_u64() % bound;
            let (mut window, mut now) = (1_000_000_000i64, 0i64);
            let mut list: Vec<(u64, u64, i64)> = Vec::new();
            let gap = [1, 3, 40][seed as usize % 3];
            for seq in 1..2500u64 {
                now += below(gap) as i64 * 1_000_000;
                if below(200) == 0 {
                    window = if window == 1_000_000_000 { 3_000_000_000 } else { 1_000_000_000 };
                    dedupe.set_window(window);
                }
                let id = below(400);
                let print = dedupe.print(&id.to_le_bytes());
                let known = list.iter().rev().find(|(other, _, ts_ns)| *other == id && ts_ns + window > now);
                assert_eq!(dedupe.find(print, now), known.map(|(_, seq, _)| *seq), "seed {seed}");
                dedupe.insert(print, seq, now);
                // A window that grows later does not bring these back.
                list.retain(|(_, _, ts_ns)| ts_ns + window > now);
                list.push((id, seq, now));
                assert_eq!(dedupe.len(), list.len(), "seed {seed}");
            }
        }
    }

    #[test]
    fn numbers_may_wrap() {
        let mut dedupe = dedupe(1_000_000_000);
        dedupe.entries.first = entries::LAST_NUMBER - 1500;
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
