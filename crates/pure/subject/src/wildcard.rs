//! How one subject stands to another.

use crate::tokens::{has_empty, is_any, is_rest, tokens};

/// Whether some token is a wildcard.
pub fn has_wildcard(subject: &[u8]) -> bool {
    tokens(subject).any(|token| is_any(token) || is_rest(token))
}

/// The number of `*` tokens.
pub fn count_any(subject: &[u8]) -> usize {
    tokens(subject).filter(|token| is_any(token)).count()
}

/// Whether the last token is `>`.
pub fn ends_in_rest(subject: &[u8]) -> bool {
    matches!(subject, [b'>'] | [.., b'.', b'>'])
}

/// Whether `literal` is one of the subjects that `pattern` stands for.
///
/// Wildcards in `literal` are taken as ordinary tokens, so that a wildcard publish needs a wildcard in the pattern. A
/// subject with an empty token is matched by nothing, and neither does a pattern match in which `>` is not last.
pub fn matches(literal: &[u8], pattern: &[u8]) -> bool {
    let mut subject = tokens(literal);
    let mut wanted = tokens(pattern);
    loop {
        let left = subject.remainder();
        match (subject.next(), wanted.next()) {
            (None, None) => return true,
            (Some(_), Some(p)) if is_rest(p) => {
                return wanted.remainder().is_none() && left.is_some_and(|left| !has_empty(left));
            }
            (Some(t), Some(p)) if !t.is_empty() && (is_any(p) || t == p) => {}
            _ => return false,
        }
    }
}

/// Whether every literal that `inner` stands for is one that `outer` stands for. Both must be valid subjects.
pub fn is_subset(inner: &[u8], outer: &[u8]) -> bool {
    let (mut inner, mut outer) = (tokens(inner), tokens(outer));
    loop {
        match (inner.next(), outer.next()) {
            (None, None) => return true,
            (Some(_), Some(o)) if is_rest(o) => return true,
            (Some(i), Some(_)) if is_rest(i) => return false,
            (Some(_), Some(o)) if is_any(o) => {}
            (Some(i), Some(o)) if i == o => {}
            _ => return false,
        }
    }
}

/// Whether some literal is one that both stand for. Both must be valid subjects.
pub fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if is_rest(x) || is_rest(y) => return true,
            (Some(x), Some(y)) if is_any(x) || is_any(y) || x == y => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_are_whole_tokens() {
        for (literal, pattern, expected) in [
            ("foo", "foo", true),
            ("foo", "bar", false),
            ("foo", "*", true),
            ("foo", ">", true),
            ("foo.bar", "*", false),
            ("foo.bar", ">", true),
            ("foo.bar", "foo.>", true),
            ("foo", "foo.>", false),
            ("foo.bar.baz", "foo.*.baz", true),
            ("foo.bar.baz", "foo.*", false),
            ("foo.bar", "foo.*.>", false),
            ("foo.b", "foo.*b", false),
            ("foo.*b", "foo.*b", true),
            ("foo.>>", "foo.>>", true),
            ("foo.x", "foo.>>", false),
            ("foo.*", "foo.*", true),
            ("foo.*", "foo.bar", false),
            ("foo.*", "foo.>", true),
            ("foo.>", "foo.*", true),
            ("foo..bar", "foo.*.bar", false),
            ("foo..bar", "foo.>", false),
            ("foo.bar.", ">", false),
            ("", ">", false),
            ("", "", false),
            ("foo.bar.baz", "foo.>.baz", false),
        ] {
            assert_eq!(matches(literal.as_bytes(), pattern.as_bytes()), expected, "{literal} in {pattern}");
        }
    }

    #[test]
    fn subsets_and_overlaps() {
        // a, b, a within b, they overlap
        for (a, b, subset, overlap) in [
            ("foo.bar", "foo.bar", true, true),
            ("foo.*", ">", true, true),
            ("foo.*", "*.*", true, true),
            ("foo.*", "foo.*", true, true),
            ("foo.*", "foo.bar", false, true),
            ("foo.>", ">", true, true),
            ("foo.>", "*.>", true, true),
            ("foo.>", "foo.>", true, true),
            ("foo.>", "foo.bar", false, true),
            ("foo.>", "foo.*", false, true),
            (">", "*", false, true),
            ("*", ">", true, true),
            (">", "*.>", false, true),
            ("foo..bar", "foo.*", false, false),
            ("foo.*", "foo.bar.*", false, false),
            ("foo.*.baz", "*.bar.*", false, true),
            ("foo.xyz", "foo.*bar", false, false),
            ("foo.*bar", "foo.*", true, true),
            ("*", "foo.>", false, false),
            ("foo", "foo.>", false, false),
        ] {
            assert_eq!(is_subset(a.as_bytes(), b.as_bytes()), subset, "{a} within {b}");
            assert_eq!(overlaps(a.as_bytes(), b.as_bytes()), overlap, "{a} overlaps {b}");
            assert_eq!(overlaps(b.as_bytes(), a.as_bytes()), overlap, "{b} overlaps {a}");
        }
    }

    #[test]
    fn kinds_of_subjects() {
        assert!(has_wildcard(b"a.*.b") && has_wildcard(b">") && !has_wildcard(b"a.*b.>>"));
        assert_eq!(count_any(b"*.a.*.*b.>"), 2);
        assert!(ends_in_rest(b">") && ends_in_rest(b"a.>") && !ends_in_rest(b"a.>>") && !ends_in_rest(b""));
    }

    /// What a pattern means, spelled out.
    fn stands_for(literal: &[&str], pattern: &[&str]) -> bool {
        match pattern {
            [] => literal.is_empty(),
            [">"] => !literal.is_empty(),
            [p, pattern @ ..] => {
                literal.first().is_some_and(|t| p == &"*" || p == t) && stands_for(&literal[1..], pattern)
            }
        }
    }

    /// Every literal of up to four tokens; `c` stands for the tokens that no pattern names.
    fn universe() -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = vec![vec![]];
        let mut from = 0;
        for _ in 0..4 {
            let to = all.len();
            for at in from..to {
                for token in ["a", "b", "c"] {
                    let mut longer = all[at].clone();
                    longer.push(token);
                    all.push(longer);
                }
            }
            from = to;
        }
        all.split_off(1)
    }

    fn pattern() -> impl Strategy<Value = Vec<&'static str>> {
        let token = prop_oneof![Just("a"), Just("b"), Just("*")];
        (proptest::collection::vec(token, 0..=3), any::<bool>()).prop_map(|(mut tokens, rest)| {
            if rest || tokens.is_empty() {
                tokens.truncate(2);
                tokens.push(">");
            }
            tokens
        })
    }

    proptest! {
        #[test]
        fn relations_agree_with_enumeration(a in pattern(), b in pattern()) {
            let (mut subset, mut overlap) = (true, false);
            let (x, y) = (a.join("."), b.join("."));
            for literal in universe() {
                let (in_a, in_b) = (stands_for(&literal, &a), stands_for(&literal, &b));
                prop_assert_eq!(matches(literal.join(".").as_bytes(), x.as_bytes()), in_a, "{:?}", literal);
                subset &= !in_a || in_b;
                overlap |= in_a && in_b;
            }
            prop_assert_eq!(is_subset(x.as_bytes(), y.as_bytes()), subset, "{} within {}", x, y);
            prop_assert_eq!(overlaps(x.as_bytes(), y.as_bytes()), overlap, "{} overlaps {}", x, y);
        }

        #[test]
        fn any_bytes_are_survived(a in proptest::collection::vec(any::<u8>(), 0..40), b in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (matches(&a, &b), is_subset(&a, &b), has_wildcard(&a), count_any(&b));
            prop_assert_eq!(overlaps(&a, &b), overlaps(&b, &a));
        }
    }
}
