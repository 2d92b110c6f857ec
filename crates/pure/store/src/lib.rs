//! Messages as a state machine over a disk that is asked, never met.
#![forbid(unsafe_code)]

pub mod consumer;
pub mod format;
pub mod journal;
pub mod port;
pub mod recover;
pub mod stream;
