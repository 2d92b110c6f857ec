//! JSON as the API speaks it: decoding with the texts of Go's errors, encoding in the order and with the habits of Go.
//!
//! A type that travels is written once, as a table of fields: the name in JSON, whether it is written when empty, and where
//! it differs from what the Rust type says, the type that error texts name.

mod read;
mod scan;
mod time;
mod values;
mod write;

pub use read::{Reader, Stop};
pub(crate) use values::{Manner, choice as read_choice};
pub use write::{Fields, push_bytes, push_i64, push_rfc3339, push_text, push_time, push_u64};

/// A value that travels as JSON.
pub trait Json {
    /// The type that texts of errors name.
    const GO: &'static str;
    /// The same for a list of such values.
    const LIST: &'static str = "[]";
    /// The same for a map of such values.
    const MAP: &'static str = "map[string]string";

    /// Reads the value at the reader's place into `self`, which keeps what the text does not mention. The syntax has been
    /// checked; an error, such as a value of another type than `go`, ends the whole decoding.
    fn decode(&mut self, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop>;

    /// Appends the value.
    fn encode(&self, out: &mut Vec<u8>);

    /// Whether a field of this value is left out where empty fields are.
    fn is_absent(&self) -> bool;

    /// Reads a value that is not `null` into a place that may be empty.
    fn decode_option(place: &mut Option<Self>, reader: &mut Reader<'_>, go: &'static str) -> Result<(), Stop>
    where
        Self: Default,
    {
        place.get_or_insert_default().decode(reader, go)
    }

    /// Appends what stands for no value.
    fn encode_none(out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }
}

/// A value that travels as a JSON object.
pub trait Object {
    /// The type that texts of errors name.
    const GO: &'static str;

    /// Reads the value at the reader's place into the field of that name; false when there is no such field.
    fn decode_field(&mut self, key: &str, exact: bool, reader: &mut Reader<'_>) -> Result<bool, Stop>;

    /// Appends the fields.
    fn encode_fields(&self, fields: &mut Fields<'_>);
}

/// One that is not there has no fields.
impl<T: Object + Default> Object for Option<T> {
    const GO: &'static str = T::GO;

    fn decode_field(&mut self, key: &str, exact: bool, reader: &mut Reader<'_>) -> Result<bool, Stop> {
        if let Some(value) = self {
            return value.decode_field(key, exact, reader);
        }
        let mut value = T::default();
        let known = value.decode_field(key, exact, reader)?;
        if known {
            *self = Some(value);
        }
        Ok(known)
    }

    fn encode_fields(&self, fields: &mut Fields<'_>) {
        if let Some(value) = self {
            value.encode_fields(fields);
        }
    }
}

/// How strictly a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A field that is not known is an error.
    Strict,
    /// A field that is not known is passed over.
    Lenient,
}

/// Reads every JSON value of `body` one after the other into `value`; an empty body leaves it as it is.
///
/// The error is the text that Go's decoder gives, without the place in front that the API adds.
pub fn decode<T: Object>(body: &[u8], mode: Mode, value: &mut T) -> Result<(), String> {
    read::decode_all(body, mode, value)
}

/// Reads exactly one JSON value, as a document on disk or a small request is read; an empty body is an error.
pub fn decode_one<T: Object>(body: &[u8], mode: Mode, value: &mut T) -> Result<(), String> {
    read::decode_one(body, mode, value)
}

/// Reads the body of a request as the API does: strictly and, where the server was told not to be strict, once more
/// leniently as one value. The error of a strict reading that did not count goes along, to be logged.
pub fn decode_request<T: Object + Default>(
    body: &[u8],
    is_strict: bool,
) -> Result<(T, Option<String>), String> {
    let mut value = T::default();
    match decode(body, Mode::Strict, &mut value) {
        Ok(()) => Ok((value, None)),
        Err(error) if is_strict => Err(error),
        Err(error) => {
            let mut value = T::default();
            decode_one(body, Mode::Lenient, &mut value)?;
            Ok((value, Some(error)))
        }
    }
}

/// Appends an object.
pub fn encode<T: Object>(value: &T, out: &mut Vec<u8>) {
    let mut fields = Fields::begin(out);
    value.encode_fields(&mut fields);
    fields.end();
}

/// Declares an object: its fields with their names in JSON, the rule by which they are written, and where needed the type
/// that errors name. The rules: `always`; `omit` when empty; `nullable`, which is `null` when empty; `flat`, by which its
/// fields stand among those of the outer object.
macro_rules! object {
    ($(#[$meta:meta])* pub struct $name:ident($go_name:literal) {
        $($(#[$field_meta:meta])* $field:ident: $type:ty => $key:literal $rule:ident $($go:literal)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::json::Object for $name {
            const GO: &'static str = $go_name;

            #[allow(unused_variables)]
            fn decode_field(
                &mut self,
                key: &str,
                exact: bool,
                reader: &mut $crate::json::Reader<'_>,
            ) -> Result<bool, $crate::json::Stop> {
                $($crate::json::decode_field!(
                    $rule, self.$field, $type, $key, key, exact, reader, [$($go)?]
                );)*
                Ok(false)
            }

            #[allow(unused_variables)]
            fn encode_fields(&self, fields: &mut $crate::json::Fields<'_>) {
                $($crate::json::encode_field!($rule, self.$field, $key, fields);)*
            }
        }

        $crate::json::object_json!($name);
    };
}

macro_rules! object_json {
    ($name:ty) => {
        impl $crate::json::Json for $name {
            const GO: &'static str = <$name as $crate::json::Object>::GO;

            fn decode(
                &mut self,
                reader: &mut $crate::json::Reader<'_>,
                go: &'static str,
            ) -> Result<(), $crate::json::Stop> {
                reader.object(self, go)
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $crate::json::encode(self, out);
            }

            fn is_absent(&self) -> bool {
                false
            }
        }
    };
}

macro_rules! decode_field {
    (flat, $place:expr, $type:ty, $key:literal, $name:expr, $exact:expr, $reader:expr, []) => {
        if $crate::json::Object::decode_field(&mut $place, $name, $exact, $reader)? {
            return Ok(true);
        }
    };
    ($rule:ident, $place:expr, $type:ty, $key:literal, $name:expr, $exact:expr, $reader:expr, [$($go:literal)?]) => {
        if $crate::json::Reader::names($name, $key, $exact) {
            #[allow(unused_mut, unused_assignments)]
            let mut go = <$type as $crate::json::Json>::GO;
            $(go = $go;)?
            $crate::json::Json::decode(&mut $place, $reader, go)?;
            return Ok(true);
        }
    };
}

macro_rules! encode_field {
    (flat, $place:expr, $key:literal, $fields:expr) => {
        $crate::json::Object::encode_fields(&$place, $fields);
    };
    (always, $place:expr, $key:literal, $fields:expr) => {
        $fields.always($key, &$place);
    };
    (omit, $place:expr, $key:literal, $fields:expr) => {
        $fields.omit($key, &$place);
    };
    (nullable, $place:expr, $key:literal, $fields:expr) => {
        $fields.nullable($key, &$place);
    };
}

/// Declares a choice that travels as a text; the first variant is the default.
macro_rules! choice {
    ($(#[$meta:meta])* pub enum $name:ident($manner:expr) {
        $($(#[$variant_meta:meta])* $variant:ident => $text:literal $(| $other:literal)*,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl Default for $name {
            fn default() -> $name {
                let all = [$($name::$variant),*];
                all[0]
            }
        }

        impl $name {
            /// The text in JSON.
            pub fn text(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// The choice that a text in JSON names.
            pub fn parse(text: &str) -> Option<$name> {
                match text {
                    $($text $(| $other)* => Some($name::$variant),)*
                    _ => None,
                }
            }
        }

        impl $crate::json::Json for $name {
            const GO: &'static str = "string";

            fn decode(
                &mut self,
                reader: &mut $crate::json::Reader<'_>,
                _: &'static str,
            ) -> Result<(), $crate::json::Stop> {
                use $crate::json::Manner::*;
                *self = $crate::json::read_choice(reader, $manner, $name::parse)?;
                Ok(())
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $crate::json::push_text(out, self.text());
            }

            fn is_absent(&self) -> bool {
                *self == $name::default()
            }
        }
    };
}

pub(crate) use {choice, decode_field, encode_field, object, object_json};
