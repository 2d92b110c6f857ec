//! The maxima of this crate.

/// Entries of a page when the request does not say, or says nothing sensible.
pub const DEFAULT_PAGE: usize = 1024;

/// Parameters of a query that are looked at.
pub const MAX_QUERY_PAIRS: usize = 128;

const _: () = assert!(DEFAULT_PAGE > 0 && MAX_QUERY_PAIRS > 0);
