//! What the JetStream vocabulary writes by itself, as a part of a document.

use std::fmt;

use midge_jsapi::json::{self, Object};
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An object of the vocabulary in a document: its own fields, in its own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told<T>(pub T);

impl<T: Object> Serialize for Told<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Vec::new();
        json::encode(&self.0, &mut text);
        // What the vocabulary writes can be read; a document is made, with or without this part.
        read::<Value>(&text).unwrap_or(Value::Null).serialize(serializer)
    }
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

/// A value that keeps the order of its fields.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Fields(Vec<(String, Value)>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Signed(value) => serializer.serialize_i64(*value),
            Value::Unsigned(value) => serializer.serialize_u64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Value::Fields(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Value::Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{compact, pretty};
    use midge_jsapi::account::ServerStats;
    use midge_jsapi::stream_config::StreamConfig;

    #[test]
    fn fields_keep_their_order_and_strings_their_escapes() {
        let mut config = StreamConfig {
            name: "<a>".to_owned(),
            subjects: vec!["s.>".to_owned()],
            ..StreamConfig::default()
        };
        config.metadata.insert("k\u{2028}".to_owned(), "\"é\"".to_owned());
        let mut written = Vec::new();
        json::encode(&config, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(
            written.contains("\\u003ca\\u003e") && written.contains("\"consumer_limits\":{}"),
            "{written}"
        );
        assert_eq!(compact(&Told(config.clone())), written);
        assert!(pretty(&Told(config)).starts_with(
            "{\n  \"name\": \"\\u003ca\\u003e\",\n  \"subjects\": [\n    \"s.\\u003e\"\n  ],\n"
        ));
    }

    #[test]
    fn the_fields_of_an_object_can_stand_among_others() {
        #[derive(Serialize)]
        struct Outer {
            first: u8,
            #[serde(flatten)]
            stats: Told<ServerStats>,
            last: u8,
        }
        let stats = ServerStats { memory: u64::MAX, ..ServerStats::default() };
        let text = compact(&Outer { first: 1, stats: Told(stats), last: 2 });
        assert!(text.starts_with("{\"first\":1,\"memory\":18446744073709551615,\"storage\":0,"), "{text}");
        assert!(text.ends_with("},\"last\":2}"), "{text}");
    }
}
