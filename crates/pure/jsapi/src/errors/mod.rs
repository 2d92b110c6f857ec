//! The errors of the API: a number of its own, a status like those of HTTP, a text.
//!
//! ```
//! use midge_jsapi::errors::{self, ApiError};
//!
//! let error = ApiError::from(errors::STREAM_NOT_FOUND);
//! assert_eq!(error.to_string(), "stream not found (10059)");
//! let error = errors::STREAM_WRONG_LAST_SEQUENCE.with(&[("{seq}", "7")]);
//! assert_eq!((error.code, error.description.as_str()), (400, "wrong last sequence: 7"));
//! ```

mod table;

use std::fmt;

use crate::json::object;

pub use table::*;

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The number of the error, 10002 and up.
    pub err_code: u16,
    /// The status, as in HTTP.
    pub code: u16,
    /// The text, with placeholders in braces.
    pub text: &'static str,
}

object! {
    /// An error as replies carry it.
    pub struct ApiError("server.ApiError") {
        /// The status, as in HTTP.
        code: u16 => "code" always "int",
        /// The number of the error.
        err_code: u16 => "err_code" omit,
        /// The text.
        description: String => "description" omit,
    }
}

/// Declares the constants and the list of all of them.
macro_rules! codes {
    ($($name:ident $err_code:literal $code:literal $text:literal;)*) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: $crate::errors::Code =
                $crate::errors::Code { err_code: $err_code, code: $code, text: $text };
        )*

        /// All of them, by ascending number.
        pub const ALL: &[$crate::errors::Code] = &[$($name),*];
    };
}

use codes;

impl Code {
    /// The error with its placeholders, such as `{err}`, replaced.
    pub fn with(self, values: &[(&str, &str)]) -> ApiError {
        let mut description = self.text.to_owned();
        for (placeholder, value) in values {
            description = description.replace(placeholder, value);
        }
        ApiError { code: self.code, err_code: self.err_code, description }
    }

    /// The error whose placeholder `{err}` is that text.
    pub fn because(self, reason: impl fmt::Display) -> ApiError {
        self.with(&[("{err}", &reason.to_string())])
    }

    /// The kind with that number.
    pub fn of(err_code: u16) -> Option<Code> {
        let at = ALL.binary_search_by_key(&err_code, |code| code.err_code).ok()?;
        ALL.get(at).copied()
    }
}

impl ApiError {
    /// Whether it is an error of that kind.
    pub fn is(&self, code: Code) -> bool {
        self.err_code == code.err_code
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> ApiError {
        code.with(&[])
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.err_code)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_in_order() {
        assert_eq!(ALL.len(), 227);
        assert!(ALL.windows(2).all(|pair| pair[0].err_code + 1 == pair[1].err_code));
        assert_eq!((ALL[0].err_code, ALL[226].err_code), (10_002, 10_228));
        assert_eq!(Code::of(10_059), Some(STREAM_NOT_FOUND));
        assert_eq!((Code::of(10_001), Code::of(10_229)), (None, None));
    }

    #[test]
    fn placeholders_are_replaced() {
        let error = RESTORE_SUBSCRIBE_FAILED.with(&[("{subject}", "a.b"), ("{err}", "no")]);
        assert_eq!(error.description, "JetStream unable to subscribe to restore snapshot a.b: no");
        assert!(error.is(RESTORE_SUBSCRIBE_FAILED) && !error.is(STREAM_NOT_FOUND));
        assert_eq!(STREAM_INVALID_CONFIG.because("bad").to_string(), "bad (10052)");
        let mut out = Vec::new();
        crate::json::encode(&ApiError::from(STREAM_NAME_EXIST), &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"code":400,"err_code":10058,"description":"stream name already in use with a different configuration"}"#
        );
    }
}
