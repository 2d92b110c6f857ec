//! The maxima of this crate.

/// Digits of a size: more are refused, so that a size always fits 32 bits (upstream: `parseSize`).
pub const MAX_SIZE_DIGITS: usize = 9;

/// Arguments of the longest verb (HPUB with a reply), plus one to notice an excess.
pub const MAX_ARGS: usize = 5;

/// Default of `max_control_line`, bytes of a line without verb, first blanks and line end.
pub const DEFAULT_MAX_CONTROL_LINE: usize = 4096;

/// Bytes of a bad line that are quoted in a log line.
pub const MAX_QUOTED: usize = 32;

const _: () = assert!(MAX_SIZE_DIGITS <= 9, "sizes are kept in 32 bits");
