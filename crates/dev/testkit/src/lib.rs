//! Test harness: real servers on loopback, scripted conversations, the oracle.
//!
//! ```text
//!  scripts/AREA/NAME.txt ─▶ script::parse ─▶ oracle::play ──▶ released Go server ──▶ transcript ─┐
//!                                                        └──▶ midge ───────────────▶ transcript ─┴▶ diff
//! ```
//!
//! A script is a conversation: connections by name, what they send, and what they wait for. Everything that a server says meanwhile goes
//! into a transcript, from which what must differ between two runs (ids, ports, clocks) is masked. What remains has to be equal. The
//! format is described in `scripts/README.md`. Nothing here orders events by sleeping: a step ends when its condition holds, or it
//! reports that it got stuck.
//!
//! The programs are `oracle`, started by `cargo xtask oracle`, and `clients`, started by `cargo xtask clients`.
#![forbid(unsafe_code)]

pub mod certificates;
pub mod oracle;
pub mod script;
pub mod server;
