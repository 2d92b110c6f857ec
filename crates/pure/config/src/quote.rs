//! Text in double quotes as Go's `%q` prints it: messages are compared by tools.

use std::fmt::Write as _;

/// Quotes a text and escapes what does not print.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' ' => out.push(' '),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() || c.is_whitespace() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn quotes_like_percent_q() {
        for (text, expected) in [
            ("x", r#""x""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("\n\t\r\u{1}\u{7f}", r#""\n\t\r\x01\x7f""#),
            ("é\u{a0}\u{2028}", "\"é\\u00a0\\u2028\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
