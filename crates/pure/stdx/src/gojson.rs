//! Go's JSON habits: what `encoding/json` writes, and how it matches the names of fields.

/// Appends a JSON string as Go writes it: `<`, `>`, `&` and the line separators U+2028 and U+2029 are escaped too.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

/// Appends a JSON string of bytes that may not be UTF-8: each invalid byte becomes `\ufffd`.
pub fn push_bytes(out: &mut String, text: &[u8]) {
    out.push('"');
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid());
        chunk.invalid().iter().for_each(|_| out.push_str("\\ufffd"));
    }
    out.push('"');
}

/// Appends the inside of a JSON string.
pub fn push_escaped(out: &mut String, text: &str) {
    let mut from = 0;
    for (at, c) in text.char_indices() {
        let Some(escape) = escape_of(c) else { continue };
        out.push_str(&text[from..at]);
        out.push('\\');
        match escape {
            Escape::Short(letter) => out.push(letter),
            Escape::Code => {
                out.push('u');
                for digit in (0..4).rev() {
                    let nibble = u32::from(c) >> (4 * digit) & 0xf;
                    out.push(char::from_digit(nibble, 16).unwrap_or('0'));
                }
            }
        }
        from = at + c.len_utf8();
    }
    out.push_str(&text[from..]);
}

enum Escape {
    Short(char),
    Code,
}

fn escape_of(c: char) -> Option<Escape> {
    Some(match c {
        '"' | '\\' => Escape::Short(c),
        '\n' => Escape::Short('n'),
        '\r' => Escape::Short('r'),
        '\t' => Escape::Short('t'),
        '\x08' => Escape::Short('b'),
        '\x0c' => Escape::Short('f'),
        '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => Escape::Code,
        _ => return None,
    })
}

/// Whether a string needs an escape that Go writes and JSON does not demand.
pub fn needs_go_escape(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
}

/// A number as Go writes it: as few digits as tell it apart, an exponent only for the very small and very large. What
/// JSON cannot say becomes `0`.
pub fn float_text(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // Rust writes `1e21` and `1e-7`; Go writes the plus sign, and no leading zero in a negative exponent.
        let text = format!("{value:e}");
        return if size >= 1.0 { text.replacen('e', "e+", 1) } else { text };
    }
    format!("{value}")
}

/// Whether a key of an object names a field: Go compares without regard to case.
pub fn key_matches(key: &str, field: &str) -> bool {
    key.len() == field.len() && key.eq_ignore_ascii_case(field) || folds_to(key, field)
}

/// The two letters outside ASCII that Go folds into it: the long s and the Kelvin sign.
fn folds_to(key: &str, field: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    !key.is_ascii() && key.chars().map(fold).eq(field.chars().map(fold))
}

/// The field among `fields` that a key names: the exact one, else the first that matches without regard to case.
pub fn field_of<'a>(key: &str, fields: &[&'a str]) -> Option<&'a str> {
    let exact = fields.iter().find(|field| **field == key);
    exact.or_else(|| fields.iter().find(|field| key_matches(key, field))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = String::new();
        push_string(&mut out, "a\"b\\c<>&\u{2028}\u{2029}\n\r\t\x08\x0c\x01\x7f\u{e9}");
        assert_eq!(out, "\"a\\\"b\\\\c\\u003c\\u003e\\u0026\\u2028\\u2029\\n\\r\\t\\b\\f\\u0001\x7f\u{e9}\"");
        out.clear();
        push_bytes(&mut out, b"x\xff\xfey");
        assert_eq!(out, "\"x\\ufffd\\ufffdy\"");
        assert!(needs_go_escape("a>b") && !needs_go_escape("a\"b"));
    }

    #[test]
    fn numbers_read_as_in_go() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.000_001, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(float_text(value), text);
        }
    }

    #[test]
    fn keys_match_in_any_case_and_the_exact_one_wins() {
        assert!(key_matches("VERBOSE", "verbose") && !key_matches("verbos", "verbose"));
        assert!(key_matches("\u{17f}id", "sid") && key_matches("n\u{212a}ey", "nkey"));
        assert_eq!(field_of("Name", &["name", "Name"]), Some("Name"));
        assert_eq!(field_of("NAME", &["name", "Name"]), Some("name"));
        assert_eq!(field_of("x", &["name"]), None);
    }
}
