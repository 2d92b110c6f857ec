//! JetStream on one server: hosts of streams, the API, and the assembly of assets.
//!
//! ```text
//!   accounts ─▶ doors ─▶ host::Inbox ─▶ host::Host (a Turn on a shard) ─▶ assets, store ─▶ StoreDisk (a port)
//!                 │                          ▲
//!                 └─▶ api::router ─▶ api::manager ┘
//! ```
//!
//! - [`JetStream`]: what all hosts share;
//! - [`JsAccount`], [`StreamHandle`](account::StreamHandle): the registry, and the figures that anybody may read;
//! - [`settings`], [`Ports`]: what the surroundings decide and provide.
//!
//! What it does not do: decide what a publish or a pull amounts to (`assets`), know formats (`store`), touch files or sockets.
#![forbid(unsafe_code)]

pub mod account;
mod advise;
mod api;
mod client;
mod doors;
mod host;
mod keys;
pub mod limits;
pub mod observe;
mod ports;
mod recover;
mod registry;
pub mod settings;
mod system;

use std::sync::Arc;

use midge_store::journal::Deltas;

pub use account::JsAccount;
pub use api::account_info;
pub use ports::{Jobs, Ports};
pub use system::{JetStream, Recovery};

/// Lets requests in, and begins to open what the store directory holds. `deltas` is what its journal had for consumers.
pub fn start(js: &Arc<JetStream>, deltas: Vec<Deltas>) {
    api::manager::start(js);
    api::install(js);
    recover::begin(js, deltas);
}
