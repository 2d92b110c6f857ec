//! Rewriting subjects.

use midge_stdx::entropy::Entropy;
use midge_stdx::hash::{FNV1A32_START, fnv1a32, fnv1a32_continue};

use super::{Part, Transform, TransformError};
use crate::name::is_valid_literal;
use crate::tokens::{token_at, tokens};
use crate::wildcard::matches;

impl Transform {
    /// Whether `subject` is one that this transform rewrites.
    pub fn applies_to(&self, subject: &[u8]) -> bool {
        matches(subject, &self.source)
    }

    /// Appends what becomes of the literal `subject`; appends nothing on error.
    pub fn apply(
        &self,
        subject: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        if !is_valid_literal(subject) {
            return Err(TransformError::InvalidSubject);
        }
        if !self.applies_to(subject) {
            return Err(TransformError::NoMatch);
        }
        self.rewrite(subject, entropy, out);
        Ok(())
    }

    /// Appends what becomes of `subject`, which is known to match the source or is itself a pattern within it. Tokens
    /// that `subject` lacks become empty.
    pub fn rewrite(&self, subject: &[u8], entropy: &mut dyn Entropy, out: &mut Vec<u8>) {
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                out.push(b'.');
            }
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Wildcard(at) => out.extend_from_slice(token_at(subject, at + 1)),
                Part::Token { at, function } => function.apply(token_at(subject, at + 1), out),
                Part::Random { bound } => push_number(out, (entropy.next_u64() >> 33) % (*bound).max(1)),
                Part::Partition { buckets, of } => {
                    push_number(out, u64::from(partition(subject, *buckets, of.as_deref())));
                }
                Part::Rest => out.extend_from_slice(self.rest_of(subject)),
            }
        }
    }

    fn rest_of<'s>(&self, subject: &'s [u8]) -> &'s [u8] {
        let mut walk = tokens(subject);
        for _ in 0..self.rest_at.unwrap_or(0) {
            walk.next();
        }
        walk.remainder().unwrap_or_default()
    }
}

/// The bucket of the whole subject, or of the tokens at the given positions joined without a separator.
fn partition(subject: &[u8], buckets: u32, of: Option<&[usize]>) -> u32 {
    let hash = match of {
        None => fnv1a32(subject),
        Some(positions) => {
            positions.iter().fold(FNV1A32_START, |hash, at| fnv1a32_continue(hash, token_at(subject, at + 1)))
        }
    };
    hash.checked_rem(buckets).unwrap_or(0)
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_stdx::entropy::Seeded;
    use proptest::prelude::*;

    fn applied(source: &str, destination: &str, subject: &str) -> String {
        let transform = Transform::new(source.as_bytes(), destination.as_bytes()).unwrap();
        let mut out = Vec::new();
        match transform.apply(subject.as_bytes(), &mut Seeded::new(1), &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(error) => {
                assert!(out.is_empty());
                error.to_string()
            }
        }
    }

    #[test]
    fn values_of_the_reference() {
        let no_match = "no matching transforms available";
        for (source, destination, subject, expected) in [
            (">", "{{partition(10)}}.>", "foo", "3.foo"),
            ("*", "{{partition(10)}}", "foo", "3"),
            ("*", "{{partition(10)}}", "baz", "0"),
            ("*", "{{partition(10)}}", "qux", "9"),
            ("*.*", "{{partition(10)}}", "foo.bar", "6"),
            ("*.*", "{{partition(10)}}", "foo.baz", "4"),
            ("test.subject", "{{partition(5)}}", "test.subject", "0"),
            ("*", "{{splitfromleft(1,3)}}", "12345", "123.45"),
            ("*", "{{SliceFromLeft(1,3)}}", "1234567890", "123.456.789.0"),
            ("*", "{{SliceFromRight(1,3)}}", "1234567890", "1.234.567.890"),
            ("*", "{{split(1,-)}}", "-abc-def--ghi-", "abc.def.ghi"),
            ("foo.*.*", "req.$2.$1", "foo.a.b", "req.b.a"),
            ("foo.*.*", "req.$1.$1", "foo.a.b", "req.a.a"),
            ("*.x.>", "$1.>", "ab.x.cd.ef", "ab.cd.ef"),
            ("", "x.>", "a.b", "x.a.b"),
            ("foo.*", "bar.$1", "foo", no_match),
            ("foo.*", "bar.$1", "foo.a.b", no_match),
            ("foo.*", "bar.$1", "foo.*", "invalid subject"),
            ("foo.*", "bar.$1", "foo.", "invalid subject"),
        ] {
            assert_eq!(
                applied(source, destination, subject),
                expected,
                "{source} to {destination} of {subject}"
            );
        }
    }

    #[test]
    fn values_observed_of_the_released_server() {
        for (source, destination, subject, expected) in [
            ("t0.*.*", "{{wildcard(0)}}", "t0.ab.cd", "t0"),
            ("t2.*.*", "{{split(1,)}}", "t2.abc.cd", "a.b.c"),
            ("t6.*", "{{partition(-1)}}", "t6.ab", "232506844"),
            ("t7.*", "{{partition(-7)}}", "t7.ab", "3514714901"),
            ("t8.*", "{{partition(-7,1)}}", "t8.ab", "1294271946"),
            ("t9.*", "{{random(-3)}}", "t9.ab", "0"),
            ("t12.*", "{{partition(0)}}", "t12.ab", "0"),
            ("t36.*.*", "{{partition(10,0)}}", "t36.ab.cd", "2"),
            ("t37.*.*", "{{partition(10,1)}}", "t37.ab.cd", "6"),
            ("t38.*.*", "{{partition(10,1,2)}}", "t38.ab.cd", "3"),
            ("t39.*.*", "{{partition(10,2,1)}}", "t39.ab.cd", "5"),
            ("t40.*.*", "{{partition(10)}}", "t40.ab.cd", "9"),
            ("t41.*.x.>", "{{partition(10)}}.>", "t41.ab.x.cd.ef", "5.cd.ef"),
            ("t43.*.*.>", "$2.{{partition(100,1)}}.>", "t43.ab.x.cd.ef", "x.46.cd.ef"),
            ("t48.lit", "{{partition(10)}}", "t48.lit", "0"),
            ("t49.lit.b", "{{partition(10,0)}}", "t49.lit.b", "5"),
            ("t50.lit.c", "{{partition(10,5)}}", "t50.lit.c", "8"),
            ("t52.*", "a$1", "t52.ab", "a$1"),
            ("t53.*", "$01", "t53.ab", "ab"),
            ("t55.*.*", "{{wildcard( +2 )}}", "t55.ab.cd", "cd"),
        ] {
            assert_eq!(applied(source, destination, subject), expected, "{destination} of {subject}");
        }
    }

    #[test]
    fn random_stays_below_its_bound_and_reaches_it() {
        let transform = Transform::new(b"*", b"{{random(5)}}").unwrap();
        let (mut entropy, mut seen) = (Seeded::new(3), [false; 5]);
        for _ in 0..200 {
            let mut out = Vec::new();
            transform.apply(b"x", &mut entropy, &mut out).unwrap();
            assert_eq!(out.len(), 1);
            seen[usize::from(out[0] - b'0')] = true;
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn missing_tokens_become_empty() {
        let transform = Transform::new(b"a.*.*.>", b"$2.{{left(2,1)}}.{{partition(3,2)}}.>").unwrap();
        let mut out = Vec::new();
        transform.rewrite(b"a", &mut Seeded::new(1), &mut out);
        assert!(out.starts_with(b"..") && out.ends_with(b"."), "{}", out.escape_ascii());
    }

    proptest! {
        #[test]
        fn there_and_back_again(a in "[a-z]{1,4}", b in "[a-z]{1,4}", rest in "[a-z]{1,3}(\\.[a-z]{1,3}){0,3}") {
            let there = Transform::strict(b"in.*.*.>", b"out.$2.x.$1.>").unwrap();
            let back = there.reverse().unwrap();
            let (mut entropy, mut middle, mut end) = (Seeded::new(1), Vec::new(), Vec::new());
            let subject = format!("in.{a}.{b}.{rest}");
            there.apply(subject.as_bytes(), &mut entropy, &mut middle).unwrap();
            prop_assert_eq!(&middle, &format!("out.{b}.x.{a}.{rest}").into_bytes());
            back.apply(&middle, &mut entropy, &mut end).unwrap();
            prop_assert_eq!(end, subject.as_bytes());
        }

        #[test]
        fn any_bytes_are_survived(
            source in "[a*>.]{0,8}",
            destination in "(\\.|>|a|\\$[0-9]|\\{\\{(split|left|partition|wildcard|random|slicefromright)\\([0-9]{0,2},?[0-9-]{0,2}\\)\\}\\}){0,6}",
            subject in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'.'), any::<u8>()], 0..20),
        ) {
            if let Ok(transform) = Transform::new(source.as_bytes(), destination.as_bytes()) {
                let mut out = Vec::new();
                let _ = transform.apply(&subject, &mut Seeded::new(1), &mut out);
                transform.rewrite(&subject, &mut Seeded::new(1), &mut out);
            }
        }
    }
}
