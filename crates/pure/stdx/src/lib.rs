//! What the standard library lacks for a server whose decisions are pure.
//!
//! - [`clock`]: time as a value, so that nothing below `edge/` reads a clock;
//! - [`entropy`]: randomness as a port, so that a seed replays a run;
//! - [`hash`]: the only place that names hashers.
//!
//! This crate does no I/O and keeps no global state, except the one hash seed of the process.
#![forbid(unsafe_code)]

pub mod clock;
pub mod entropy;
pub mod hash;
