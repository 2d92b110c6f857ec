//! Parsed values, in file order, and the digest over them.

use std::fmt::Write as _;

use midge_stdx::hash::Map as HashMap;
use sha2::{Digest, Sha256};

use super::tokens::At;

/// Entries from which a map is looked up by hash.
const INDEXED_FROM: usize = 16;

/// Text of a file: bytes, because an escape can spell any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    /// Wraps bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Text(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a string; every byte that is no UTF-8 becomes one U+FFFD.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for_each_char(&self.0, |c| out.push(c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        out
    }
}

/// Characters of bytes; `None` for each byte that is no UTF-8.
fn for_each_char(bytes: &[u8], mut each: impl FnMut(Option<char>)) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                text.chars().for_each(|c| each(Some(c)));
                return;
            }
            Err(error) => {
                let (valid, invalid) = rest.split_at(error.valid_up_to());
                if let Ok(text) = std::str::from_utf8(valid) {
                    text.chars().for_each(|c| each(Some(c)));
                }
                each(None);
                rest = invalid.get(1..).unwrap_or_default();
            }
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its place: of the key inside a map, of the value itself inside an array.
    pub at: At,
    /// A variable refers to it: its key need not be an option.
    pub used: bool,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, quoted or not.
    String(Text),
    /// A boolean.
    Bool(bool),
    /// An integer, its suffix multiplied in.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A date as written, `2026-01-02T03:04:05Z`.
    Date(String),
    /// An array.
    Array(Vec<Node>),
    /// A map.
    Map(Map),
}

impl Value {
    /// The name of the kind in messages about types, which tools know.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Integer(_) => "int64",
            Value::Float(_) => "float64",
            Value::Date(_) => "time.Time",
            Value::Array(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }

    /// How many values this is, itself included, and how many levels deep. The parser bounds the levels.
    pub(super) fn measure(&self) -> (usize, usize) {
        let children: Vec<&Node> = match self {
            Value::Array(nodes) => nodes.iter().collect(),
            Value::Map(map) => map.iter().map(|(_, node)| node).collect(),
            _ => return (1, 0),
        };
        children
            .into_iter()
            .map(|node| node.value.measure())
            .fold((1, 1), |(count, depth), (n, d)| (count.saturating_add(n), depth.max(d.saturating_add(1))))
    }

    /// Gives every value inside this one the same place.
    pub(super) fn relocate(&mut self, at: &At) {
        match self {
            Value::Array(nodes) => nodes.iter_mut().for_each(|node| node.relocate(at)),
            Value::Map(map) => map.entries.iter_mut().for_each(|(_, node)| node.relocate(at)),
            _ => {}
        }
    }
}

impl Node {
    fn relocate(&mut self, at: &At) {
        self.at = at.clone();
        self.value.relocate(at);
    }
}

/// A map in file order. A key that is set again keeps its first place in the order and takes the new value.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(Text, Node)>,
    index: HashMap<Text, usize>,
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Map {
    /// Sets a key.
    pub fn insert(&mut self, key: Text, node: Node) {
        if let Some(n) = self.find(&key) {
            if let Some(entry) = self.entries.get_mut(n) {
                entry.1 = node;
            }
            return;
        }
        self.entries.push((key, node));
        if self.entries.len() == INDEXED_FROM {
            self.index = self.entries.iter().enumerate().map(|(n, (key, _))| (key.clone(), n)).collect();
        } else if let Some((key, _)) = self.entries.last().filter(|_| self.entries.len() > INDEXED_FROM) {
            self.index.insert(key.clone(), self.entries.len() - 1);
        }
    }

    fn find(&self, key: &Text) -> Option<usize> {
        if self.entries.len() < INDEXED_FROM {
            return self.entries.iter().position(|(name, _)| name == key);
        }
        self.index.get(key).copied()
    }

    /// The value of a key, for marking it as used.
    pub(super) fn get_mut(&mut self, key: &Text) -> Option<&mut Node> {
        let n = self.find(key)?;
        self.entries.get_mut(n).map(|(_, node)| node)
    }

    /// Keys and values in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Node)> {
        self.entries.iter().map(|(key, node)| (key, node))
    }

    pub(super) fn into_entries(self) -> Vec<(Text, Node)> {
        self.entries
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `sha256:` and the hex digest over the canonical JSON of the map and one newline.
    pub fn digest(&self) -> String {
        let mut json = String::new();
        write_map(&mut json, self);
        json.push('\n');
        let mut out = String::from("sha256:");
        for byte in Sha256::digest(json.as_bytes()) {
            let _ = write!(out, "{byte:02x}");
        }
        out
    }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_string(out, text),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Integer(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => write_float(out, *value),
        Value::Date(text) => {
            let _ = write!(out, "\"{text}\"");
        }
        Value::Array(nodes) => {
            out.push('[');
            for (n, node) in nodes.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_value(out, &node.value);
            }
            out.push(']');
        }
        Value::Map(map) => write_map(out, map),
    }
}

fn write_map(out: &mut String, map: &Map) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.0.bytes().cmp(b.0.bytes()));
    out.push('{');
    for (n, (key, node)) in entries.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_value(out, &node.value);
    }
    out.push('}');
}

/// The shortest digits that read back; with an exponent when very small or very large.
fn write_float(out: &mut String, value: f64) {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        let _ = write!(out, "{value}");
        return;
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => {
            let _ = write!(out, "{digits}e+{exponent}");
        }
        _ => out.push_str(&text),
    }
}

fn write_string(out: &mut String, text: &Text) {
    out.push('"');
    for_each_char(text.bytes(), |c| match c {
        None => out.push(char::REPLACEMENT_CHARACTER),
        Some('"') => out.push_str("\\\""),
        Some('\\') => out.push_str("\\\\"),
        Some('\n') => out.push_str("\\n"),
        Some('\r') => out.push_str("\\r"),
        Some('\t') => out.push_str("\\t"),
        Some('\u{8}') => out.push_str("\\b"),
        Some('\u{c}') => out.push_str("\\f"),
        Some(c) if (c as u32) < 0x20 || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        Some(c) => out.push(c),
    });
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &Value) -> String {
        let mut out = String::new();
        write_value(&mut out, value);
        out
    }

    #[test]
    fn canonical_json_of_floats() {
        for (value, expected) in [
            (1.5, "1.5"),
            (-0.0, "-0"),
            (100.0, "100"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (0.000_000_123, "1.23e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.25e22, "1.25e+22"),
        ] {
            assert_eq!(json(&Value::Float(value)), expected);
        }
    }

    #[test]
    fn canonical_json_of_texts() {
        for (text, expected) in [
            (&b"a<b>&c"[..], r#""a\u003cb\u003e\u0026c""#),
            (b"\xff\xfe", "\"\u{fffd}\u{fffd}\""),
            ("\u{fffd}".as_bytes(), "\"\u{fffd}\""),
            ("\u{2028}".as_bytes(), r#""\u2028""#),
            (b"\n\r\t\x08\x0c\x01\x7f\"\\", "\"\\n\\r\\t\\b\\f\\u0001\x7f\\\"\\\\\""),
            (b"\xe2\x82", "\"\u{fffd}\u{fffd}\""),
        ] {
            assert_eq!(json(&Value::String(Text::new(text.to_vec()))), expected);
        }
    }

    #[test]
    fn a_map_keeps_its_order_and_finds_every_key() {
        let at = At { file: 0, line: 1, position: 0, span: 0..0 };
        let mut map = Map::default();
        for n in (0..100).chain(0..100).rev() {
            let key = Text::new(format!("k{n}").into_bytes());
            map.insert(key, Node { value: Value::Integer(n), at: at.clone(), used: false });
        }
        assert_eq!(map.len(), 100);
        assert_eq!(map.iter().next().map(|(key, _)| key.to_text()), Some(String::from("k99")));
        for n in 0..100 {
            let found = map.get_mut(&Text::new(format!("k{n}").into_bytes())).map(|node| node.value.clone());
            assert_eq!(found, Some(Value::Integer(n)));
        }
    }
}
