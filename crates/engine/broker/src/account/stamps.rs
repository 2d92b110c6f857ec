//! When a remembered route may still be used.
//!
//! A change of the index touches only the routes whose subjects it can match: counters are kept per first token and per
//! first two tokens, so that inboxes coming and going do not disturb publishers of other subjects, nor each other.

use midge_stdx::hash::MapHasher;
use midge_sync::atomic::{AtomicU64, Ordering};

/// Counters of each level.
const BUCKETS: usize = 1024;

/// Grows whenever the matches of a subject may have changed.
pub type Stamp = u64;

/// See the module.
#[derive(Debug)]
pub struct Stamps {
    hasher: MapHasher,
    /// Subscriptions whose first token is a wildcard.
    all: AtomicU64,
    /// Subscriptions with a literal first token and a wildcard second.
    first: Box<[AtomicU64]>,
    /// Subscriptions with two literal tokens, or with one in all.
    second: Box<[AtomicU64]>,
}

/// The first token, and the first two with the dot between them (or all there is).
#[inline]
fn prefixes(subject: &[u8]) -> (&[u8], &[u8], bool) {
    let Some(dot) = subject.iter().position(|&b| b == b'.') else { return (subject, subject, true) };
    let (first, rest) = subject.split_at(dot);
    let rest = rest.get(1..).unwrap_or_default();
    let second = rest.iter().position(|&b| b == b'.').unwrap_or(rest.len());
    (first, subject.get(..dot + 1 + second).unwrap_or(subject), false)
}

fn is_wildcard(token: &[u8]) -> bool {
    token == b"*" || token == b">"
}

impl Stamps {
    /// All zero.
    pub fn new() -> Self {
        let counters = || (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Stamps { hasher: MapHasher::default(), all: AtomicU64::new(0), first: counters(), second: counters() }
    }

    #[inline]
    fn bucket<'a>(&self, list: &'a [AtomicU64], key: &[u8]) -> &'a AtomicU64 {
        // The table length is a power of two and not zero.
        &list[(self.hasher.bytes(key) as usize) & (BUCKETS - 1)]
    }

    /// The stamp of a literal subject. Every counter only grows, so equal sums mean equal counters.
    #[inline]
    pub fn of(&self, subject: &[u8]) -> Stamp {
        let (first, both, _) = prefixes(subject);
        self.all
            .load(Ordering::Acquire)
            .wrapping_add(self.bucket(&self.first, first).load(Ordering::Acquire))
            .wrapping_add(self.bucket(&self.second, both).load(Ordering::Acquire))
    }

    /// Notes a change of a subscription to `subject`; called under the index lock.
    pub fn touch(&self, subject: &[u8]) {
        let (first, both, single) = prefixes(subject);
        let second = both.get(first.len() + 1..).unwrap_or_default();
        let counter = if is_wildcard(first) {
            &self.all
        } else if !single && is_wildcard(second) {
            self.bucket(&self.first, first)
        } else {
            self.bucket(&self.second, both)
        };
        counter.fetch_add(1, Ordering::Release);
    }
}

impl Default for Stamps {
    fn default() -> Self {
        Stamps::new()
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    /// Subjects, of those given, whose stamp a change of `subscription` moves.
    fn moved<'a>(subscription: &str, subjects: &[&'a str]) -> Vec<&'a str> {
        let stamps = Stamps::new();
        let before: Vec<Stamp> = subjects.iter().map(|s| stamps.of(s.as_bytes())).collect();
        stamps.touch(subscription.as_bytes());
        subjects
            .iter()
            .zip(before)
            .filter(|(s, was)| stamps.of(s.as_bytes()) != *was)
            .map(|(s, _)| *s)
            .collect()
    }

    #[test]
    fn a_change_moves_the_stamps_of_what_it_can_match_and_little_else() {
        let all = ["a", "a.b", "a.b.c", "a.c", "b", "b.b", "_INBOX.x.1", "_INBOX.y.1"];
        assert_eq!(moved(">", &all), all);
        assert_eq!(moved("*.b", &all), all);
        assert_eq!(moved("a", &all), ["a"]);
        assert_eq!(moved("a.b", &all), ["a.b", "a.b.c"]);
        assert_eq!(moved("a.b.>", &all), ["a.b", "a.b.c"]);
        assert_eq!(moved("a.*", &all), ["a", "a.b", "a.b.c", "a.c"]);
        assert_eq!(moved("a.>", &all), ["a", "a.b", "a.b.c", "a.c"]);
        assert_eq!(moved("_INBOX.x.*", &all), ["_INBOX.x.1"]);
    }
}
