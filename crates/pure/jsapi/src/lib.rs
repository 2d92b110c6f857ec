//! The JetStream vocabulary: what clients, servers and files say about streams and consumers.
//!
//! - [`stream_config`], [`consumer_config`], [`info`]: the types;
//! - [`requests`], [`responses`], [`account`], [`client_info`]: what travels to and from the API;
//! - [`puback`]: the answers to publishes;
//! - [`stored`]: configurations as files keep them;
//! - [`subjects`], [`headers`], [`errors`], [`advisories`], [`levels`]: names, errors, events, versions;
//! - [`json`]: reading and writing all of it with the texts and habits of Go.
//!
//! Nothing is decided here: no rule about what may be configured, no default.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

pub mod account;
pub mod advisories;
pub mod client_info;
pub mod consumer_config;
pub mod errors;
pub mod headers;
pub mod info;
pub mod json;
pub mod levels;
mod limits;
pub mod puback;
pub mod requests;
pub mod responses;
pub mod stored;
pub mod stream_config;
pub mod subjects;
