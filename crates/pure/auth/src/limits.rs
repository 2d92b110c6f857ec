//! The maxima of this crate.

use std::time::Duration;

/// Reply subjects that one connection may owe answers to; beyond it the oldest quarter is forgotten.
pub const MAX_RESPONSES: usize = 65_536;

/// Spent reply subjects are swept at most this often,
pub const RESPONSE_PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// or after so many additions.
pub const RESPONSE_PRUNE_ADDITIONS: usize = 4096;

/// Attributes of a distinguished name that are looked at; longer names are not compared.
pub const MAX_DN_ATTRIBUTES: usize = 64;

const _: () = assert!(RESPONSE_PRUNE_ADDITIONS < MAX_RESPONSES);
