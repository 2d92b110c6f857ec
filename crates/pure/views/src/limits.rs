//! The maxima of this crate.

/// Entries of a page when the request does not say, or says nothing sensible.
pub const DEFAULT_PAGE: usize = 1024;

/// Parameters of a query that are looked at.
pub const MAX_QUERY_PAIRS: usize = 128;

/// Accounts that metrics tell of one by one, the first by name: 7 series each.
pub const METRIC_ACCOUNTS: usize = 256;

/// Streams that metrics tell of one by one, the first by account and name: 10 series each.
pub const METRIC_STREAMS: usize = 2000;

const _: () = assert!(DEFAULT_PAGE > 0 && MAX_QUERY_PAIRS > 0);
