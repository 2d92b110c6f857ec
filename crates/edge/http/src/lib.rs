//! Monitoring documents, metrics and probes over HTTP.
//!
//! ```text
//!   accepted stream ─▶ guard (deadlines) ─▶ hyper ─▶ service: path, query ─▶ views::Observe ─▶ JSON, text, page
//! ```
//!
//! This crate is given byte streams: whoever accepts sockets, and whoever speaks TLS, stands before it. A node is known
//! only as a [`midge_views::Observe`]. Documents are made on blocking threads, a few at a time, so that a large one
//! holds up nobody; every wait for a peer ends.
//!
//! Routing is a match on the decoded path rather than a router, because paths have to be treated as they always were:
//! exact names under the base path whatever the method, unclean paths redirected.
#![forbid(unsafe_code)]

mod guard;
mod index;
pub mod limits;
mod metrics;
mod path;
mod serve;
mod service;

pub use serve::{serve, serve_connection, serve_with};
pub use service::State;
