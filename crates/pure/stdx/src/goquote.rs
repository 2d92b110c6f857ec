//! Go's `%q`: arbitrary bytes as a quoted string, for errors and logs.

/// Quotes bytes as Go's `%q` does: printable text stays, everything else is escaped.
pub fn quote(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends bytes quoted as Go's `%q` does.
pub fn push_quoted(out: &mut String, text: &[u8]) {
    out.push('"');
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(out, c));
        chunk.invalid().iter().for_each(|&byte| push_hex(out, 'x', u32::from(byte), 2));
    }
    out.push('"');
}

fn push_char(out: &mut String, c: char) {
    let short = match c {
        '"' => '"',
        '\\' => '\\',
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        ' '..='~' => return out.push(c),
        '\0'..='\x7f' => return push_hex(out, 'x', u32::from(c), 2),
        _ if is_printable(c) => return out.push(c),
        '\0'..='\u{ffff}' => return push_hex(out, 'u', u32::from(c), 4),
        _ => return push_hex(out, 'U', u32::from(c), 8),
    };
    out.push('\\');
    out.push(short);
}

fn push_hex(out: &mut String, kind: char, value: u32, digits: u32) {
    out.push('\\');
    out.push(kind);
    for digit in (0..digits).rev() {
        out.push(char::from_digit(value >> (4 * digit) & 0xf, 16).unwrap_or('0'));
    }
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII blank: what both Go and Rust call printable. Behind
/// another character, Rust's debug escapes leave exactly those alone (and escape quotes and backslashes).
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let mut buffer = [b'a'; 5];
    let end = 1 + c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..end]).is_ok_and(|pair| pair.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_agrees_with_go() {
        for (text, expected) in [
            (&b"foo.bar"[..], r#""foo.bar""#),
            (b"", r#""""#),
            (b"a\"b\\c'", r#""a\"b\\c'""#),
            (b"\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            (b"\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            (b"\xff\xc3x", r#""\xff\xc3x""#),
            (b"\xed\xa0\x80", r#""\xed\xa0\x80""#),
            ("h\u{e9}llo \u{4e16} \u{1f600}".as_bytes(), "\"h\u{e9}llo \u{4e16} \u{1f600}\""),
            ("e\u{301}\u{fffd}".as_bytes(), "\"e\u{301}\u{fffd}\""),
            ("\u{a0}\u{85}\u{200b}\u{2028}\u{feff}".as_bytes(), r#""\u00a0\u0085\u200b\u2028\ufeff""#),
            ("\u{e000}\u{10ffff}".as_bytes(), r#""\ue000\U0010ffff""#),
            ("\u{ad}\u{3000}".as_bytes(), r#""\u00ad\u3000""#),
        ] {
            assert_eq!(quote(text), expected);
        }
    }
}
