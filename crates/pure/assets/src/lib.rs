//! What a JetStream stream and consumer are, as pure decisions.
//!
//! - [`stream`]: what a stream stores, refuses, replaces and forgets, over a store that its caller owns;
//! - [`consumer`]: what a consumer delivers and when it does so again;
//! - [`account`]: how much of all that an account may have.
//!
//! Time, randomness, disk and everybody else are arguments.
#![forbid(unsafe_code)]

pub mod account;
pub mod consumer;
pub mod stream;
