//! Which subjects are meant.

use std::sync::Arc;

use midge_index::overlap::Overlaps;
use midge_subject::wildcard;

/// From so many subjects on, an index answers whether one of them matches: comparing with each costs more than a hash per token.
const INDEXED_FROM: usize = 16;

/// Some subjects, with or without wildcards. None at all stands for every message.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    subjects: Arc<[Box<[u8]>]>,
    index: Option<Arc<Overlaps<()>>>,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.subjects == other.subjects
    }
}

impl Eq for Filter {}

impl Filter {
    /// Everything.
    pub fn all() -> Filter {
        Filter::default()
    }

    /// One subject. The empty one and `>` are everything.
    pub fn one(subject: &[u8]) -> Filter {
        Filter::of([subject])
    }

    /// Several. One that matches everything makes the others superfluous; none is everything.
    pub fn of<'a>(subjects: impl IntoIterator<Item = &'a [u8]>) -> Filter {
        let subjects: Arc<[Box<[u8]>]> = subjects.into_iter().map(Into::into).collect();
        let all = subjects.iter().any(|subject| subject.is_empty() || **subject == *b">");
        if all {
            return Filter::all();
        }
        let index = (subjects.len() >= INDEXED_FROM).then(|| {
            let mut index = Overlaps::new();
            subjects.iter().for_each(|subject| index.insert(subject, ()));
            Arc::new(index)
        });
        Filter { subjects, index }
    }

    /// Whether every message is meant.
    #[inline]
    pub fn is_all(&self) -> bool {
        self.subjects.is_empty()
    }

    /// The subjects; none when everything is meant.
    pub fn subjects(&self) -> impl Iterator<Item = &[u8]> {
        self.subjects.iter().map(|subject| &**subject)
    }

    /// The only subject, if it is one without wildcards.
    pub fn literal(&self) -> Option<&[u8]> {
        match &*self.subjects {
            [subject] if !wildcard::has_wildcard(subject) => Some(subject),
            _ => None,
        }
    }

    /// Whether a message of this subject is meant. Messages without a subject are meant by everything only. Cost: a few comparisons, or one hash
    /// per token.
    #[inline]
    pub fn matches(&self, subject: &[u8]) -> bool {
        match &self.index {
            None => {
                self.is_all()
                    || self
                        .subjects
                        .iter()
                        .any(|filter| **filter == *subject || wildcard::matches(subject, filter))
            }
            Some(index) => !subject.is_empty() && index.covered(subject, |()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use midge_stdx::entropy::{Entropy as _, Seeded};

    use super::*;

    #[test]
    fn everything_is_the_empty_filter() {
        for all in [Filter::all(), Filter::one(b""), Filter::one(b">"), Filter::of([&b"a"[..], b">"])] {
            assert!(all.is_all() && all.matches(b"x.y"));
        }
        let some = Filter::of([&b"a.*"[..], b"b"]);
        assert!(some.matches(b"a.1") && some.matches(b"b") && !some.matches(b"a") && !some.is_all());
        assert_eq!(Filter::one(b"b").literal(), Some(&b"b"[..]));
        assert_eq!(some.literal(), None);
    }

    /// What an index answers is what comparing with each answers.
    #[test]
    fn many_subjects_mean_the_same_as_each_of_them() {
        let mut seeded = Seeded::new(7);
        let mut subject = |wild: bool| {
            let mut text = Vec::new();
            let tokens = 1 + seeded.next_u64() % 4;
            for at in 0..tokens {
                let last = at + 1 == tokens;
                let token: &[u8] = match seeded.next_u64() % 6 {
                    0 if wild => b"*",
                    1 if wild && last && at > 0 => b">",
                    even if even % 2 == 0 => b"a",
                    _ => b"bc",
                };
                text.extend_from_slice(token);
                text.extend_from_slice(if last { b"" } else { b"." });
            }
            text
        };
        for round in 0..200 {
            let filters: Vec<Vec<u8>> = (0..INDEXED_FROM + round % 8).map(|_| subject(true)).collect();
            let many = Filter::of(filters.iter().map(Vec::as_slice));
            assert!(many.is_all() || many.index.is_some());
            for _ in 0..100 {
                let asked = subject(false);
                let expected = filters.iter().any(|filter| Filter::one(filter).matches(&asked));
                let text = String::from_utf8_lossy(&asked);
                assert_eq!(many.matches(&asked), expected, "{text} {many:?}");
            }
            assert!(!many.matches(b""));
            let same = Filter::of(filters.iter().map(Vec::as_slice));
            assert_eq!(many, same);
        }
    }
}
