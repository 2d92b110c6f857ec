//! A simulated thread: what it is in the middle of.

use std::collections::VecDeque;

use midge_broker::batch::Batch;
use midge_broker::conn::Flow;

use crate::net::Writer;

/// What follows when everything touched was flushed.
#[derive(Debug)]
pub enum Then {
    /// Nothing.
    Rest,
    /// Input was handled: do what the machine asks for.
    Ingested {
        /// The connection.
        cid: u64,
        /// What the machine asks for.
        flow: Flow,
        /// Whether the batch was full.
        full: bool,
        /// What was not consumed.
        rest: Vec<u8>,
    },
    /// A connection was woken and caught up: look whether it ended, then write.
    Woken(u64),
    /// The machine answered a timer or a password check.
    Flow(u64, Flow),
    /// The last flush was tried.
    Finished(u64),
}

/// A piece of work that other shards interrupt between its steps.
#[derive(Debug)]
pub struct Program {
    /// Queues to flush, and whether this shard may write them itself.
    pub flushes: VecDeque<(u64, bool)>,
    /// What is being written, and whether it is the owner's own writing.
    pub writer: Option<(Writer, bool)>,
    /// What follows.
    pub then: Then,
}

/// See the module.
#[derive(Debug)]
pub struct Shard {
    /// What it carries through its batches.
    pub batch: Batch,
    /// What it is in the middle of.
    pub program: Option<Program>,
}

impl Shard {
    /// An idle shard.
    pub fn new(index: usize, seed: u64) -> Shard {
        Shard { batch: Batch::new(index, seed), program: None }
    }

    /// Whether it is writing this connection.
    pub fn writes(&self, cid: u64) -> bool {
        self.program.as_ref().and_then(|p| p.writer.as_ref()).is_some_and(|(w, _)| w.cid == cid)
    }
}
