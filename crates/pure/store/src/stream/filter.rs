//! Which subjects are meant.

use midge_subject::wildcard;

/// Some subjects, with or without wildcards. None at all stands for every message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    subjects: Box<[Box<[u8]>]>,
}

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
        let subjects: Box<[Box<[u8]>]> = subjects.into_iter().map(Into::into).collect();
        let all = subjects.iter().any(|subject| subject.is_empty() || **subject == *b">");
        if all { Filter::all() } else { Filter { subjects } }
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

    /// Whether a message of this subject is meant. Messages without a subject are meant by everything only.
    #[inline]
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.is_all()
            || self.subjects.iter().any(|filter| **filter == *subject || wildcard::matches(subject, filter))
    }
}

#[cfg(test)]
mod tests {
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
}
