//! The routing index: which subscriptions want a subject.
//!
//! ```text
//!                    ┌── literals: one hash table, subject ──▶ subscriptions
//!   Sublist::matching┤
//!                    └── wildcards: a trie of tokens, only as large as the wildcard subscriptions
//! ```
//!
//! Most subscriptions are literal, so they live in one flat table: a match costs one hash of the subject and a walk of
//! the (usually small) wildcard trie. What was matched is collected into the caller's [`Matched`]; nothing is shared and
//! nothing is locked here, the owner of the index does that.
//!
//! What it does not do: permissions, delivery, caching of results.
#![forbid(unsafe_code)]

pub mod limits;
pub mod sublist;
