//! The one table of options and flags: lookups, defaults, usage text and reference text derive from it.

pub mod flags;

pub use flags::{FLAGS, Flag, FlagKind, Group};
