//! Which byte strings are names.

use crate::tokens::{has_empty, is_any, is_rest, tokens};

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c)
}

/// No empty token, and `>` only as the last one: all that SUB demands. Blanks are not looked for.
pub fn is_valid_subscription(subject: &[u8]) -> bool {
    let mut rest_seen = false;
    tokens(subject).all(|token| {
        let good = !token.is_empty() && !rest_seen;
        rest_seen = is_rest(token);
        good
    })
}

/// A subject, with or without wildcards: [`is_valid_subscription`], and free of blanks.
pub fn is_valid_subject(subject: &[u8]) -> bool {
    is_valid_subscription(subject) && !subject.iter().any(|&b| is_blank(b))
}

/// The strict variant for names that are stored: valid, UTF-8, without NUL and without U+FFFD.
pub fn is_valid_subject_strict(subject: &[u8]) -> bool {
    is_valid_subject(subject)
        && std::str::from_utf8(subject).is_ok_and(|text| !text.contains(['\0', char::REPLACEMENT_CHARACTER]))
}

/// No empty token and no wildcard. Blanks are not looked for.
pub fn is_valid_literal(subject: &[u8]) -> bool {
    tokens(subject).all(|token| !token.is_empty() && !is_any(token) && !is_rest(token))
}

/// A subject that pedantic publishers may use: valid and literal.
pub fn is_valid_publish(subject: &[u8]) -> bool {
    is_valid_literal(subject) && !subject.iter().any(|&b| is_blank(b))
}

/// A queue group of a configuration file: one non-empty token string without blanks.
pub fn is_valid_queue(queue: &[u8]) -> bool {
    !has_empty(queue) && !queue.iter().any(|&b| is_blank(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predicates_agree_with_the_table() {
        // subject, subscription, subject, literal, publish
        let cases: [(&[u8], bool, bool, bool, bool); 25] = [
            (b"", false, false, false, false),
            (b".", false, false, false, false),
            (b".foo", false, false, false, false),
            (b"foo.", false, false, false, false),
            (b"foo..bar", false, false, false, false),
            (b"foo", true, true, true, true),
            (b"foo.bar", true, true, true, true),
            (b"*", true, true, false, false),
            (b">", true, true, false, false),
            (b"foo.*", true, true, false, false),
            (b"foo.*.bar", true, true, false, false),
            (b"foo.>", true, true, false, false),
            (b"foo.>.bar", false, false, false, false),
            (b">.foo", false, false, false, false),
            (b">.>", false, false, false, false),
            (b"foo.>>", true, true, true, true),
            (b">bar", true, true, true, true),
            (b"foo*", true, true, true, true),
            (b"*bar.f>o", true, true, true, true),
            (b"foo bar", true, false, true, false),
            (b" ", true, false, true, false),
            (b"foo.\tbar", true, false, true, false),
            (b"foo.b\x0car", true, false, true, false),
            (b"foo\r\n", true, false, true, false),
            (b"f\x00o\xff.\x0b", true, true, true, true),
        ];
        for (subject, subscription, valid, literal, publish) in cases {
            let name = subject.escape_ascii();
            assert_eq!(is_valid_subscription(subject), subscription, "subscription {name}");
            assert_eq!(is_valid_subject(subject), valid, "subject {name}");
            assert_eq!(is_valid_literal(subject), literal, "literal {name}");
            assert_eq!(is_valid_publish(subject), publish, "publish {name}");
        }
    }

    #[test]
    fn the_strict_variant_wants_text() {
        assert!(is_valid_subject_strict("foo.\u{e9}.*".as_bytes()));
        for bad in [&b"foo\0"[..], b"foo\xff", "foo\u{fffd}".as_bytes(), b"foo bar", b""] {
            assert!(!is_valid_subject_strict(bad), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn queues_are_not_blank() {
        assert!(is_valid_queue(b"v1.*"));
        for bad in [&b""[..], b"a b", b"a..b", b"a."] {
            assert!(!is_valid_queue(bad));
        }
    }
}
