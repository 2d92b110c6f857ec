//! The maxima of this crate.

/// The largest number that a function of a transform accepts as a count or position.
pub const MAX_FUNCTION_NUMBER: i64 = i32::MAX as i64;

/// The sum of the weights of the destinations of one mapping, per cluster.
pub const MAX_TOTAL_WEIGHT: u8 = 100;
