//! The configuration language, the options table and the command line.
//!
//! ```text
//!  arguments ──▶ flags ─────────────────────────────┐
//!                  │ -c                             ▼
//!  Source ──▶ lang::{lexer ▶ parser} ──▶ values ──▶ schema ──▶ Options ──▶ validate ──▶ Command::Run
//!               variables, includes        │          ▲
//!                                          ▼          │
//!                                        digest     table (one row per option)
//! ```
//!
//! The contract: [`configure`] is a pure function of the arguments and of what a [`Source`] answers. It never
//! panics, whatever the input, and every recursion is bounded by a name in [`limits`]. An option that is known but
//! whose feature does not exist yet is an error with its position, never ignored. Keys are processed in file order;
//! error lines come in that order, warnings first.
//!
//! What this crate does not do: it reads no file and no environment itself, loads no certificate, opens no port,
//! sends no signal and prints nothing. It does not check subjects beyond their form, nor compile permissions.
#![forbid(unsafe_code)]

pub mod flags;
pub mod lang;
pub mod limits;
mod quote;
pub mod schema;
pub mod table;
pub mod validate;

pub use flags::{Command, Identity, configure};
pub use lang::{MemorySource, Source};
pub use schema::Options;
