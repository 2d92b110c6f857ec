//! Zero-copy tokeniser.

/// Separates tokens.
pub const SEPARATOR: u8 = b'.';
/// As a whole token: any one token.
pub const ANY: u8 = b'*';
/// As the whole last token: one or more tokens.
pub const REST: u8 = b'>';

/// The tokens of a subject, in order. An empty subject has one empty token, as `a.` has two.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: Option<&'a [u8]>,
}

/// The tokens of `subject`.
#[inline]
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens { rest: Some(subject) }
}

impl<'a> Tokens<'a> {
    /// What has not been handed out yet, as one slice; `None` after the last token.
    #[inline]
    pub fn remainder(&self) -> Option<&'a [u8]> {
        self.rest
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match rest.iter().position(|&b| b == SEPARATOR) {
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                Some(&rest[..at])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

/// The number of tokens; an empty subject has one.
#[inline]
pub fn count(subject: &[u8]) -> usize {
    1 + subject.iter().filter(|&&b| b == SEPARATOR).count()
}

/// The `n`-th token, counted from 1; empty when there is none.
pub fn token_at(subject: &[u8], n: usize) -> &[u8] {
    match n.checked_sub(1) {
        Some(before) => tokens(subject).nth(before).unwrap_or_default(),
        None => &[],
    }
}

/// Whether the token is `*`.
#[inline]
pub fn is_any(token: &[u8]) -> bool {
    token == [ANY]
}

/// Whether the token is `>`.
#[inline]
pub fn is_rest(token: &[u8]) -> bool {
    token == [REST]
}

/// Whether some token is empty.
#[inline]
pub fn has_empty(subject: &[u8]) -> bool {
    let mut before = SEPARATOR;
    for &b in subject {
        if b == SEPARATOR && before == SEPARATOR {
            return true;
        }
        before = b;
    }
    before == SEPARATOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tokens_are_handed_out() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[""]),
            ("a", &["a"]),
            ("a.b", &["a", "b"]),
            (".a", &["", "a"]),
            ("a.", &["a", ""]),
            ("a..b", &["a", "", "b"]),
        ];
        for (subject, expected) in cases {
            let got: Vec<&[u8]> = tokens(subject.as_bytes()).collect();
            assert_eq!(got, expected.iter().map(|t| t.as_bytes()).collect::<Vec<_>>(), "{subject}");
            assert_eq!(count(subject.as_bytes()), expected.len());
            assert_eq!(has_empty(subject.as_bytes()), expected.contains(&""), "{subject}");
        }
    }

    #[test]
    fn tokens_are_counted_from_one() {
        assert_eq!(token_at(b"foo.bar.baz", 1), b"foo");
        assert_eq!(token_at(b"foo.bar.baz", 3), b"baz");
        assert_eq!(token_at(b"foo.bar.baz", 4), b"");
        assert_eq!(token_at(b"foo.bar.baz", 0), b"");
    }

    #[test]
    fn the_remainder_starts_behind_the_last_token_handed_out() {
        let mut walk = tokens(b"a.b.c");
        walk.next();
        assert_eq!(walk.remainder(), Some(&b"b.c"[..]));
        walk.by_ref().for_each(drop);
        assert_eq!(walk.remainder(), None);
    }
}
