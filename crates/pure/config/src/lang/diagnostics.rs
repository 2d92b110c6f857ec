//! Drawn excerpts of configuration files, below the one-line errors.
//!
//! An excerpt shows one line. What looks like a secret in it is drawn as asterisks, since errors end up in logs.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Files;
use crate::limits::MAX_EXCERPT_LINE;

/// Names whose values are not shown, wherever they stand in a key.
const SECRETS: [&str; 6] = ["pass", "token", "secret", "seed", "auth", "nkey"];

/// Draws the line of a span, marked. `None` if there is no such line or if it is too long.
pub fn excerpt(files: &Files, file: usize, span: &Range<usize>, message: &str) -> Option<String> {
    let file = files.get(file)?;
    let at = span.start.min(file.text.len());
    let before = file.text.get(..at)?;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |n| n.saturating_add(1));
    let rest = file.text.get(start..)?;
    let line = rest.split(|b| *b == b'\n').next()?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // The renderer counts in UTF-8, so a line with other bytes is not drawn.
    let line = std::str::from_utf8(line).ok()?;
    if line.trim().is_empty() || line.len() > MAX_EXCERPT_LINE || line.contains(char::is_control) {
        return None;
    }
    let number = before.iter().filter(|b| **b == b'\n').count().saturating_add(1);
    let shown = mask(line);
    let from = floor(&shown, at.saturating_sub(start));
    let to = floor(&shown, span.end.saturating_sub(start)).max(from);
    let to = if to == from { next_char(&shown, from) } else { to };
    let report = &[Level::ERROR.primary_title(message).element(
        Snippet::source(shown.as_str())
            .line_start(number)
            .path(file.name.as_str())
            .annotation(AnnotationKind::Primary.span(from..to)),
    )];
    let drawn = Renderer::plain().decor_style(DecorStyle::Ascii).render(report);
    // The first line repeats the message that stands above already.
    drawn.split_once('\n').map(|(_, picture)| picture.to_owned())
}

/// The nearest start of a character at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset = offset.saturating_sub(1);
    }
    offset
}

fn next_char(text: &str, offset: usize) -> usize {
    let width = text.get(offset..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    offset.saturating_add(width)
}

/// Replaces the values of secret-sounding keys, and passwords in URLs, by as many asterisks as they have bytes.
fn mask(line: &str) -> String {
    let mut hidden = vec![false; line.len()];
    let lower = line.to_ascii_lowercase();
    for secret in SECRETS {
        for (found, _) in lower.match_indices(secret) {
            hide(&mut hidden, value_after(&lower, found.saturating_add(secret.len())));
        }
    }
    for (found, _) in lower.match_indices("://") {
        let from = found.saturating_add(3);
        let host = lower.get(from..).unwrap_or_default();
        let end = host.find(|c: char| c.is_whitespace() || "\"',/]}".contains(c)).unwrap_or(host.len());
        if let Some(user) = host.get(..end).and_then(|host| host.rfind('@')) {
            hide(&mut hidden, from..from.saturating_add(user));
        }
    }
    line.char_indices()
        .flat_map(|(n, c)| {
            let hide = hidden.get(n).copied().unwrap_or(false);
            let times = if hide { c.len_utf8() } else { 1 };
            std::iter::repeat_n(if hide { '*' } else { c }, times)
        })
        .collect()
}

fn hide(hidden: &mut [bool], span: Range<usize>) {
    hidden.get_mut(span).unwrap_or_default().fill(true);
}

/// The bytes of the value behind the rest of a key.
fn value_after(line: &str, from: usize) -> Range<usize> {
    let rest = line.get(from..).unwrap_or_default();
    let key_end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let gap = rest.get(key_end..).unwrap_or_default();
    let gap_length = gap.find(|c: char| !(c.is_whitespace() || "\"':=".contains(c))).unwrap_or(gap.len());
    let start = from.saturating_add(key_end).saturating_add(gap_length);
    let opened = gap.get(..gap_length).unwrap_or_default().trim_end();
    let value = line.get(start..).unwrap_or_default();
    let end = match opened.chars().last().filter(|c| "\"'".contains(*c) && opened.contains([':', '=', ' '])) {
        Some(quote) => value.find(quote),
        None if value.starts_with(['{', '[', '(']) => Some(0),
        None => value.find(|c: char| c.is_whitespace() || ",;}]".contains(c)),
    };
    start..start.saturating_add(end.unwrap_or(value.len()))
}

#[cfg(test)]
mod tests {
    use super::{excerpt, mask};
    use crate::lang::{MemorySource, parse_file};

    #[test]
    fn secrets_are_not_drawn() {
        for (line, expected) in [
            ("user: ann, password: \"s3cret, x\", zork: 1", "user: ann, password: \"*********\", zork: 1"),
            ("password = s3cret}", "password = ******}"),
            ("pass s3cret", "pass ******"),
            ("token: 'a b'", "token: '***'"),
            ("routes: [nats://a:b@host:1, nats://host]", "routes: [nats://***@host:1, nats://host]"),
            ("authorization { zork: 1 }", "authorization { zork: 1 }"),
            ("\"password\": \"pé\"", "\"password\": \"***\""),
            ("port: 1", "port: 1"),
        ] {
            assert_eq!(mask(line), expected);
        }
    }

    #[test]
    fn the_marked_line_is_drawn() {
        let source = MemorySource::new().file("a.conf", "# first\nport: 1\nhost: a b\n");
        let error = parse_file("a.conf", &source).expect_err("two words");
        let expected = "\
Parse error on line 3: 'Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead.'
 --> a.conf:3:9
  |
3 | host: a b
  |         ^";
        assert_eq!(error, expected);
    }

    #[test]
    fn lines_that_cannot_be_drawn_are_left_out() {
        for text in ["", "\n\n", "a\u{1}b", &"x".repeat(10_000)] {
            let source = MemorySource::new().file("a.conf", text);
            if let Ok(document) = parse_file("a.conf", &source) {
                assert_eq!(excerpt(&document.files, 0, &(0..1), "m"), None);
            }
        }
    }
}
