//! The maxima of this crate.

/// Members of one subject from which on their positions are kept in a map, so that removal does not search.
pub const INDEXED_MEMBERS: usize = 64;

/// Positions of the wildcard walk that are kept without allocation.
pub const INLINE_WALK: usize = 24;

const _: () = assert!(INDEXED_MEMBERS > 1);
