//! Structures keyed by subject or sequence.
//!
//! ```text
//!   sublist   which subscriptions want a subject
//!   overlap   who has a subject that overlaps with another one
//!   stree     state per subject, with wildcard search
//!   seqset    sets of sequences, sparse or dense
//!   wheel     sequences by the time they expire
//! ```
//!
//! All are plain data with one owner: nothing is shared, locked or timed here. Where a structure has an encoding it is
//! that of the Go server.
//!
//! Most subscriptions are literal, so they live in one flat table; a match costs one hash of the subject and a walk of a
//! trie that is only as large as the wildcard subscriptions.
//!
//! What they do not do: permissions, delivery, caching of results, reading files.
#![forbid(unsafe_code)]

mod edge;
pub mod limits;
pub mod overlap;
pub mod seqset;
pub mod stree;
pub mod sublist;
pub mod wheel;
