//! Subjects: names, tokens, wildcards and transforms.
//!
//! A subject is a byte string whose tokens are separated by `.`; the token `*` stands for any one token, the token `>`
//! for one or more tokens at the end. A token that merely contains `*` or `>` is literal.
//!
//! ```text
//!  tokens ──▶ name       is it a valid subject, literal, publish subject, subscription?
//!         ──▶ wildcard   matches, is_subset, overlaps
//!         ──▶ transform  `src.*` → `dst.{{partition(10,1)}}.$1`, and back
//!               └──▶ weighted  one source, several weighted destinations
//!  reserved              every namespace that the server keeps for itself
//! ```
//!
//! Contract: everything works on `&[u8]` as it came from the wire (UTF-8 is not assumed), predicates allocate nothing,
//! and no input panics. Matching subscriptions against subjects in bulk is the duty of `midge-index`; this crate
//! compares one name with one other.
#![forbid(unsafe_code)]

pub mod limits;
pub mod name;
pub mod reserved;
pub mod tokens;
pub mod transform;
pub mod weighted;
pub mod wildcard;

pub use name::{is_valid_literal, is_valid_publish, is_valid_subject, is_valid_subscription};
pub use tokens::{ANY, REST, SEPARATOR, Tokens, tokens};
pub use transform::{Transform, TransformError};
pub use weighted::{Destination, Mapping};
pub use wildcard::{has_wildcard, is_subset, matches, overlaps};
