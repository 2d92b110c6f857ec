//! The flush hook of simulated connections.
//!
//! Like the hook of the real edge it decides whether the shard that queued bytes writes them itself or wakes the owner.
//! The writing itself is a [`Writer`](super::Writer), which the world takes step by step, so that two shards can meet
//! at one queue as two threads would.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use midge_broker::outbound::Pool;
use midge_broker::peer::{Flush, Peer};
use midge_stdx::clock::Now;

use crate::draw::Draw;

/// Who may write a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain socket: whoever queued them.
    Plain,
    /// A stateful transport such as TLS: the owner alone.
    Owned,
}

/// What hooks tell the world: the connection that the calling shard is to write, and the choices still to make.
#[derive(Debug)]
pub struct Flushes {
    state: Mutex<(Option<u64>, Draw)>,
    /// Flushes by foreign shards, of a hundred, that are left to the owner.
    leave_to_owner: usize,
}

impl Flushes {
    /// No requests yet.
    pub fn new(draw: Draw, leave_to_owner: usize) -> Arc<Self> {
        Arc::new(Flushes { state: Mutex::new((None, draw)), leave_to_owner })
    }

    /// The connection that the last flush wants written inline.
    pub fn take(&self) -> Option<u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Hook {
    /// The connection.
    pub cid: u64,
    /// Who may write.
    pub kind: Kind,
    /// The shard that owns it.
    pub owner: usize,
    /// Raised to make the owner look.
    pub raised: Arc<AtomicBool>,
    /// Where inline writes are asked for.
    pub flushes: Arc<Flushes>,
}

impl Flush for Hook {
    fn flush(&self, peer: &Arc<Peer>, _: &mut Pool, from: usize, inline: bool, _: Now) {
        let mut state = self.flushes.state.lock().unwrap_or_else(PoisonError::into_inner);
        let leave = from != self.owner && state.1.percent(self.flushes.leave_to_owner);
        if self.kind == Kind::Owned || !inline || leave || peer.closed().is_some() {
            self.raised.store(true, Ordering::Release);
        } else {
            state.0 = Some(self.cid);
        }
    }

    fn wake(&self) {
        self.raised.store(true, Ordering::Release);
    }
}
