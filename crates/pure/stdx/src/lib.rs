//! What the standard library lacks for a server whose decisions are pure.
//!
//! - [`clock`]: time as a value, so that nothing below `edge/` reads a clock;
//! - [`entropy`]: randomness as a port, so that a seed replays a run;
//! - [`hash`]: the only place that names hashers;
//! - [`gotime`], [`gojson`], [`goquote`]: texts as Go prints and parses them;
//! - [`units`]: sizes with units;
//! - [`nuid`]: unique ids;
//! - [`ring`], [`bucket`]: a bounded history, a bounded rate.
//!
//! This crate does no I/O and keeps no global state, except the one hash seed of the process.
#![forbid(unsafe_code)]

pub mod bucket;
pub mod clock;
pub mod entropy;
pub mod gojson;
pub mod goquote;
pub mod gotime;
pub mod hash;
pub mod nuid;
pub mod ring;
pub mod units;
