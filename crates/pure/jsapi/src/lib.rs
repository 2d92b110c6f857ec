//! The JetStream vocabulary.
#![forbid(unsafe_code)]
