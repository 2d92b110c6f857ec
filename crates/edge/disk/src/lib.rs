//! Files: the real disk under the stores.
//!
//! ```text
//!   store ── Op ──▶ journal::Committer ── port::Files ──▶ RealFiles ──▶ openat, pread, pwrite, fdatasync, …
//! ```
//!
//! [`RealFiles`] is one store directory: every path is relative to it and cannot leave it, and one process holds it at a time. All calls block;
//! who calls them is not decided here.
#![forbid(unsafe_code)]

mod handles;
mod paths;
mod real;
#[cfg(test)]
mod tests;

pub use real::{OpenError, RealFiles};
