//! Reading answers: a parser of the simulator's own, for texts that are small and not hostile.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// `null`, `true`, `false`, and numbers as they stand.
    Plain(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

static NOTHING: Json = Json::Plain(String::new());

impl Json {
    /// Reads a text; what is none reads as nothing.
    pub(super) fn read(text: &[u8]) -> Json {
        let mut reader = Reader { text, at: 0 };
        reader.value().unwrap_or_else(|| NOTHING.clone())
    }

    /// A member, or nothing.
    pub(super) fn get(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => members.get(name).unwrap_or(&NOTHING),
            _ => &NOTHING,
        }
    }

    /// The number; 0 for anything else.
    pub(super) fn number(&self) -> u64 {
        self.signed().unsigned_abs()
    }

    /// The number with its sign; 0 for anything else.
    pub(super) fn signed(&self) -> i64 {
        match self {
            Json::Plain(text) => text.parse().unwrap_or(0),
            _ => 0,
        }
    }

    /// The text; empty for anything else.
    pub(super) fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            _ => "",
        }
    }

    /// The list; empty for anything else.
    pub(super) fn list(&self) -> &[Json] {
        match self {
            Json::List(list) => list,
            _ => &[],
        }
    }

    /// Whether it is there.
    pub(super) fn is_some(&self) -> bool {
        *self != NOTHING
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn value(&mut self) -> Option<Json> {
        match self.peek()? {
            b'"' => Some(Json::Text(self.string()?)),
            b'[' => {
                self.at += 1;
                let mut list = Vec::new();
                while self.peek()? != b']' {
                    list.push(self.value()?);
                    let _ = self.take(b',');
                }
                self.at += 1;
                Some(Json::List(list))
            }
            b'{' => {
                self.at += 1;
                let mut members = BTreeMap::new();
                while self.peek()? != b'}' {
                    let name = self.string()?;
                    self.take(b':')?;
                    members.insert(name, self.value()?);
                    let _ = self.take(b',');
                }
                self.at += 1;
                Some(Json::Object(members))
            }
            _ => {
                let start = self.at;
                while self.text.get(self.at).is_some_and(|b| !b",]} \r\n".contains(b)) {
                    self.at += 1;
                }
                Some(Json::Plain(String::from_utf8_lossy(&self.text[start..self.at]).into_owned()))
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out = Vec::new();
        loop {
            match *self.text.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    out.push(*self.text.get(self.at)?);
                }
                other => out.push(other),
            }
            self.at += 1;
        }
        self.at += 1;
        Some(String::from_utf8_lossy(&out).into_owned())
    }
}

/// Decodes base 64, as payloads come in answers.
pub(super) fn base64(text: &str) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter_map(value) {
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
