//! What the functions do to one token.

/// A function of one token and one argument. Sizes are in bytes; a size of zero or not below the token's length leaves
/// the token as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFunction {
    /// Cuts after so many bytes.
    SplitFromLeft(usize),
    /// Cuts so many bytes before the end.
    SplitFromRight(usize),
    /// Cuts into chunks; the remainder comes last.
    SliceFromLeft(usize),
    /// Cuts into chunks; the remainder comes first.
    SliceFromRight(usize),
    /// Cuts at each delimiter and drops empty pieces; an empty delimiter cuts between characters.
    Split(Box<[u8]>),
    /// The first bytes.
    Left(usize),
    /// The last bytes.
    Right(usize),
}

impl TokenFunction {
    /// Appends what becomes of `token`: one or more tokens, or nothing where a split leaves no piece.
    pub fn apply(&self, token: &[u8], out: &mut Vec<u8>) {
        let within = |size: usize| size > 0 && size < token.len();
        match *self {
            TokenFunction::SplitFromLeft(size) if within(size) => join(out, [&token[..size], &token[size..]]),
            TokenFunction::SplitFromRight(size) if within(size) => {
                let (left, right) = token.split_at(token.len() - size);
                join(out, [left, right]);
            }
            TokenFunction::SliceFromLeft(size) if within(size) => join(out, token.chunks(size)),
            TokenFunction::SliceFromRight(size) if within(size) => {
                let (head, chunks) = token.split_at(token.len() % size);
                join(out, std::iter::once(head).filter(|head| !head.is_empty()).chain(chunks.chunks(size)));
            }
            TokenFunction::Left(size) if within(size) => out.extend_from_slice(&token[..size]),
            TokenFunction::Right(size) if within(size) => out.extend_from_slice(&token[token.len() - size..]),
            TokenFunction::Split(ref delimiter) => join(out, pieces(token, delimiter)),
            _ => out.extend_from_slice(token),
        }
    }
}

fn join<'a>(out: &mut Vec<u8>, parts: impl IntoIterator<Item = &'a [u8]>) {
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(part);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The length of the first UTF-8 character; one byte where the text is not UTF-8.
fn character(text: &[u8]) -> usize {
    let length = match text.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    if text.get(..length).is_some_and(|head| std::str::from_utf8(head).is_ok()) { length } else { 1 }
}

/// The non-empty pieces between delimiters.
fn pieces<'a>(token: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut left = token;
    std::iter::from_fn(move || {
        while !left.is_empty() {
            let (length, skip) = if delimiter.is_empty() {
                (character(left), 0)
            } else {
                find(left, delimiter).map_or((left.len(), 0), |at| (at, delimiter.len()))
            };
            let (piece, tail) = left.split_at(length);
            left = &tail[skip..];
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(function: &TokenFunction, token: &str) -> String {
        let mut out = Vec::new();
        function.apply(token.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sizes_cut_inside_the_token_only() {
        use TokenFunction::*;
        for (function, token, expected) in [
            (SplitFromLeft(3), "12345", "123.45"),
            (SplitFromLeft(2), "abc", "ab.c"),
            (SplitFromLeft(3), "abc", "abc"),
            (SplitFromLeft(0), "abc", "abc"),
            (SplitFromRight(1), "abc", "ab.c"),
            (SplitFromRight(3), "abc", "abc"),
            (SliceFromLeft(3), "1234567890", "123.456.789.0"),
            (SliceFromLeft(4), "abcdef", "abcd.ef"),
            (SliceFromLeft(6), "abcdef", "abcdef"),
            (SliceFromLeft(0), "abcdef", "abcdef"),
            (SliceFromRight(3), "1234567890", "1.234.567.890"),
            (SliceFromRight(4), "abcdef", "ab.cdef"),
            (SliceFromRight(2), "abcdef", "ab.cd.ef"),
            (SliceFromRight(6), "abcdef", "abcdef"),
            (Left(2), "abc", "ab"),
            (Left(0), "abc", "abc"),
            (Left(4), "abc", "abc"),
            (Right(2), "abc", "bc"),
            (Right(3), "abc", "abc"),
        ] {
            assert_eq!(applied(&function, token), expected, "{function:?} of {token}");
        }
    }

    #[test]
    fn splitting_drops_empty_pieces() {
        for (delimiter, token, expected) in [
            ("-", "-abc-def--ghi-", "abc.def.ghi"),
            ("--", "a---b-c", "a.-b-c"),
            ("x", "abc", "abc"),
            ("-", "---", ""),
            ("", "a\u{e9}bc", "a.\u{e9}.b.c"),
        ] {
            assert_eq!(applied(&TokenFunction::Split(delimiter.as_bytes().into()), token), expected);
        }
    }
}
