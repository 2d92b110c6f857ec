//! A whole node over ports: options in, a running broker out.
//!
//! ```text
//!   config::Options ─┐
//!   Ports ───────────┼─▶ assemble ─▶ Node { broker, … } ─▶ edge/net (or the simulator) brings connections
//!   Now ─────────────┘
//! ```
//!
//! The server plugs in the operating system's ports, the simulator seeded ones: the same node runs in both.
//!
//! What it does not do: open sockets, read files, wait.
#![forbid(unsafe_code)]

mod assemble;
pub mod jetstream;
mod observe;
mod ports;
mod user_info;

pub use assemble::{COMPAT_VERSION, Node, assemble};
pub use observe::MonitoringFacts;
pub use ports::{Host, Ports, Usage};
