//! The plain values.

use std::collections::BTreeMap;

use midge_stdx::clock::Wall;
use midge_stdx::goquote;

use super::{Json, Reader, Stop, push_i64, push_text, push_time, push_u64, time};

impl Json for String {
    const GO: &'static str = "string";
    const LIST: &'static str = "[]string";

    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
        if !reader.take_null() {
            *self = reader.text(go)?.into_owned();
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        push_text(out, self);
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Json for bool {
    const GO: &'static str = "bool";

    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
        match reader.kind() {
            "null" => {
                reader.raw();
            }
            "bool" => *self = reader.raw() == b"true",
            _ => return Err(reader.wrong_type(go)),
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn is_absent(&self) -> bool {
        !self
    }
}

macro_rules! integer {
    ($type:ty, $go:literal, $list:literal, $push:ident) => {
        impl Json for $type {
            const GO: &'static str = $go;
            const LIST: &'static str = $list;

            fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
                if reader.take_null() {
                    return Ok(());
                }
                if reader.kind() != "number" {
                    return Err(reader.wrong_type(go));
                }
                let digits = String::from_utf8_lossy(reader.raw());
                *self = digits.parse().map_err(|_| reader.wrong_number(&digits, go))?;
                Ok(())
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $push(out, (*self).into());
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }
        }
    };
}

integer!(i64, "int64", "[]int64", push_i64);
integer!(i32, "int32", "[]int32", push_i64);
integer!(u64, "uint64", "[]uint64", push_u64);
integer!(u16, "uint16", "[]uint16", push_u64);

impl Json for Wall {
    const GO: &'static str = "time.Time";

    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
        if !reader.take_null() {
            *self = time::parse(&reader.text(go)?).map_err(Reader::stop)?.unwrap_or_default();
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        push_time(out, Some(*self));
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn decode_option(
        place: &mut Option<Wall>,
        reader: &mut Reader<'_>,
        go: &'static str,
    ) -> Result<(), Stop> {
        *place = time::parse(&reader.text(go)?).map_err(Reader::stop)?;
        Ok(())
    }

    fn encode_none(out: &mut Vec<u8>) {
        push_time(out, None);
    }
}

/// Absent where fields may be; a field that is always written says `null`, or the zero time.
impl<T: Json + Default> Json for Option<T> {
    const GO: &'static str = T::GO;

    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
        if reader.take_null() {
            *self = None;
            return Ok(());
        }
        T::decode_option(self, reader, go)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => T::encode_none(out),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Json> Json for Box<T> {
    const GO: &'static str = T::GO;

    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
        T::decode(self, reader, go)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        T::encode(self, out);
    }

    fn is_absent(&self) -> bool {
        T::is_absent(self)
    }
}

impl<T: Json + Default> Json for Vec<T> {
    const GO: &'static str = T::LIST;

    /// As in Go, an element of a second array is read over that of the first. What is much larger in memory than in the
    /// text, as only lists of empty objects are, is refused.
    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
        if reader.take_null() {
            self.clear();
            return Ok(());
        }
        let element_go = go.trim_start_matches("[]").trim_start_matches('*');
        let mut length = 0;
        reader.elements(go, |reader, index| {
            if self.len() <= index {
                if size_of::<T>() * index > reader.allowance() {
                    return Err(Reader::stop("too many elements"));
                }
                self.push(T::default());
            }
            length = index + 1;
            match self.get_mut(index) {
                Some(element) => element.decode(reader, element_go),
                None => Ok(()),
            }
        })?;
        self.truncate(length);
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, element) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            element.encode(out);
        }
        out.push(b']');
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Json + Default> Json for BTreeMap<String, T> {
    const GO: &'static str = T::MAP;

    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop> {
        if reader.take_null() {
            self.clear();
            return Ok(());
        }
        let element_go = go.split_once(']').map_or(go, |(_, element)| element);
        reader.members(go, |reader, key| {
            let mut element = T::default();
            element.decode(reader, element_go)?;
            self.insert(key.to_owned(), element);
            Ok(())
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (key, element)) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_text(out, key);
            out.push(b':');
            element.encode(out);
        }
        out.push(b'}');
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// How a choice is read and what is said of one that is unknown.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// As it is written.
    Written,
    /// As it is written, in any case.
    AnyCase,
    /// As a string; another type is an error of its own.
    Word(&'static str),
    /// As it is written, named behind that text.
    Named(&'static str),
}

/// Reads a choice.
pub(crate) fn choice<T>(
    reader: &mut Reader<'_>,
    manner: Manner,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Stop> {
    if let Manner::Word(unknown) = manner {
        let kind = reader.kind();
        let word = match kind {
            "null" => String::new(),
            "string" => reader.text("string")?.into_owned(),
            _ => {
                return Err(Reader::stop(format!(
                    "json: cannot unmarshal {kind} into Go value of type string"
                )));
            }
        };
        return parse(&word).ok_or_else(|| Reader::stop(unknown));
    }
    let raw = reader.raw();
    let written = std::str::from_utf8(raw).unwrap_or_default();
    let inner = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let found = match manner {
        Manner::AnyCase => inner.and_then(|text| parse(&text.to_lowercase())),
        _ => inner.and_then(&parse),
    };
    found.ok_or_else(|| {
        Reader::stop(match manner {
            Manner::Named(what) => format!("{what}{}", String::from_utf8_lossy(raw)),
            _ => format!("can not unmarshal {}", goquote::quote(raw)),
        })
    })
}
