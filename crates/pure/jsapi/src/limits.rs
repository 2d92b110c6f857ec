//! The maxima of this crate.

/// Objects and arrays inside each other in one text, as in Go.
pub(crate) const MAX_DEPTH: usize = 10_000;
/// Bytes that a list may take in memory, whatever the length of the text.
pub(crate) const MIN_LIST_ALLOWANCE: usize = 64 * 1024;
/// How many times the bytes of the text a list may take in memory.
pub(crate) const MAX_LIST_GROWTH: usize = 32;
