//! Messages by the time they expire.
//!
//! Entries are kept in one ordered map by expiry and sequence, not in slots: the next expiry is the first entry, entries
//! of one second leave in order, and adding, which mostly happens at the end, costs as much as a look-up. Some 27 bytes
//! per entry.
//!
//! Time is cut to whole seconds only when entries fire: one becomes due at the first whole second at or after its expiry,
//! so that an owner wakes at most once a second however many entries there are, and never too early.
//!
//! What it does not do: know what a message is, or remove it.

mod encode;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use encode::WheelError;

/// Nanoseconds of the granularity of firing.
pub const TICK_NS: i64 = 1_000_000_000;

/// What is to become of an entry that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// It is done with.
    Remove,
    /// It stays, and fires again at the next call.
    Keep,
    /// It stays, and so do those after it: the owner's budget is spent.
    Stop,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wheel {
    /// Expiry in nanoseconds and sequence.
    entries: BTreeSet<(i64, u64)>,
}

impl Wheel {
    /// Without entries.
    pub fn new() -> Wheel {
        Wheel::default()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all entries and returns their memory.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds a message that expires at `expires_ns`, Unix nanoseconds. Answers false when that entry is there already.
    pub fn add(&mut self, seq: u64, expires_ns: i64) -> bool {
        self.entries.insert((expires_ns, seq))
    }

    /// Removes an entry; answers whether it was there. The expiry must be that of [`Wheel::add`].
    pub fn remove(&mut self, seq: u64, expires_ns: i64) -> bool {
        self.entries.remove(&(expires_ns, seq))
    }

    /// Gives a message another expiry; answers whether it had the old one, and adds the new one in either case.
    pub fn update(&mut self, seq: u64, old_ns: i64, new_ns: i64) -> bool {
        let removed = self.remove(seq, old_ns);
        self.add(seq, new_ns);
        removed
    }

    /// Whether the entry is there.
    pub fn contains(&self, seq: u64, expires_ns: i64) -> bool {
        self.entries.contains(&(expires_ns, seq))
    }

    /// When [`Wheel::expire`] will have something to do next: a whole second in Unix nanoseconds.
    pub fn next_expiry_ns(&self) -> Option<i64> {
        self.entries.first().map(|&(expires_ns, _)| {
            let into = expires_ns.rem_euclid(TICK_NS);
            if into == 0 { expires_ns } else { expires_ns.saturating_add(TICK_NS - into) }
        })
    }

    /// Hands every entry that is due at `now_ns` to `visit` as sequence and expiry, by expiry, then sequence, and removes
    /// those for which it says so. Answers how many were removed.
    pub fn expire(&mut self, now_ns: i64, mut visit: impl FnMut(u64, i64) -> Fired) -> usize {
        let last = now_ns.saturating_sub(now_ns.rem_euclid(TICK_NS));
        let mut removed = 0;
        let mut from = (i64::MIN, 0);
        while let Some(&(expires_ns, seq)) = self.entries.range(from..=(last, u64::MAX)).next() {
            match visit(seq, expires_ns) {
                Fired::Remove => {
                    self.entries.remove(&(expires_ns, seq));
                    removed += 1;
                    from = (expires_ns, seq);
                }
                Fired::Keep => {
                    from = match seq.checked_add(1) {
                        Some(next) => (expires_ns, next),
                        None => (expires_ns.saturating_add(1), 0),
                    };
                    // The very last entry that can be: nothing follows it.
                    if from <= (expires_ns, seq) || from > (last, u64::MAX) {
                        break;
                    }
                }
                Fired::Stop => break,
            }
        }
        removed
    }

    /// Every entry as sequence and expiry in nanoseconds, by expiry, then sequence.
    pub fn iter(&self) -> impl Iterator<Item = (u64, i64)> + '_ {
        self.entries.iter().map(|&(expires_ns, seq)| (seq, expires_ns))
    }
}
