//! What a JetStream stream and consumer are, as pure decisions.
#![forbid(unsafe_code)]

pub mod consumer;
pub mod stream;
