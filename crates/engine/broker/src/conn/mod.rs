//! A connection's own side: a machine that is fed bytes and the time.
//!
//! ```text
//!   accept ─▶ greet (INFO) ─▶ secured (timers) ─▶ ingest … ingest ─▶ close
//!                                   ▲                  │ Flow
//!                                   └── on_deadline ◀──┘
//! ```
//!
//! Nothing here blocks. What the edge has to do next is the [`Flow`] that a call answers; output stands in the queues of
//! the peers that the batch lists.

mod client;
mod faults;
mod handshake;
mod orders;
mod pings;
mod publish;
mod subscriptions;
pub(crate) mod trace;

use std::time::Duration;

use midge_auth::password::PasswordWork;

pub use client::ClientConn;

use crate::reason::Reason;

/// What the edge does next.
#[derive(Debug)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Leave this connection's input alone for a while.
    Throttle(Duration),
    /// Run this elsewhere and hand the answer to [`ClientConn::login_checked`]; no input until then.
    Work(PasswordWork),
    /// Flush if the reason allows it, then close the socket.
    Close(Reason),
}

/// What became of a piece of input.
#[derive(Debug)]
pub struct Ingested {
    /// Bytes taken from its start; the rest is to be presented again, with what follows it.
    pub consumed: usize,
    /// Bytes that the rest has to grow to before it is worth presenting; 0 when not known.
    pub need: usize,
    /// What the edge does next.
    pub flow: Flow,
}
