//! What a disk knows of the owner of a lane.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use midge_store::port::Completions;
use midge_store::port::Lane;

/// A lane and its owner.
pub(crate) struct LaneOwner {
    pub(crate) lane: Lane,
    pub(crate) folder: Arc<str>,
    sink: Arc<dyn Completions>,
    fenced: AtomicBool,
}

impl LaneOwner {
    pub(crate) fn new(lane: Lane, folder: Arc<str>, sink: Arc<dyn Completions>) -> LaneOwner {
        LaneOwner { lane, folder, sink, fenced: AtomicBool::new(false) }
    }

    /// Whether both lanes have the same owner.
    pub(crate) fn shares_owner(&self, other: &LaneOwner) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.sink), Arc::as_ptr(&other.sink))
    }

    /// Calls the owner; one that panics is fenced.
    pub(crate) fn call(&self, what: impl FnOnce(&dyn Completions)) {
        if self.fenced.load(Relaxed) {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| what(&*self.sink))).is_err() {
            self.fenced.store(true, Relaxed);
            tracing::error!(
                blame = "us",
                folder = &*self.folder,
                "the owner of a store panicked and is not called again"
            );
        }
    }
}
