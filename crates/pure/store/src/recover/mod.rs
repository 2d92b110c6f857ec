//! The state of a stream from its blocks alone: what recovery stands on when no index can be trusted.
//!
//! ```text
//!   block 1 ─┐
//!   block 2 ─┼─▶ Rebuild::block, in the order of their numbers ──▶ Rebuild::finish ──▶ Rebuilt { state, blocks, subjects, lost }
//!   block N ─┘
//! ```
//!
//! The blocks of a stream are a log: messages, skips and tombstones stand in the order in which they were stored. Limits remove messages
//! without writing anything, so what they removed has to be derived again. Applying everything in the order of the log
//! ([`History::Constant`]) does that, as long as the limits have never changed: a message that a limit had removed does not come
//! back because a later one, that had made it superfluous, was deleted. The exception are erased messages: they no longer say of which
//! subject they were, so that what they had displaced comes back, unless the writer left tombstones for it. Where the limits may have changed ([`History::Unknown`], as in a
//! directory of another server), deletions are applied first and limits last: that keeps at least what was there, and may bring back what
//! limits had removed. What an older index still knows to be deleted ([`Known`]) is never live.
//!
//! Costs one pass over the bytes, every record's checksum included, and per stored message 8 bytes while it runs, 12 under a limit per subject, plus the subjects.
//! Nothing is changed or deleted here; what cannot be read is reported with its position, and the sequences that it may have held.

mod messages;
mod names;
mod rebuild;
mod state;

pub use rebuild::{BlockState, Rebuild, Rebuilt};
pub use state::{Damaged, Floor, History, Input, Known, Limits, StreamState, SubjectSummary};
