//! What JetStream asks of its surroundings.

use std::sync::Arc;

use midge_broker::turn::Runner;
use midge_stdx::clock::Now;
use midge_stdx::entropy::Entropy;
use midge_store::port::StoreDisk;

/// Runs what blocks: opening and creating stores.
pub trait Jobs: Send + Sync {
    /// Runs `job` soon, on a thread that may wait, and tells it the time. Bounded by whoever asks.
    fn run(&self, job: Box<dyn FnOnce(Now) + Send>);
}

/// The ports.
pub struct Ports {
    /// Where turns run.
    pub runner: Arc<dyn Runner>,
    /// Where jobs run.
    pub jobs: Arc<dyn Jobs>,
    /// The store directory; without, there are memory streams only.
    pub disk: Option<Arc<dyn StoreDisk>>,
    /// From which names, ids and keys are drawn.
    pub entropy: Box<dyn Entropy>,
}
