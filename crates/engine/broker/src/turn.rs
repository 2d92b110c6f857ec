//! What a shard runs besides connections: owners of state that handle their mailbox in batches.
//!
//! ```text
//!   anyone ── mailbox ──▶ Signal::raise ──▶ runner (edge, simulator) ──▶ Turn::turn(batch, now) ──▶ flush
//! ```

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use midge_stdx::clock::{Mono, Now};

use crate::batch::Batch;

/// An owner of state. Its turns come one at a time, on the shard that runs it, and never wait.
pub trait Turn: Send {
    /// Handles what has arrived, for about 200 µs or 256 inputs. What it publishes goes through the batch, which is flushed afterwards.
    fn turn(&mut self, batch: &mut Batch, now: Now) -> Next;

    /// A turn panicked: its state cannot be trusted and it is not called again. To release what others wait for.
    fn fenced(&mut self) {}
}

/// When the next turn is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When the signal is raised, or at this time; [`Mono::NEVER`] for the signal alone.
    Idle(Mono),
    /// As soon as others had theirs.
    Again,
    /// After a pause, whatever the signal says: a receiver is behind.
    After(Duration),
    /// Never: it is dropped.
    Over,
}

/// How others ask for a turn.
#[derive(Default)]
pub struct Signal {
    hook: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Signal {
    /// One that nobody listens to yet.
    pub fn new() -> Arc<Signal> {
        Arc::new(Signal::default())
    }

    /// Asks for a turn. Before a runner has taken over it does nothing: the first turn comes by itself.
    pub fn raise(&self) {
        if let Some(hook) = self.hook.get() {
            hook();
        }
    }

    /// Says what a raise does; the first one to say so stays.
    pub fn attach(&self, hook: Box<dyn Fn() + Send + Sync>) {
        let _ = self.hook.set(hook);
    }
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signal")
    }
}

/// The port through which turns come to run.
pub trait Runner: Send + Sync {
    /// Runs `turn` from now on, beginning with a first turn, and whenever its signal is raised. `placement` chooses the shard: equal numbers share one.
    fn run(&self, turn: Box<dyn Turn>, signal: Arc<Signal>, placement: u64);
}
