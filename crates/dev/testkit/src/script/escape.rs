//! Bytes as printable text, and back.

use anyhow::{Context, Result, bail};

/// Printable text for bytes: `\r`, `\n`, `\t`, `\\` and `\xHH`; valid UTF-8 stays.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    for byte in control.to_string().bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                plain => text.push(plain),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Bytes for the text of a script: `\r \n \t \s \\ \xHH`, and `\R{count:piece}` for a repeated piece.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let kind = rest[at + 1..].chars().next().context("a lone backslash")?;
        rest = &rest[at + 1 + kind.len_utf8()..];
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            's' => bytes.push(b' '),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = rest.get(..2).context("two hexadecimal digits after \\x")?;
                bytes.push(u8::from_str_radix(digits, 16)?);
                rest = &rest[2..];
            }
            'R' => {
                let (inside, after) =
                    rest.strip_prefix('{').and_then(split_at_brace).context("\\R{count:piece}")?;
                let (count, piece) = inside.split_once(':').context("\\R{count:piece}")?;
                bytes.extend(unescape(piece)?.repeat(count.parse()?));
                rest = after;
            }
            other => bail!("unknown escape \\{other}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Splits at the brace that closes what was opened before; pieces may be nested.
fn split_at_brace(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip() {
        let bytes = b"PUB a 3\r\n\x00\xff\\\t caf\xc3\xa9";
        assert_eq!(unescape(&escape(bytes)).expect("valid"), bytes);
    }

    #[test]
    fn pieces_are_repeated() {
        assert_eq!(unescape("a\\R{3:xy}b").expect("valid"), b"axyxyxyb");
        assert_eq!(unescape("\\R{2:a\\R{2:b}}").expect("valid"), b"abbabb");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(unescape("\\q").is_err());
        assert!(unescape("\\x4").is_err());
    }
}
