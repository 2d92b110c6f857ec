//! The `NATS/1.0` header block.

/// The first line of a block without status.
pub const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

/// The value of the first header `key` (compared with its case), without leading blanks.
pub fn find<'a>(block: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut lines = Lines { rest: block };
    lines.next()?;
    lines.find_map(|line| value_of(line, key))
}

fn value_of<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(key)?.strip_prefix(b":")?;
    let blanks = value.iter().take_while(|&&b| b == b' ').count();
    value.get(blanks..)
}

/// A copy of the block without any line of `key`, and with `key: value` as its last header.
pub fn set(block: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + key.len() + value.len() + 4);
    let mut first = true;
    for line in (Lines { rest: block }) {
        if (first || value_of(line, key).is_none()) && !line.is_empty() {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        first = false;
    }
    if out.is_empty() {
        out.extend_from_slice(VERSION_LINE);
    }
    for part in [key, b": ", value, b"\r\n\r\n"] {
        out.extend_from_slice(part);
    }
    out
}

/// The block of a message that nobody was there to receive.
pub fn no_responders(subject: &[u8], out: &mut Vec<u8>) {
    for part in [b"NATS/1.0 503\r\nNats-Subject: ".as_slice(), subject, b"\r\n\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The lines of a block, without their ends.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memmem::find(self.rest, b"\r\n");
        let (line, rest) = match end {
            Some(at) => (self.rest.get(..at)?, self.rest.get(at + 2..)?),
            None => (self.rest, &[] as &[u8]),
        };
        self.rest = rest;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_value_of_a_key_with_its_case() {
        let block = b"NATS/1.0 100 Idle\r\nA: 1\r\nB:2\r\nA:   3\r\nAB: 4\r\n\r\n";
        assert_eq!(find(block, b"A"), Some(&b"1"[..]));
        assert_eq!(find(block, b"B"), Some(&b"2"[..]));
        assert_eq!(find(block, b"AB"), Some(&b"4"[..]));
        assert_eq!(find(block, b"a"), None);
        assert_eq!(find(b"A: 1\r\n\r\n", b"A"), None, "the first line is never a header");
        assert_eq!(find(b"", b"A"), None);
    }

    #[test]
    fn sets_a_key_once_and_last() {
        let block = b"NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\n";
        assert_eq!(set(block, b"A", b"x"), b"NATS/1.0\r\nB: 2\r\nA: x\r\n\r\n");
        assert_eq!(set(b"", b"A", b"x"), b"NATS/1.0\r\nA: x\r\n\r\n");
        assert_eq!(find(&set(block, b"C", b"y"), b"A"), Some(&b"1"[..]));
    }

    #[test]
    fn no_responders_has_the_published_length() {
        let mut out = Vec::new();
        no_responders(b"foo", &mut out);
        assert_eq!(out.len(), 32 + 3);
    }
}
