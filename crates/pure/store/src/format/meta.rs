//! `meta.inf` and `meta.sum`: who an asset is, when it was made, and its configuration, which is opaque here.
//!
//! ```text
//!  stream    {"Created":"<RFC 3339>", …configuration}
//!  consumer  {"Created":"<RFC 3339>","Name":"<name>", …configuration}
//!  meta.sum  16 hexadecimal digits of the named hash of meta.inf as it is on disk, encrypted or not; no line end
//! ```
//!
//! The configuration of a consumer has a `name` of its own, so that members are told apart by case.

use std::borrow::Cow;

use midge_stdx::clock::Wall;
use midge_stdx::gojson::push_string;
use midge_stdx::gotime::{parse_rfc3339, rfc3339_or_zero};
use midge_stdx::hash::NamedHash;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Bytes of a checksum file.
pub const SUM_LEN: usize = 16;

/// The checksum of a stream's metadata, under the name of its folder.
pub fn stream_sum(folder: &str, meta: &[u8]) -> [u8; SUM_LEN] {
    sum(folder, meta)
}

/// The checksum of a consumer's metadata.
pub fn consumer_sum(stream: &str, consumer: &str, meta: &[u8]) -> [u8; SUM_LEN] {
    sum(&format!("{stream}/{consumer}"), meta)
}

fn sum(name: &str, meta: &[u8]) -> [u8; SUM_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; SUM_LEN];
    let digits =
        NamedHash::new(name.as_bytes()).sum(&[meta]).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, digit) in out.iter_mut().zip(digits) {
        *place = DIGITS.get(usize::from(digit)).copied().unwrap_or_default();
    }
    out
}

/// Metadata taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// When the asset was made; nothing for the zero time.
    pub created: Option<Wall>,
    /// The name, of a consumer.
    pub name: Option<Cow<'a, str>>,
    /// The configuration: the JSON object without the members above.
    pub config: String,
}

/// Why metadata is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// No JSON object of this form.
    #[error("metadata: {0}")]
    Json(String),
    /// The time of creation is no time.
    #[error("metadata: created: {0}")]
    Created(String),
}

/// Writes the metadata of a stream; `config` is a JSON object.
///
/// # Errors
/// When `config` is none.
pub fn encode_stream(created: Option<Wall>, config: &str) -> Result<String, MetaError> {
    encode(created, None, config)
}

/// Writes the metadata of a consumer; `config` is a JSON object.
///
/// # Errors
/// When `config` is none.
pub fn encode_consumer(created: Option<Wall>, name: &str, config: &str) -> Result<String, MetaError> {
    encode(created, Some(name), config)
}

fn encode(created: Option<Wall>, name: Option<&str>, config: &str) -> Result<String, MetaError> {
    check(config)?;
    let mut members = Members::new(config);
    let mut out = String::with_capacity(config.len() + 96);
    out.push_str("{\"Created\":");
    push_string(&mut out, &rfc3339_or_zero(created));
    if let Some(name) = name {
        out.push_str(",\"Name\":");
        push_string(&mut out, name);
    }
    let inside = config.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    if members.next().is_some() {
        out.push(',');
    }
    out.push_str(inside.trim());
    out.push('}');
    Ok(out)
}

#[derive(Deserialize)]
struct Own<'a> {
    #[serde(rename = "Created", borrow, default)]
    created: Option<Cow<'a, str>>,
    #[serde(rename = "Name", borrow, default)]
    name: Option<Cow<'a, str>>,
}

/// Takes the metadata of a stream apart. A member called `Name`, which no stream has, stays in the configuration.
pub fn decode_stream(meta: &[u8]) -> Result<Meta<'_>, MetaError> {
    decode(meta, &["Created"])
}

/// Takes the metadata of a consumer apart.
pub fn decode_consumer(meta: &[u8]) -> Result<Meta<'_>, MetaError> {
    decode(meta, &["Created", "Name"])
}

fn decode<'a>(meta: &'a [u8], own: &[&str]) -> Result<Meta<'a>, MetaError> {
    let text = std::str::from_utf8(meta).map_err(|error| MetaError::Json(error.to_string()))?;
    check(text)?;
    let Own { created, name } =
        serde_json::from_str(text).map_err(|error| MetaError::Json(error.to_string()))?;
    let created = match created {
        Some(text) => parse_rfc3339(&text).map_err(MetaError::Created)?,
        None => None,
    };
    let mut config = String::with_capacity(text.len());
    config.push('{');
    for member in Members::new(text).filter(|member| !member.is_one_of(own)) {
        if config.len() > 1 {
            config.push(',');
        }
        config.push_str(member.text);
    }
    config.push('}');
    Ok(Meta { created, name: name.filter(|_| own.contains(&"Name")), config })
}

/// That a text is one JSON object. What follows may then look for members without checking again.
fn check(text: &str) -> Result<(), MetaError> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| MetaError::Json(error.to_string()))?;
    if text.trim_start().starts_with('{') { Ok(()) } else { Err(MetaError::Json("not an object".to_owned())) }
}

/// A member of an object, as it is written.
struct Member<'a> {
    /// The inside of the key's quotes, escapes and all.
    key: &'a str,
    /// Key, colon and value.
    text: &'a str,
}

impl Member<'_> {
    fn is_one_of(&self, names: &[&str]) -> bool {
        if !self.key.contains('\\') {
            return names.contains(&self.key);
        }
        let key: Option<String> = serde_json::from_str(&format!("\"{}\"", self.key)).ok();
        key.is_some_and(|key| names.contains(&key.as_str()))
    }
}

/// The members of a JSON object that is known to be sound.
struct Members<'a> {
    rest: &'a str,
}

impl<'a> Members<'a> {
    fn new(object: &'a str) -> Members<'a> {
        Members {
            rest: object.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default(),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let rest = self.rest.trim_start();
        let (mut depth, mut quoted, mut escaped, mut end, mut key_end) =
            (0usize, false, false, rest.len(), None);
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => {
                    quoted = !quoted;
                    if !quoted && key_end.is_none() {
                        key_end = Some(at);
                    }
                }
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let (text, after) = rest.split_at_checked(end)?;
        self.rest = after.strip_prefix(',').unwrap_or_default();
        Some(Member { key: rest.get(1..key_end?)?, text: text.trim_end() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_put_together_and_taken_apart() {
        let created = Some(Wall(1_700_000_000_123_456_789));
        let config = "{\"name\":\"S\",\"subjects\":[\"a,b\",\"}\\\"\"],\"metadata\":{\"Created\":\"x\"}}";
        let meta = encode_stream(created, config).unwrap();
        assert!(meta.starts_with("{\"Created\":\"2023-11-14T22:13:20.123456789Z\",\"name\":\"S\","));
        let apart = decode_stream(meta.as_bytes()).unwrap();
        assert_eq!((apart.created, apart.name, apart.config.as_str()), (created, None, config));
        let meta = encode_consumer(None, "C", "{\"name\":\"other\"}").unwrap();
        assert_eq!(meta, "{\"Created\":\"0001-01-01T00:00:00Z\",\"Name\":\"C\",\"name\":\"other\"}");
        let apart = decode_consumer(meta.as_bytes()).unwrap();
        assert_eq!(
            (apart.created, apart.name.as_deref(), apart.config.as_str()),
            (None, Some("C"), "{\"name\":\"other\"}")
        );
        assert_eq!(
            encode_stream(created, " { } ").unwrap(),
            "{\"Created\":\"2023-11-14T22:13:20.123456789Z\"}"
        );
    }

    #[test]
    fn members_may_stand_anywhere() {
        let meta =
            b" { \"a\" : 1 , \"Created\" : \"2023-11-14T22:13:20Z\" ,\n\"Name\":\"N\", \"b\" : [ {} ] } ";
        let apart = decode_consumer(meta).unwrap();
        assert_eq!(apart.config, "{\"a\" : 1,\"b\" : [ {} ]}");
        assert_eq!(apart.name.as_deref(), Some("N"));
        let escaped = b"{\"\\u0043reated\":\"2023-11-14T22:13:20Z\",\"a\":1}";
        assert_eq!(decode_stream(escaped).unwrap().config, "{\"a\":1}");
        assert_eq!(decode_stream(meta).unwrap().config, "{\"a\" : 1,\"Name\":\"N\",\"b\" : [ {} ]}");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in ["", "[]", "\"Created\"", "{", "{\"a\":}", "{} {}", "null", "{\"Created\":1}"] {
            assert!(matches!(decode_stream(bad.as_bytes()), Err(MetaError::Json(_))), "{bad}");
        }
        assert!(matches!(decode_stream(b"{\"Created\":\"today\"}"), Err(MetaError::Created(_))));
        assert!(decode_stream(b"{\"a\":\"\xff\"}").is_err());
        let deep = "[".repeat(100_000);
        assert!(decode_stream(deep.as_bytes()).is_err());
        assert!(encode_stream(None, "[]").is_err());
    }

    #[test]
    fn sums_depend_on_name_and_bytes() {
        let sum = stream_sum("S", b"{}");
        assert!(sum.iter().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(digit)));
        assert_ne!(sum, stream_sum("T", b"{}"));
        assert_ne!(sum, stream_sum("S", b"{ }"));
        assert_eq!(consumer_sum("S", "C", b"{}"), stream_sum("S/C", b"{}"));
    }
}
