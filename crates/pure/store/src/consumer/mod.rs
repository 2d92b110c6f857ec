//! What a consumer has delivered and what was acknowledged, and how it changes.
//!
//! ```text
//!   delivery, ack, … ──▶ Delta ──▶ Machine::apply ──▶ ConsumerState ──▶ o.dat, now and then
//!                          │
//!                          └──▶ journal, with each flush; applied again to the last o.dat when the store opens
//! ```
//!
//! A change costs what it changes, never what is pending: the whole state is written only as a checkpoint. A delta that is applied
//! twice, or to a later checkpoint than it was made for, changes nothing, provided that all deltas that followed it are applied after
//! it; recovery does so.

pub mod delta;
mod machine;
mod store;
#[cfg(test)]
mod tests;

pub use machine::{AckPolicy, ConsumerError, Machine};
pub use store::{ConsumerStore, Keeping, OpenConsumerError};
