//! Sockets, shards and TLS: where a node's connections meet the operating system.
//!
//! ```text
//!   accept ─▶ least loaded shard ─▶ conn::run ─┬─ readable ─▶ read ─▶ ingest ─▶ flush what was touched
//!                                              ├─ woken ────▶ orders, closing, bytes to write
//!                                              ├─ writable ─▶ write on
//!                                              └─ deadline ─▶ PING, time-outs
//! ```
//!
//! Only plain sockets are written from other shards, by the one holder of the queue's flushing flag; TLS and in-process
//! streams are written by their own task. Every type of rustls stays inside [`tls`].
#![forbid(unsafe_code)]

pub mod accept;
pub mod clock;
pub mod conn;
pub mod entropy;
mod establish;
pub mod limits;
pub mod shard;
pub mod tls;
mod transport;
pub mod turns;
mod wakeup;
