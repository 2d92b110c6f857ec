//! Sets of patterns, asked about one subject at a time.

use midge_stdx::hash::{Map, Set};
use midge_subject::tokens::{is_any, is_rest, tokens};
use midge_subject::{has_wildcard, is_subset, matches, overlaps};

/// Patterns by what can be looked up: whole literals by hash, wildcards by their first token.
#[derive(Clone, Debug, Default)]
pub(super) struct PatternSet {
    literals: Set<Box<[u8]>>,
    by_head: Map<Box<[u8]>, Vec<Box<[u8]>>>,
    open: Vec<Box<[u8]>>,
}

fn head(subject: &[u8]) -> &[u8] {
    tokens(subject).next().unwrap_or_default()
}

impl PatternSet {
    pub(super) fn insert(&mut self, pattern: &[u8]) {
        let first = head(pattern);
        if !has_wildcard(pattern) {
            self.literals.insert(pattern.into());
        } else if is_any(first) || is_rest(first) {
            self.open.push(pattern.into());
        } else {
            self.by_head.entry(first.into()).or_default().push(pattern.into());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.by_head.is_empty() && self.open.is_empty()
    }

    /// The wildcard patterns that can have to do with a subject of this first token.
    fn candidates(&self, subject: &[u8]) -> impl Iterator<Item = &[u8]> {
        let headed = if self.by_head.is_empty() { None } else { self.by_head.get(head(subject)) };
        self.open.iter().chain(headed.into_iter().flatten()).map(|pattern| &**pattern)
    }

    /// Whether some pattern matches the subject, whose tokens are taken literally.
    pub(super) fn matches(&self, subject: &[u8]) -> bool {
        (!self.literals.is_empty() && self.literals.contains(subject))
            || self.candidates(subject).any(|pattern| matches(subject, pattern))
    }

    /// Whether some single pattern covers all that the subscription `subject` would receive.
    pub(super) fn covers(&self, subject: &[u8]) -> bool {
        (!self.literals.is_empty() && self.literals.contains(subject))
            || self.candidates(subject).any(|pattern| is_subset(subject, pattern))
    }

    /// Whether some pattern and `subject` have a literal in common. Looks at every pattern.
    pub(super) fn overlaps(&self, subject: &[u8]) -> bool {
        let headed = self.by_head.values().flatten();
        self.open.iter().chain(headed).any(|pattern| overlaps(pattern, subject))
            || self.literals.iter().any(|literal| matches(literal, subject))
    }
}

/// A subject and a queue, both perhaps patterns.
type Pair = (Box<[u8]>, Box<[u8]>);

/// Entries with a queue; lists of them are short.
#[derive(Clone, Debug, Default)]
pub(super) struct QueuePatterns {
    pairs: Vec<Pair>,
}

/// Whether a queue name fits the queue of an entry.
fn fits(queue: &[u8], entry: &[u8]) -> bool {
    queue == entry || matches(queue, entry)
}

impl QueuePatterns {
    pub(super) fn insert(&mut self, subject: &[u8], queue: &[u8]) {
        self.pairs.push((subject.into(), queue.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether some entry matches the subject literally and fits the queue.
    pub(super) fn matches(&self, subject: &[u8], queue: &[u8]) -> bool {
        self.pairs.iter().any(|(pattern, entry)| matches(subject, pattern) && fits(queue, entry))
    }

    /// Whether the entries that cover `subject` fit the queue; `None` when no entry covers it.
    pub(super) fn covers(&self, subject: &[u8], queue: &[u8]) -> Option<bool> {
        self.pairs
            .iter()
            .filter(|(pattern, _)| is_subset(subject, pattern))
            .map(|(_, entry)| fits(queue, entry))
            .reduce(|one, other| one || other)
    }

    /// Whether some entry and `subject` have a literal in common, and the queue fits.
    pub(super) fn overlaps(&self, subject: &[u8], queue: &[u8]) -> bool {
        self.pairs.iter().any(|(pattern, entry)| overlaps(pattern, subject) && fits(queue, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject() -> impl Strategy<Value = String> {
        let token = prop_oneof![3 => Just("a"), 3 => Just("b"), 2 => Just("*")];
        (proptest::collection::vec(token, 1..4), any::<bool>()).prop_map(|(mut tokens, rest)| {
            if rest {
                tokens.push(">");
            }
            tokens.join(".")
        })
    }

    proptest! {
        #[test]
        fn look_ups_agree_with_a_list(patterns in proptest::collection::vec(subject(), 0..6), asked in subject()) {
            let mut set = PatternSet::default();
            for pattern in &patterns {
                set.insert(pattern.as_bytes());
            }
            let asked = asked.as_bytes();
            let any = |f: &dyn Fn(&[u8]) -> bool| patterns.iter().any(|p| f(p.as_bytes()));
            prop_assert_eq!(set.matches(asked), any(&|p| matches(asked, p)));
            prop_assert_eq!(set.covers(asked), any(&|p| is_subset(asked, p)));
            prop_assert_eq!(set.overlaps(asked), any(&|p| overlaps(asked, p)));
            prop_assert_eq!(set.is_empty(), patterns.is_empty());
        }
    }
}
