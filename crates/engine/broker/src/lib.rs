//! Connections, accounts and routing, without I/O.
//!
//! ```text
//!   edge: bytes ─▶ conn::ClientConn::ingest ─▶ wire::parse ─▶ routing::publish ─▶ outbound::Queue ─▶ edge: flush
//!                        │                                         │
//!                        └── account::Account (index, limits) ◀────┘
//! ```
//!
//! - [`conn`]: a connection's own side, a machine that is fed bytes and the time;
//! - [`peer`]: the side of a connection that others may touch;
//! - [`account`]: isolated subject spaces;
//! - [`routing`]: from a publish to appended output;
//! - [`outbound`]: bounded output;
//! - [`batch`]: what a shard carries through one batch of input;
//! - [`turn`]: owners of state that run beside connections;
//! - [`broker`]: what all connections of a server share.
//!
//! What it does not do: sockets, clocks, files, threads. Nothing here waits.
#![forbid(unsafe_code)]

pub mod account;
pub mod batch;
pub mod broker;
pub mod conn;
pub mod internal;
pub mod limits;
pub mod outbound;
pub mod peer;
pub mod reason;
pub mod routing;
pub mod settings;
pub mod subscription;
pub mod turn;
