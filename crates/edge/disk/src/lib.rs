//! Files: the real disk under the stores.
//!
//! ```text
//!   owners ── submit ──▶ queue ──▶ one thread: journal::Committer ─┬─▶ port::Files ─▶ RealFiles ─▶ openat, pread, pwrite, fdatasync, …
//!      ▲                   │                                       └─ jobs ─▶ ┐
//!      │                   └── Work, Stage ──────────────────────────────────▶│ a few threads
//!      └── Completions ◀── lane by lane ◀──────────────────────────────────── ┘
//! ```
//!
//! While that thread sleeps, a few short writes that nobody wants synced are done by whoever submits them: waking it would cost more.
//!
//! [`RealFiles`] is one store directory: every path is relative to it and cannot leave it, and one process holds it at a time. All its calls block.
//! [`Disk`] is the same directory for those who must not wait: they submit, bounded, and are called. Why one journal for all stores of a directory:
//! `docs/decisions/004-one-journal-per-store-directory.md`.
#![forbid(unsafe_code)]

mod direct;
mod disk;
mod driver;
mod handles;
mod inbox;
mod lane;
pub mod limits;
mod measured;
pub mod metrics;
mod paths;
mod real;
mod seat;
mod space;
#[cfg(test)]
mod tests;
mod watch;
mod workers;

pub use disk::{Disk, Settings};
pub use inbox::Submitted;
pub use lane::Completions;
pub use real::{OpenError, RealFiles};
